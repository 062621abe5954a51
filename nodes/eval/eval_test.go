package eval_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/finetune/experiment/stat"
	"arfm/nodes/eval"
	"arfm/nodes/reach"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

func reachContract(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Observation.Images = nil // the expert does not look
	return c
}

func newExpert(c *contract.Contract) func() (policy.Policy, error) {
	return func() (policy.Policy, error) { return reach.NewExpertPolicy(c) }
}

// unsteady is the expert with a hand that shakes by its own random stream.
type unsteady struct {
	policy.Policy
	*flow.Stream
}

func (u *unsteady) Reseed(seed uint64) { u.Stream = flow.NewStream(seed, "hand") }

func (u *unsteady) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	err := u.Policy.Act(obs, chunk)
	for i := range chunk.Values {
		chunk.Values[i] += float32(0.03 * u.NormFloat64())
	}
	return err
}

// newModel returns policies that share the weights of one untrained network.
func newModel(t *testing.T, c *contract.Contract) func() (policy.Policy, error) {
	t.Helper()
	cfg, err := vla.Preset("nano")
	if err != nil {
		t.Fatal(err)
	}
	cfg.D, cfg.Layers, cfg.Steps = 32, 1, 2
	m, err := vla.New(cfg.For(c), 1)
	if err != nil {
		t.Fatal(err)
	}
	unit := func(n int) []contract.Moments {
		return slices.Repeat([]contract.Moments{{Std: 1, Min: -1, Max: 1, Q01: -1, Q99: 1}}, n)
	}
	stats := &contract.Stats{Frames: 1, State: unit(c.StateDim()), Action: unit(c.ActionDim())}
	return func() (policy.Policy, error) { return vla.NewPolicy(m, c, stats, nil, policy.Info{}, 5) }
}

// TestWorkers: the result and every outcome are those of one worker, however
// many there are, for policies that draw noise of their own too.
func TestWorkers(t *testing.T) {
	c := reachContract(t)
	for name, newPolicy := range map[string]func() (policy.Policy, error){
		"unsteady expert": func() (policy.Policy, error) {
			p, err := reach.NewExpertPolicy(c)
			return &unsteady{p, flow.NewStream(0, "hand")}, err
		},
		"network": newModel(t, c),
	} {
		var first eval.Result
		var told []eval.Outcome
		for _, workers := range []int{1, 3, 1} {
			var outcomes []eval.Outcome
			progress := 0
			r, err := eval.Evaluate(t.Context(), reach.Opener(c), newPolicy, eval.Options{
				Episodes: 12, Seed: 4, Workers: workers, ActionNoise: 0.02,
				Progress: func(n int) {
					if progress++; n != progress {
						t.Errorf("%s: progress %d after %d", name, n, progress-1)
					}
				},
				Each: func(o eval.Outcome) { outcomes = append(outcomes, o) },
			})
			if err != nil || progress != 12 || len(outcomes) != 12 {
				t.Fatalf("%s: %v, progress %d, %d outcomes", name, err, progress, len(outcomes))
			}
			for i, o := range outcomes {
				if o.Index != i {
					t.Errorf("%s: outcome %d is told as number %d", name, o.Index, i)
				}
			}
			if told == nil {
				first, told = r, outcomes
				t.Logf("%s:\n%v", name, r)
			}
			if !reflect.DeepEqual(r, first) || !reflect.DeepEqual(outcomes, told) {
				t.Errorf("%s: %d workers give\n%v, one gave\n%v", name, workers, r, first)
			}
		}
		if len(first.Interventions) == 0 {
			t.Errorf("%s: no interventions, the test does not compare them", name)
		}
		// An episode does not depend on those before it, and another seed is
		// another evaluation.
		short, err := eval.Evaluate(t.Context(), reach.Opener(c), newPolicy, eval.Options{Episodes: 1, Seed: 4, ActionNoise: 0.02})
		if err != nil || short.MeanReturn != told[0].Return {
			t.Errorf("%s: the first episode alone gives %v (%v)", name, short, err)
		}
		other, err := eval.Evaluate(t.Context(), reach.Opener(c), newPolicy, eval.Options{Episodes: 12, Seed: 5, ActionNoise: 0.02})
		if err != nil || other.MeanReturn == first.MeanReturn {
			t.Errorf("%s: seed 5 gives %v (%v)", name, other, err)
		}
	}
}

