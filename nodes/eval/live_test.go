package eval_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/reach"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

// placed is the reach arm put to another place for every episode, and a
// witness of what it is told to do.
type placed struct {
	eval.Stage // hides that the arm can go on from where it is
	t          *testing.T
	limits     runner.Limits
	dt         float64

	wall     bool
	steps    int        // of an episode; 0: as the arm's own task says
	begun    int        // episodes
	moved    int        // of which the arm was commanded
	still    bool       // no command yet in this episode
	idle     int        // steps without one, of which virtual time needs one
	at       [2]float64 // where the arm was seen last
	going    bool       // it is on its way home
	observed bool       // it was looked at in this episode
}

func newPlaced(t *testing.T, c *contract.Contract) *placed {
	t.Helper()
	s, err := reach.NewStage(c)
	if err != nil {
		t.Fatal(err)
	}
	return &placed{Stage: s, t: t, limits: reach.Limits(), dt: 1.0 / reach.RateHz}
}

func (s *placed) Begin(seed, episode uint64) error {
	if s.going || episode != uint64(s.begun) {
		s.t.Errorf("episode %d begins as number %d, on the way home: %v", episode, s.begun, s.going)
	}
	s.begun++
	s.still, s.observed = true, false
	return s.Stage.Begin(seed, episode)
}

func (s *placed) Observe(t int64, obs *policy.Observation) error {
	err := s.Stage.Observe(t, obs)
	s.at, s.observed = [2]float64{float64(obs.State[0]), float64(obs.State[1])}, true
	return err
}

// Step holds the first set-point of an episode to what an arm at rest can do.
func (s *placed) Step(cmd *runner.Command) (float64, error) {
	if s.going {
		s.t.Error("a step while the arm is on its way home")
	}
	if cmd == nil && s.still {
		if s.idle++; s.idle > 1 && s.begun > 1 && !s.wall {
			s.t.Errorf("episode %d waits for the runner", s.begun-1)
		}
	}
	if cmd != nil && s.still {
		s.still, s.idle = false, 0
		s.moved++
		for j, q := range s.at {
			if jump := math.Abs(cmd.SetPoint[j] - q); !s.observed || jump > s.limits.Acceleration[j]*s.dt*s.dt {
				s.t.Errorf("episode %d begins with a jump of %g rad in joint %d", s.begun-1, jump, j)
			}
		}
	}
	return s.Stage.Step(cmd)
}

func (s *placed) Episode() eval.Episode {
	e := s.Stage.Episode()
	e.Done = e.Done || s.steps > 0 && e.Steps >= s.steps
	return e
}

// homing takes some periods to bring the arm back.
type homing struct {
	*placed
	left, homes int
}

func (s *homing) Home() (busy bool, err error) {
	if s.left == 0 {
		s.left = 7
		s.homes++
	}
	s.left--
	s.going = s.left > 0
	return s.going, nil
}

// TestLivePlaced: where the arm is put or brought back between episodes, the
// runner stops, nothing is followed meanwhile, and the next episode ramps in
// from where the arm then is.
func TestLivePlaced(t *testing.T) {
	c := reachContract(t)
	for name, steps := range map[string]int{"put": 0, "put, cut short": 6, "brought": 0, "brought, cut short": 6} {
		homes := strings.HasPrefix(name, "brought")
		arm := newPlaced(t, c)
		arm.steps = steps
		var stage eval.Stage = arm
		way := &homing{placed: arm}
		if homes {
			stage = way
		}
		var outcomes []eval.Outcome
		live, err := eval.NewLive(stage, eval.LiveOptions{Seed: 3, Each: func(o eval.Outcome) { outcomes = append(outcomes, o) }})
		if err != nil {
			t.Fatal(err)
		}
		between := 0
		cfg := live.LoopConfig(8)
		cfg.Ticks = 1500
		s := runLive(t, live, cfg, func(err error) {
			if !errors.Is(err, eval.ErrBetween) {
				t.Error(err)
			}
			between++
		})
		r := live.Results()
		t.Logf("%s: %+v, %v", name, r, s)
		stopped := s.Interventions["Stopped"]
		if r.Episodes < 20 || steps == 0 && (r.Successes < r.Episodes*9/10 || r.Recent < 0.9) || steps > 0 && r.Recent != 0 || len(outcomes) != r.Episodes {
			t.Errorf("%s: %+v, %d outcomes", name, r, len(outcomes))
		}
		if arm.begun < r.Episodes || arm.moved < r.Episodes || homes && way.homes < r.Episodes-1 {
			t.Errorf("%s: %d episodes begun, %d moved, %d times home", name, arm.begun, arm.moved, way.homes)
		}
		if int(stopped.Events) < r.Episodes-1 || int(stopped.Events) > r.Episodes || s.Interventions["StaleObservation"] != (runner.Counter{}) || s.Interventions["StartMismatch"] != (runner.Counter{}) {
			t.Errorf("%s: interventions %v after %d episodes", name, s.Interventions, r.Episodes)
		}
		if least := r.Episodes - 1; between < least || homes && between < 6*least {
			t.Errorf("%s: %d frames between %d episodes", name, between, r.Episodes)
		}
		for i, o := range outcomes {
			if o.Index != i || o.Task != reach.Instruction || o.Success && !(o.Time > 0.3 && o.Time < 4) {
				t.Errorf("%s: outcome %d: %+v", name, i, o)
			}
		}
		if err := live.Close(); err != nil {
			t.Error(err)
		}
	}
}

