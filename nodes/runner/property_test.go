package runner

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"arfm/policy"
)

// checker differences every two set-points that come out, from the place where
// the arm was measured on, and holds them against the limits.
type checker struct {
	t                *testing.T
	r                *Runner
	lim              Limits
	q, v             []float64
	n, moved, starts int
}

func newChecker(t *testing.T, cfg Config) *checker {
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := len(cfg.Names)
	return &checker{t: t, r: r, lim: r.Limits(), q: make([]float64, n), v: make([]float64, n)}
}

// tick steps the runner and checks what it commands.
func (c *checker) tick(now int64) *Effects {
	c.t.Helper()
	placed := c.r.placed
	fx := c.r.Step(Tick(now))
	if fx.Command == nil {
		c.rests("is left without a command")
		return fx
	}
	if !placed {
		c.start(fx.Command)
	}
	for j, q := range fx.Command.SetPoint {
		if c.r.cfg.Kind == Rate {
			c.rate(j, q)
		} else {
			c.position(j, q)
		}
	}
	c.n++
	return fx
}

// rests requires that the arm was commanded to rest.
func (c *checker) rests(what string) {
	c.t.Helper()
	for j := range c.q {
		if !c.r.env.still(c.q[j], c.v[j]) {
			c.t.Fatalf("%s %s at %g with velocity %g", c.r.names[j], what, c.q[j], c.v[j])
		}
	}
}

// start begins a sequence at the measured place; a joint that is not measured
// goes on from its last set-point.
func (c *checker) start(cmd *Command) {
	c.t.Helper()
	c.rests("starts anew")
	for j, m := range c.r.measured {
		switch {
		case c.r.cfg.Kind == Rate:
			c.q[j] = 0
		case !math.IsNaN(m):
			c.q[j], c.v[j] = m, 0
		case c.starts == 0:
			c.q[j] = cmd.SetPoint[j] - cmd.Velocity[j]*c.r.env.dt
		}
	}
	c.starts++
}

func (c *checker) rate(j int, q float64) {
	c.t.Helper()
	if q-q != 0 || math.Abs(q) > c.lim.Velocity[j] {
		c.t.Fatalf("%s: rate %g over %g", c.r.names[j], q, c.lim.Velocity[j])
	}
	if a := (q - c.q[j]) / c.r.env.dt; math.Abs(a) > c.lim.Acceleration[j] {
		c.t.Fatalf("%s: change of rate %g over %g", c.r.names[j], a, c.lim.Acceleration[j])
	}
	c.q[j] = q
}

func (c *checker) position(j int, q float64) {
	c.t.Helper()
	v := (q - c.q[j]) / c.r.env.dt
	// Outside only on the way back from where the arm was measured outside.
	if q-q != 0 || q < math.Min(c.lim.Lower[j], c.q[j]) || q > math.Max(c.lim.Upper[j], c.q[j]) {
		c.t.Fatalf("%s: position %g, before %g, outside %g..%g", c.r.names[j], q, c.q[j], c.lim.Lower[j], c.lim.Upper[j])
	}
	if math.Abs(v) > c.lim.Velocity[j] {
		c.t.Fatalf("%s: velocity %g over %g", c.r.names[j], v, c.lim.Velocity[j])
	}
	if a := (v - c.v[j]) / c.r.env.dt; math.Abs(a) > c.lim.Acceleration[j] {
		c.t.Fatalf("%s: acceleration %g over %g at %g", c.r.names[j], a, c.lim.Acceleration[j], q)
	}
	// Differences of large positions round; at rest the command says so exactly.
	if c.r.v[j] == 0 && math.Abs(v) < 1e-9 {
		v = 0
	}
	if v != 0 {
		c.moved++
	}
	c.q[j], c.v[j] = q, v
}

