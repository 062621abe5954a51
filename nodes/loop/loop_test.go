package loop_test

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/reach"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

func setup(t testing.TB, wall bool) (*contract.Contract, *eval.Live, *reach.ExpertPolicy, loop.Config) {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Observation.Images = nil // the expert does not look
	stage, err := reach.NewStage(c)
	if err != nil {
		t.Fatal(err)
	}
	live, err := eval.NewLive(stage, eval.LiveOptions{Seed: 1, Wall: wall})
	if err != nil {
		t.Fatal(err)
	}
	expert, err := reach.NewExpertPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	return c, live, expert, live.LoopConfig(8)
}

// TestVirtual drives the simulated arm: the expert does its episodes.
func TestVirtual(t *testing.T) {
	_, live, expert, cfg := setup(t, false)
	cfg.Ticks = 1000
	s, err := loop.Run(t.Context(), live, live, hotswap.NewSlot(expert), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Ticks != 1000 || s.Commands != 1000 || s.Missed != 0 || s.Frames.Used != 1000 || s.Inferences != 125 || s.Inference.Count != 125 {
		t.Errorf("%+v", s)
	}
	if r := live.Results(); r.Episodes < 20 || r.Successes < r.Episodes*9/10 {
		t.Errorf("%+v", r)
	}
}

// wrapped is the expert under other weights' name, with a change to its chunk.
type wrapped struct {
	policy.Policy
	hash   string
	change func(*policy.Observation, *policy.ActionChunk) error
}

func (w wrapped) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	if err := w.Policy.Act(obs, chunk); err != nil {
		return err
	}
	if w.change == nil {
		return nil
	}
	return w.change(obs, chunk)
}
func (w wrapped) Info() policy.Info { return policy.Info{Hash: w.hash} }

// TestGuardRollsBack: weights that answer NaN, shake, fail or panic are taken
// out again, and the arm goes on under the ones before.
func TestGuardRollsBack(t *testing.T) {
	for name, change := range map[string]func(*policy.Observation, *policy.ActionChunk) error{
		"NaN": func(_ *policy.Observation, c *policy.ActionChunk) error {
			c.Values[3] = float32(math.NaN())
			return nil
		},
		"shaking": func(_ *policy.Observation, c *policy.ActionChunk) error {
			for i := range c.Values {
				c.Values[i] += float32(0.4 * float64(1-2*(i/2%2)))
			}
			return nil
		},
		"failing":   func(*policy.Observation, *policy.ActionChunk) error { return errors.New("out of memory") },
		"panicking": func(o *policy.Observation, c *policy.ActionChunk) error { c.Values[len(c.Values)] = 0; return nil },
	} {
		_, live, expert, cfg := setup(t, false)
		slot := hotswap.NewSlot(wrapped{expert, "good", nil})
		cfg.Guard = &hotswap.GuardOptions{MinTicks: 50}
		told := 0
		cfg.Rollback = func(err error) {
			told++
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		n := 0
		cfg.Ticks = 1500
		seen := map[uint64]int{}
		s, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
			if n++; n == 300 {
				slot.Swap(wrapped{expert, "bad", change})
			}
			if fx.Command != nil {
				seen[fx.Command.Generation]++
			}
			return live.Command(fx)
		}), slot, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if told != 1 || s.Rollbacks != 1 || s.Swaps != 2 || slot.Current().Info().Hash != "good" || s.Policy.Hash != "good" || !slot.Rejected("bad") {
			t.Errorf("%s: told %d times, %+v", name, told, s)
		}
		if seen[1] < 250 || seen[3] < 500 {
			t.Errorf("%s: ticks by generation: %v", name, seen)
		}
	}
}

type sinkFunc func(*runner.Effects) error

func (f sinkFunc) Command(fx *runner.Effects) error { return f(fx) }

