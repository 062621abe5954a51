package eval_test

import (
	"context"
	"fmt"

	"arfm/nodes/eval"
	"arfm/nodes/reach"
	"arfm/policy"
	"arfm/policy/contract"
)

func Example() {
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		panic(err)
	}
	expert := func() (policy.Policy, error) { return reach.NewExpertPolicy(c) }
	result, err := eval.Evaluate(context.Background(), reach.Opener(c), expert, eval.Options{Episodes: 10, Seed: 1, Workers: 2})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Successes, "of", result.Episodes)
	// Output: 10 of 10
}
