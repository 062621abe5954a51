package runner_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"arfm/bags/bagtest"
	"arfm/nodes/runner"
	"arfm/policy"
)

var ur5e = []string{"shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"}

func parse(t *testing.T, rel string, f func([]byte) (runner.Limits, error)) runner.Limits {
	t.Helper()
	data, err := os.ReadFile(bagtest.Shared(t, rel))
	if err != nil {
		t.Fatal(err)
	}
	l, err := f(data)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRealRobots: the description, its joint_limits.yaml and MoveIt's together
// give a UR5e every limit.
func TestRealRobots(t *testing.T) {
	urdf := parse(t, "robots/ur5e_plain_urdf/ur5e.urdf", runner.ParseURDF)
	desc := parse(t, "robots/ur_description/config/ur5e/joint_limits.yaml", runner.ParseJointLimits)
	moveit := parse(t, "robots/ur_moveit_config/ur_moveit_config/config/joint_limits.yaml", runner.ParseJointLimits)
	l := urdf.Select(ur5e)
	d := desc.Select(ur5e)
	for i, name := range ur5e {
		if math.Abs(l.Upper[i]-d.Upper[i]) > 1e-9 || math.Abs(l.Velocity[i]-d.Velocity[i]) > 1e-9 || l.Upper[i] < 3 {
			t.Errorf("%s: URDF says %g, %g; joint_limits.yaml %g, %g", name, l.Upper[i], l.Velocity[i], d.Upper[i], d.Velocity[i])
		}
		if !math.IsInf(l.Acceleration[i], 1) {
			t.Errorf("%s: a URDF has no acceleration limit", name)
		}
	}
	if l.Upper[2] >= l.Upper[0] {
		t.Error("the elbow's range is half of the others'")
	}
	l = l.Tighten(moveit)
	if filled := l.FillMissing(); len(filled) != 0 || l.Acceleration[0] != 5 {
		t.Errorf("filled %v, acceleration %g", filled, l.Acceleration[0])
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	panda := parse(t, "robots/panda/panda_description/urdf/panda.urdf", runner.ParseURDF)
	fast := panda.Tighten(parse(t, "robots/panda/panda_moveit_config/config/joint_limits.yaml", runner.ParseJointLimits))
	if s := fast.Select([]string{"panda_joint1"}); math.Abs(s.Upper[0]-2.9671) > 1e-9 || s.Velocity[0] > 2.3925 || math.IsInf(s.Acceleration[0], 1) {
		t.Errorf("panda_joint1: %+v", s)
	}
}

func TestParseRefuses(t *testing.T) {
	urdf := func(joint string) string { return `<robot name="x">` + joint + `</robot>` }
	for name, text := range map[string]string{
		"empty":        "",
		"not a robot":  "<html/>",
		"cut":          `<robot name="x"><joint name="a" type="revolute"><limit lower="0"`,
		"no limit":     urdf(`<joint name="a" type="revolute"></joint>`),
		"twice":        urdf(`<joint name="a" type="continuous"/><joint name="a" type="continuous"/>`),
		"not a number": urdf(`<joint name="a" type="prismatic"><limit lower="x" upper="1" velocity="1"/></joint>`),
		"no joint":     urdf(`<link name="a"/><joint name="a" type="fixed"/>`),
		"upside down":  urdf(`<joint name="a" type="prismatic"><limit lower="1" upper="0" velocity="1"/></joint>`),
		"backwards":    urdf(`<joint name="a" type="prismatic"><limit lower="0" upper="1" velocity="-1"/></joint>`),
		"two mistakes": urdf(`<joint name="a" type="prismatic"><limit lower="x" upper="y" velocity="1"/></joint>`),
		"NaN":          urdf(`<joint name="a" type="prismatic"><limit lower="NaN" upper="1" velocity="1"/></joint>`),
	} {
		if _, err := runner.ParseURDF([]byte(text)); !errors.Is(err, runner.ErrLimits) || strings.Contains(err.Error(), "\n") {
			t.Errorf("URDF %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty":        "",
		"not yaml":     "joint_limits: [",
		"no joints":    "joints: {}",
		"list":         "joint_limits: [a, b]",
		"missing":      "joint_limits: {a: {has_velocity_limits: true}}",
		"not a number": "joint_limits: {a: {has_velocity_limits: true, max_velocity: fast}}",
		"infinite":     "joint_limits: {a: {has_velocity_limits: true, max_velocity: .inf}}",
		"backwards":    "joint_limits: {a: {has_velocity_limits: true, max_velocity: -1}}",
		"upside down":  "joint_limits: {a: {has_position_limits: true, min_position: 1, max_position: 0}}",
		"no push":      "joint_limits: {a: {has_acceleration_limits: true, max_acceleration: 0}}",
		"flag":         "joint_limits: {a: {has_velocity_limits: perhaps, max_velocity: 1}}",
		"twice":        "joint_limits: {a: {}, a: {}}",
	} {
		if _, err := runner.ParseJointLimits([]byte(text)); !errors.Is(err, runner.ErrLimits) || strings.Contains(err.Error(), "\n") {
			t.Errorf("joint_limits.yaml %s: %v", name, err)
		}
	}
}

func TestParseUnits(t *testing.T) {
	l, err := runner.ParseJointLimits([]byte("joint_limits:\n  a: {has_position_limits: true, min_position: !degrees -90, max_position: !radians 1.5, has_velocity_limits: false, max_velocity: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(l.Lower[0]+math.Pi/2) > 1e-12 || l.Upper[0] != 1.5 || !math.IsInf(l.Velocity[0], 1) {
		t.Errorf("%+v", l)
	}
}

func FuzzLimits(f *testing.F) {
	f.Add([]byte("joint_limits: {a: {has_velocity_limits: true, max_velocity: 1}}"))
	f.Add([]byte(`<robot name="x"><joint name="a" type="revolute"><limit lower="0" upper="1" velocity="1"/></joint></robot>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (runner.Limits, error){runner.ParseURDF, runner.ParseJointLimits} {
			l, err := parse(data)
			if err != nil && !errors.Is(err, runner.ErrLimits) {
				t.Errorf("error without ErrLimits: %v", err)
			}
			if n := len(l.Names); len(l.Lower) != n || len(l.Upper) != n || len(l.Velocity) != n || len(l.Acceleration) != n {
				t.Error("columns of different length")
			}
		}
	})
}

// A chunk that jumps is followed as fast as the joint may go.
func Example() {
	r, err := runner.New(runner.Config{
		Names: []string{"elbow"}, StateIndex: []int{0}, Period: 50e6, RowPeriod: 50e6, Ramp: -1,
		Limits: runner.Limits{Names: []string{"elbow"}, Lower: []float64{-1}, Upper: []float64{1}, Velocity: []float64{1}, Acceleration: []float64{10}},
	})
	if err != nil {
		panic(err)
	}
	r.Step(runner.NewPolicy(1))
	fx := r.Step(runner.Observed(&policy.Observation{State: []float32{0}}))
	chunk := &policy.ActionChunk{Period: 50e6, Dim: 1, Values: []float32{0.3, 0.3, 0.3, 0.3, 0.3, 0.3}}
	r.Step(runner.ChunkReady(fx.Infer.Seq, chunk, nil))
	for now := int64(0); now < 150e6; now += 50e6 {
		fx := r.Step(runner.Tick(now))
		fmt.Printf("%.3f\n", fx.Command.SetPoint)
		for _, report := range fx.Reports {
			if report.Intervention != runner.None {
				fmt.Println(report)
			}
		}
	}
	// Output:
	// [0.025]
	// VelocityLimit: elbow asks for 3, allowed is 1
	// AccelerationLimit: elbow asks for 20, allowed is 10
	// [0.075]
	// [0.125]
}

func TestLimitsYAML(t *testing.T) {
	l := runner.Limits{
		Names: []string{"a", "b"}, Lower: []float64{-1.5, math.Inf(-1)}, Upper: []float64{2, math.Inf(1)},
		Velocity: []float64{3, 0.25}, Acceleration: []float64{math.Inf(1), 7},
	}
	data, err := l.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := runner.ParseJointLimits(data)
	if err != nil {
		t.Fatal(err)
	}
	if got = got.Select(l.Names); !reflect.DeepEqual(got, l) {
		t.Fatalf("%s gives %+v, not %+v", data, got, l)
	}
}