// TestRealTime runs by the clock, swaps weights on the way, and ends with the
// context: the arm is braked and the goroutine is gone.
func TestRealTime(t *testing.T) {
	_, live, expert, cfg := setup(t, true)
	slot := hotswap.NewSlot(wrapped{expert, "a", nil})
	ctx, cancel := context.WithCancel(t.Context())
	n, lastCommanded, after := 0, false, 0
	s, err := loop.Run(ctx, live, sinkFunc(func(fx *runner.Effects) error {
		switch n++; n {
		case 8:
			slot.Swap(wrapped{expert, "b", nil})
		case 25:
			cancel()
		}
		if n > 25 {
			after++
			if fx.Holding != runner.Stopped {
				t.Errorf("holding %s after the end", fx.Holding)
			}
		}
		lastCommanded = fx.Command != nil
		return live.Command(fx)
	}), slot, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Swaps != 1 || s.Policy.Hash != "b" || s.Inferences < 2 || s.Lateness.Count != s.Ticks {
		t.Errorf("%+v", s)
	}
	if after < 1 || after > 17 || lastCommanded && after < 16 {
		t.Errorf("%d ticks after the end, last commanded: %v", after, lastCommanded)
	}
}

// TestShutdownDuringInference: a policy that blocks holds up neither ticks nor
// the end.
func TestShutdownDuringInference(t *testing.T) {
	_, live, expert, cfg := setup(t, true)
	release := make(chan struct{})
	var once sync.Once
	slow := wrapped{expert, "slow", func(*policy.Observation, *policy.ActionChunk) error {
		<-release
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	s, err := loop.Run(ctx, live, sinkFunc(func(fx *runner.Effects) error {
		if n++; n == 5 {
			cancel()
			time.AfterFunc(10*time.Millisecond, func() { once.Do(func() { close(release) }) })
		}
		return live.Command(fx)
	}), hotswap.NewSlot(slow), cfg)
	if err != nil || s.Ticks < 5 || s.Interventions["NotReady"].Ticks == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestControl: hold and resume from elsewhere.
func TestControl(t *testing.T) {
	_, live, expert, cfg := setup(t, false)
	events := make(chan runner.Event, 4)
	cfg.Control, cfg.Ticks = events, 100
	n, holding := 0, 0
	_, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
		switch n++; n {
		case 20:
			events <- runner.Hold("operator")
		case 60:
			events <- runner.Resume()
		}
		if fx.Holding == runner.Held {
			holding++
		}
		return live.Command(fx)
	}), hotswap.NewSlot(expert), cfg)
	if err != nil || holding != 40 {
		t.Errorf("held for %d ticks (%v)", holding, err)
	}
}

func TestEnds(t *testing.T) {
	c, live, expert, cfg := setup(t, false)
	broken := errors.New("bus is off")
	_, err := loop.Run(t.Context(), live, sinkFunc(func(*runner.Effects) error { return broken }), hotswap.NewSlot(expert), cfg)
	if !errors.Is(err, broken) {
		t.Errorf("a sink that fails: %v", err)
	}
	s, err := loop.Run(t.Context(), &ending{live, 30}, live, hotswap.NewSlot(expert), cfg)
	if err != nil || s.Ticks != 29 {
		t.Errorf("a source at its end: %v, %+v", err, s)
	}
	// A context that ends in motion: the arm is braked, then the loop is over.
	ctx, cancel := context.WithCancel(t.Context())
	ticks, last := 0, runner.Command{}
	_, err = loop.Run(ctx, live, sinkFunc(func(fx *runner.Effects) error {
		if ticks++; ticks == 12 {
			cancel()
		}
		if fx.Command != nil {
			last.Velocity = append(last.Velocity[:0], fx.Command.Velocity...)
		}
		return live.Command(fx)
	}), hotswap.NewSlot(expert), cfg)
	if err != nil || ticks < 13 || last.Velocity[0] != 0 || last.Velocity[1] != 0 {
		t.Errorf("after %d ticks the arm moves at %v (%v)", ticks, last.Velocity, err)
	}
	cfg.FramePeriod = c.Period() + 1
	if _, err := loop.Run(t.Context(), live, live, hotswap.NewSlot(expert), cfg); err == nil {
		t.Error("frames between ticks")
	}
	cfg.FramePeriod = 0
	if _, err := loop.Run(t.Context(), struct{ loop.Source }{live}, live, hotswap.NewSlot(expert), cfg); !errors.Is(err, loop.ErrNotVirtual) {
		t.Errorf("a source without virtual time: %v", err)
	}
	// No policy at all: hold, ask for nothing, and take the first one.
	slot, n := hotswap.NewSlot(nil), 0
	cfg.Ticks = 50
	s, err = loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
		if n++; n == 20 {
			slot.Swap(expert)
		}
		return live.Command(fx)
	}), slot, cfg)
	if err != nil || s.Swaps != 0 || s.Commands != 30 || s.Interventions["NotReady"].Ticks != 20 {
		t.Errorf("%+v, %v", s, err)
	}
}

// ending is the arm with an end.
type ending struct {
	*eval.Live
	left int
}

func (e *ending) Advance(t int64) (int64, error) {
	if e.left--; e.left == 0 {
		return t, io.EOF
	}
	return e.Live.Advance(t)
}

