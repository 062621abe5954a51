package runner

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"arfm/policy/userfile"
)

// What a joint gets where its description says nothing.
const (
	DefaultVelocity     = 1.0 // rad/s or m/s
	DefaultAcceleration = 5.0 // rad/s^2 or m/s^2
)

// MaxDescription bounds a URDF or a joint_limits.yaml, in bytes.
const MaxDescription = 32 << 20

const maxJoints = 4096

// ErrLimits is wrapped by the errors of the parsers, of Check, and of New for limits that
// leave out a joint.
var ErrLimits = errors.New("joint limits")

// Limits holds one entry per joint in each slice: Lower and Upper in rad or m
// (infinite: continuous), Velocity in 1/s and Acceleration in 1/s^2 of that
// (+Inf: not said).
type Limits struct {
	Names                                []string
	Lower, Upper, Velocity, Acceleration []float64
}

// add appends a joint without limits and returns its index.
func (l *Limits) add(name string) int {
	l.Names = append(l.Names, name)
	l.Lower = append(l.Lower, math.Inf(-1))
	l.Upper = append(l.Upper, math.Inf(1))
	l.Velocity = append(l.Velocity, math.Inf(1))
	l.Acceleration = append(l.Acceleration, math.Inf(1))
	return len(l.Names) - 1
}

func unlimited(names []string) Limits {
	var l Limits
	for _, n := range names {
		l.add(n)
	}
	return l
}

// Select returns the limits of the named joints in that order; a joint that is
// not in l comes without limits.
func (l Limits) Select(names []string) Limits {
	var out Limits
	for _, name := range names {
		k := out.add(name)
		if i := slices.Index(l.Names, name); i >= 0 {
			out.Lower[k], out.Upper[k] = l.Lower[i], l.Upper[i]
			out.Velocity[k], out.Acceleration[k] = l.Velocity[i], l.Acceleration[i]
		}
	}
	return out
}

// Tighten returns l with the joints of other added; where both know a joint,
// the tighter limit holds, so that no file can loosen what another one says.
func (l Limits) Tighten(other Limits) Limits {
	out := l.Select(l.Names)
	for i, name := range other.Names {
		k := slices.Index(out.Names, name)
		if k < 0 {
			k = out.add(name)
		}
		out.Lower[k] = math.Max(out.Lower[k], other.Lower[i])
		out.Upper[k] = math.Min(out.Upper[k], other.Upper[i])
		out.Velocity[k] = math.Min(out.Velocity[k], other.Velocity[i])
		out.Acceleration[k] = math.Min(out.Acceleration[k], other.Acceleration[i])
	}
	return out
}

// FillMissing gives joints without a velocity or acceleration limit the
// defaults and returns their names, for a diagnostic.
func (l *Limits) FillMissing() (filled []string) {
	for i, name := range l.Names {
		v, a := math.IsInf(l.Velocity[i], 1), math.IsInf(l.Acceleration[i], 1)
		if v {
			l.Velocity[i] = DefaultVelocity
		}
		if a {
			l.Acceleration[i] = DefaultAcceleration
		}
		if v || a {
			filled = append(filled, name)
		}
	}
	return filled
}

// cover refuses limits that leave out some of the named joints.
func (l Limits) cover(names []string) error {
	var missing []string
	for _, name := range names {
		if !slices.Contains(l.Names, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: none for %s of the action, only for %s: give limits for every joint of the action under its name, or none at all",
		ErrLimits, list(missing), list(l.Names))
}

// free returns the joints without a lower or an upper position limit.
func (l Limits) free() (names []string) {
	for i, name := range l.Names {
		if math.IsInf(l.Lower[i], -1) || math.IsInf(l.Upper[i], 1) {
			names = append(names, name)
		}
	}
	return names
}

// list joins names for a diagnostic, which a large description must not flood.
func list(names []string) string {
	const most = 32
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}

// Check refuses limits that leave a joint no room or no speed.
func (l Limits) Check() error {
	for i, name := range l.Names {
		if !(l.Upper[i]-l.Lower[i] > 1e-6) || !(l.Velocity[i] > 0) || !(l.Acceleration[i] > 0) {
			return fmt.Errorf("%w: %s has position %g..%g, velocity %g, acceleration %g: correct its description",
				ErrLimits, name, l.Lower[i], l.Upper[i], l.Velocity[i], l.Acceleration[i])
		}
	}
	return nil
}

// ParseURDF reads the <limit> of every revolute, prismatic and continuous
// joint of a robot description (plain URDF: run xacro first).
func ParseURDF(data []byte) (Limits, error) {
	var l Limits
	if len(data) > MaxDescription {
		return l, fmt.Errorf("%w: URDF of %d bytes is larger than %d", ErrLimits, len(data), MaxDescription)
	}
	dec := xml.NewDecoder(bytes.NewReader(data))
	depth, joint, kind, limited, robot := 0, -1, "", false, false
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Limits{}, fmt.Errorf("%w: URDF is not well formed: %w", ErrLimits, err)
		}
		switch el := tok.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 1:
				robot = el.Name.Local == "robot"
			case depth == 2 && el.Name.Local == "joint":
				joint, limited, kind = -1, false, attr(el, "type")
				if kind == "revolute" || kind == "prismatic" || kind == "continuous" {
					if len(l.Names) == maxJoints || slices.Contains(l.Names, attr(el, "name")) {
						return Limits{}, fmt.Errorf("%w: URDF names joint %q twice or has more than %d joints", ErrLimits, attr(el, "name"), maxJoints)
					}
					joint = l.add(attr(el, "name"))
				}
			case depth == 3 && el.Name.Local == "limit" && joint >= 0:
				limited = true
				if err := l.urdfLimit(joint, kind, el); err != nil {
					return Limits{}, err
				}
			}
		case xml.EndElement:
			if depth == 2 && joint >= 0 {
				if !limited && kind != "continuous" {
					return Limits{}, fmt.Errorf("%w: URDF joint %q is %s and needs a <limit>", ErrLimits, l.Names[joint], kind)
				}
				joint = -1
			}
			depth--
		}
	}
	if !robot {
		return Limits{}, fmt.Errorf("%w: URDF has no <robot> at its root", ErrLimits)
	}
	if len(l.Names) == 0 {
		return Limits{}, fmt.Errorf("%w: URDF has no revolute, prismatic or continuous joint", ErrLimits)
	}
	return l, nil
}

