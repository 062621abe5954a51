// Package loop is the shell around the step machine of package runner: it has
// the clock, the inference goroutine and the slot that weights are swapped in.
// Where observations come from and commands go to is up to a Source and a
// Sink: a ROS node, a recording, a simulated arm.
package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

// Source gives observations and the time they are of. Its methods are called
// from one goroutine, a few times per tick; they should not block.
type Source interface {
	// Now returns the source's time, ns: ROS time, a bag's time, a
	// simulation's. It may be set back.
	Now() int64
	// Observe fills obs, reusing its storage, with the frame at t, a multiple
	// of the frame period that is not after Now. An error says why there is no
	// usable frame, such as contract's; io.EOF ends the loop.
	Observe(t int64, obs *policy.Observation) error
}

// Virtual is a Source whose time moves as fast as it is asked to.
type Virtual interface {
	Source
	// Advance moves the time on to t and returns the time that it then is: t,
	// or an earlier one where a recording starts again. io.EOF ends the loop.
	Advance(t int64) (int64, error)
}

// Paced is a Source whose time runs at another speed than the wall clock's,
// such as a recording played twice as fast.
type Paced interface {
	Source
	Speed() float64 // source seconds per second
}

// Stepped is a Source whose time may move by steps of any size at any pace, such
// as that on /clock.
type Stepped interface {
	Source
	Moved() <-chan struct{} // closed at the next step; nil: time goes as the wall clock's
}

// Sink takes what each tick decides. The effects are valid during the call,
// which should not block. An error ends the loop.
type Sink interface {
	Command(fx *runner.Effects) error
}

// Config says how the loop runs.
type Config struct {
	Runner      runner.Config
	FramePeriod int64                 // time between observations, ns; 0: the runner's row period
	Virtual     bool                  // no waiting: the source must be Virtual, inference is waited for
	Ticks       int64                 // stop after so many; 0: at the source's end or with the context
	Guard       *hotswap.GuardOptions // roll back to proven weights where new ones need more interventions; nil: never
	Control     <-chan runner.Event   // Hold, Resume, Stop, Rearm from elsewhere; may be nil
	Report      func(runner.Report)   // diagnostics, called between ticks: must not block; may be nil
	// Check sees every chunk before it goes anywhere, beside the control thread
	// like the policy that gave it; an error refuses the chunk and says why. One
	// that wraps ErrUnchecked is not held against the weights. May be nil.
	Check func(chunk *policy.ActionChunk) error
	// Chunk sees every chunk before the envelope does, with the generation of
	// its policy; it must copy what it keeps and not block. May be nil.
	Chunk    func(generation uint64, chunk *policy.ActionChunk)
	Rollback func(error) // the guard rolled back (nil), or could not; must not block; may be nil
	// Progress takes the statistics so far, about once a second by the wall
	// clock while the source's time moves; it must not block. May be nil.
	Progress func(Stats)
}

// RunnerConfig returns the runner's configuration for a contract, with a tick
// for each frame. Limits are matched to the action's names.
func RunnerConfig(c *contract.Contract, limits runner.Limits) runner.Config {
	cfg := runner.Config{Names: c.ActionNames(), Period: c.Period(), RowPeriod: c.Period(), Limits: limits}
	if c.Action.Unit == contract.UnitVelocity || c.Action.Unit == contract.UnitTwist {
		cfg.Kind = runner.Rate
		return cfg
	}
	// Where the measured position of a column stands in the state is what a
	// relative action of that column alone would be relative to.
	one := *c
	one.Action.Relative = true
	for _, name := range cfg.Names {
		one.Action.Selection = contract.Selection{Names: []string{name}}
		at := -1
		if idx := one.RelativeTo(); idx != nil {
			at = idx[0]
		}
		cfg.StateIndex = append(cfg.StateIndex, at)
	}
	return cfg
}

// Errors of Run.
var (
	ErrNotVirtual = errors.New("loop: virtual time needs a source that can be advanced")
	ErrHung       = errors.New("loop: inference did not end within 2 s of the loop's end")
	// ErrUnchecked is for Config.Check: whether the chunk is good is not known.
	ErrUnchecked = errors.New("the chunk could not be checked")
)

// shutdown bounds how long a stopping arm is braked, in the source's time.
const shutdown = 800 * time.Millisecond

// still is how long a source's time may stand, by the wall clock, before a
// stopping loop takes it for stopped: there is nothing to brake then.
const still = 200 * time.Millisecond

