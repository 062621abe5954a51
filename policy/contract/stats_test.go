package contract

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func statsContract(t testing.TB, relative string, normalize string) *Contract {
	return mustParse(t, `{version: 1, rate_hz: 10, normalize: `+normalize+`, observation: {state: [
  {topic: /s, type: sensor_msgs/msg/JointState, names: [a, b]}]},
  action: {topic: /c, type: sensor_msgs/msg/JointState, names: [b], unit: position, relative: `+relative+`, horizon: 2}}`)
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*(1+math.Abs(b)) }

func TestStats(t *testing.T) {
	b := NewStatsBuilder(statsContract(t, "false", "quantile"))
	for i := range 101 { // a = 0..100, b = 7; the action is 2a, its second row is not counted
		x := float32(i)
		if err := b.Add([]float32{x, 7}, []float32{2 * x, 1000}, 2); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	want := Moments{Mean: 50, Std: math.Sqrt(850), Q01: 1, Q99: 99, Min: 0, Max: 100}
	for i, pair := range [][2]float64{
		{s.State[0].Mean, want.Mean}, {s.State[0].Std, want.Std}, {s.State[0].Q01, want.Q01}, {s.State[0].Q99, want.Q99},
		{s.State[0].Min, want.Min}, {s.State[0].Max, want.Max}, {s.State[1].Std, 0}, {s.State[1].Mean, 7},
		{s.Action[0].Max, 200}, {s.Action[0].Mean, 100}, {float64(s.Frames), 101},
	} {
		if !near(pair[0], pair[1]) {
			t.Errorf("value %d is %v, want %v", i, pair[0], pair[1])
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Stats
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(&back, s) {
		t.Errorf("JSON gives %+v, error %v", back, err)
	}
}

func TestStatsRelative(t *testing.T) {
	c := statsContract(t, "true", "quantile")
	b := NewStatsBuilder(c)
	chunk := []float32{11, 13}
	if err := b.Add([]float32{0, 10}, chunk, 2); err != nil {
		t.Fatal(err)
	}
	if err := b.Add([]float32{0, 10}, []float32{11, 99}, 1); err != nil { // row 1 is masked
		t.Fatal(err)
	}
	s, err := b.Stats()
	if err != nil || !near(s.Action[0].Min, 1) || !near(s.Action[0].Max, 3) || !near(s.Action[0].Mean, 5./3) {
		t.Errorf("relative action %+v, error %v", s.Action, err)
	}
	if chunk[0] != 11 {
		t.Error("Add changed the chunk")
	}
	c.MakeRelative(chunk, []float32{0, 10})
	if chunk[0] != 1 || chunk[1] != 3 {
		t.Errorf("relative chunk %v", chunk)
	}
	c.MakeAbsolute(chunk, []float32{0, 10})
	if chunk[0] != 11 || chunk[1] != 13 {
		t.Errorf("absolute chunk %v", chunk)
	}
}

// TestReservoir: beyond the bound quantiles are estimates, the same each time.
func TestReservoir(t *testing.T) {
	run := func() []Moments {
		r, rng := newRows(1, 1), rand.New(rand.NewPCG(1, 1))
		for range 3 * maxRows {
			r.add([]float32{float32(rng.NormFloat64())})
		}
		if len(r.kept) != maxRows {
			t.Fatalf("%d rows kept", len(r.kept))
		}
		return r.moments()
	}
	m := run()
	if !reflect.DeepEqual(m, run()) {
		t.Error("two runs differ")
	}
	if math.Abs(m[0].Q01+2.326) > 0.05 || math.Abs(m[0].Q99-2.326) > 0.05 || math.Abs(m[0].Std-1) > 0.01 {
		t.Errorf("moments of a normal distribution: %+v", m[0])
	}
}

func TestStatsErrors(t *testing.T) {
	c := statsContract(t, "false", "quantile")
	b := NewStatsBuilder(c)
	for _, tc := range []struct {
		state, chunk []float32
		valid        int
	}{
		{[]float32{1}, []float32{1}, 1}, {[]float32{1, 2}, []float32{1}, 2}, {[]float32{1, 2}, nil, -1},
		{[]float32{1, float32(math.NaN())}, []float32{1}, 1}, {[]float32{1, 2}, []float32{float32(math.Inf(1))}, 1},
	} {
		if err := b.Add(tc.state, tc.chunk, tc.valid); !errors.Is(err, ErrStats) {
			t.Errorf("Add(%v, %v, %d): error %v", tc.state, tc.chunk, tc.valid, err)
		}
	}
	if _, err := b.Stats(); !errors.Is(err, ErrStats) {
		t.Errorf("no frames: error %v", err)
	}
	ok := Moments{Q99: 1, Max: 1}
	for name, s := range map[string]*Stats{
		"nil":     nil,
		"dims":    {State: []Moments{ok}, Action: []Moments{ok}},
		"NaN":     {State: []Moments{ok, {Mean: math.NaN()}}, Action: []Moments{ok}},
		"order":   {State: []Moments{ok, ok}, Action: []Moments{{Q01: 1, Q99: 0}}},
		"spread":  {State: []Moments{ok, ok}, Action: []Moments{{Std: -1}}},
		"return":  {State: []Moments{ok, ok}, Action: []Moments{ok}, Return: &Moments{Std: math.NaN()}},
		"returns": {State: []Moments{ok, ok}, Action: []Moments{ok}, Returns: map[string]Moments{"topic": ok, "success": {Std: -1}}},
	} {
		if _, err := NewNormalizer(c, s); !errors.Is(err, ErrStats) {
			t.Errorf("%s: error %v, want ErrStats", name, err)
		}
	}
}

func TestNormalizer(t *testing.T) {
	wide := Moments{Mean: 1, Std: 2, Q01: -3, Q99: 5, Min: -10, Max: 10}
	constant := Moments{Mean: 4, Q01: 4, Q99: 4, Min: 4, Max: 4}
	seldom := Moments{Mean: 0.001, Std: 0.1, Q01: 0, Q99: 0, Min: 0, Max: 2}
	for _, tc := range []struct {
		normalize string
		m         Moments
		in, out   float32
		back      float32
	}{
		{"quantile", wide, -3, -1, -3}, {"quantile", wide, 5, 1, 5}, {"quantile", wide, 9, 2, 9},
		{"zscore", wide, 5, 2, 5},
		{"quantile", constant, 4, 0, 4}, {"quantile", constant, 6, 0, 4}, {"zscore", constant, 6, 0, 4},
		{"quantile", seldom, 2, 1, 2},
	} {
		n, err := NewNormalizer(statsContract(t, "false", tc.normalize), &Stats{State: []Moments{wide, tc.m}, Action: []Moments{tc.m}})
		if err != nil {
			t.Fatal(err)
		}
		state := []float32{1, tc.in, 1, tc.in} // two rows, in place
		n.State(state, state)
		act := make([]float32, 3)
		n.Action(act, []float32{tc.in, tc.in, tc.in})
		if state[3] != tc.out || act[2] != tc.out {
			t.Errorf("%s of %v: state %v, action %v, want %v", tc.normalize, tc.in, state[3], act[2], tc.out)
		}
		n.InverseAction(act, act)
		if act[2] != tc.back {
			t.Errorf("%s of %v: back to %v, want %v", tc.normalize, tc.in, act[2], tc.back)
		}
	}
}

// TestSeldomMoves: a gripper that is closed in 0.8 % of the frames and noisy in
// the others is normalised by where it goes, not by its noise.
func TestSeldomMoves(t *testing.T) {
	c, rng := statsContract(t, "false", "quantile"), rand.New(rand.NewPCG(1, 2))
	b := NewStatsBuilder(c)
	for i := range 1000 {
		x := float32(1e-4 * rng.NormFloat64())
		if i < 8 {
			x = 0.04
		}
		if err := b.Add([]float32{x, 0}, []float32{x}, 1); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNormalizer(c, s)
	if err != nil {
		t.Fatal(err)
	}
	y := []float32{0.04}
	n.Action(y, y)
	if math.Abs(float64(y[0])-1) > 1e-5 {
		t.Errorf("the closed gripper is %v normalised, want 1", y[0])
	}
	n.InverseAction(y, y)
	if math.Abs(float64(y[0])-0.04) > 1e-7 {
		t.Errorf("the closed gripper comes back as %v", y[0])
	}
}

// TestCoefficients: what they are said to compute is what a Normalizer does.
func TestCoefficients(t *testing.T) {
	for _, how := range []string{NormalizeQuantile, NormalizeZScore} {
		m := func(lo, hi float64) Moments {
			return Moments{Mean: lo + (hi-lo)/3, Std: (hi - lo) / 4, Q01: lo, Q99: hi, Min: lo, Max: hi}
		}
		n, err := NewNormalizer(statsContract(t, "false", how), &Stats{State: []Moments{m(1, 3), m(2, 2)}, Action: []Moments{m(-3, 7)}})
		if err != nil {
			t.Fatal(err)
		}
		c := n.Coefficients()
		state, got := []float32{1.25, 2, 900, -900}, make([]float32, 4)
		n.State(got, state)
		for i, x := range state {
			y := min(max((x-c.StateOffset[i%2])*c.StateScale[i%2], -c.StateLimit), c.StateLimit)
			if got[i] != y {
				t.Errorf("%s: state %v becomes %v, by the coefficients %v", how, x, got[i], y)
			}
		}
		action, back := []float32{-1, 0.25}, make([]float32, 2)
		n.InverseAction(back, action)
		for i, y := range action {
			if x := y*c.ActionScale[0] + c.ActionOffset[0]; back[i] != x {
				t.Errorf("%s: action %v becomes %v, by the coefficients %v", how, y, back[i], x)
			}
		}
	}
}