// play feeds the runner with what no policy should answer, with late and lost
// answers, failed observations, operators' events in any order, and an arm
// that is pushed about while it is stopped. pick(n) chooses from 0 to n-1.
func (c *checker) play(ticks int64, pick func(n int) int, chunk func(now int64) *policy.ActionChunk) {
	c.t.Helper()
	period, state := c.r.cfg.Period, []float32{0.3, -0.5, 9}
	var seq uint64
	var pending *policy.ActionChunk
	c.r.Step(NewPolicy(1))
	for now := int64(0); now < ticks*period; now += period {
		if pick(40) > 0 {
			fx := c.r.Step(Observed(&policy.Observation{Stamp: now, State: state}))
			if fx.Infer != nil {
				seq, pending = fx.Infer.Seq, chunk(now)
			}
		} else {
			c.r.Step(ObservationFailed(errors.New("lost")))
		}
		if pending != nil && pick(3) == 0 {
			c.r.Step(ChunkReady(seq, pending, nil))
			pending = nil
		}
		c.operate(pick)
		if fx := c.tick(now); fx.Command == nil {
			if pick(20) == 0 {
				state[0], state[1] = float32(pick(9)-4), float32(pick(17))/4-1.5
			}
		} else if c.r.cfg.Kind == Position {
			state[0], state[1] = float32(c.q[0]), float32(c.q[1])
		}
	}
}

func (c *checker) operate(pick func(n int) int) {
	switch pick(200) {
	case 1:
		c.r.Step(Hold("test"))
	case 2:
		c.r.Step(NewPolicy(uint64(pick(9))))
	case 3, 4:
		c.r.Step(Stop("test"))
	}
	switch pick(60) {
	case 1, 2:
		c.r.Step(Resume())
	case 3, 4:
		c.r.Step(Rearm())
	}
}

func TestEnvelopeProperty(t *testing.T) {
	for _, kind := range []Kind{Position, Rate} {
		for _, period := range []int64{50 * ms, 10 * ms, 2 * ms} {
			rng := rand.New(rand.NewPCG(7, uint64(period)))
			c := newChecker(t, threeJoints(kind, period))
			c.play(12000, rng.IntN, func(now int64) *policy.ActionChunk { return hostileChunk(rng, now) })
			if c.n < 1000 || c.starts < 5 || kind == Position && c.moved < 1000 {
				t.Errorf("only %d commands, %d moved, %d starts", c.n, c.moved, c.starts)
			}
			n := c.r.Counters()
			for _, want := range []Intervention{NonFinite, PositionLimit, VelocityLimit, AccelerationLimit, StaleObservation, Held, Stopped} {
				if n[want].Events == 0 && (kind == Position || want != PositionLimit) {
					t.Errorf("kind %d period %d: %s never happened: %v", kind, period, want, n.Map())
				}
			}
		}
	}
}

// FuzzEvents lets the fuzzer write the sequence of events itself.
func FuzzEvents(f *testing.F) {
	f.Add(true, uint8(10), []byte{1, 0, 5, 0, 1, 0, 3, 3, 1, 0, 9, 9})
	f.Add(false, uint8(50), []byte{1, 0, 4, 3})
	f.Fuzz(func(t *testing.T, rate bool, period uint8, raw []byte) {
		kind := Position
		if rate {
			kind = Rate
		}
		c := newChecker(t, threeJoints(kind, int64(max(period, 1))*ms))
		at := 0
		pick := func(n int) int {
			if at++; len(raw) == 0 {
				return at % n
			}
			return int(raw[at%len(raw)]) % n
		}
		c.play(500, pick, func(now int64) *policy.ActionChunk {
			chunk := &policy.ActionChunk{Stamp: now, Period: 50 * ms, Dim: 3, Values: make([]float32, 3*(1+pick(16)))}
			for i := range chunk.Values {
				chunk.Values[i] = float32(pick(256)-128) / 32
			}
			return chunk
		})
	})
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
		check := newChecker(t, threeJoints(Position, 10*ms))
		check.r.Step(NewPolicy(1))
		c := &policy.ActionChunk{Stamp: stamp, Period: period, Dim: dim}
		for ; len(raw) >= 4; raw = raw[4:] {
			c.Values = append(c.Values, math.Float32frombits(uint32(raw[0])|uint32(raw[1])<<8|uint32(raw[2])<<16|uint32(raw[3])<<24))
		}
		for tick := range int64(60) {
			fx := check.r.Step(Observed(&policy.Observation{Stamp: tick * 10 * ms, State: []float32{0, 0, 0}}))
			if fx.Infer != nil {
				check.r.Step(ChunkReady(fx.Infer.Seq, c, nil))
			}
			check.tick(tick * 10 * ms)
		}
	})
}

