package runner

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"arfm/policy"
)

const ms = int64(1e6)

func threeJoints(kind Kind, period int64) Config {
	cfg := Config{
		Names: []string{"a", "b", "c"}, Kind: kind, Period: period, RowPeriod: 50 * ms, StartTolerance: math.Inf(1), Ramp: 200 * ms,
		Limits: Limits{
			Names: []string{"c", "b", "a"}, Lower: []float64{-0.2, -1, math.Inf(-1)}, Upper: []float64{0.3, 2, math.Inf(1)},
			Velocity: []float64{0.7, 3.15, 1}, Acceleration: []float64{4, 0.9, 15},
		},
	}
	if kind == Position {
		cfg.StateIndex = []int{0, 1, -1}
	}
	return cfg
}

// TestSeam: between two chunks that fit within the limits the commanded
// velocity never jumps by more than the acceleration of a smooth seam.
func TestSeam(t *testing.T) {
	cfg := Config{Names: []string{"a"}, Period: 2 * ms, RowPeriod: 50 * ms, Blend: 200 * ms, Ramp: -1, ReplanRows: 8, StateIndex: []int{0},
		Limits: Limits{Names: []string{"a"}, Lower: []float64{-3}, Upper: []float64{3}, Velocity: []float64{4}, Acceleration: []float64{100}}}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(NewPolicy(1))
	last, lastV, worst, chunks := 0.0, 0.0, 0.0, 0
	for now := int64(0); now < 1200*ms; now += cfg.Period {
		fx := r.Step(Observed(&policy.Observation{Stamp: now, State: []float32{float32(last)}}))
		if fx.Infer != nil {
			c := &policy.ActionChunk{Stamp: now, Period: 50 * ms, Dim: 1}
			for h := range 16 { // every chunk disagrees with the one before by 0.05 rad
				c.Values = append(c.Values, float32(0.05*float64(1-2*(chunks%2))+math.Sin(float64(now)/1e9+0.05*float64(h+1))))
			}
			chunks++
			r.Step(ChunkReady(fx.Infer.Seq, c, nil))
		}
		fx = r.Step(Tick(now))
		if fx.Command == nil {
			continue
		}
		v := fx.Command.Velocity[0]
		worst, last, lastV = math.Max(worst, math.Abs(v-lastV)), fx.Command.SetPoint[0], v
	}
	if c := r.Counters(); c.Sum() != 0 {
		t.Errorf("interventions on a harmless policy: %v", c.Map())
	}
	// A jump of 0.1 rad in one tick would be a velocity of 50 rad/s. The quintic
	// over 0.2 s peaks at an acceleration of about 5.8*0.1/0.2^2 = 15 rad/s^2.
	if chunks != 3 || worst > 0.06 {
		t.Errorf("%d chunks, velocity jumps by %g rad/s in a tick", chunks, worst)
	}
}

