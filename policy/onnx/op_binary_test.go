package onnx

import (
	"math/rand/v2"
	"testing"
)

// TestScalarArith: a number on either side, in vectors and what is left of them.
func TestScalarArith(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for op, of := range map[string]func(a, b float32) float32{
		"Add": func(a, b float32) float32 { return a + b }, "Sub": func(a, b float32) float32 { return a - b },
		"Mul": func(a, b float32) float32 { return a * b }, "Div": func(a, b float32) float32 { return a / b },
	} {
		for _, n := range []int{1, 2, 255, 256, 600} {
			x, one := random(r, 3, n), random(r, 1)
			for _, node := range []string{op + " a b -> y", op + " b a -> y"} {
				f := &file{opset: 14, inputs: []*Tensor{x, one}, outputs: []string{"y"}, nodes: []string{node}}
				for i, got := range Data[float32](f.run(t)[0]) {
					a, b := Data[float32](x)[i], Data[float32](one)[0]
					if node[4] == 'b' {
						a, b = b, a
					}
					if want := of(a, b); got != want {
						t.Fatalf("%s of %d: %v at %d, want %v", node, n, got, i, want)
					}
				}
			}
		}
	}
}