// TestRearmWhileBraking: a re-arm that comes before the arm is at rest waits
// for that, commanding on every tick, and a stop or hold after it still counts.
func TestRearmWhileBraking(t *testing.T) {
	for _, kind := range []Kind{Position, Rate} {
		for _, after := range []Event{Tick(-1), Stop("again"), Hold("wait")} { // a tick before 0 is ignored
			c := newChecker(t, threeJoints(kind, 50*ms))
			values := make([]float32, 3*100)
			for i := range values {
				values[i] = 0.7 * float32(i/3+1) / 20
			}
			step := func(now int64) *Effects {
				state := []float32{float32(c.q[0]), float32(c.q[1]), 0}
				if fx := c.r.Step(Observed(&policy.Observation{Stamp: now, State: state})); fx.Infer != nil {
					c.r.Step(ChunkReady(fx.Infer.Seq, &policy.ActionChunk{Stamp: now, Period: 50 * ms, Dim: 3, Values: values}, nil))
				}
				return c.tick(now)
			}
			c.r.Step(NewPolicy(1))
			now := int64(0)
			for ; now < 1000*ms; now += 50 * ms {
				step(now)
			}
			c.r.Step(Stop("test"))
			for range 2 {
				step(now)
				now += 50 * ms
			}
			c.r.Step(Rearm())
			if fx := step(now); fx.Command == nil || fx.Holding != Stopped {
				t.Fatalf("kind %d: re-armed in motion: %+v", kind, fx)
			}
			c.r.Step(after)
			var last *Effects
			for end := now + 4000*ms; now < end; now += 50 * ms {
				last = step(now + 50*ms)
			}
			want := map[eventKind]Intervention{evTick: None, evStop: Stopped, evHold: Held}[after.kind]
			if last.Holding != want {
				t.Errorf("kind %d, after %d: holding %s, want %s", kind, after.kind, last.Holding, want)
			}
		}
	}
}

// TestWalksBackInside: an arm measured outside its limits starts where it is
// and is walked back inside, not thrown, and every tick out there counts.
func TestWalksBackInside(t *testing.T) {
	for _, period := range []int64{50 * ms, 2 * ms} {
		cfg := threeJoints(Position, period)
		cfg.Blend = 1 // the reference is inside at once
		c := newChecker(t, cfg)
		c.r.Step(NewPolicy(1))
		fx := c.r.Step(Observed(&policy.Observation{State: []float32{0, 2.25, 0}}))
		chunk := &policy.ActionChunk{Period: 50 * ms, Dim: 3, Values: make([]float32, 3*60)}
		for i := 1; i < len(chunk.Values); i += 3 {
			chunk.Values[i] = 1.75
		}
		c.r.Step(ChunkReady(fx.Infer.Seq, chunk, nil))
		said, out := "", uint64(1)
		for now := int64(0); now < 2500*ms; now += period {
			c.r.Step(Observed(&policy.Observation{Stamp: now, State: []float32{0, 2.25, 0}}))
			for _, rep := range c.tick(now).Reports {
				said += rep.String() + "\n"
			}
			if c.q[1] > 2+hair*3 {
				out++
			}
		}
		if math.Abs(c.q[1]-1.75) > 1e-3 {
			t.Errorf("walked to %g, not to the chunk's 1.75", c.q[1])
		}
		want := "PositionLimit: b asks for 2.25, allowed is 2: the arm stands outside its limits and is walked back"
		if n := c.r.Counters()[PositionLimit]; n.Events != 1 || n.Ticks != out || out < 10 || !strings.Contains(said, want) {
			t.Errorf("%+v, %d ticks outside, reports:\n%s", n, out, said)
		}
	}
}
