package onnx

import (
	"maps"
	"math"
	"testing"
)

// TestFusion: the joined nodes give what the single ones give, and the patterns
// are found.
func TestFusion(t *testing.T) {
	for name, tc := range map[string]struct {
		net  *network
		want map[string]int
	}{
		"vit of opset 17": {vit(17, 32, 8, 24, 2, 3), map[string]int{"attention": 2, "Gelu": 2, "MatMul": 12, "LayerNormalization": 5, "Add": 5, "Reshape": 9, "Transpose": 1, "Conv": 1}},
		"vit of opset 13": {vit(13, 32, 8, 24, 2, 3), map[string]int{"attention": 2, "Gelu": 2, "MatMul": 12, "LayerNormalization": 5, "Add": 5, "Reshape": 9, "Transpose": 1, "Conv": 1}},
		"packed heads":    {packed(10, 24, 3), map[string]int{"attention": 1, "Gather": 3, "MatMul": 1, "Reshape": 2, "Transpose": 1}},
		"text encoder": {bert(7, 24, 2, 3), map[string]int{"attention": 2, "Gelu": 2, "MatMul": 13, "LayerNormalization": 5, "Add": 5, "Reshape": 8,
			"Gather": 2, "Cast": 1, "Unsqueeze": 1, "Sub": 1, "Mul": 1, "Tanh": 1}},
		"mobilenet": {mobilenet(32, 4), map[string]int{"Conv": 10, "Add": 2, "ReduceMean": 1}},
		"resnet":    {resnet(64, 4), map[string]int{"Conv": 20, "Relu": 8, "Add": 8, "MaxPool": 1, "GlobalAveragePool": 1, "Flatten": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var out [2]*Tensor
			for i, optimise := range []bool{false, true} {
				m, err := load(tc.net.bytes(), nil, "model", optimise)
				if err != nil {
					t.Fatal(err)
				}
				y, err := m.Run(tc.net.feed())
				if err != nil {
					t.Fatal(err)
				}
				out[i] = y[0]
				got := map[string]int{}
				for _, n := range m.engine.nodes {
					got[n.op]++
				}
				if optimise && !maps.Equal(got, tc.want) {
					t.Errorf("nodes %v, expected %v", got, tc.want)
				}
			}
			a, b := Data[float32](out[0]), Data[float32](out[1])
			worst, size := 0.0, 0.0
			for i := range a {
				worst = max(worst, math.Abs(float64(a[i]-b[i])))
				size = max(size, math.Abs(float64(a[i])))
			}
			if !(worst <= 1e-5*size) || size == 0 {
				t.Errorf("differs by %g of %g", worst, size)
			}
		})
	}
}

// TestNoProductTwice: a product that others read is not joined to its bias, nor
// scores that are an output to their attention.
func TestNoProductTwice(t *testing.T) {
	n := packed(10, 24, 3)
	n.outputs = append(n.outputs, "v4", "v16") // the first product, and the scores
	m, err := Decode(n.bytes())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, n := range m.engine.nodes {
		got[n.op]++
	}
	if want := map[string]int{"MatMul": 3, "Add": 1, "Reshape": 2, "Transpose": 3, "Gather": 3, "Mul": 1, "Softmax": 1}; !maps.Equal(got, want) {
		t.Errorf("nodes %v, expected %v", got, want)
	}
}
