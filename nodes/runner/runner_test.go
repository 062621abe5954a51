package runner

import (
	"errors"
	"math"
	"math/rand/v2"
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

// checker holds a commanded sequence against the limits.
type checker struct {
	t        *testing.T
	cfg      Config
	lim      Limits
	q, v     []float64
	n, moved int
}

func (c *checker) see(fx *Effects) {
	c.t.Helper()
	cmd := fx.Command
	if cmd == nil {
		return
	}
	dt, first := float64(c.cfg.Period)/1e9, c.q == nil
	if first {
		c.q, c.v = slices.Clone(cmd.SetPoint), slices.Clone(cmd.Velocity)
	}
	for j, q := range cmd.SetPoint {
		lim, name := c.lim, c.cfg.Names[j]
		if c.cfg.Kind == Rate {
			if q-q != 0 || math.Abs(q) > lim.Velocity[j] {
				c.t.Fatalf("%s: rate %g over %g", name, q, lim.Velocity[j])
			}
			if a := (q - c.q[j]) / dt; math.Abs(a) > lim.Acceleration[j] {
				c.t.Fatalf("%s: change of rate %g over %g", name, a, lim.Acceleration[j])
			}
			c.q[j] = q
			continue
		}
		v := (q - c.q[j]) / dt
		if first {
			v = cmd.Velocity[j]
		}
		if q-q != 0 || q < lim.Lower[j] || q > lim.Upper[j] {
			c.t.Fatalf("%s: position %g outside %g..%g", name, q, lim.Lower[j], lim.Upper[j])
		}
		if math.Abs(v) > lim.Velocity[j] {
			c.t.Fatalf("%s: velocity %g over %g", name, v, lim.Velocity[j])
		}
		if a := (v - c.v[j]) / dt; math.Abs(a) > lim.Acceleration[j] {
			c.t.Fatalf("%s: acceleration %g over %g at %g", name, a, lim.Acceleration[j], q)
		}
		if v != 0 {
			c.moved++
		}
		c.q[j], c.v[j] = q, v
	}
	c.n++
}

// TestEnvelopeProperty feeds the runner with what no policy should answer,
// with late and lost answers, stops and failed observations in between, and
// differences every two set-points that come out.
func TestEnvelopeProperty(t *testing.T) {
	for _, kind := range []Kind{Position, Rate} {
		for _, period := range []int64{50 * ms, 10 * ms, 2 * ms} {
			cfg := threeJoints(kind, period)
			r, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(7, uint64(period)))
			check := &checker{t: t, cfg: cfg, lim: r.Limits()}
			r.Step(NewPolicy(1))
			state := []float32{0.3, -0.5, 9}
			var seq uint64
			var pending *policy.ActionChunk
			for tick := range int64(6000) {
				now := tick * period
				if rng.IntN(40) > 0 {
					fx := r.Step(Observed(&policy.Observation{Stamp: now, State: state}))
					if fx.Infer != nil {
						seq, pending = fx.Infer.Seq, hostileChunk(rng, now)
					}
				} else {
					r.Step(ObservationFailed(errors.New("lost")))
				}
				if pending != nil && rng.IntN(3) == 0 {
					r.Step(ChunkReady(seq, pending, nil))
					pending = nil
				}
				switch rng.IntN(300) {
				case 0:
					r.Step(Hold("test"))
				case 1:
					r.Step(NewPolicy(uint64(rng.IntN(9))))
				}
				if rng.IntN(30) == 0 {
					r.Step(Resume())
				}
				check.see(r.Step(Tick(now)))
				if kind == Position && check.n > 0 {
					for j := range 2 {
						state[j] = float32(check.q[j])
					}
				}
			}
			if check.n < 1000 || kind == Position && check.moved < 1000 {
				t.Errorf("only %d commands, %d moved", check.n, check.moved)
			}
			c := r.Counters()
			for _, want := range []Intervention{NonFinite, VelocityLimit, AccelerationLimit, StaleObservation, Held} {
				if c[want].Events == 0 {
					t.Errorf("kind %d period %d: %s never happened: %v", kind, period, want, c.Map())
				}
			}
		}
	}
}

func hostileChunk(rng *rand.Rand, now int64) *policy.ActionChunk {
	c := &policy.ActionChunk{Stamp: now, Period: 50 * ms, Dim: 3, Values: make([]float32, 3*(1+rng.IntN(16)))}
	scale := []float64{0.01, 0.3, 3, 1e6, 3e38}[rng.IntN(5)]
	for i := range c.Values {
		c.Values[i] = float32(rng.NormFloat64() * scale)
	}
	switch rng.IntN(12) {
	case 0:
		c.Values[rng.IntN(len(c.Values))] = float32(math.NaN())
	case 1:
		c.Values[rng.IntN(len(c.Values))] = float32(math.Inf(-1))
	case 2:
		c.Stamp -= int64(rng.IntN(2000)) * ms
	case 3:
		c.Values = c.Values[:len(c.Values)-1]
	}
	return c
}

func FuzzChunk(f *testing.F) {
	f.Add(int64(0), int64(50e6), 3, []byte{0, 0, 128, 63, 0, 0, 128, 63, 0, 0, 128, 63})
	f.Add(int64(-1), int64(0), 0, []byte{0, 0, 192, 127})
	f.Fuzz(func(t *testing.T, stamp, period int64, dim int, raw []byte) {
		cfg := threeJoints(Position, 10*ms)
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		check := &checker{t: t, cfg: cfg, lim: r.Limits()}
		r.Step(NewPolicy(1))
		c := &policy.ActionChunk{Stamp: stamp, Period: period, Dim: dim}
		for ; len(raw) >= 4; raw = raw[4:] {
			c.Values = append(c.Values, math.Float32frombits(uint32(raw[0])|uint32(raw[1])<<8|uint32(raw[2])<<16|uint32(raw[3])<<24))
		}
		for tick := range int64(60) {
			fx := r.Step(Observed(&policy.Observation{Stamp: tick * 10 * ms, State: []float32{0, 0, 0}}))
			if fx.Infer != nil {
				r.Step(ChunkReady(fx.Infer.Seq, c, nil))
			}
			check.see(r.Step(Tick(tick * 10 * ms)))
		}
	})
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
