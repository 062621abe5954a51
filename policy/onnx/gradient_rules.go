package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// slopeRule is how the slope along a node's output becomes those along its
// inputs from to to-1; along the others it is zero, as they are conditions,
// shapes or types.
type slopeRule struct {
	from, to int
	// along puts nodes that compute the slope along input i, or says why it
	// cannot.
	along func(g *gradients, n *node, i, slope int) (part int, why string)
}

// slopeOf gives the rule of a node, if there is one.
func slopeOf(n *node) (slopeRule, bool) {
	if r, ok := slopeOfOwn[n.operator]; ok {
		return r, true
	}
	if !n.plain(n.op) {
		return slopeRule{}, false
	}
	r, ok := slopeRules[n.op]
	return r, ok
}

// slopeInputs lists the inputs along which a node may have a slope.
func slopeInputs(n *node) (list []int) {
	r, ok := slopeOf(n)
	if !ok {
		r = slopeRule{0, len(n.inputs), nil}
	}
	for i := r.from; i < min(r.to, len(n.inputs)); i++ {
		list = append(list, i)
	}
	return list
}

// slopeRules are those of the file's operators. The formulas are the usual ones
// of calculus; z is a node's output.
var slopeRules map[string]slopeRule

// slopeOfOwn are those of operators that only gradients put into the graph.
var slopeOfOwn map[*operator]slopeRule

func init() { // as the rules lead back to the tables
	slopeRules = map[string]slopeRule{
		"MatMul": {0, 2, matMulSlope}, "Gemm": {0, 3, gemmSlope}, "Pow": {0, 2, powSlope}, "Where": {1, 3, whereSlope},
		"ReduceSum": {0, 1, reduceSlope}, "ReduceMean": {0, 1, reduceSlope},
		"Expand":    {0, 1, func(g *gradients, n *node, _, dz int) (int, string) { return g.sumTo(dz, n.inputs[0]), "" }},
		"Transpose": {0, 1, transposeSlope},
		"CastLike":  {0, 1, nil},
	}
	for _, op := range []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"} {
		slopeRules[op] = slopeRule{0, 1, reshapeSlope}
	}
	for _, op := range []string{"Shape", "Size", "ConstantOfShape", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or", "Xor",
		"Floor", "Ceil", "Round", "Sign", "IsNaN", "IsInf", "ArgMax", "ArgMin"} {
		slopeRules[op] = slopeRule{} // flat wherever it has a slope
	}
	for op, along := range arithSlopes {
		slopeRules[op] = slopeRule{0, many, func(g *gradients, n *node, i, dz int) (int, string) {
			return g.sumTo(along(g, n, i, dz), n.inputs[i]), ""
		}}
	}
	for op, along := range unarySlopes {
		slopeRules[op] = slopeRule{0, 1, func(g *gradients, n *node, _, dz int) (int, string) {
			return along(g, n.inputs[0], n.outputs[0], dz), ""
		}}
	}
	slopeOfOwn = map[*operator]slopeRule{
		sumTo: {0, 1, func(g *gradients, n *node, _, dz int) (int, string) { return g.expand(dz, n.inputs[0]), "" }},
		swapLast: {0, 1, func(g *gradients, _ *node, _, dz int) (int, string) {
			return g.own(swapLast, dz), ""
		}},
		asRow: {0, 1, reshapeSlope}, asColumn: {0, 1, reshapeSlope}, asProduct: {0, 1, reshapeSlope},
	}
}

// arithSlopes are those of operators whose inputs stretch to one shape, in that
// shape.
var arithSlopes = map[string]func(g *gradients, n *node, i, dz int) int{
	"Add": func(_ *gradients, _ *node, _, dz int) int { return dz },
	"Sum": func(_ *gradients, _ *node, _, dz int) int { return dz },
	"Sub": func(g *gradients, _ *node, i, dz int) int {
		if i == 0 {
			return dz
		}
		return g.add("Neg", nil, dz)
	},
	"Mul": func(g *gradients, n *node, i, dz int) int { return g.add("Mul", nil, dz, n.inputs[1-i]) },
	"Div": func(g *gradients, n *node, i, dz int) int {
		part := g.add("Div", nil, dz, n.inputs[1])
		if i == 0 {
			return part
		}
		return g.add("Neg", nil, g.add("Mul", nil, part, n.outputs[0]))
	},
}

