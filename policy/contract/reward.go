package contract

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Choices of Reward.Source.
const (
	RewardFirst  = ""       // the first of topic, file, outcome and dense terms that an episode has
	RewardLabels = "labels" // topic, file or outcome; no dense terms
	RewardTerms  = "terms"  // dense terms alone, of every episode
)

// The dense terms of a reward.
const (
	TermSceneMSE          = "scene_mse"          // scene camera against the next sub-goal's picture
	TermSceneSSIM         = "scene_ssim"         //
	TermSceneORB          = "scene_orb"          //
	TermGripperMSE        = "gripper_mse"        // gripper camera
	TermGripperSSIM       = "gripper_ssim"       //
	TermGripperORB        = "gripper_orb"        //
	TermJointMSE          = "joint_mse"          // joints against the next sub-goal's
	TermProgress          = "progress"           // sub-goals done
	TermJointVelocity     = "joint_velocity"     // smoothness
	TermJointAcceleration = "joint_acceleration" //
	TermActionRate        = "action_rate"        //
	TermActionSmoothness  = "action_smoothness"  //
	TermCompletion        = "completion"         // success of the episode
)

// maxWeight bounds a term's weight.
const maxWeight = 1e6

// WeightedTerm is a dense term and what it is multiplied by.
type WeightedTerm struct {
	Name   string  `yaml:"name" json:"name"`
	Weight float64 `yaml:"weight" json:"weight"`
}

// WeightedTerms are dense terms in the order they were written. In YAML they
// are a mapping from names to weights, or a list of {name, weight}.
type WeightedTerms []WeightedTerm

// DefaultTerms are all terms, with the weights of ARFM's table 8.
func DefaultTerms() WeightedTerms {
	const w, small = 0.1 / 13, 0.01 / 13
	return WeightedTerms{
		{TermSceneMSE, w}, {TermSceneSSIM, w}, {TermSceneORB, w}, {TermGripperMSE, w}, {TermGripperSSIM, w}, {TermGripperORB, w},
		{TermJointMSE, w}, {TermProgress, w}, {TermJointVelocity, w}, {TermJointAcceleration, w},
		{TermActionRate, small}, {TermActionSmoothness, small}, {TermCompletion, w},
	}
}

func termNames() []string {
	var names []string
	for _, t := range DefaultTerms() {
		names = append(names, t.Name)
	}
	return names
}

// UnmarshalYAML takes both forms.
func (t *WeightedTerms) UnmarshalYAML(n *yaml.Node) error {
	*t = WeightedTerms{}
	wrong := func(at *yaml.Node) error {
		return fmt.Errorf("line %d: reward.terms is a mapping of names to weights, such as {scene_ssim: 0.0077}, or a list of {name, weight}", at.Line)
	}
	add := func(name string, weight *yaml.Node) error {
		var w float64
		if weight.Kind == 0 || weight.ShortTag() == "!!null" || weight.Decode(&w) != nil {
			return fmt.Errorf("reward.terms: the weight of %q is no number", clip(name))
		}
		*t = append(*t, WeightedTerm{name, w})
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := add(n.Content[i].Value, n.Content[i+1]); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			var fields map[string]yaml.Node
			if item.Decode(&fields) != nil {
				return wrong(item)
			}
			name, weight := fields["name"], fields["weight"]
			if delete(fields, "name"); name.Kind != yaml.ScalarNode {
				return wrong(item)
			}
			if delete(fields, "weight"); len(fields) > 0 {
				return fmt.Errorf("line %d: reward.terms: %q is unknown, an entry has name and weight", item.Line, clip(slices.Sorted(maps.Keys(fields))[0]))
			}
			if err := add(name.Value, &weight); err != nil {
				return err
			}
		}
	default:
		return wrong(n)
	}
	return nil
}

// MarshalYAML writes the mapping.
func (t WeightedTerms) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, term := range t {
		var w yaml.Node
		if err := w.Encode(term.Weight); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: term.Name}, &w)
	}
	return n, nil
}

// RewardCameras names the cameras that dense terms look through.
type RewardCameras struct {
	Scene   string `yaml:"scene,omitempty"`   // default: the first that is not at the gripper
	Gripper string `yaml:"gripper,omitempty"` // default: the first that is called after wrist, gripper, hand or tool
}

