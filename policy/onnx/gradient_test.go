package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// drawn is a tensor of numbers from low to high.
func drawn(r *rand.Rand, low, high float64, shape ...int) *Tensor {
	v := make([]float64, product(shape))
	for i := range v {
		v[i] = low + r.Float64()*(high-low)
	}
	return must(New(Float64, v, shape...))
}

// slopeCase is a graph from a and b to y.
type slopeCase struct {
	nodes []string
	a, b  []int // shapes; b may be nil
	attrs map[string]any
	fixed map[string]*Tensor
	low   float64 // of the inputs, which go up to 2
	rough bool    // computed in float32
}

var slopeCases = map[string]slopeCase{
	"Add":                {nodes: []string{"Add a b -> y"}, a: []int{2, 3}, b: []int{2, 3}},
	"Add stretched":      {nodes: []string{"Add a b -> y"}, a: []int{2, 1, 3}, b: []int{4, 1}},
	"Add a number":       {nodes: []string{"Add a b -> y"}, a: []int{2, 3}, b: []int{}},
	"Add itself":         {nodes: []string{"Add a a -> y"}, a: []int{2, 3}},
	"Sum":                {nodes: []string{"Sum a b a -> y"}, a: []int{3}, b: []int{2, 3}},
	"Sub":                {nodes: []string{"Sub a b -> y"}, a: []int{3}, b: []int{2, 3}},
	"Mul":                {nodes: []string{"Mul a b -> y"}, a: []int{2, 3}, b: []int{2, 1}},
	"Mul itself":         {nodes: []string{"Mul a a -> y"}, a: []int{2, 3}},
	"Div":                {nodes: []string{"Div a b -> y"}, a: []int{3}, b: []int{2, 1}, low: 0.5},
	"MatMul":             {nodes: []string{"MatMul a b -> y"}, a: []int{2, 3}, b: []int{3, 4}},
	"MatMul stretched":   {nodes: []string{"MatMul a b -> y"}, a: []int{2, 1, 2, 3}, b: []int{4, 3, 2}},
	"MatMul a vector":    {nodes: []string{"MatMul a b -> y"}, a: []int{3}, b: []int{2, 3, 4}},
	"MatMul by a vector": {nodes: []string{"MatMul a b -> y"}, a: []int{2, 4, 3}, b: []int{3}},
	"MatMul of vectors":  {nodes: []string{"MatMul a b -> y"}, a: []int{3}, b: []int{3}},
	"MatMul by itself":   {nodes: []string{"MatMul a a -> y"}, a: []int{3, 3}},
	"Gemm":               {nodes: []string{"Gemm a b c -> y"}, a: []int{2, 3}, b: []int{3, 4}, fixed: map[string]*Tensor{"c": drawn(rand.New(rand.NewPCG(1, 1)), -1, 1, 4)}, attrs: map[string]any{"alpha": 0.5}, rough: true},
	"Gemm transposed":    {nodes: []string{"Gemm a b a -> y"}, a: []int{3, 3}, b: []int{3, 3}, attrs: map[string]any{"beta": 2., "transA": 1, "transB": 1}, rough: true},
	"Pow":                {nodes: []string{"Pow a p -> y"}, a: []int{2, 3}, fixed: map[string]*Tensor{"p": ints(3)}},
	"Pow of many":        {nodes: []string{"Pow a p -> y"}, a: []int{1}, fixed: map[string]*Tensor{"p": must(New(Float64, []float64{0, 1, 2.5, -1}, 4))}, low: 0.5},
	"Where":              {nodes: []string{"Less a b -> l", "Where l a b -> y"}, a: []int{2, 3}, b: []int{3}},
	"ReduceSum":          {nodes: []string{"ReduceSum a i -> y"}, a: []int{2, 3, 2}, attrs: map[string]any{"keepdims": 0}, fixed: map[string]*Tensor{"i": ints(1)}},
	"ReduceMean":         {nodes: []string{"ReduceMean a -> m", "Sub a m -> y"}, a: []int{2, 3}, attrs: map[string]any{"axes": []int{-1}}},
	"ReduceMean of all":  {nodes: []string{"ReduceMean a -> y"}, a: []int{2, 3}, attrs: map[string]any{"keepdims": 0}},
	"shapes":             {nodes: []string{"Transpose a -> t", "Reshape t s -> r", "Unsqueeze r i -> u", "Expand u s -> y"}, a: []int{2, 3, 4}, attrs: map[string]any{"perm": []int{1, 2, 0}}, fixed: map[string]*Tensor{"s": ints(2, 12), "i": ints(0)}},
	"reversed axes":      {nodes: []string{"Transpose a -> t", "Squeeze t -> q", "MatMul q b -> y"}, a: []int{3, 1, 2}, b: []int{3}},
	"two ways":           {nodes: []string{"Exp a -> e", "Mul e a -> m", "Sub m e -> y"}, a: []int{2, 3}},
	"a small network":    {nodes: []string{"MatMul a b -> h", "Tanh h -> t", "MatMul t a -> o", "Sigmoid o -> y"}, a: []int{3, 3}, b: []int{3, 3}},
}