// leap is how far a source's time may move between two looks, less than a tenth
// of that apart by the wall clock, before it was set ahead: /clock began, or a
// recording is played from further on. Ticks in between are not missed.
const leap = time.Second

type machine struct {
	src  Source
	sink Sink
	slot *hotswap.Slot
	cfg  Config
	run  *runner.Runner
	inf  *inference

	obs        policy.Observation
	guard      *hotswap.Guard
	policy     policy.Policy
	generation uint64 // of the policy, as the slot counts and the runner was told
	answered   uint64 // generation of the last answer
	blame      judge
	stopping   bool
	stats      collector
	begin      time.Time
	told       time.Time // when Progress was called last
}

// Run ticks until the context is done, the source is at its end or a sink
// fails. When the context is done it brakes the arm, for up to 0.8 s, before it
// returns. The source's end and the context's are no errors.
func Run(ctx context.Context, src Source, sink Sink, slot *hotswap.Slot, cfg Config) (Stats, error) {
	if cfg.FramePeriod == 0 {
		cfg.FramePeriod = cfg.Runner.RowPeriod
	}
	if _, ok := src.(Virtual); cfg.Virtual && !ok {
		return Stats{}, ErrNotVirtual
	}
	if cfg.Runner.Period <= 0 || cfg.FramePeriod%cfg.Runner.Period != 0 {
		return Stats{}, fmt.Errorf("loop: frames every %d ns do not fall on ticks every %d ns, make one a multiple of the other", cfg.FramePeriod, cfg.Runner.Period)
	}
	r, err := runner.New(cfg.Runner)
	if err != nil {
		return Stats{}, err
	}
	m := &machine{src: src, sink: sink, slot: slot, cfg: cfg, run: r, inf: startInference(cfg.Check)}
	if cfg.Guard != nil {
		m.guard = hotswap.NewGuard(*cfg.Guard)
	}
	m.begin = time.Now()
	m.told = m.begin
	if cfg.Virtual {
		err = m.virtual(ctx)
	} else {
		err = m.real(ctx)
	}
	m.stats.wall = time.Since(m.begin)
	if e := m.inf.stop(); err == nil {
		err = e
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return m.stats.result(r.Counters()), err
}

// virtual ticks as fast as the source and the policy allow.
func (m *machine) virtual(ctx context.Context) error {
	src, period := m.src.(Virtual), m.cfg.Runner.Period
	t := gridUp(src.Now(), period)
	end := int64(0)
	for n := int64(0); m.cfg.Ticks == 0 || n < m.cfg.Ticks; {
		if ctx.Err() != nil && !m.stopping {
			m.stop()
			end = t + int64(shutdown)
		}
		now, err := src.Advance(t)
		if err != nil {
			return err
		}
		if now < t {
			t = gridUp(now, period)
			continue
		}
		if idle, err := m.tick(t); err != nil || m.stopping && (idle || t >= end) {
			return err
		}
		n++
		t += period
	}
	return nil
}

// real ticks when the source's time comes to multiples of the control period.
func (m *machine) real(ctx context.Context) error {
	// A thread of its own, and one more to run Go code on than there are cores:
	// where training in this process keeps all of them busy, the system then
	// wakes the tick at once, and Go's scheduler need not preempt a training
	// goroutine first, which takes it up to 10 ms.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer spareProcessor()()
	period := m.cfg.Runner.Period
	t := gridUp(m.src.Now()+1, period)
	speed := 1.0
	if p, ok := m.src.(Paced); ok && p.Speed() > 0 {
		speed = p.Speed()
	}
	stepped, _ := m.src.(Stepped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	var end time.Time
	last, moved, looked := m.src.Now(), time.Now(), time.Now()
	for n := int64(0); m.cfg.Ticks == 0 || n < m.cfg.Ticks; {
		var step <-chan struct{}
		if stepped != nil {
			step = stepped.Moved()
		}
		now := m.src.Now()
		ahead := now-last > int64(leap) && time.Since(looked) < leap/10
		looked = time.Now()
		if ahead || now < t-2*period { // or set back
			t = gridUp(now, period)
		}
		if now != last {
			last, moved = now, time.Now()
		}
		if m.stopping && (time.Now().After(end) || time.Since(moved) > still) {
			return nil
		}
		if wait := t - now; wait > 0 {
			// Where time runs at another pace than ours, look again soon.
			timer.Reset(time.Duration(float64(min(wait, period)) / speed))
			select {
			case <-timer.C:
			case <-step:
			case res := <-m.inf.results:
				m.answer(res)
			case <-done:
				m.stop()
				done, end = nil, time.Now().Add(shutdown)
			}
			continue
		}
		select {
		case <-done:
			m.stop()
			done, end = nil, time.Now().Add(shutdown)
		default:
		}
		if late := now - t; late > period {
			m.stats.missed += late / period
			t += late / period * period
		}
		m.stats.late.add(int64(float64(now-t) / speed))
		if idle, err := m.tick(t); err != nil || m.stopping && idle {
			return err
		}
		n++
		t += period
	}
	return nil
}

func (m *machine) stop() {
	m.stopping = true
	m.step(runner.Stop("the loop is ending"))
}

// step feeds an event and hands its reports on.
func (m *machine) step(ev runner.Event) *runner.Effects {
	fx := m.run.Step(ev)
	if m.cfg.Report != nil {
		for _, rep := range fx.Reports {
			m.cfg.Report(rep)
		}
	}
	return fx
}

// tick is one control period. idle says that nothing is commanded any more.
func (m *machine) tick(t int64) (idle bool, err error) {
	m.control()
	if !m.cfg.Virtual {
		select {
		case res := <-m.inf.results:
			m.answer(res)
		default:
		}
	}
	if p, g := m.slot.Load(); g != m.generation {
		m.stats.swap(m.generation, g)
		m.policy, m.generation = p, g
		m.step(runner.NewPolicy(g))
	}
	if t%m.cfg.FramePeriod == 0 {
		if err := m.observe(t); err != nil {
			return false, err
		}
	}
	fx := m.step(runner.Tick(t))
	m.stats.tick(fx)
	m.judge(fx, t)
	if err := m.sink.Command(fx); err != nil {
		return false, fmt.Errorf("loop: sink: %w", err)
	}
	m.progress()
	return fx.Command == nil, nil
}

func (m *machine) progress() {
	if m.cfg.Progress == nil || time.Since(m.told) < time.Second {
		return
	}
	m.told = time.Now()
	m.stats.wall = m.told.Sub(m.begin)
	m.cfg.Progress(m.stats.result(m.run.Counters()))
}

func (m *machine) control() {
	for range 16 {
		select {
		case ev, ok := <-m.cfg.Control:
			if !ok {
				m.cfg.Control = nil
				return
			}
			if !m.stopping { // nothing re-arms a loop that ends
				m.step(ev)
			}
		default:
			return
		}
	}
}

func (m *machine) observe(t int64) error {
	err := m.src.Observe(t, &m.obs)
	switch {
	case errors.Is(err, io.EOF):
		return err
	case err != nil:
		m.stats.frames.Failed++
		m.blame.observed(false)
		m.step(runner.ObservationFailed(err))
		return nil
	}
	m.stats.frames.Used++
	before := refusals(m.run.Counters())
	fx := m.step(runner.Observed(&m.obs))
	m.blame.observed(refusals(m.run.Counters()) == before)
	if fx.Infer == nil {
		return nil
	}
	m.blame.asked = fx.Infer.Seq
	m.inf.begin(fx.Infer, m.policy, m.generation)
	if m.cfg.Virtual {
		m.answer(<-m.inf.results)
	}
	return nil
}

func (m *machine) answer(res result) {
	m.answered = res.generation
	m.stats.answer(&res)
	if m.cfg.Chunk != nil && res.err == nil {
		m.cfg.Chunk(res.generation, &m.inf.chunk)
	}
	before := refusals(m.run.Counters())
	m.step(runner.ChunkReady(res.seq, &m.inf.chunk, res.err))
	m.blame.answered(&res, &m.inf.chunk, refusals(m.run.Counters()) != before)
}

// gridUp rounds t up to a multiple of period.
func gridUp(t, period int64) int64 { return (t + period - 1) / period * period }

// spare counts the loops that asked for one more processor: the setting is the
// whole process's, and loops that overlap share the one.
var spare struct {
	sync.Mutex
	loops, before int
}

// spareProcessor raises GOMAXPROCS by one for as long as any loop runs; the
// loop's end calls what it returns.
func spareProcessor() (release func()) {
	spare.Lock()
	defer spare.Unlock()
	if spare.loops++; spare.loops == 1 {
		spare.before = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(spare.before + 1)
	}
	return func() {
		spare.Lock()
		defer spare.Unlock()
		if spare.loops--; spare.loops == 0 {
			runtime.GOMAXPROCS(spare.before)
		}
	}
}
