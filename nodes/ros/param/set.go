package param

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// ErrUnknown is wrapped by errors about parameters that were never declared.
var ErrUnknown = errors.New("unknown parameter")

// Result tells whether a parameter was set, and if not why not.
type Result struct {
	Successful bool
	Reason     string
}

// Change is what one call changed.
type Change struct {
	New, Changed []Parameter // declared; set, to an equal value too
}

// Set holds the parameters of a node. It is safe for concurrent use.
type Set struct {
	change sync.Mutex // held through a change and its hooks

	mu     sync.RWMutex
	params map[string]*entry
	over   map[string]Override
	checks []func([]Parameter) error
	after  []func(Change)
}

type entry struct {
	Declaration
	value Value
}

// NewSet returns an empty set; the overrides take effect as their parameters
// are declared.
func NewSet(overrides map[string]Override) *Set {
	return &Set{params: map[string]*entry{}, over: maps.Clone(overrides)}
}

// OnSet has check called before values change, with all that one call changes.
// Its error refuses the change and is the reason that the caller sees. Get and
// List may be called in it, but nothing that changes the set.
func (s *Set) OnSet(check func([]Parameter) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, check)
}

// OnChange has f called after values changed. What OnSet says of calls holds
// here too.
func (s *Set) OnChange(f func(Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = append(s.after, f)
}

// Declare adds parameters, in order; each starts with its override, else its
// default. It stops at the first error; one that wraps ErrOverride is the
// user's and names the flag or the file and line.
func (s *Set) Declare(declarations ...Declaration) error {
	s.change.Lock()
	defer s.change.Unlock()
	var change Change
	defer func() {
		if len(change.New) > 0 {
			s.tell(change)
		}
	}()
	for _, d := range declarations {
		value, err := s.initial(&d)
		if err != nil {
			return err
		}
		d.OneOf = slices.Clone(d.OneOf)
		s.mu.Lock()
		s.params[d.Name] = &entry{d, value}
		s.mu.Unlock()
		change.New = append(change.New, Parameter{d.Name, value})
	}
	return nil
}

func (s *Set) initial(d *Declaration) (Value, error) {
	if err := d.validate(); err != nil {
		return Value{}, err
	}
	s.mu.RLock()
	_, known := s.params[d.Name]
	over, overridden := s.over[d.Name]
	checks := s.checks
	s.mu.RUnlock()
	if known {
		return Value{}, fmt.Errorf("param: %s is declared twice", d.Name)
	}
	if !overridden {
		over.Value = d.Default
	}
	value, reason := d.fit(over.Value)
	if reason == "" {
		reason = ask(checks, []Parameter{{d.Name, value}})
	}
	switch {
	case reason == "":
		return value, nil
	case overridden:
		return Value{}, fmt.Errorf("%w: %s: %s", ErrOverride, over.Source, reason)
	}
	return Value{}, fmt.Errorf("param: the default does not fit: %s", reason)
}

// ask returns why a hook refuses, "" if none does.
func ask(checks []func([]Parameter) error, params []Parameter) string {
	for _, check := range checks {
		if err := check(params); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (s *Set) tell(c Change) {
	s.mu.RLock()
	after := s.after
	s.mu.RUnlock()
	for _, f := range after {
		f(c)
	}
}

// Set sets each parameter by itself.
func (s *Set) Set(params ...Parameter) []Result {
	results := make([]Result, len(params))
	for i, p := range params {
		results[i] = s.SetAtomically(p)
	}
	return results
}

// SetAtomically sets all parameters or none. Of a name given twice the later
// value counts.
func (s *Set) SetAtomically(params ...Parameter) Result {
	s.change.Lock()
	defer s.change.Unlock()
	params = slices.Clone(params)
	s.mu.RLock()
	checks := s.checks
	reason := s.fit(params)
	s.mu.RUnlock()
	if reason == "" {
		reason = ask(checks, params)
	}
	if reason != "" {
		return Result{Reason: reason}
	}
	s.mu.Lock()
	for _, p := range params {
		s.params[p.Name].value = p.Value
	}
	s.mu.Unlock()
	if len(params) > 0 {
		s.tell(Change{Changed: params})
	}
	return Result{Successful: true}
}

// fit returns why the parameters may not be set, "" if they may.
func (s *Set) fit(params []Parameter) string {
	for i := range params {
		p := &params[i]
		e, ok := s.params[p.Name]
		if !ok {
			return s.unknown(p.Name).Error()
		}
		if e.ReadOnly {
			return fmt.Sprintf("%s is read-only; set it when the node starts, by -p %s:=VALUE or in a parameter file", p.Name, p.Name)
		}
		var reason string
		if p.Value, reason = e.fit(p.Value); reason != "" {
			return reason
		}
	}
	return ""
}

func (s *Set) unknown(name string) error {
	if near := s.near(name); near != "" {
		return fmt.Errorf("%w %s; %s is near it", ErrUnknown, quote(name), near)
	}
	return fmt.Errorf("%w %s; see `ros2 param list`", ErrUnknown, quote(name))
}

// Get returns the value of a declared parameter. It panics where the program
// never declared it with this type, like a wrong index.
func Get[T Kind](s *Set, name string) T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.params[name]
	if e == nil {
		panic(fmt.Sprintf("param: Get(%q), which is not declared", name))
	}
	v, ok := As[T](e.value)
	if !ok {
		panic(fmt.Sprintf("param: Get[%T](%q), which is %s", v, name, e.Type().a()))
	}
	return v
}

// Has tells whether a parameter is declared.
func (s *Set) Has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.params[name] != nil
}

// Values returns the values of declared parameters; an error wraps ErrUnknown.
func (s *Set) Values(names ...string) ([]Value, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	values := make([]Value, len(names))
	for i, name := range names {
		e, ok := s.params[name]
		if !ok {
			return nil, s.unknown(name)
		}
		values[i] = e.value
	}
	return values, nil
}

// Describe returns the declarations of parameters; an error wraps ErrUnknown.
func (s *Set) Describe(names ...string) ([]Declaration, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Declaration, len(names))
	for i, name := range names {
		e, ok := s.params[name]
		if !ok {
			return nil, s.unknown(name)
		}
		all[i] = e.Declaration
	}
	return all, nil
}

// List returns the names of parameters, sorted, and the prefixes among them.
// With prefixes only those that are or lie below one; depth counts the names
// between dots, below the prefix, and 0 is no bound: as
// rcl_interfaces/srv/ListParameters has it.
func (s *Set) List(prefixes []string, depth uint64) (names, under []string) {
	shallow := func(s string) bool { return depth == 0 || uint64(strings.Count(s, ".")) < depth }
	s.mu.RLock()
	all := slices.Sorted(maps.Keys(s.params))
	s.mu.RUnlock()
	seen := map[string]bool{}
	for _, name := range all {
		fits := len(prefixes) == 0 && shallow(name) || slices.ContainsFunc(prefixes, func(prefix string) bool {
			rest, below := strings.CutPrefix(name, prefix)
			return name == prefix || below && rest[0] == '.' && shallow(rest)
		})
		if !fits {
			continue
		}
		names = append(names, name)
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 && !seen[name[:dot]] {
			seen[name[:dot]] = true
			under = append(under, name[:dot])
		}
	}
	return names, under
}
