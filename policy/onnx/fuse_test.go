package onnx

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
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
		"mobilenet": {mobilenet(32, 4), map[string]int{"Conv": 10, "ReduceMean": 1}},
		"resnet":    {resnet(64, 4), map[string]int{"Conv": 20, "MaxPool": 1, "GlobalAveragePool": 1, "Flatten": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var out *Tensor
			for _, way := range []string{"single", "open", "fixed", "fixed again"} {
				m, err := load(tc.net.bytes(), nil, "model", way != "single")
				if err != nil {
					t.Fatal(err)
				}
				for range strings.Count(way, "fixed") + strings.Count(way, "again") {
					if err := m.Fix(nil); err != nil {
						t.Fatal(err)
					}
				}
				y, err := m.Run(tc.net.feed())
				if err != nil {
					t.Fatal(err)
				}
				if out == nil {
					out = y[0]
				}
				got := map[string]int{}
				for _, n := range m.engine.nodes {
					got[n.op]++
				}
				if way != "single" && !maps.Equal(got, tc.want) {
					t.Errorf("%s: nodes %v, expected %v", way, got, tc.want)
				}
				equalEnough(t, out, y[0])
			}
		})
	}
}

func equalEnough(t *testing.T, plain, joined *Tensor) {
	t.Helper()
	if !slices.Equal(plain.Shape, joined.Shape) {
		t.Fatalf("shape %v, expected %v", joined.Shape, plain.Shape)
	}
	a, b := Data[float32](plain), Data[float32](joined)
	worst, size := 0.0, 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i]-b[i])))
		size = max(size, math.Abs(float64(a[i])))
	}
	if !(worst <= 1e-5*size) || size == 0 {
		t.Errorf("differs by %g of %g", worst, size)
	}
}

// TestAttentionShapes: attention of two to four dimensions, with operands and
// masks that are stretched, gives joined what it gives in single nodes.
func TestAttentionShapes(t *testing.T) {
	for name, tc := range map[string]struct {
		q, k, v, mask []int // k as the product needs it
		perm          []int // of q and, where it has three dimensions, of the result
		keys          []int // perm of k
	}{
		"two dimensions":         {q: []int{3, 4}, k: []int{4, 5}, v: []int{5, 2}},
		"three":                  {q: []int{6, 3, 4}, k: []int{6, 4, 5}, v: []int{6, 5, 2}},
		"three, tokens first":    {q: []int{3, 6, 4}, k: []int{5, 6, 4}, v: []int{6, 5, 2}, perm: []int{1, 0, 2}, keys: []int{1, 2, 0}},
		"three, keys swapped":    {q: []int{6, 3, 4}, k: []int{6, 5, 4}, v: []int{6, 5, 2}, keys: []int{0, 2, 1}},
		"three, a mask for each": {q: []int{6, 3, 4}, k: []int{6, 4, 5}, v: []int{6, 5, 2}, mask: []int{6, 1, 5}},
		"one head of keys":       {q: []int{2, 6, 3, 4}, k: []int{2, 1, 4, 5}, v: []int{2, 1, 5, 2}},
		"one batch of queries":   {q: []int{1, 2, 3, 4}, k: []int{3, 2, 4, 5}, v: []int{3, 2, 5, 2}, mask: []int{5}},
		"keys without a batch":   {q: []int{2, 6, 3, 4}, k: []int{6, 4, 5}, v: []int{5, 2}},
		"masks add a batch":      {q: []int{6, 3, 4}, k: []int{6, 4, 5}, v: []int{6, 5, 2}, mask: []int{2, 1, 3, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(13)
			input := func(shape []int, perm []int) string {
				n.inputs = append(n.inputs, n.initializers[n.weight(1, shape...)])
				x := string(rune('a' + len(n.inputs) - 1))
				if perm != nil {
					x = n.add("Transpose", map[string]any{"perm": perm}, x)
				}
				return x
			}
			score := n.add("MatMul", nil, input(tc.q, tc.perm), input(tc.k, tc.keys))
			v := input(tc.v, nil)
			if tc.mask != nil {
				score = n.add("Add", nil, score, input(tc.mask, nil))
			}
			y := n.add("MatMul", nil, n.add("Softmax", nil, score), v)
			if tc.perm != nil {
				y = n.add("Transpose", map[string]any{"perm": tc.perm}, y)
			}
			n.outputs = []string{y}
			var out [2]*Tensor
			for i, optimise := range []bool{false, true} {
				m, err := load(n.bytes(), nil, "model", optimise)
				if err != nil {
					t.Fatal(err)
				}
				if optimise && (m.Steps() != 1 || m.engine.nodes[0].op != "attention") {
					t.Fatalf("%d nodes are left, expected one", m.Steps())
				}
				y, err := m.Run(n.feed())
				if err != nil {
					t.Fatal(err)
				}
				out[i] = y[0]
			}
			equalEnough(t, out[0], out[1])
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

// TestUnfitByData: where the shapes that a join meets depend on data, a run
// finds out whether it fits.
func TestUnfitByData(t *testing.T) {
	n := newNetwork(13)
	n.inputs = []*Tensor{floats([]float32{1, 0, 2, 3, 0, 1, 1, 0}, 8)}
	rows := n.add("Cast", map[string]any{"to": int(Float32)}, n.add("NonZero", nil, "a")) // (1, count)
	x := n.add("MatMul", nil, n.add("Transpose", nil, rows), n.weight(1, 1, 4))
	score := n.add("MatMul", nil, x, n.add("Transpose", nil, x))
	y := n.add("MatMul", nil, n.add("Softmax", nil, n.add("Add", nil, score, n.weight(1, 5, 1))), x)
	n.outputs = []string{y}
	single, err := load(n.bytes(), nil, "model", false)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(n.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fix(nil); err != nil {
		t.Fatal(err)
	}
	if m.engine.nodes[m.Steps()-1].op != "attention" {
		t.Fatal("the attention is not joined")
	}
	one := floats([]float32{0, 0, 3, 0, 0, 0, 0, 0}, 8) // one query, which the mask makes five
	for _, a := range []*Tensor{n.inputs[0], one, n.inputs[0]} {
		in := map[string]*Tensor{"a": a}
		want, err := single.Run(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Run(in)
		if err := errors.Join(err, alike(got, want)); err != nil {
			t.Error(err)
		}
		if m.pool.used != 0 {
			t.Errorf("%d bytes are not given back", m.pool.used)
		}
	}
}
