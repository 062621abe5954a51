package contract

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// rewarded is armYAML with another reward.
func rewarded(reward string) string {
	return strings.Replace(armYAML, "reward: {topic: /arfm/reward}", "reward: "+reward, 1)
}

// TestRewardTerms: both forms say the same, keep their order and come back from
// the canonical form.
func TestRewardTerms(t *testing.T) {
	want := WeightedTerms{{TermSceneSSIM, 0.5}, {TermCompletion, 2}, {TermActionRate, -1e-3}}
	for _, terms := range []string{
		"{scene_ssim: 0.5, completion: 2, action_rate: -1e-3}",
		"[{name: scene_ssim, weight: 0.5}, {weight: 2, name: completion}, {name: action_rate, weight: -1e-3}]",
	} {
		c := mustParse(t, rewarded("{source: terms, terms: "+terms+", cameras: {scene: base}, joints: [b], gripper: a}"))
		if !reflect.DeepEqual(c.Reward.Terms, want) {
			t.Errorf("%s gives %v", terms, c.Reward.Terms)
		}
		again, err := Parse(c.YAML())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("the canonical form does not come back (%v):\n%s", err, c.YAML())
		}
	}
}

// TestDefaultTerms: ARFM's table 8.
func TestDefaultTerms(t *testing.T) {
	want := map[string]float64{
		"scene_mse": 0.1 / 13, "scene_ssim": 0.1 / 13, "scene_orb": 0.1 / 13,
		"gripper_mse": 0.1 / 13, "gripper_ssim": 0.1 / 13, "gripper_orb": 0.1 / 13,
		"joint_mse": 0.1 / 13, "progress": 0.1 / 13, "joint_velocity": 0.1 / 13, "joint_acceleration": 0.1 / 13,
		"action_rate": 0.01 / 13, "action_smoothness": 0.01 / 13, "completion": 0.1 / 13,
	}
	got := map[string]float64{}
	for _, term := range DefaultTerms() {
		got[term.Name] = term.Weight
	}
	if !maps.Equal(got, want) || len(DefaultTerms()) != len(want) {
		t.Errorf("the terms by default are %v, want %v", DefaultTerms(), want)
	}
}

func TestBadRewardTerms(t *testing.T) {
	for says, reward := range map[string]string{
		"source":                "{source: dense}",
		`"scene_psnr", use`:     "{terms: {scene_psnr: 1}}",
		"twice":                 "{terms: [{name: progress, weight: 1}, {name: progress, weight: 2}]}",
		"are none":              "{terms: {}}",
		"at most":               "{terms: {progress: 1e9}}",
		"progress is NaN":       "{terms: {progress: .nan}}",
		"progress\" is no":      "{terms: {progress: much}}",
		"weight of \"progress":  "{terms: [{name: progress}]}",
		"weight of \"scene_orb": "{terms: {scene_orb: }}",
		"mapping of names":      "{terms: progress}",
		"list of {name, weight": "{terms: [progress]}",
		`"scale" is unknown`:    "{terms: [{name: progress, weight: 1, scale: 2}]}",
		"cameras.scene":         "{cameras: {scene: front}}",
		"cameras.gripper":       "{cameras: {gripper: front}}",
		"are both":              "{cameras: {gripper: base, scene: base}}",
		"reward.joints has \"c": "{joints: [a, c]}",
		`"a" twice`:             "{joints: [a, a]}",
		"reward.gripper":        "{gripper: c}",
	} {
		_, err := Parse([]byte(rewarded(reward)))
		if !errors.Is(err, ErrContract) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s gives %v, which does not say %q", reward, err, says)
		}
	}
}

func TestRewardInputs(t *testing.T) {
	base := rewarded("{}")
	for name, c := range map[string]struct {
		yaml string
		want RewardInputs
	}{
		"by their names": {base, RewardInputs{Scene: 0, Gripper: 1, Joints: []int{0, 1}, GripperState: -1, GripperAction: -1}},
		"as named": {rewarded("{cameras: {scene: wrist, gripper: base}, joints: [b, twist.linear.x], gripper: b}"),
			RewardInputs{Scene: 1, Gripper: 0, Joints: []int{1, 4}, GripperState: 1, GripperAction: -1}},
		"one camera on the wrist": {strings.Replace(base, "    base: {topic", "    hand_left: {topic", 1),
			RewardInputs{Scene: -1, Gripper: 1, Joints: []int{0, 1}, GripperState: -1, GripperAction: -1}},
		"a finger": {strings.ReplaceAll(base, "[a, b]", "[b, panda_finger_joint1]"),
			RewardInputs{Scene: 0, Gripper: 1, Joints: []int{0, 1}, GripperState: 1, GripperAction: -1}},
		"a gripper that is only commanded": {strings.Replace(strings.Replace(base, "names: [b, a]", "names: [b, gripper]", 1), "relative: true", "relative: false", 1),
			RewardInputs{Scene: 0, Gripper: 1, Joints: []int{0, 1}, GripperState: -1, GripperAction: 1}},
		"no joint states": {strings.ReplaceAll(strings.Replace(base, "relative: true", "relative: false", 1), "type: sensor_msgs/JointState, field: position", "type: std_msgs/msg/Float64MultiArray"),
			RewardInputs{Scene: 0, Gripper: 1, Joints: []int{0, 1, 2, 3, 4, 5}, GripperState: -1, GripperAction: -1}},
	} {
		yaml := c.yaml
		if name == "a finger" {
			yaml = strings.Replace(yaml, "names: [b, a]", "names: [b]", 1)
		}
		if name == "no joint states" {
			yaml = strings.Replace(yaml, "type: sensor_msgs/msg/JointState, field: velocity", "type: std_msgs/msg/Float64MultiArray, field: data", 1)
			yaml = strings.Replace(yaml, "topic: /joint_states", "topic: /other", 2)
		}
		if got := mustParse(t, yaml).RewardInputs(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
