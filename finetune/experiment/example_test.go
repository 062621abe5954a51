package experiment_test

import (
	"fmt"

	"arfm/finetune/experiment"
)

// What an experiment will do can be seen before it is done.
func Example() {
	budget, err := experiment.FindBudget("small")
	if err != nil {
		panic(err)
	}
	plan, err := experiment.New(experiment.Options{
		Experiment: "multitask", Budget: budget, Methods: []string{"bc", "rwr", "arfm"},
		Suites: []experiment.Suite{{Name: "goal", Tasks: 5}},
	})
	if err != nil {
		panic(err)
	}
	kinds := map[string]int{}
	for _, j := range plan.Jobs {
		kinds[j.Kind()]++
	}
	fmt.Println(kinds)
	// Output: map[choose:1 evaluate:6 record:1 train:6]
}
