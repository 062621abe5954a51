package contract

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// armYAML is a contract that uses most of the format.
const armYAML = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/JointState, field: position, names: [a, b], align: hold, max_age_ms: 100}
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: velocity, names: [a, b], align: asof}
    - {topic: /tcp, type: geometry_msgs/msg/TwistStamped, fields: [twist.linear.x, twist.angular.z], align: drop}
  images:
    wrist: {topic: /wrist/image_raw, type: sensor_msgs/msg/Image, size: [8, 12], max_age_ms: 200}
    base: {topic: /base/compressed, type: sensor_msgs/msg/CompressedImage, size: [16, 8], range_m: [0.2, 2]}
  instruction: {topic: /arfm/instruction, default: put the block in the bowl}
action:
  topic: /jtc/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [b, a]
  unit: position
  relative: true
  horizon: 16
reward: {topic: /arfm/reward}
episode: {topic: /arfm/episode}
`

func mustParse(t testing.TB, yaml string) *Contract {
	t.Helper()
	c, err := Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	c := mustParse(t, armYAML)
	if c.Period() != 50e6 || c.StateDim() != 6 || c.ActionDim() != 2 || c.Horizon() != 16 {
		t.Errorf("period %d, S %d, A %d, H %d", c.Period(), c.StateDim(), c.ActionDim(), c.Horizon())
	}
	if got, want := c.Cameras(), []Camera{{"base", 16, 8}, {"wrist", 8, 12}}; !reflect.DeepEqual(got, want) {
		t.Errorf("cameras %v, want %v", got, want)
	}
	if got, want := c.RelativeTo(), []int{1, 0}; !reflect.DeepEqual(got, want) {
		t.Errorf("relative to %v, want the positions %v, not the velocities", got, want)
	}
	want := []TopicUse{
		{"/joint_states", "sensor_msgs/msg/JointState", RoleState},
		{"/tcp", "geometry_msgs/msg/TwistStamped", RoleState},
		{"/base/compressed", "sensor_msgs/msg/CompressedImage", RoleImage},
		{"/wrist/image_raw", "sensor_msgs/msg/Image", RoleImage},
		{"/arfm/instruction", "std_msgs/msg/String", RoleInstruction},
		{"/jtc/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", RoleAction},
		{"/arfm/reward", "arfm/msg/Reward", RoleReward},
		{"/arfm/episode", "arfm/msg/EpisodeEvent", RoleEpisode},
	}
	if got := c.Topics(); !reflect.DeepEqual(got, want) {
		t.Errorf("topics %v\nwant %v", got, want)
	}
}

// TestYAML compares the canonical form with a golden file (ARFM_UPDATE=1
// writes it) and reads it back.
func TestYAML(t *testing.T) {
	c := mustParse(t, armYAML)
	got := c.YAML()
	golden := filepath.Join("testdata", "canonical.yaml")
	if os.Getenv("ARFM_UPDATE") != "" {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("canonical form changed:\n%s", got)
	}
	if back := mustParse(t, string(got)); !reflect.DeepEqual(back, c) {
		t.Errorf("reading the canonical form back gives\n%+v\nwant\n%+v", back, c)
	}
}

func TestParseRefuses(t *testing.T) {
	swap := func(old, new string) string {
		if !strings.Contains(armYAML, old) {
			t.Fatalf("no %q in the contract", old)
		}
		return strings.Replace(armYAML, old, new, 1)
	}
	for _, tc := range []struct{ name, yaml, says string }{
		{"empty", "", "empty"},
		{"not yaml", "{", "yaml"},
		{"two documents", armYAML + "\n---\nversion: 1\n", "one YAML document"},
		{"too big", strings.Repeat("#", MaxFileBytes+1), "limit"},
		{"unknown field", swap("rate_hz", "rate"), "field rate not found"},
		{"list", "[1, 2]", "invalid contract: line 1: a list is not a mapping"},
		{"text for a number", swap("rate_hz: 20", "rate_hz: fast"), "text `fast` is not a number"},
		{"version", swap("version: 1", "version: 2"), "version is 2"},
		{"rate", swap("rate_hz: 20", "rate_hz: .nan"), "rate_hz is NaN"},
		{"clock", swap("rate_hz: 20", "rate_hz: 20\nclock: wall"), "header | receive"},
		{"align", swap("align: drop", "align: nearest"), "observation.state[2].align"},
		{"age", swap("max_age_ms: 100", "max_age_ms: -1"), "max_age_ms is -1"},
		{"topic", swap("/tcp", "tcp"), "absolute ROS topic"},
		{"type", swap("geometry_msgs/msg/TwistStamped", "TwistStamped"), "observation.state[2].type"},
		{"two types", swap("sensor_msgs/JointState", "std_msgs/Float64MultiArray"), "a topic has one type"},
		{"array without names", swap(", names: [a, b], align: hold", ", align: hold"), "by names or indices"},
		{"names twice", swap("[a, b], align: hold", "[a, a], align: hold"), "twice"},
		{"both forms", swap("fields: [twist", "field: x, fields: [twist"), "excludes"},
		{"path", swap("twist.linear.x", "twist..x"), "is no path"},
		{"indices", swap("names: [a, b], align: hold", "names: [a, b], indices: [0], align: hold"), "give one each"},
		{"negative index", swap("names: [a, b], align: hold", "indices: [-1, 0], align: hold"), "indices[0]"},
		{"image size", swap("[8, 12]", "[8, 4000]"), "[height, width]"},
		{"image type", swap("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2"), "images.base.type"},
		{"range", swap("[0.2, 2]", "[2, 0.2]"), "near < far"},
		{"unit", swap("unit: position", "unit: degrees"), "action.unit"},
		{"horizon", swap("horizon: 16", "horizon: 0"), "action.horizon"},
		{"relative to what", swap("names: [b, a]", "names: [b, c]"), `"c" is in 0 state fields`},
		{"trajectory without names", swap("names: [b, a]", "max_age_ms: 1"), "action.names"},
		{"from", swap("topic: /jtc", "from: next_state\n  topic: /jtc"), "next_state, which takes"},
		{"reward type alone", swap("reward: {topic: /arfm/reward", "reward: {type: arfm/msg/Reward"), "reward.topic"},
		{"reward file", swap("reward: {topic", "reward: {file: ../x.csv, topic"), "plain file name"},
		{"normalize", armYAML + "normalize: minmax\n", "quantile | zscore"},
		{"instruction", swap("default: put", `default: "\n put`+`"`+"\n#"), "yaml"},
	} {
		_, err := Parse([]byte(tc.yaml))
		if err == nil || !errors.Is(err, ErrContract) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v, want ErrContract that says %q", tc.name, err, tc.says)
		}
	}
}

func TestLaunchContracts(t *testing.T) {
	dims := map[string][3]int{"tactile_servo_3dof.yaml": {9, 3, 0}, "reach_2dof.yaml": {4, 2, 1}}
	files, _ := filepath.Glob("../../launch/contracts/*.yaml")
	if len(files) < len(dims) {
		t.Fatalf("found %v", files)
	}
	for _, file := range files {
		c, err := Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		want, ok := dims[filepath.Base(file)]
		if got := [3]int{c.StateDim(), c.ActionDim(), len(c.Cameras())}; ok && got != want {
			t.Errorf("%s: S, A, cameras are %v, want %v", file, got, want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(pipe); err == nil || !strings.Contains(err.Error(), "named pipe") {
		t.Errorf("error %v of a pipe", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 7"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, `{version: 1, rate_hz: 10, observation: {state: [{topic: /cmd, type: geometry_msgs/Twist}]},
  action: {topic: /g, type: control_msgs/msg/GripperCommand, unit: gripper, horizon: 1}}`)
	if c.StateDim() != 6 || c.Observation.State[0].MaxAgeMS != DefaultMaxAgeMS || c.Action.Field != "position" ||
		c.Clock != ClockHeader || c.Normalize != NormalizeQuantile {
		t.Errorf("defaults are\n%s", c.YAML())
	}
}

// FuzzContract: whatever parses survives its canonical form, and makes a
// resampler.
func FuzzContract(f *testing.F) {
	f.Add([]byte(armYAML))
	f.Add([]byte(rewarded("{source: terms, terms: [{name: progress, weight: 1e-3}], cameras: {scene: base}, joints: [b], gripper: a}")))
	f.Add([]byte(rewarded("{terms: {scene_ssim: 0.5, completion: -2}}")))
	files, _ := filepath.Glob("../../launch/contracts/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrContract) {
				t.Fatalf("error %v does not wrap ErrContract", err)
			}
			return
		}
		back, err := Parse(c.YAML())
		if err != nil {
			t.Fatalf("canonical form is refused: %v\n%s", err, c.YAML())
		}
		if string(back.YAML()) != string(c.YAML()) {
			t.Fatalf("canonical form changes:\n%s\n%s", c.YAML(), back.YAML())
		}
		NewResampler(c)
	})
}
