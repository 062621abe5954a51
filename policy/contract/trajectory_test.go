package contract

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

type point struct {
	at            int64 // time_from_start, ns
	pos, vel, acc []float64
}

func trajectoryMsg(stamp int64, names []string, points ...point) *msg {
	f := map[string]any{"joint_names": names}
	for i, p := range points {
		at := fmt.Sprintf("points.%d.", i)
		f[at+"positions"], f[at+"velocities"], f[at+"accelerations"] = p.pos, p.vel, p.acc
		f[at+"time_from_start.sec"] = int32(p.at / 1e9)
		f[at+"time_from_start.nanosec"] = uint32(p.at % 1e9)
	}
	return stamped(typeTrajectory, stamp, f)
}

func trajectoryContract(t testing.TB, unit string) *Contract {
	return mustParse(t, fmt.Sprintf(`{version: 1, rate_hz: 10, observation: {state: [{topic: /s, type: std_msgs/Float64, field: data}]},
  action: {topic: /t, type: trajectory_msgs/JointTrajectory, names: [a, b], unit: %s, horizon: 4}}`, unit))
}

func TestTrajectory(t *testing.T) {
	const s0 = 10e9
	line := trajectoryMsg(s0, []string{"b", "a"},
		point{at: 1e9, pos: []float64{10, 1}}, point{at: 2e9, pos: []float64{20, 3}})
	cubic := trajectoryMsg(s0, []string{"a", "b"},
		point{at: 0, pos: []float64{0, 0}, vel: []float64{0, 1}}, point{at: 2e9, pos: []float64{1, 4}, vel: []float64{0, 3}})
	quintic := trajectoryMsg(s0, []string{"a", "b"},
		point{at: 0, pos: []float64{0, 0}, vel: []float64{0, 0}, acc: []float64{0, 2}},
		point{at: 1e9, pos: []float64{1, 1}, vel: []float64{0, 2}, acc: []float64{0, 2}})
	for _, tc := range []struct {
		name string
		m    *msg
		unit string
		at   float64 // s after the stamp
		a, b float64
	}{
		{"linear", line, UnitPosition, 1.25, 1.5, 12.5},
		{"linear at a point", line, UnitPosition, 1, 1, 10},
		{"before the first point, nothing commanded before", line, UnitPosition, 0.5, 1, 10},
		{"the last point holds", line, UnitPosition, 7, 3, 20},
		{"cubic: rest to rest is half way at half time; b is t + t^2/2", cubic, UnitPosition, 1, 0.5, 1.5},
		{"cubic velocity", cubic, UnitVelocity, 1, 0.75, 2},
		{"quintic: minimum jerk; b is t^2", quintic, UnitPosition, 0.5, 0.5, 0.25},
		{"quintic velocity: 15/8 of the mean", quintic, UnitVelocity, 0.5, 1.875, 1},
		{"at rest after the end", cubic, UnitVelocity, 3, 0, 0},
	} {
		r := NewResampler(trajectoryContract(t, tc.unit))
		if err := r.Push("/t", s0, tc.m); err != nil {
			t.Fatal(tc.name, err)
		}
		got := make([]float32, 2)
		if err := r.Action(s0+int64(tc.at*1e9), got); err != nil {
			t.Fatal(tc.name, err)
		}
		if math.Abs(float64(got[0])-tc.a) > 1e-6 || math.Abs(float64(got[1])-tc.b) > 1e-6 {
			t.Errorf("%s: %v, want %v %v", tc.name, got, tc.a, tc.b)
		}
	}
}

// TestTrajectoryTakesOver: a new trajectory starts from what the old one
// commands at that moment.
func TestTrajectoryTakesOver(t *testing.T) {
	r := NewResampler(trajectoryContract(t, UnitPosition))
	names := []string{"a", "b"}
	for _, m := range []struct {
		at int64
		m  *msg
	}{
		{1e9, trajectoryMsg(1e9, names, point{at: 0, pos: []float64{0, 0}}, point{at: 1e9, pos: []float64{1, 2}})},
		{15e8, trajectoryMsg(14e8, names, point{at: 6e8, pos: []float64{0, 0}})}, // received 0.1 s after its stamp
	} {
		if err := r.Push("/t", m.at, m.m); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		t    int64
		a, b float32
	}{{14e8, 0.4, 0.8}, {15e8, 0.5, 1}, {175e7, 0.25, 0.5}, {3e9, 0, 0}} {
		got := make([]float32, 2)
		if err := r.Action(tc.t, got); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(got[0]-tc.a)) > 1e-6 || math.Abs(float64(got[1]-tc.b)) > 1e-6 {
			t.Errorf("at %d: %v, want %v %v", tc.t, got, tc.a, tc.b)
		}
	}
}

func TestTrajectoryRefuses(t *testing.T) {
	names := []string{"a", "b"}
	for _, tc := range []struct {
		name string
		m    *msg
		err  error
	}{
		{"no points", trajectoryMsg(1, names), ErrField},
		{"short point", trajectoryMsg(1, names, point{pos: []float64{1}}), ErrField},
		{"NaN", trajectoryMsg(1, names, point{pos: []float64{1, math.NaN()}}), ErrNotFinite},
		{"infinite velocity", trajectoryMsg(1, names, point{pos: []float64{1, 1}, vel: []float64{1, math.Inf(-1)}}), ErrNotFinite},
		{"time stands still", trajectoryMsg(1, names, point{at: 5, pos: []float64{1, 1}}, point{at: 5, pos: []float64{1, 1}}), ErrField},
		{"a joint is missing", trajectoryMsg(1, []string{"a", "c"}, point{pos: []float64{1, 1}}), ErrField},
	} {
		r := NewResampler(trajectoryContract(t, UnitPosition))
		if err := r.Push("/t", 1e9, tc.m); !errors.Is(err, tc.err) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.err)
		}
		if err := r.Action(2e9, make([]float32, 2)); !errors.Is(err, ErrNoSample) {
			t.Errorf("%s: the command is kept: %v", tc.name, err)
		}
	}
}