func TestRunnerConfig(t *testing.T) {
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := loop.RunnerConfig(c, reach.Limits())
	if cfg.Kind != runner.Position || len(cfg.StateIndex) != 2 || cfg.StateIndex[0] != 0 || cfg.StateIndex[1] != 1 {
		t.Errorf("%+v", cfg)
	}
	c.Action.Names = []string{"joint_2", "gripper"}
	c.Action.Relative = false
	if cfg := loop.RunnerConfig(c, runner.Limits{}); cfg.StateIndex[0] != 1 || cfg.StateIndex[1] != -1 {
		t.Errorf("%+v", cfg)
	}
	c.Action.Unit = contract.UnitTwist
	if cfg := loop.RunnerConfig(c, runner.Limits{}); cfg.Kind != runner.Rate || cfg.StateIndex != nil {
		t.Errorf("%+v", cfg)
	}
}

// still is a source whose time does not move.
type still struct{ loop.Source }

func (still) Now() int64 { return 5e9 }

// TestStopsWhileTimeStandsStill: a loop on a clock that does not move ends with
// its context all the same.
func TestStopsWhileTimeStandsStill(t *testing.T) {
	_, live, expert, cfg := setup(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	go func() {
		_, err := loop.Run(ctx, still{live}, live, hotswap.NewSlot(expert), cfg)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the loop does not end")
	}
}

// leaping is a source whose time is set ahead at its twentieth look.
type leaping struct {
	*eval.Live
	looks int
}

const far = int64(1e6 * time.Second)

func (l *leaping) ahead() int64 {
	if l.looks < 20 {
		return 0
	}
	return far
}
func (l *leaping) Now() int64 { l.looks++; return l.Live.Now() + l.ahead() }
func (l *leaping) Observe(t int64, obs *policy.Observation) error {
	return l.Live.Observe(t-l.ahead(), obs)
}

// TestTimeSetAhead: ticks that a jump leaves out are not missed.
func TestTimeSetAhead(t *testing.T) {
	_, live, expert, cfg := setup(t, true)
	src, last := &leaping{Live: live}, int64(0)
	cfg.Ticks = 30
	s, err := loop.Run(t.Context(), src, sinkFunc(func(fx *runner.Effects) error {
		if fx.Command != nil {
			last = fx.Command.Stamp
		}
		return nil
	}), hotswap.NewSlot(expert), cfg)
	if err != nil || s.Ticks != 30 || last < far || s.Missed > far/cfg.Runner.Period/2 {
		t.Errorf("%d ticks, the last at %d, %d missed, %v", s.Ticks, last, s.Missed, err)
	}
}

// stepping is a source whose time moves by ten seconds when it is told to.
type stepping struct {
	mu    sync.Mutex
	now   int64
	moved chan struct{}
	began chan struct{} // closed when somebody waits for a step
	once  sync.Once
}

func (h *stepping) Now() int64 { h.mu.Lock(); defer h.mu.Unlock(); return h.now }
func (h *stepping) Observe(int64, *policy.Observation) error {
	return contract.ErrNoSample
}
func (h *stepping) Moved() <-chan struct{} {
	h.once.Do(func() { close(h.began) })
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.moved
}
func (h *stepping) step() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += int64(10 * time.Second)
	close(h.moved)
	h.moved = make(chan struct{})
}

// TestStepped: the loop goes with the steps of its source, however fast they
// follow one another, and does not wait as long as they take by the wall clock.
func TestStepped(t *testing.T) {
	src := &stepping{moved: make(chan struct{}), began: make(chan struct{})}
	cfg := loop.Config{Runner: runner.Config{Names: []string{"a"}, Period: int64(10 * time.Second), RowPeriod: int64(10 * time.Second), StateIndex: []int{0}}, Ticks: 20}
	ticks, done := make(chan bool, 20), make(chan error, 1)
	go func() {
		s, err := loop.Run(t.Context(), src, sinkFunc(func(*runner.Effects) error { ticks <- true; return nil }), hotswap.NewSlot(nil), cfg)
		if s.Missed > 0 {
			err = errors.Join(err, errors.New("ticks are missed"))
		}
		done <- err
	}()
	select {
	case <-src.began:
	case err := <-done:
		t.Fatal(err)
	}
	for range cfg.Ticks {
		src.step()
		select {
		case <-ticks:
		case <-time.After(5 * time.Second):
			t.Fatal("no tick follows a step")
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestProgress: statistics come while the loop runs.
func TestProgress(t *testing.T) {
	_, live, expert, cfg := setup(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []loop.Stats
	cfg.Progress = func(s loop.Stats) {
		if seen = append(seen, s); len(seen) == 2 {
			cancel()
		}
	}
	end, err := loop.Run(ctx, live, live, hotswap.NewSlot(expert), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 2 || seen[0].Ticks < 10 || seen[1].Ticks <= seen[0].Ticks || end.Ticks < seen[1].Ticks || seen[1].Wall <= seen[0].Wall {
		t.Errorf("%+v, at the end %+v", seen, end)
	}
}