// TestPlanIsWhatIsCommanded: a trajectory handed out in advance and the
// set-points of the ticks that follow are the same numbers, and it ends at rest.
func TestPlanIsWhatIsCommanded(t *testing.T) {
	cfg := threeJoints(Position, 10*ms)
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(NewPolicy(1))
	fx := r.Step(Observed(&policy.Observation{State: []float32{0, 0, 0}}))
	c := &policy.ActionChunk{Period: 50 * ms, Dim: 3}
	for h := range 8 {
		c.Values = append(c.Values, 0.05*float32(h), -0.4*float32(h), 0.1)
	}
	r.Step(ChunkReady(fx.Infer.Seq, c, nil))
	var plan Trajectory
	got := map[int64][]float64{}
	for now := int64(0); now < 6e9; now += cfg.Period {
		if now < 400*ms {
			r.Step(Observed(&policy.Observation{Stamp: now, State: []float32{0, 0, 0}}))
		}
		fx := r.Step(Tick(now))
		if tr := fx.Command.Trajectory; tr != nil && now == 0 {
			plan = Trajectory{Times: slices.Clone(tr.Times), Positions: slices.Clone(tr.Positions), Velocities: slices.Clone(tr.Velocities)}
		}
		got[now+cfg.Period] = slices.Clone(fx.Command.SetPoint)
	}
	n := plan.Points()
	if n < 8 {
		t.Fatalf("plan of %d points", n)
	}
	for i, at := range plan.Times {
		if !slices.Equal(plan.Positions[3*i:3*i+3], got[at]) {
			t.Fatalf("point %d: planned %v, commanded %v", i, plan.Positions[3*i:3*i+3], got[at])
		}
	}
	if v := plan.Velocities[3*n-3:]; v[0] != 0 || v[1] != 0 || v[2] != 0 {
		t.Errorf("the plan ends with velocities %v", v)
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	cfg := threeJoints(Position, 50*ms)
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(NewPolicy(1))
	obs := &policy.Observation{State: []float32{0, 0, 0}}
	c := &policy.ActionChunk{Period: 50 * ms, Dim: 3, Values: make([]float32, 48)}
	now := int64(0)
	round := func() {
		obs.Stamp = now
		if fx := r.Step(Observed(obs)); fx.Infer != nil {
			c.Stamp = now
			r.Step(ChunkReady(fx.Infer.Seq, c, nil))
		}
		r.Step(Tick(now))
		now += cfg.Period
	}
	for range 40 {
		round()
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%g allocations a tick", n)
	}
}

func TestStopLeavesNothingMoving(t *testing.T) {
	cfg := threeJoints(Position, 10*ms)
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &policy.ActionChunk{Period: 50 * ms, Dim: 3, Values: slices.Repeat([]float32{1, 1, 0.2}, 16)}
	at := func(now int64, state float32) *Effects {
		if fx := r.Step(Observed(&policy.Observation{Stamp: now, State: []float32{state, state, 0}})); fx.Infer != nil {
			c.Stamp = now
			r.Step(ChunkReady(fx.Infer.Seq, c, nil))
		}
		return r.Step(Tick(now))
	}
	r.Step(NewPolicy(1))
	now := int64(0)
	for ; now < 300*ms; now += cfg.Period {
		at(now, 0)
	}
	r.Step(Stop("test"))
	commands := 0
	for ; now < 5000*ms; now += cfg.Period {
		if fx := at(now, 0); fx.Command != nil {
			commands++
			if now > 4000*ms {
				t.Fatal("a stopped arm is still commanded")
			}
		}
	}
	if commands == 0 {
		t.Error("the stop did not brake")
	}
	r.Step(Rearm())
	at(now, 0.7) // measured before it is answered: the request is for this state
	now += cfg.Period
	fx := at(now, 0.7)
	if fx.Command == nil || math.Abs(fx.Command.SetPoint[0]-0.7) > 0.005 {
		t.Errorf("re-armed it should start at the measured 0.7, got %+v", fx.Command)
	}
}

func TestOutsideLimitsAtStart(t *testing.T) {
	cfg := threeJoints(Position, 50*ms)
	cfg.StartTolerance = 0.1
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(NewPolicy(1))
	fx := r.Step(Observed(&policy.Observation{State: []float32{0, 2.5, 0}}))
	r.Step(ChunkReady(fx.Infer.Seq, &policy.ActionChunk{Period: 50 * ms, Dim: 3, Values: []float32{0, 2.5, 0}}, nil))
	fx = r.Step(Tick(0))
	if fx.Command != nil || fx.Holding != PositionLimit || len(fx.Reports) == 0 || !strings.Contains(fx.Reports[0].String(), "b asks for 2.5") {
		t.Errorf("an arm outside its limits must not be moved: %+v", fx)
	}
}

func TestEnvelopeOff(t *testing.T) {
	cfg := threeJoints(Position, 50*ms)
	cfg.EnvelopeOff, cfg.Ramp, cfg.Blend = true, -1, 1
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(NewPolicy(1))
	fx := r.Step(Observed(&policy.Observation{State: []float32{0, 0, 0}}))
	r.Step(ChunkReady(fx.Infer.Seq, &policy.ActionChunk{Period: 50 * ms, Dim: 3, Values: []float32{9, 8, 7}}, nil))
	if got := r.Step(Tick(0)).Command.SetPoint; !slices.Equal(got, []float64{9, 8, 7}) {
		t.Errorf("without the envelope the row itself is commanded, got %v", got)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no names":        func(c *Config) { c.Names = nil },
		"no period":       func(c *Config) { c.Period = 0 },
		"state indices":   func(c *Config) { c.StateIndex = []int{0} },
		"crossed limits":  func(c *Config) { c.Limits.Lower[1], c.Limits.Upper[1] = 1, -1 },
		"NaN velocity":    func(c *Config) { c.Limits.Velocity[1] = math.NaN() },
		"negative replan": func(c *Config) { c.ReplanRows = -1 },
	} {
		cfg := threeJoints(Position, 50*ms)
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := New(Config{Names: []string{"x"}, Period: 1e7, RowPeriod: 5e7})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Limits(); l.Velocity[0] != DefaultVelocity || l.Acceleration[0] != DefaultAcceleration {
		t.Errorf("limits must be on by default: %+v", l)
	}
}

// TestLimitsCoverTheAction: limits that miss the action's joints are refused,
// not ignored; without any the defaults hold, and are said once.
func TestLimitsCoverTheAction(t *testing.T) {
	given := Limits{Names: []string{"elbow", "wrist"}, Lower: []float64{-1, math.Inf(-1)}, Upper: []float64{1, math.Inf(1)},
		Velocity: []float64{2, 2}, Acceleration: []float64{3, math.Inf(1)}}
	for _, c := range []struct {
		name   string
		names  []string
		kind   Kind
		limits Limits
		err    string // in the refusal
		said   string // in the start report
	}{
		{"none covered", []string{"a", "b"}, Position, given, "a, b", ""},
		{"one missing", []string{"elbow", "gripper"}, Position, given, "gripper", ""},
		{"covered", []string{"elbow"}, Position, given, "", ""},
		{"without position and acceleration", []string{"wrist", "elbow"}, Position, given, "",
			"default limits, velocity 1 and acceleration 5 where none is given, for wrist; no position limits for wrist"},
		{"none given", []string{"a", "b"}, Position, Limits{}, "",
			"default limits, velocity 1 and acceleration 5 where none is given, for a, b; no position limits for a, b"},
		{"twist", []string{"twist.linear.x"}, Rate, given, "",
			"default limits, velocity 1 and acceleration 5 where none is given, for twist.linear.x"},
	} {
		r, err := New(Config{Names: c.names, Kind: c.kind, Period: 1e7, RowPeriod: 5e7, Limits: c.limits})
		if c.err != "" {
			if !errors.Is(err, ErrLimits) || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "none for "+c.err+" of") || !strings.Contains(err.Error(), "elbow, wrist") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var said []string
		for now := range int64(3) {
			for _, rep := range r.Step(Tick(now * 1e7)).Reports {
				if rep.Intervention == None {
					said = append(said, rep.String())
				}
			}
		}
		if strings.Join(said, "|") != c.said {
			t.Errorf("%s: said %q, want %q", c.name, said, c.said)
		}
	}
}
