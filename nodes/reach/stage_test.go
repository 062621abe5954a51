package reach

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"arfm/nodes/eval"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
)

// evaluate runs a policy on the arm.
func evaluate(c *contract.Contract, p policy.Policy, o eval.Options) (eval.Result, error) {
	o.Seed = 1
	return eval.Evaluate(context.Background(), Opener(c), func() (policy.Policy, error) { return p, nil }, o)
}

func TestExpertPolicySucceeds(t *testing.T) {
	c := loadContract(t)
	c.Observation.Images = nil // the expert does not look, and this is quicker
	p, err := NewExpertPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	a, err := evaluate(c, p, eval.Options{Episodes: 40})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(a)
	if a.Rate < 0.97 || len(a.Interventions) != 0 || len(a.Tasks) != 1 || a.Tasks[0].Task != Instruction {
		t.Errorf("%v, interventions %v", a, a.Interventions)
	}
	b, err := evaluate(c, p, eval.Options{Episodes: 40})
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gave %v and %v (%v)", a, b, err)
	}
	noisy, err := evaluate(c, p, eval.Options{Episodes: 40, ActionNoise: 0.15})
	if err != nil || noisy.Rate > 0.5 {
		t.Errorf("with noise of 0.15 rad: %v (%v)", noisy, err)
	}
}

// TestStageBegin: an episode is drawn the same whatever was run before it.
func TestStageBegin(t *testing.T) {
	c := loadContract(t)
	fresh, err := NewStage(c)
	if err != nil {
		t.Fatal(err)
	}
	used, err := NewStage(c)
	if err != nil {
		t.Fatal(err)
	}
	look := func(a *Stage, seed, episode uint64) (obs policy.Observation) {
		t.Helper()
		if err := errors.Join(a.Begin(seed, episode), a.Observe(a.Start(), &obs)); err != nil {
			t.Fatal(err)
		}
		return obs
	}
	want := look(fresh, 3, 7)
	other := look(used, 3, 6)
	for i := range 10 {
		cmd := &runner.Command{SetPoint: []float64{0.1 * float64(i), 1}}
		if _, err := used.Step(cmd); err != nil {
			t.Fatal(err)
		}
		if err := used.Observe(used.Start()+int64(i+1)*Period, &other); err != nil {
			t.Fatal(err)
		}
	}
	if got := look(used, 3, 7); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got.State, want.State)
	}
	if got := look(used, 4, 7); reflect.DeepEqual(got.State, want.State) {
		t.Error("another seed draws the same episode")
	}
}

// TestStageContinue: the target jumps, the arm and its velocity stay.
func TestStageContinue(t *testing.T) {
	a, err := NewStage(loadContract(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Begin(1, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Step(&runner.Command{SetPoint: []float64{2, 2}}); err != nil {
		t.Fatal(err)
	}
	before := *a.w
	for i := range uint64(50) {
		if err := a.Continue(1, i); err != nil {
			t.Fatal(err)
		}
		if a.w.Q != before.Q || a.w.V != before.V || a.w.V == [2]float64{} || a.w.Steps != 0 || a.w.Target == before.Target || a.w.Distance() < 0.15 {
			t.Fatalf("%+v after %+v", *a.w, before)
		}
	}
}

// still is a policy that never moves.
type still struct{ err error }

func (s still) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	*chunk = policy.ActionChunk{Stamp: obs.Stamp, Period: Period, Dim: 2}
	for range 16 {
		chunk.Values = append(chunk.Values, obs.State[0], obs.State[1])
	}
	return s.err
}
func (still) Info() policy.Info { return policy.Info{} }

func TestEvaluateFailure(t *testing.T) {
	c := loadContract(t) // with its camera
	r, err := evaluate(c, still{}, eval.Options{Episodes: 2})
	if err != nil || r.Successes != 0 || r.MeanTime != 0 {
		t.Errorf("%v, %v", r, err)
	}
	r, err = evaluate(c, still{errors.New("no")}, eval.Options{Episodes: 2})
	if err != nil || r.Interventions["NotReady"].Ticks != 2*MaxSteps {
		t.Errorf("a policy that fails: %v, %v, %v", r, r.Interventions, err)
	}
}

func TestContractRefused(t *testing.T) {
	for name, change := range map[string]func(*contract.Contract){
		"topic": func(c *contract.Contract) { c.Observation.State[0].Topic = "/other" },
		"joint": func(c *contract.Contract) { c.Action.Names = []string{"joint_1", "joint_3"} },
		"rate":  func(c *contract.Contract) { c.RateHz = 10 },
	} {
		c := loadContract(t)
		change(c)
		if _, err := evaluate(c, still{}, eval.Options{Episodes: 1}); !errors.Is(err, eval.ErrContract) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := NewExpertPolicy(c); !errors.Is(err, eval.ErrContract) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
