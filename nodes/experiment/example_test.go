package experiment_test

import (
	"fmt"

	plans "arfm/finetune/experiment"
	"arfm/nodes/experiment"
)

func Example() {
	budget, err := plans.FindBudget("small")
	if err != nil {
		panic(err)
	}
	o := experiment.Options{Experiment: "perturb", Budget: budget, Suites: []string{"goal"}, Methods: []string{"bc", "arfm"}}
	plan, err := o.Plan() // Run does it
	if err != nil {
		panic(err)
	}
	fmt.Println(len(plan.Jobs), "jobs;", plan.Title)
	// Output: 16 jobs; Success under noise on actions
}
