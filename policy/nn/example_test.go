package nn_test

import (
	"fmt"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// A linear layer over a flat parameter vector, and its gradient in another.
func Example() {
	p := nn.NewParams([]nn.Spec{{Name: "l.weight", Shape: []int{2, 3}}, {Name: "l.bias", Shape: []int{2}}})
	copy(p.Data, []float32{1, 0, -1, 2, 2, 2, 0.5, 0})
	x, y := []float32{1, 2, 3}, make([]float32, 2)
	nn.Linear(y, x, p.View("l.weight"), p.View("l.bias"), 1, 3, 2)
	fmt.Println(y)

	g, dy := p.Like(make([]float32, len(p.Data))), []float32{1, -1}
	nn.LinearGradient(g.View("l.weight"), dy, x, 1, 3, 2, 0, 2, 0)
	vec.AddRows(g.View("l.bias"), dy, 1)
	fmt.Println(g.Data)
	// Output:
	// [-1.5 12]
	// [1 2 3 -1 -2 -3 1 -1]
}
