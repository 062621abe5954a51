package onnx

import (
	"errors"
	"maps"
	"testing"
)

// TestConvAdd: an addition joins the Conv that makes one of its operands, in
// every way in which that is computed, and no other.
func TestConvAdd(t *testing.T) {
	one := map[string]int{"Conv": 1}
	image := []int{2, 4, 9, 10}
	for name, tc := range map[string]struct {
		image, kernel, other []int
		groups               int
		build                func(n *network, conv, other string) string // the last value; nil: the sum, at least 0
		outputs              []string                                    // besides that
		open, fixed          map[string]int
	}{
		"as large":           {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8}, open: one, fixed: one},
		"of a channel":       {image: image, kernel: []int{3, 4, 3, 3}, other: []int{3, 1, 1}, open: one, fixed: one},
		"of a row":           {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 1, 1, 8}, open: one, fixed: one},
		"of nothing":         {image: image, kernel: []int{3, 4, 3, 3}, other: []int{}, open: one, fixed: one},
		"groups":             {image: image, kernel: []int{6, 2, 3, 3}, other: []int{2, 6, 7, 8}, groups: 2, open: one, fixed: one},
		"long sums":          {image: []int{1, 48, 9, 10}, kernel: []int{3, 48, 3, 3}, other: []int{1, 3, 7, 8}, open: one, fixed: one},
		"one row":            {image: []int{2, 4, 30}, kernel: []int{3, 4, 5}, other: []int{2, 3, 26}, open: one, fixed: one},
		"volumes":            {image: []int{2, 4, 5, 6, 7}, kernel: []int{3, 4, 3, 3, 3}, other: []int{2, 3, 3, 4, 5}, open: one, fixed: one},
		"transposed":         {image: []int{2, 4, 7, 7}, kernel: []int{64, 4, 1, 1}, other: []int{2, 64, 7, 7}, open: one, fixed: one},
		"transposed, row":    {image: []int{2, 4, 7, 7}, kernel: []int{64, 4, 1, 1}, other: []int{7}, open: one, fixed: one},
		"transposed volumes": {image: []int{2, 4, 3, 7, 7}, kernel: []int{64, 4, 2, 1, 1}, other: []int{2, 64, 2, 7, 7}, open: one, fixed: one},
		"too large": {image: []int{1, 4, 9, 10}, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8}, open: one,
			fixed: map[string]int{"Conv": 1, "Add": 1, "Relu": 1}},
		"depthwise": {image: image, kernel: []int{4, 1, 3, 3}, other: []int{2, 4, 7, 8}, groups: 4,
			open: map[string]int{"Conv": 1, "Add": 1, "Relu": 1}},
		"read by others": {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8}, outputs: []string{"v3"},
			open: map[string]int{"Conv": 1, "Add": 1, "Relu": 1}},
		"to itself": {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8},
			build: func(n *network, conv, other string) string {
				return n.add("Mul", nil, n.add("Add", nil, conv, conv), other)
			},
			open: map[string]int{"Conv": 1, "Add": 1, "Mul": 1}},
		"limited before": {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8},
			build: func(n *network, conv, other string) string {
				return n.add("Add", nil, n.add("Relu", nil, conv), other)
			},
			open: map[string]int{"Conv": 1, "Add": 1}},
		"two sums": {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 3, 7, 8},
			build: func(n *network, conv, other string) string {
				return n.add("Add", nil, other, n.add("Add", nil, conv, other))
			},
			open: map[string]int{"Conv": 1, "Add": 1}},
		"two products": {image: image, kernel: []int{3, 4, 3, 3}, other: []int{2, 4, 7, 8},
			build: func(n *network, conv, other string) string {
				return n.add("Relu", nil, n.add("Add", nil, conv, n.add("Conv", nil, other, n.weight(4, 3, 4, 1, 1))))
			},
			open: map[string]int{"Conv": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(13)
			n.open = true
			n.inputs = []*Tensor{n.initializers[n.weight(1, tc.image...)], n.initializers[n.weight(1, tc.other...)]}
			n.initializers = map[string]*Tensor{}
			n.count = 0
			conv := n.add("Conv", map[string]any{"group": max(1, tc.groups)}, "a", n.weight(product(tc.kernel[1:]), tc.kernel...), n.weight(1, tc.kernel[0]))
			if tc.build == nil {
				tc.build = func(n *network, conv, other string) string {
					return n.add("Relu", nil, n.add("Add", nil, other, conv))
				}
			}
			n.outputs = append([]string{tc.build(n, conv, "b")}, tc.outputs...)
			if tc.fixed == nil {
				tc.fixed = tc.open
			}
			checkJoins(t, n, tc.open, tc.fixed)
		})
	}
}

// checkJoins compares the results of a model with open and with fixed shapes,
// and its nodes with those expected.
func checkJoins(t *testing.T, n *network, open, fixed map[string]int) {
	t.Helper()
	single, err := load(n.bytes(), nil, "model", false)
	if err != nil {
		t.Fatal(err)
	}
	want, err := single.Run(n.feed())
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(n.bytes())
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for name, x := range n.feed() {
		shapes[name] = x.Shape
	}
	for _, nodes := range []map[string]int{open, fixed} {
		got, err := m.Run(n.feed())
		if err := errors.Join(err, alike(got, want)); err != nil {
			t.Error(err)
		}
		left := map[string]int{}
		for _, n := range m.engine.nodes {
			left[n.op]++
		}
		if !maps.Equal(left, nodes) {
			t.Errorf("nodes %v, expected %v", left, nodes)
		}
		if err := m.FixShapes(shapes); err != nil {
			t.Fatal(err)
		}
	}
}