// TestSlopes: what Gradient gives is how numbers change, in first and second
// order, with open shapes and fixed ones.
func TestSlopes(t *testing.T) {
	cases := maps.Clone(slopeCases)
	for op := range unarySlopes {
		low := -2.
		if op == "Log" || op == "Sqrt" || op == "Reciprocal" {
			low = 0.5
		}
		cases[op] = slopeCase{nodes: []string{op + " a -> y"}, a: []int{2, 3}, low: low}
	}
	for name, c := range cases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			checkSlopes(t, c.file(rand.New(rand.NewPCG(7, 1))), c.xs(), c.rough)
		})
	}
}

func (c slopeCase) xs() []string {
	if c.b == nil {
		return []string{"a"}
	}
	return []string{"a", "b"}
}

// file is a model with outputs v = y^2 and w, and for each x of xs dx and ex,
// the slopes along x of the sums of v and w; w is da^2.
func (c slopeCase) file(r *rand.Rand) *file {
	if c.low == 0 {
		c.low = -2
	}
	f := &file{opset: 17, inputs: []*Tensor{drawn(r, c.low, 2, c.a...)}, open: true, initializers: c.fixed, attrs: map[string]map[string]any{}, outputs: []string{"v", "w"}}
	if c.b != nil {
		f.inputs = append(f.inputs, drawn(r, c.low, 2, c.b...))
	}
	for _, n := range c.nodes {
		f.attrs[strings.Fields(n)[0]] = c.attrs
	}
	xs := c.xs()
	from, last := strings.Join(xs, " "), xs[len(xs)-1]
	f.nodes = append(slices.Clone(c.nodes), "Mul y y -> v", "Gradient "+from+" -> d"+strings.Join(xs, " d"), "Mul da da -> w", "Gradient "+from+" -> e"+strings.Join(xs, " e"))
	f.attrs["d"+last] = map[string]any{"xs": xs, "y": "v"}
	f.attrs["e"+last] = map[string]any{"xs": xs, "y": "w"}
	for _, x := range xs {
		f.outputs = append(f.outputs, "d"+x, "e"+x)
	}
	return f
}

// checkSlopes holds the outputs dx, ex of such a model against numeric slopes.
func checkSlopes(t *testing.T, f *file, xs []string, rough bool) {
	t.Helper()
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for name, x := range f.feed() {
		shapes[name] = x.Shape
	}
	step, tolerance := 1e-4, 1e-5
	if rough {
		step, tolerance = 0.05, 2e-3
	}
	for range 2 {
		out, err := m.Run(f.feed())
		if err != nil {
			t.Fatal(err)
		}
		for k, x := range xs {
			for order, name := range []string{"d", "e"} {
				want := numericSlope(t, m, f, x, order, step)
				if err := within(out[2+2*k+order], want, tolerance, tolerance*10); err != nil {
					t.Errorf("%s%s: %v", name, x, err)
				}
			}
		}
		if err := m.FixShapes(shapes); err != nil {
			t.Fatal(err)
		}
	}
}

// numericSlope is how the sum of an output changes with each number of an input,
// from its values one and two steps to both sides.
func numericSlope(t *testing.T, m *Model, f *file, name string, output int, step float64) *Tensor {
	t.Helper()
	in := f.feed()
	x := in[name]
	slope := must(New(Float64, make([]float64, x.Len()), x.Shape...))
	at := func(i int, d float64) (total float64) {
		moved := must(New(Float64, slices.Clone(Data[float64](x)), x.Shape...))
		Data[float64](moved)[i] += d
		in[name] = moved
		out, err := m.Run(in)
		if err != nil {
			t.Fatal(err)
		}
		for v := range out[output].Floats() {
			total += v
		}
		return total
	}
	for i := range x.Len() {
		near, far := at(i, step)-at(i, -step), at(i, 2*step)-at(i, -2*step)
		Data[float64](slope)[i] = (8*near - far) / (12 * step)
	}
	return slope
}

// gradientOf is a model with one Gradient, "Gradient inputs -> d" of y along xs,
// behind nodes.
func gradientOf(xs []string, nodes []string, gradient string, inputs ...*Tensor) *file {
	return &file{opset: 17, nodes: append(slices.Clone(nodes), gradient), inputs: inputs, outputs: []string{"d"},
		attrs: map[string]map[string]any{"d": {"xs": xs, "y": "y"}}}
}