// checkDense checks what a reward says of dense terms.
func (c *Contract) checkDense() error {
	r := &c.Reward
	if !slices.Contains([]string{RewardFirst, RewardLabels, RewardTerms}, r.Source) {
		return fault("reward.source", "is %q, use labels or terms, or leave it out for the first that an episode has", clip(r.Source))
	}
	if r.Terms != nil && len(r.Terms) == 0 {
		return fault("reward.terms", "are none; leave them out for the defaults, or set reward.source: labels")
	}
	known := termNames()
	for i, t := range r.Terms {
		switch {
		case !slices.Contains(known, t.Name):
			return fault("reward.terms", "has %q, use %s", clip(t.Name), strings.Join(known, ", "))
		case !(math.Abs(t.Weight) <= maxWeight):
			return fault("reward.terms."+t.Name, "is %v, set it to a weight of at most %g", t.Weight, maxWeight)
		case slices.ContainsFunc(r.Terms[:i], func(o WeightedTerm) bool { return o.Name == t.Name }):
			return fault("reward.terms", "has %s twice, remove one", t.Name)
		}
	}
	for _, cam := range []struct{ field, name string }{{"scene", r.Cameras.Scene}, {"gripper", r.Cameras.Gripper}} {
		if _, ok := c.Observation.Images[cam.name]; cam.name != "" && !ok {
			return fault("reward.cameras."+cam.field, "is %q, name a camera of observation.images", clip(cam.name))
		}
	}
	if r.Cameras.Scene != "" && r.Cameras.Scene == r.Cameras.Gripper {
		return fault("reward.cameras", "are both %q, leave one out", clip(r.Cameras.Scene))
	}
	for i, name := range r.Joints {
		if !slices.Contains(c.StateNames(), name) {
			return fault("reward.joints", "has %q, name elements of observation.state", clip(name))
		}
		if slices.Contains(r.Joints[:i], name) {
			return fault("reward.joints", "has %q twice, remove one", clip(name))
		}
	}
	if r.Gripper != "" && !slices.Contains(c.StateNames(), r.Gripper) && !slices.Contains(c.ActionNames(), r.Gripper) {
		return fault("reward.gripper", "is %q, name an element of observation.state or action", clip(r.Gripper))
	}
	return nil
}

// RewardInputs says where in frames dense terms find what they compare.
type RewardInputs struct {
	Scene, Gripper int   // cameras, in the order of Cameras; -1: there is none
	Joints         []int // elements of the state
	GripperState   int   // element of the state that opens and closes; -1: none
	GripperAction  int   // else that of the action; -1: none
}

// RewardInputs resolves what the contract's reward names, or guesses it from
// names: a camera or an element called after the gripper is the gripper's.
// Depth cameras are taken where there is no other. Joints are the positions of
// JointState messages, and the whole state where there are none.
func (c *Contract) RewardInputs() RewardInputs {
	in := RewardInputs{Scene: -1, Gripper: -1, GripperState: -1, GripperAction: -1}
	in.cameras(c)
	in.joints(c)
	in.gripper(c)
	return in
}

// called says whether a name holds one of the words.
func called(name string, words ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

func (in *RewardInputs) cameras(c *Contract) {
	cams := c.Cameras()
	for i, cam := range cams {
		switch cam.Name {
		case c.Reward.Cameras.Scene:
			in.Scene = i
		case c.Reward.Cameras.Gripper:
			in.Gripper = i
		}
	}
	for _, depth := range []bool{false, true} {
		for i, cam := range cams {
			atGripper := called(cam.Name, "wrist", "gripper", "hand", "tool")
			switch {
			case i == in.Scene || i == in.Gripper || (len(c.Observation.Images[cam.Name].RangeM) > 0) != depth:
			case atGripper && in.Gripper < 0:
				in.Gripper = i
			case !atGripper && in.Scene < 0:
				in.Scene = i
			}
		}
	}
}

// element is one number of the state.
type element struct {
	name, quantity string
	joint          bool // of a JointState
}

func (c *Contract) elements() (out []element) {
	for i := range c.Observation.State {
		f := &c.Observation.State[i]
		for _, name := range f.Labels() {
			out = append(out, element{name, f.quantity(), f.Type == typeJointState})
		}
	}
	return out
}

// position finds the state element of a name, the position if there are several.
func position(all []element, is func(string) bool) int {
	found := -1
	for i, e := range all {
		if is(e.name) && (found < 0 || e.quantity == UnitPosition && all[found].quantity != UnitPosition) {
			found = i
		}
	}
	return found
}

func (in *RewardInputs) joints(c *Contract) {
	all := c.elements()
	for _, name := range c.Reward.Joints {
		in.Joints = append(in.Joints, position(all, func(s string) bool { return s == name }))
	}
	if len(in.Joints) > 0 {
		return
	}
	isJoint := func(e element) bool { return e.joint && e.quantity == UnitPosition }
	none := !slices.ContainsFunc(all, isJoint)
	for i, e := range all {
		if none || isJoint(e) {
			in.Joints = append(in.Joints, i)
		}
	}
}

func (in *RewardInputs) gripper(c *Contract) {
	is := func(name string) bool { return called(name, "gripper", "finger", "knuckle", "jaw") }
	if c.Reward.Gripper != "" {
		is = func(name string) bool { return name == c.Reward.Gripper }
	}
	in.GripperState = position(c.elements(), is)
	if in.GripperState >= 0 {
		return
	}
	in.GripperAction = slices.IndexFunc(c.ActionNames(), is)
	if in.GripperAction < 0 && c.Action.Unit == UnitGripper {
		in.GripperAction = 0
	}
}