// unarySlopes are those of operators on each element.
var unarySlopes = map[string]func(g *gradients, x, z, dz int) int{
	"Identity": func(_ *gradients, _, _, dz int) int { return dz },
	"Neg":      func(g *gradients, _, _, dz int) int { return g.add("Neg", nil, dz) },
	"Abs":      func(g *gradients, x, _, dz int) int { return g.add("Mul", nil, dz, g.add("Sign", nil, x)) },
	"Exp":      func(g *gradients, _, z, dz int) int { return g.add("Mul", nil, dz, z) },
	"Log":      func(g *gradients, x, _, dz int) int { return g.add("Div", nil, dz, x) },
	"Sqrt":     func(g *gradients, _, z, dz int) int { return g.add("Div", nil, dz, g.add("Add", nil, z, z)) },
	"Sin":      func(g *gradients, x, _, dz int) int { return g.add("Mul", nil, dz, g.add("Cos", nil, x)) },
	"Cos": func(g *gradients, x, _, dz int) int {
		return g.add("Neg", nil, g.add("Mul", nil, dz, g.add("Sin", nil, x)))
	},
	"Reciprocal": func(g *gradients, _, z, dz int) int {
		return g.add("Neg", nil, g.add("Mul", nil, dz, g.add("Mul", nil, z, z)))
	},
	"Tanh": func(g *gradients, _, z, dz int) int {
		return g.add("Mul", nil, dz, g.add("Sub", nil, g.constant(1, z), g.add("Mul", nil, z, z)))
	},
	"Sigmoid": func(g *gradients, _, z, dz int) int {
		return g.add("Mul", nil, dz, g.add("Mul", nil, z, g.add("Sub", nil, g.constant(1, z), z)))
	},
	"Softplus": func(g *gradients, x, _, dz int) int { return g.add("Mul", nil, dz, g.add("Sigmoid", nil, x)) },
	"Erf": func(g *gradients, x, _, dz int) int {
		bell := g.add("Exp", nil, g.add("Neg", nil, g.add("Mul", nil, x, x)))
		return g.add("Mul", nil, dz, g.add("Mul", nil, bell, g.constant(2/math.Sqrt(math.Pi), x)))
	},
	"Relu": func(g *gradients, x, _, dz int) int {
		return g.add("Where", nil, g.add("Greater", nil, x, g.constant(0, x)), dz, g.constant(0, dz))
	},
}

// powSlope is p x^(p-1), and 0 for p = 0 at x = 0 too.
func powSlope(g *gradients, n *node, i, dz int) (int, string) {
	if i == 1 {
		return 0, "its exponent should not depend on xs"
	}
	x, p := n.inputs[0], n.inputs[1]
	less := g.add("Where", nil, g.add("Equal", nil, p, g.constant(0, p)), p, g.add("Sub", nil, p, g.constant(1, p)))
	slope := g.add("Mul", nil, g.add("Pow", nil, x, less), g.add("CastLike", nil, p, x))
	return g.sumTo(g.add("Mul", nil, dz, slope), x), ""
}

func whereSlope(g *gradients, n *node, i, dz int) (int, string) {
	parts := []int{g.constant(0, dz), g.constant(0, dz)}
	parts[i-1] = dz
	return g.sumTo(g.add("Where", nil, n.inputs[0], parts[0], parts[1]), n.inputs[i]), ""
}

// reduceSlope stretches the slope along the axes that were summed over.
func reduceSlope(g *gradients, n *node, _, dz int) (int, string) {
	x := n.inputs[0]
	kept := *n
	kept.attrs, kept.outputs = maps.Clone(n.attrs), []int{g.value()}
	kept.attrs["keepdims"] = int64(1)
	g.keep(&kept)
	part := g.expand(g.reshape(dz, kept.outputs[0]), x)
	if n.op == "ReduceMean" {
		count := g.add("Div", nil, g.add("Size", nil, x), g.add("Size", nil, n.outputs[0]))
		part = g.add("Div", nil, part, g.add("CastLike", nil, count, part))
	}
	return part, ""
}

func reshapeSlope(g *gradients, n *node, _, dz int) (int, string) {
	return g.reshape(dz, n.inputs[0]), ""
}

func transposeSlope(g *gradients, n *node, _, dz int) (int, string) {
	perm, _ := n.attrs["perm"].([]int64)
	back := make([]int64, len(perm))
	for i, p := range perm {
		if p < 0 || p >= int64(len(perm)) {
			return 0, "its perm is no permutation"
		}
		back[p] = int64(i)
	}
	if len(perm) == 0 { // the axes reversed
		return g.add("Transpose", nil, dz), ""
	}
	return g.add("Transpose", map[string]any{"perm": back}, dz), ""
}

// matMulSlope is dz b^T and a^T dz, where a vector is a matrix of one row or
// column, summed over axes along which an operand was stretched.
func matMulSlope(g *gradients, n *node, i, dz int) (int, string) {
	a, b := n.inputs[0], n.inputs[1]
	row, column, slope := g.own(asRow, a), g.own(asColumn, b), g.own(asProduct, dz, a, b)
	if i == 0 {
		return g.reshape(g.sumTo(g.add("MatMul", nil, slope, g.own(swapLast, column)), row), a), ""
	}
	return g.reshape(g.sumTo(g.add("MatMul", nil, g.own(swapLast, row), slope), column), b), ""
}

