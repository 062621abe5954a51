package reach

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"arfm/policy"
	"arfm/policy/contract"
)

func TestExpertPolicySucceeds(t *testing.T) {
	c := loadContract(t)
	c.Observation.Images = nil // the expert does not look, and this is quicker
	p, err := NewExpertPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Evaluate(context.Background(), p, c, 40, 1, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(a)
	if a.Rate < 0.97 || len(a.Interventions) != 0 {
		t.Errorf("%v, interventions %v", a, a.Interventions)
	}
	b, err := Evaluate(context.Background(), p, c, 40, 1, EvalOptions{})
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gave %v and %v (%v)", a, b, err)
	}
	noisy, err := Evaluate(context.Background(), p, c, 40, 1, EvalOptions{ActionNoise: 0.15})
	if err != nil || noisy.Rate > 0.5 {
		t.Errorf("with noise of 0.15 rad: %v (%v)", noisy, err)
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
	r, err := Evaluate(context.Background(), still{}, c, 2, 1, EvalOptions{})
	if err != nil || r.Successes != 0 || r.MeanTime != 0 {
		t.Errorf("%v, %v", r, err)
	}
	r, err = Evaluate(context.Background(), still{errors.New("no")}, c, 2, 1, EvalOptions{})
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
		if _, err := Evaluate(context.Background(), still{}, c, 1, 1, EvalOptions{}); !errors.Is(err, ErrContract) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := NewExpertPolicy(c); !errors.Is(err, ErrContract) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWilson(t *testing.T) {
	// Reference: R, prop.test(7, 10, correct=FALSE).
	lo, hi := Wilson(7, 10)
	if math.Abs(lo-0.3967781) > 1e-6 || math.Abs(hi-0.8922087) > 1e-6 {
		t.Errorf("%g..%g", lo, hi)
	}
	if lo, hi := Wilson(0, 20); lo != 0 || hi > 0.17 || hi < 0.16 {
		t.Errorf("%g..%g", lo, hi)
	}
}

func ExampleEvaluate() {
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		panic(err)
	}
	expert, err := NewExpertPolicy(c)
	if err != nil {
		panic(err)
	}
	result, err := Evaluate(context.Background(), expert, c, 10, 1, EvalOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Successes, "of", result.Episodes)
	// Output: 10 of 10
}
