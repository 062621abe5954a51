package flow_test

import (
	"fmt"

	"arfm/policy/flow"
)

// Noise at tau = 0 becomes the action at tau = 1 by following the velocity.
func Example() {
	action, noise := []float32{0.5, -0.25}, []float32{-1, 2}
	u := make([]float32, 2)
	flow.Target(u, action, noise)

	at := make([]float32, 2)
	flow.Interpolate(at, action, noise, 0.5)
	fmt.Println("halfway:", at)

	x := append([]float32(nil), noise...)
	flow.Euler(func(v, x []float32, tau float32) { copy(v, u) }, x, make([]float32, 2), 10)
	fmt.Printf("sample: %.2f\n", x)
	// Output:
	// halfway: [-0.25 0.875]
	// sample: [0.50 -0.25]
}