// gemmSlope is that of alpha A B + beta C, with A and B transposed or not.
func gemmSlope(g *gradients, n *node, i, dz int) (int, string) {
	float := func(name string) float64 {
		if f, ok := n.attrs[name].(float32); ok {
			return float64(f)
		}
		return 1
	}
	flag := func(name string) bool { f, _ := n.attrs[name].(int64); return f != 0 }
	turn := func(v int, yes bool) int {
		if yes {
			return g.own(swapLast, v)
		}
		return v
	}
	scale := func(f float64) int { return g.add("Mul", nil, dz, g.constant(f, dz)) }
	a, b, turnA, turnB := n.inputs[0], n.inputs[1], flag("transA"), flag("transB")
	switch {
	case i == 2:
		return g.sumTo(scale(float("beta")), n.inputs[2]), ""
	case i == 0 && turnA:
		return g.add("MatMul", nil, turn(b, turnB), turn(scale(float("alpha")), true)), ""
	case i == 0:
		return g.add("MatMul", nil, scale(float("alpha")), turn(b, !turnB)), ""
	case turnB:
		return g.add("MatMul", nil, turn(scale(float("alpha")), true), turn(a, turnA)), ""
	}
	return g.add("MatMul", nil, turn(a, !turnA), scale(float("alpha"))), ""
}

// add puts a node of the registry and gives its output.
func (g *gradients) add(op string, attrs map[string]any, inputs ...int) int {
	if attrs == nil {
		attrs = map[string]any{}
	}
	n := &node{op: op, operator: operators[op], attrs: attrs, inputs: inputs, outputs: []int{g.value()}}
	g.keep(n)
	return n.outputs[0]
}

// own puts a node of an operator that only gradients have.
func (g *gradients) own(op *operator, inputs ...int) int {
	n := &node{op: op.name, operator: op, inputs: inputs, outputs: []int{g.value()}}
	g.keep(n)
	return n.outputs[0]
}

// constant is a number in the type of a value.
func (g *gradients) constant(v float64, like int) int {
	id := g.number[v]
	if id == 0 {
		id = g.value()
		t, err := New(Float64, []float64{v})
		if err != nil {
			panic(err) // one number is a tensor
		}
		g.m.constants[id], g.number[v] = t, id
	}
	return g.add("CastLike", nil, id, like)
}

// expand stretches a value to the shape of another, reshape gives it that.
func (g *gradients) expand(v, like int) int {
	return g.add("Expand", nil, v, g.add("Shape", nil, like))
}

func (g *gradients) reshape(v, like int) int {
	return g.add("Reshape", map[string]any{"allowzero": int64(1)}, v, g.add("Shape", nil, like))
}

func (g *gradients) sumTo(v, like int) int { return g.own(sumTo, v, like) }

// Operators that only gradients put into the graph, called as the ones that
// they are cases of.
var (
	sumTo     = &operator{name: "ReduceSum", wide: half, prepare: prepareSumTo}
	swapLast  = &operator{name: "Transpose", prepare: prepareSwapLast}
	asRow     = &operator{name: "Reshape", prepare: prepareAsRow, view: true}
	asColumn  = &operator{name: "Reshape", prepare: prepareAsColumn, view: true}
	asProduct = &operator{name: "Reshape", prepare: prepareAsProduct, view: true}
)

// prepareSumTo sums over the axes along which the second input's shape
// stretches to the first's.
func prepareSumTo(c *call) (func() error, error) {
	x, like := c.in[0], c.in[1]
	if err := c.stretches(1, x.Shape); err != nil {
		return nil, err
	}
	if err := c.out(0, x.Type, like.Shape...); err != nil {
		return nil, err
	}
	set := make([]bool, len(x.Shape))
	before := len(x.Shape) - len(like.Shape)
	for i := range set {
		set[i] = i < before || like.Shape[i-before] != x.Shape[i]
	}
	if !slices.Contains(set, true) {
		return func() error { copy(c.result[0].data, x.data); return nil }, nil
	}
	return reduceTyped(c, set)
}

// prepareSwapLast exchanges the last two axes.
func prepareSwapLast(c *call) (func() error, error) {
	shape, from := slices.Clone(c.in[0].Shape), strides(c.in[0].Shape)
	k := len(shape) - 2
	if k < 0 {
		return nil, fmt.Errorf("%v is no matrix", c.in[0])
	}
	shape[k], shape[k+1] = shape[k+1], shape[k]
	from[k], from[k+1] = from[k+1], from[k]
	return strided(c, shape, from, 0), c.out(0, c.in[0].Type, shape...)
}

// prepareAsRow and prepareAsColumn make a matrix of a vector.
func prepareAsRow(c *call) (func() error, error) {
	shape := c.in[0].Shape
	if len(shape) == 1 {
		shape = []int{1, shape[0]}
	}
	return reshaped(c, shape)
}

func prepareAsColumn(c *call) (func() error, error) {
	shape := c.in[0].Shape
	if len(shape) == 1 {
		shape = []int{shape[0], 1}
	}
	return reshaped(c, shape)
}

// prepareAsProduct gives the first input, of the shape of MatMul's output, the
// axes that vectors among the others take away from it.
func prepareAsProduct(c *call) (func() error, error) {
	shape := slices.Clone(c.in[0].Shape)
	if len(c.in[2].Shape) == 1 {
		shape = append(shape, 1)
	}
	if len(c.in[1].Shape) == 1 {
		shape = slices.Insert(shape, max(len(shape)-1, 0), 1)
	}
	return reshaped(c, shape)
}