// TestGradient is what the specification says of Gradient beside formulas.
func TestGradient(t *testing.T) {
	two, x := floats([]float32{2}, 1), floats([]float32{3, 5}, 2)
	chain := []string{"Mul a a -> h", "Mul h h -> y"} // y = a^4
	held := gradientOf([]string{"a"}, []string{"Neg a -> z", "Mul a z -> y"}, "Gradient a z -> d", two)
	held.attrs["d"]["zs"] = []string{"z"}
	cubed := gradientOf([]string{"a"}, []string{"Pow a p -> y"}, "Gradient a -> d", must(New(Float32, []float32{2, 0}, 2)))
	cubed.initializers = map[string]*Tensor{"p": floats([]float32{3})}
	cubed.outputs = []string{"d"}
	for i, next := range []string{"d2", "d3", "d4"} {
		before := []string{"d", "d2", "d3"}[i]
		cubed.nodes, cubed.outputs = append([]string{"Gradient a -> " + next}, cubed.nodes...), append(cubed.outputs, next) // before what it names
		cubed.attrs[next] = map[string]any{"xs": []string{"a"}, "y": before}
	}
	half := must(New(Float16, []uint16{ToFloat16(3)}, 1))
	for name, c := range map[string]struct {
		f    *file
		want []float32
	}{
		"at its own inputs":     {gradientOf([]string{"a"}, chain, "Gradient a -> d", x), []float32{108, 500}},
		"at another value":      {gradientOf([]string{"a"}, chain, "Gradient b -> d", x, two), []float32{32}},
		"along what is between": {gradientOf([]string{"h"}, chain, "Gradient h -> d", x), []float32{18, 50}},
		"between, elsewhere":    {gradientOf([]string{"h"}, chain, "Gradient b -> d", x, two), []float32{4}},
		"beside another output": {gradientOf([]string{"h"}, []string{"Split a -> h z", "Mul h z -> y"}, "Gradient h -> d", x), []float32{5}},
		"along itself":          {gradientOf([]string{"y"}, chain, "Gradient y -> d", x), []float32{1, 1}},
		"along a constant":      {gradientOf([]string{"k"}, []string{"Constant -> k", "Mul k a -> y"}, "Gradient k -> d", x), []float32{8}},
		"of what is held":       {held, []float32{-2}},
		"of nothing":            {gradientOf([]string{"b"}, chain, "Gradient b -> d", two, x), []float32{0, 0}},
		"of flat operators":     {gradientOf([]string{"a"}, []string{"Floor a -> y"}, "Gradient a -> d", x), []float32{0, 0}},
		"of none":               {gradientOf([]string{"a"}, chain, "Gradient a -> d", floats(nil, 0)), nil},
		"order by order":        {cubed, []float32{12, 0}},
		"in half precision":     {gradientOf([]string{"a"}, []string{"Mul a a -> y"}, "Gradient a -> d", half), []float32{6}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			c.f.attrs["k"] = map[string]any{"value": floats([]float32{1})}
			out := c.f.run(t)
			got := must(out[0].Cast(Float32))
			if !slices.Equal(Data[float32](got), c.want) {
				t.Errorf("got %v, expected %v", Data[float32](got), c.want)
			}
			for i, want := range [][]float32{{12, 0}, {6, 6}, {0, 0}}[:len(out)-1] {
				if got := Data[float32](out[i+1]); !slices.Equal(got, want) {
					t.Errorf("order %d: got %v, expected %v", i+2, got, want)
				}
			}
		})
	}
}