// watched tells of frames that fail.
type watched struct {
	*eval.Live
	failed func(error)
}

func (w watched) Observe(t int64, obs *policy.Observation) error {
	err := w.Live.Observe(t, obs)
	if err != nil {
		w.failed(err)
	}
	return err
}

func runLive(t *testing.T, live *eval.Live, cfg loop.Config, failed func(error)) loop.Stats {
	t.Helper()
	p, err := newExpert(reachContract(t))()
	if err != nil {
		t.Fatal(err)
	}
	s, err := loop.Run(t.Context(), watched{live, failed}, live, hotswap.NewSlot(p), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLiveContinues: an arm that can goes on from one episode to the next, at
// one tick to a frame and at five, and is never held.
func TestLiveContinues(t *testing.T) {
	for name, wrap := range map[string]func(*reach.Stage) eval.Stage{
		"coarse": func(s *reach.Stage) eval.Stage { return s },
		"fine":   func(s *reach.Stage) eval.Stage { return &continuing{fine{Stage: s}, s} },
	} {
		stage, err := reach.NewStage(reachContract(t))
		if err != nil {
			t.Fatal(err)
		}
		live, err := eval.NewLive(wrap(stage), eval.LiveOptions{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		cfg := live.LoopConfig(8)
		cfg.Ticks = 1000 * (reach.Period / cfg.Runner.Period)
		s := runLive(t, live, cfg, func(err error) { t.Errorf("%s: %v", name, err) })
		if r := live.Results(); r.Episodes < 20 || r.Successes < r.Episodes*9/10 || s.Commands != s.Ticks || s.Holding != 0 {
			t.Errorf("%s: %+v, %v", name, r, s)
		}
	}
}

type continuing struct {
	fine
	eval.Continuer
}

// TestLiveByTheClock: the same between episodes when time is the wall clock's;
// the results may be looked at meanwhile.
func TestLiveByTheClock(t *testing.T) {
	arm := newPlaced(t, reachContract(t))
	arm.steps, arm.wall = 6, true
	live, err := eval.NewLive(&homing{placed: arm}, eval.LiveOptions{Seed: 3, Wall: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				live.Results()
			}
		}
	})
	cfg := live.LoopConfig(4)
	cfg.Ticks = 45
	s := runLive(t, live, cfg, func(err error) {
		if !errors.Is(err, eval.ErrBetween) {
			t.Error(err)
		}
	})
	close(done)
	looking.Wait()
	if r := live.Results(); r.Episodes < 2 || r.Successes != 0 || arm.begun < 2 || s.Interventions["Stopped"].Events < 1 {
		t.Errorf("%+v, %d begun, %v", r, arm.begun, s)
	}
}

// TestLiveBreaks: a stage that breaks ends the loop with its error.
func TestLiveBreaks(t *testing.T) {
	c := reachContract(t)
	p, err := newExpert(c)()
	if err != nil {
		t.Fatal(err)
	}
	for _, wall := range []bool{false, true} {
		stage, err := reach.NewStage(c)
		if err != nil {
			t.Fatal(err)
		}
		closed, broken := 0, errors.New("broken")
		live, err := eval.NewLive(&breaking{stage, 5, broken, &closed}, eval.LiveOptions{Wall: wall})
		if err != nil {
			t.Fatal(err)
		}
		cfg := live.LoopConfig(8)
		cfg.Ticks = 100
		if s, err := loop.Run(t.Context(), live, live, hotswap.NewSlot(p), cfg); !errors.Is(err, broken) || s.Ticks > 10 {
			t.Errorf("wall %v: %v after %d ticks", wall, err, s.Ticks)
		}
		if err := live.Close(); err != nil || closed != 1 {
			t.Errorf("closed %d times (%v)", closed, err)
		}
	}
}