// named is the reach arm whose odd episodes have another instruction and fail.
type named struct {
	eval.Stage
	episode uint64
}

func (s *named) Begin(seed, episode uint64) error {
	s.episode = episode
	return s.Stage.Begin(seed, episode)
}

func (s *named) Episode() eval.Episode {
	e := s.Stage.Episode()
	if s.episode%2 == 1 {
		e.Task, e.Success = "fail", false
	}
	return e
}

// TestTasks: scores by task add up to the score of all.
func TestTasks(t *testing.T) {
	c := reachContract(t)
	open := func() (eval.Stage, error) {
		s, err := reach.NewStage(c)
		return &named{Stage: s}, err
	}
	var times, returns float64
	r, err := eval.Evaluate(t.Context(), open, newExpert(c), eval.Options{Episodes: 11, Seed: 2, Workers: 2, Each: func(o eval.Outcome) {
		if o.Success {
			times += o.Time / 6
		}
		returns += o.Return / 11
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tasks) != 2 || r.Tasks[0].Task != "fail" || r.Tasks[1].Task != reach.Instruction {
		t.Fatalf("%+v", r.Tasks)
	}
	fail, good := r.Tasks[0], r.Tasks[1]
	if fail.Episodes != 5 || fail.Successes != 0 || fail.Rate != 0 || fail.MeanTime != 0 || good.Episodes != 6 || good.Successes != 6 || good.Rate != 1 {
		t.Errorf("%+v", r.Tasks)
	}
	if r.Episodes != 11 || r.Successes != 6 || r.MeanTime != good.MeanTime || math.Abs(r.MeanTime-times) > 1e-12 || math.Abs(r.MeanReturn-returns) > 1e-12 {
		t.Errorf("%+v, times %g, returns %g", r.Score, times, returns)
	}
	if lo, hi := stat.Wilson(6, 11); r.Low != lo || r.High != hi {
		t.Errorf("interval %g..%g, want %g..%g", r.Low, r.High, lo, hi)
	}
	lines := strings.Split(strings.TrimSpace(r.String()), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "fail") || !strings.Contains(lines[1], "0/5") || !strings.HasPrefix(lines[3], "all") || !strings.Contains(lines[3], "6/11") {
		t.Errorf("the table is\n%v", r)
	}
	data, err := json.Marshal(r)
	for _, key := range []string{`{"episodes":11,"successes":6,"success_rate":`, `"tasks":[{"task":"fail","episodes":5`, `"mean_time_s"`, `"interventions":{}`} {
		if !strings.Contains(string(data), key) {
			t.Errorf("JSON lacks %s: %s (%v)", key, data, err)
		}
	}
}

// fine is the reach arm under a controller with five ticks to a frame.
type fine struct {
	eval.Stage
	ticks int
}

func (s *fine) RunnerConfig(replanRows int) runner.Config {
	cfg := s.Stage.RunnerConfig(replanRows)
	cfg.Period /= 5
	return cfg
}

func (s *fine) Step(cmd *runner.Command) (float64, error) {
	if s.ticks++; s.ticks%5 != 0 {
		return 0, nil
	}
	return s.Stage.Step(cmd)
}

func (s *fine) Episode() eval.Episode {
	e := s.Stage.Episode()
	e.Steps *= 5
	return e
}

// TestFineTicks: the control period may be a part of the frame period.
func TestFineTicks(t *testing.T) {
	c := reachContract(t)
	coarse, err := eval.Evaluate(t.Context(), reach.Opener(c), newExpert(c), eval.Options{Episodes: 10, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	open := func() (eval.Stage, error) {
		s, err := reach.NewStage(c)
		return &fine{Stage: s}, err
	}
	r, err := eval.Evaluate(t.Context(), open, newExpert(c), eval.Options{Episodes: 10, Seed: 1})
	if err != nil || r.Successes != 10 || math.Abs(r.MeanTime-coarse.MeanTime) > 0.1 {
		t.Errorf("%v at five ticks to a frame, %v at one (%v)", r, coarse, err)
	}
}

// breaking is the reach arm that breaks in its step-th step.
type breaking struct {
	eval.Stage
	step   int
	err    error
	closed *int
}

func (s *breaking) Step(cmd *runner.Command) (float64, error) {
	if s.step--; s.step == 0 {
		return 0, s.err
	}
	return s.Stage.Step(cmd)
}

func (s *breaking) Close() error {
	*s.closed++
	return s.Stage.Close()
}

// TestNoiseUnit: noise is in units of its own for each element of an action.
func TestNoiseUnit(t *testing.T) {
	c := reachContract(t)
	evaluate := func(noise float64, unit ...float64) eval.Result {
		r, err := eval.Evaluate(t.Context(), reach.Opener(c), newExpert(c), eval.Options{Episodes: 4, Seed: 3, ActionNoise: noise, NoiseUnit: unit})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	without, with := evaluate(0), evaluate(0.02)
	for _, r := range []eval.Result{evaluate(0.04, 0.5, 0.5), evaluate(0.01, 2, 2)} {
		if !reflect.DeepEqual(r, with) || reflect.DeepEqual(r, without) {
			t.Errorf("the same noise in another unit gives\n%v, want\n%v", r, with)
		}
	}
	if r := evaluate(0.02, 0, 0); !reflect.DeepEqual(r, without) {
		t.Errorf("noise of unit 0 gives\n%v, want\n%v", r, without)
	}
	if r := evaluate(0.02, 1, 0); reflect.DeepEqual(r, with) || reflect.DeepEqual(r, without) {
		t.Errorf("noise on the first joint alone gives\n%v", r)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	c := reachContract(t)
	for name, o := range map[string]eval.Options{
		"no episodes":    {},
		"negative noise": {Episodes: 1, ActionNoise: -1},
		"NaN noise":      {Episodes: 1, ActionNoise: math.NaN()},
		"replan rows":    {Episodes: 1, ReplanRows: -1},
		"workers":        {Episodes: 1, Workers: -1},
	} {
		if _, err := eval.Evaluate(t.Context(), reach.Opener(c), newExpert(c), o); err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	broken := errors.New("broken")
	three := eval.Options{Episodes: 9, Seed: 1, Workers: 3}
	noStage := func() (eval.Stage, error) { return nil, broken }
	if _, err := eval.Evaluate(t.Context(), noStage, newExpert(c), three); !errors.Is(err, broken) {
		t.Errorf("no stage: %v", err)
	}
	closed := 0
	open := func() (eval.Stage, error) {
		s, err := reach.NewStage(c)
		return &breaking{s, 100, broken, &closed}, err
	}
	noPolicy := func() (policy.Policy, error) { return nil, broken }
	one := eval.Options{Episodes: 9, Seed: 1}
	if _, err := eval.Evaluate(t.Context(), open, noPolicy, one); !errors.Is(err, broken) || closed != 1 {
		t.Errorf("no policy: %v, closed %d times", err, closed)
	}
	// A stage that breaks after a while: what was done until then counts.
	r, err := eval.Evaluate(t.Context(), open, newExpert(c), one)
	if !errors.Is(err, broken) || !strings.Contains(fmt.Sprint(err), "episode") || r.Episodes < 2 || r.Episodes > 8 || closed != 2 {
		t.Errorf("a stage that breaks: %v, %v, closed %d times", r, err, closed)
	}
	// Cancelled after three episodes: a worker ends at most the one it is in.
	ctx, cancel := context.WithCancel(t.Context())
	done := 0
	three.Episodes, three.Progress = 1000, func(episodes int) {
		if done = episodes; done == 3 {
			cancel()
		}
	}
	r, err = eval.Evaluate(ctx, reach.Opener(c), newExpert(c), three)
	if !errors.Is(err, context.Canceled) || done < 3 || done > 6 || r.Episodes > done {
		t.Errorf("cancelled: %d episodes, %v, %v", done, r, err)
	}
}
