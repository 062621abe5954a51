package contract

import (
	"fmt"
	"strings"
)

// Dim returns how many numbers the selection picks.
func (s *Selection) Dim() int {
	switch {
	case len(s.Fields) > 0:
		return len(s.Fields)
	case len(s.Names) > 0:
		return len(s.Names)
	case len(s.Indices) > 0:
		return len(s.Indices)
	}
	return 1
}

// Labels names the numbers of the selection: Names where given, else the paths.
func (s *Selection) Labels() []string {
	switch {
	case len(s.Names) > 0:
		return append([]string(nil), s.Names...)
	case len(s.Fields) > 0:
		return append([]string(nil), s.Fields...)
	case len(s.Indices) > 0:
		out := make([]string, len(s.Indices))
		for i, k := range s.Indices {
			out[i] = fmt.Sprintf("%s.%d", s.Field, k)
		}
		return out
	}
	return []string{s.Field}
}

// quantity says what a joint array holds: position, velocity or effort, or ""
// where the path does not tell.
func (s *Selection) quantity() string {
	leaf := s.Field[strings.LastIndexByte(s.Field, '.')+1:]
	switch leaf {
	case "position", "positions":
		return UnitPosition
	case "velocity", "velocities":
		return UnitVelocity
	case "effort", "acceleration", "accelerations":
		return leaf
	}
	return ""
}

// StateNames names the elements of the state vector, (S).
func (c *Contract) StateNames() []string {
	var out []string
	for i := range c.Observation.State {
		out = append(out, c.Observation.State[i].Labels()...)
	}
	return out
}

// ActionNames names the elements of an action, (A).
func (c *Contract) ActionNames() []string { return c.Action.Labels() }

// stateIndex finds, for each element of the action, the state element of the
// same name that holds the same quantity. It needs exactly one of each.
func (c *Contract) stateIndex() ([]int, error) {
	want := ""
	switch c.Action.Unit {
	case UnitPosition, UnitGripper:
		want = UnitPosition
	case UnitVelocity:
		want = UnitVelocity
	}
	names := c.ActionNames()
	out := make([]int, len(names))
	for a, name := range names {
		at, found := 0, 0
		for i := range c.Observation.State {
			f := &c.Observation.State[i]
			q := f.quantity()
			for k, label := range f.Labels() {
				if label == name && (q == want || q == "" || want == "") {
					out[a], found = at+k, found+1
				}
			}
			at += f.Dim()
		}
		if found != 1 {
			return nil, fmt.Errorf("%q is in %d state fields of quantity %q", name, found, want)
		}
	}
	return out, nil
}

// RelativeTo returns, for each element of the action, the index of the state
// element that it is relative to, (A); nil when actions are absolute.
func (c *Contract) RelativeTo() []int {
	if !c.Action.Relative {
		return nil
	}
	idx, err := c.stateIndex()
	if err != nil {
		return nil // Validate has refused such a contract
	}
	return idx
}

// MakeRelative subtracts the state (S) at the chunk's start from every row of
// chunk (H, A), for a contract with relative actions; else it does nothing.
func (c *Contract) MakeRelative(chunk, state []float32) { c.shift(chunk, state, -1) }

// MakeAbsolute undoes MakeRelative.
func (c *Contract) MakeAbsolute(chunk, state []float32) { c.shift(chunk, state, 1) }

func (c *Contract) shift(chunk, state []float32, sign float32) {
	for a, s := range c.RelativeTo() {
		for k := a; k < len(chunk); k += c.ActionDim() {
			chunk[k] += sign * state[s]
		}
	}
}