// TestRefusedGradients: one sentence says what cannot be differentiated, at
// load.
func TestRefusedGradients(t *testing.T) {
	x := floats([]float32{1, 2}, 1, 2)
	twice := gradientOf([]string{"a"}, []string{"Relu a -> y"}, "Gradient a a -> d", x)
	twice.attrs["d"]["zs"] = []string{"a"}
	many := gradientOf([]string{"a"}, []string{"Relu a -> y"}, "Gradient a -> d", x)
	deep := gradientOf([]string{"a"}, []string{"Tanh a -> y"}, "Gradient a -> d", x)
	for i := range maxGradients {
		d := fmt.Sprint("m", i)
		many.nodes = append(many.nodes, "Gradient a -> "+d)
		many.attrs[d] = many.attrs["d"]
	}
	for i, y := range strings.Fields("d d1 d2 d3 d4 d5 d6 d7 d8 d9") {
		d := fmt.Sprint("d", i+1)
		deep.nodes = append(deep.nodes, "Gradient a -> "+d)
		deep.attrs[d] = map[string]any{"xs": []string{"a"}, "y": y}
	}
	for want, f := range map[string]*file{
		`the node that makes "d" (Gradient): unsupported operator Gradient of domain ai.onnx.preview.training, opset 1; the node that makes "h" (Softmax) is not differentiable here`: gradientOf([]string{"a"}, []string{"Softmax a -> h", "Add h h -> y"}, "Gradient a -> d", x),
		"its exponent should not depend on xs": gradientOf([]string{"a"}, []string{"Pow a a -> y"}, "Gradient a -> d", x),
		`(CastLike) is not differentiable`:     gradientOf([]string{"a"}, []string{"CastLike a a -> y"}, "Gradient a -> d", x),
		`names "q", which nothing makes`:       gradientOf([]string{"q"}, []string{"Relu a -> y"}, "Gradient a -> d", x),
		`names "a" twice`:                      twice,
		"1 inputs and 1 outputs for 0 xs":      gradientOf(nil, []string{"Relu a -> y"}, "Gradient a -> d", x),
		"2 inputs and 1 outputs for 1 xs":      gradientOf([]string{"a"}, []string{"Relu a -> y"}, "Gradient a a -> d", x),
		"a cycle through":                      gradientOf([]string{"a"}, []string{"Mul a d -> y"}, "Gradient a -> d", x),
		"the graph has 65 gradients":           many,
		"gradients take more than 16384 nodes": deep,
		"is of strings":                        gradientOf([]string{"a"}, []string{"Identity a -> y"}, "Gradient a -> d", words("a")),
	} {
		_, err := Decode(f.bytes())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, expected %q", err, want)
		}
		if wraps := errors.Is(err, ErrUnsupported); wraps != strings.Contains(fmt.Sprint(err), "unsupported operator") {
			t.Errorf("%v wraps ErrUnsupported: %t", err, wraps)
		}
		if errors.Is(err, ErrTooLarge) && errors.Is(err, ErrFormat) {
			t.Errorf("a limit of this package is no fault of the file: %v", err)
		}
	}
	old := gradientOf([]string{"a"}, []string{"Add a a -> y"}, "Gradient a -> d", x)
	old.opset = 6
	if _, err := Decode(old.bytes()); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "(Add) is not differentiable") {
		t.Errorf("opset 6: %v", err)
	}
}

// TestInspectGradients: each operator that is not differentiable is named, also
// beside nodes that are not supported at all.
func TestInspectGradients(t *testing.T) {
	f := gradientOf([]string{"a"}, []string{"Softmax a -> h", "Frob h -> f", "Max f a -> m", "Softmax h -> q", "Add m q -> y", "Softmax y -> z"}, "Gradient a -> d", floats([]float32{1, 2}, 1, 2))
	p, err := readProto(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	list, why := p.operators()
	for _, op := range list {
		if want := !strings.HasSuffix(op.Name, "Gradient") && op.Name != "Frob"; op.Supported != want {
			t.Errorf("%+v", op)
		}
	}
	for _, want := range []string{`makes "f" (Frob)`, `makes "m" (Max) is not differentiable`, `makes "h" (Softmax) is not differentiable`, `makes "q" (Softmax) is not differentiable`} {
		if !strings.Contains(strings.Join(why, "\n"), want) {
			t.Errorf("%q lacks %q", why, want)
		}
	}
	if len(why) != 4 {
		t.Errorf("%q", why)
	}
	f.nodes = slices.DeleteFunc(f.nodes, func(s string) bool { return strings.HasPrefix(s, "Frob") || strings.HasPrefix(s, "Max") })
	f.nodes = append(f.nodes, "Frob h -> m") // off the way
	if p, err = readProto(f.bytes()); err != nil {
		t.Fatal(err)
	}
	if _, why := p.operators(); len(why) != 3 {
		t.Errorf("%q", why)
	}
}

// TestGradientNodes: what fails in the place of a Gradient is said of that, and
// a run's steps say both.
func TestGradientNodes(t *testing.T) {
	f := gradientOf([]string{"a"}, []string{"Mul a k -> y"}, "Gradient b -> d", floats([]float32{1, 2}, 1, 2), floats([]float32{1, 2, 3}, 1, 3))
	f.initializers = map[string]*Tensor{"k": floats([]float32{1, 2}, 1, 2)}
	f.open = true
	if err := f.fails(t); !strings.HasPrefix(err.Error(), `model: the node that makes "d" (Gradient): the shapes`) {
		t.Error(err)
	}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	m.Trace = func(s Step) error { steps = append(steps, s.Node); return nil }
	in := f.feed()
	in["b"] = in["a"]
	if _, err := m.Run(in); err != nil || !slices.Contains(steps, `the node that makes "d" (Gradient), Mul`) {
		t.Errorf("%q, %v", steps, err)
	}
}