func (l *Limits) urdfLimit(joint int, kind string, el xml.StartElement) error {
	num := func(name string, missing float64) (float64, error) {
		s := attr(el, name)
		if s == "" {
			return missing, nil
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || x-x != 0 {
			return 0, fmt.Errorf("%w: URDF joint %q has %s=%q, not a finite number", ErrLimits, l.Names[joint], name, s)
		}
		return x, nil
	}
	lower, err1 := num("lower", 0)
	upper, err2 := num("upper", 0)
	velocity, err3 := num("velocity", math.Inf(1))
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	if lower > upper || velocity < 0 {
		return fmt.Errorf("%w: URDF joint %q has lower %g, upper %g, velocity %g: correct its <limit>", ErrLimits, l.Names[joint], lower, upper, velocity)
	}
	if kind != "continuous" {
		l.Lower[joint], l.Upper[joint] = lower, upper
	}
	if velocity > 0 { // 0 is widely written for "unknown"
		l.Velocity[joint] = velocity
	}
	return nil
}

func attr(el xml.StartElement, name string) string {
	for _, a := range el.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// ParseJointLimits reads a joint_limits.yaml as MoveIt and robot descriptions
// carry it: has_*_limits switches a limit on; numbers may carry the tags
// !degrees and !radians.
func ParseJointLimits(data []byte) (Limits, error) {
	var l Limits
	if len(data) > MaxDescription {
		return l, fmt.Errorf("%w: joint_limits.yaml of %d bytes is larger than %d", ErrLimits, len(data), MaxDescription)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return l, fmt.Errorf("%w: joint_limits.yaml: %s", ErrLimits, userfile.YAMLError(err))
	}
	if len(doc.Content) == 0 {
		return l, fmt.Errorf("%w: joint_limits.yaml is empty", ErrLimits)
	}
	joints := lookup(doc.Content[0], "joint_limits")
	if joints == nil || joints.Kind != yaml.MappingNode {
		return l, fmt.Errorf("%w: joint_limits.yaml has no mapping joint_limits", ErrLimits)
	}
	if len(joints.Content)/2 > maxJoints {
		return l, fmt.Errorf("%w: joint_limits.yaml has more than %d joints", ErrLimits, maxJoints)
	}
	for i := 0; i+1 < len(joints.Content); i += 2 {
		name, n := joints.Content[i].Value, joints.Content[i+1]
		if slices.Contains(l.Names, name) {
			return Limits{}, fmt.Errorf("%w: joint_limits.yaml names joint %q twice", ErrLimits, name)
		}
		k := l.add(name)
		for _, f := range []struct {
			has, key string
			dst      *float64
		}{
			{"has_position_limits", "min_position", &l.Lower[k]},
			{"has_position_limits", "max_position", &l.Upper[k]},
			{"has_velocity_limits", "max_velocity", &l.Velocity[k]},
			{"has_acceleration_limits", "max_acceleration", &l.Acceleration[k]},
		} {
			if err := yamlLimit(n, f.has, f.key, f.dst); err != nil {
				return Limits{}, fmt.Errorf("%w: joint_limits.yaml: joint %q: %w", ErrLimits, name, err)
			}
		}
	}
	if err := l.Check(); err != nil {
		return Limits{}, err
	}
	return l, nil
}

// YAML writes the limits as a joint_limits.yaml that ParseJointLimits reads;
// infinite ones are left out.
func (l Limits) YAML() ([]byte, error) {
	joints := map[string]map[string]any{}
	for k, name := range l.Names {
		joint := map[string]any{}
		if !math.IsInf(l.Lower[k], 0) && !math.IsInf(l.Upper[k], 0) {
			joint["has_position_limits"], joint["min_position"], joint["max_position"] = true, l.Lower[k], l.Upper[k]
		}
		if !math.IsInf(l.Velocity[k], 0) {
			joint["has_velocity_limits"], joint["max_velocity"] = true, l.Velocity[k]
		}
		if !math.IsInf(l.Acceleration[k], 0) {
			joint["has_acceleration_limits"], joint["max_acceleration"] = true, l.Acceleration[k]
		}
		joints[name] = joint
	}
	return yaml.Marshal(map[string]any{"joint_limits": joints})
}

func yamlLimit(joint *yaml.Node, has, key string, dst *float64) error {
	v := lookup(joint, key)
	flag := lookup(joint, has)
	on := flag != nil && flag.Value == "true"
	if flag != nil && !on && flag.Value != "false" {
		return fmt.Errorf("%s is neither true nor false", has)
	}
	if !on {
		return nil
	}
	if v == nil {
		return fmt.Errorf("%s is true but %s is missing", has, key)
	}
	x, err := strconv.ParseFloat(v.Value, 64)
	if err != nil || x-x != 0 {
		return fmt.Errorf("%s is %q, not a finite number", key, v.Value)
	}
	if v.Tag == "!degrees" {
		x *= math.Pi / 180
	}
	*dst = x
	return nil
}

// lookup returns the value of key in a mapping; aliases are not followed.
func lookup(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
