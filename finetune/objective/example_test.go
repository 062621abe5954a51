package objective_test

import (
	"fmt"

	"arfm/finetune/objective"
)

func ExampleSolveAlpha() {
	o := objective.DefaultAlpha()
	// A small network: the losses of a batch vary so much that the signal is
	// not worth the variance, and alpha stays on its lower bound.
	fmt.Printf("%.3f\n", objective.SolveAlpha(1, 0.05, o).Alpha)
	// A fine-tuned large model.
	fmt.Printf("%.3f\n", objective.SolveAlpha(1, 1e-4, o).Alpha)
	// Output:
	// 0.010
	// 0.693
}

// constant is a velocity field with one parameter: v is the same everywhere.
type constant struct{ theta []float32 }

func (c constant) Params() []float32 { return c.theta }
func (c constant) Velocity(out []float32) {
	for i := range out {
		out[i] = c.theta[0]
	}
}
func (c constant) Backward(dOut, grad []float32) {
	grad[0] = 0
	for _, d := range dOut {
		grad[0] += d
	}
}

func ExampleCompile() {
	field := constant{[]float32{0}}
	step, err := objective.Compile(field, objective.RWR{Beta: 1}, 2, 1, 1)
	if err != nil {
		panic(err)
	}
	defer step.Close()
	copy(step.Target, []float32{-1, 1})
	copy(step.Mask, []float32{1, 1})
	copy(step.Advantage, []float32{0, 2}) // the second sample is the better one
	m, err := step.Run()
	if err != nil {
		panic(err)
	}
	fmt.Printf("loss %.1f, weights %.3f, gradient %.3f\n", m.Loss, step.Weights(), step.Grad)
	// Output: loss 1.0, weights [0.119 0.881], gradient [-1.523]
}
