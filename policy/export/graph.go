package export

import (
	"fmt"

	"arfm/policy/nn"
	"arfm/policy/onnx"
)

// batch is the name of the open dimension.
const batch = "batch"

// graph gathers the nodes of an ONNX graph. Methods that add nodes return the
// name of the result. A weight becomes a constant of the graph where it is used
// first.
type graph struct {
	file   *onnx.File
	params *nn.Params
	scope  string // before the names of nodes
	have   map[string]bool
	err    error // the first
}

func newGraph(name string, p *nn.Params) *graph {
	return &graph{
		file:   &onnx.File{Opset: 17, Graph: name, Docs: map[string]string{}},
		params: p, have: map[string]bool{},
	}
}

// input adds an input.
func (g *graph) input(name string, t onnx.Type, doc string, dims ...onnx.Dim) string {
	g.file.Inputs = append(g.file.Inputs, onnx.Value{Name: name, Type: t, Dims: dims})
	g.file.Docs[name] = doc
	return name
}

// output makes a value an output of that name.
func (g *graph) output(name, value, doc string, dims ...onnx.Dim) {
	g.file.Nodes = append(g.file.Nodes, onnx.NodeDef{Name: name, Op: "Identity", Inputs: []string{value}, Outputs: []string{name}})
	g.file.Outputs = append(g.file.Outputs, onnx.Value{Name: name, Type: onnx.Float32, Dims: dims})
	g.file.Docs[name] = doc
}

// perItem is a shape whose first dimension is the batch.
func perItem(sizes ...int) []onnx.Dim {
	return append([]onnx.Dim{{Symbol: batch}}, fixed(sizes...)...)
}

func fixed(sizes ...int) []onnx.Dim {
	dims := make([]onnx.Dim, len(sizes))
	for i, n := range sizes {
		dims[i].Size = n
	}
	return dims
}

// op adds a node of one output.
func (g *graph) op(op string, in ...string) string { return g.node(op, nil, 1, in...)[0] }

// node adds a node.
func (g *graph) node(op string, attrs map[string]any, outputs int, in ...string) []string {
	name := fmt.Sprintf("%s%s_%d", g.scope, op, len(g.file.Nodes))
	n := onnx.NodeDef{Name: name, Op: op, Inputs: in, Attrs: attrs}
	for i := range outputs {
		if outputs > 1 {
			n.Outputs = append(n.Outputs, fmt.Sprintf("%s.%d", name, i))
		} else {
			n.Outputs = append(n.Outputs, name)
		}
	}
	g.file.Nodes = append(g.file.Nodes, n)
	return n.Outputs
}

// within names the nodes that f adds.
func (g *graph) within(scope string, f func()) {
	outer := g.scope
	g.scope += scope + "/"
	f()
	g.scope = outer
}

// constant adds a constant of that name, once; make gives its elements.
func constant[T float32 | float64 | int64](g *graph, name string, t onnx.Type, make func() []T, shape ...int) string {
	if g.have[name] {
		return name
	}
	g.have[name] = true
	tensor, err := onnx.New(t, make(), shape...)
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("export: %s: %w", name, err)
	}
	g.file.Initializers = append(g.file.Initializers, onnx.NamedTensor{Name: name, Tensor: tensor})
	return name
}

func (g *graph) floats(name string, v []float32, shape ...int) string {
	return constant(g, name, onnx.Float32, func() []float32 { return v }, shape...)
}

// number is a scalar.
func (g *graph) number(v float32) string { return g.floats(fmt.Sprint("number_", v), []float32{v}) }

// ints is a vector, for shapes and axes.
func (g *graph) ints(v ...int) string {
	name := "ints"
	for _, x := range v {
		name += fmt.Sprintf("_%d", x)
	}
	return constant(g, name, onnx.Int64, func() []int64 {
		wide := make([]int64, len(v))
		for i, x := range v {
			wide[i] = int64(x)
		}
		return wide
	}, len(v))
}

// index is an integer without dimensions: Gather by it takes an axis away.
func (g *graph) index(i int) string {
	return constant(g, fmt.Sprintf("index_%d", i), onnx.Int64, func() []int64 { return []int64{int64(i)} })
}

// param is a tensor of the weights.
func (g *graph) param(name string) string {
	return g.floats(name, g.params.View(name), g.params.Shape(name)...)
}

// matrix is the weight (out, in) of a linear layer as MatMul takes it: (in, out).
func (g *graph) matrix(name string) string {
	shape := g.params.Shape(name)
	out, in := shape[0], shape[1]
	return constant(g, name+".transposed", onnx.Float32, func() []float32 {
		w, t := g.params.View(name), make([]float32, in*out)
		for o := range out {
			for i, x := range w[o*in : (o+1)*in] {
				t[i*out+o] = x
			}
		}
		return t
	}, in, out)
}

// linear is x W + b.
func (g *graph) linear(name, x string) string {
	return g.op("Add", g.op("MatMul", x, g.matrix(name+".weight")), g.param(name+".bias"))
}

func (g *graph) silu(x string) string { return g.op("Mul", x, g.op("Sigmoid", x)) }

// gelu is the exact one, in the form that ONNX Runtime makes one operator of.
func (g *graph) gelu(x string) string {
	e := g.op("Erf", g.op("Div", x, g.number(1.4142135623730951)))
	return g.op("Mul", g.op("Mul", x, g.op("Add", e, g.number(1))), g.number(0.5))
}

// norm is layer normalisation over the last axis, then times gain plus bias.
func (g *graph) norm(x, gain, bias string) string {
	return g.node("LayerNormalization", map[string]any{"axis": -1, "epsilon": nn.NormEps}, 1, x, gain, bias)[0]
}

func (g *graph) reshape(x string, shape ...int) string { return g.op("Reshape", x, g.ints(shape...)) }

func (g *graph) transpose(x string, perm ...int) string {
	return g.node("Transpose", map[string]any{"perm": perm}, 1, x)[0]
}

func (g *graph) gather(axis int, x, indices string) string {
	return g.node("Gather", map[string]any{"axis": axis}, 1, x, indices)[0]
}

func (g *graph) concat(axis int, in ...string) string {
	if len(in) == 1 {
		return in[0]
	}
	return g.node("Concat", map[string]any{"axis": axis}, 1, in...)[0]
}

// split cuts x along an axis into parts of these lengths.
func (g *graph) split(axis int, x string, lengths ...int) []string {
	return g.node("Split", map[string]any{"axis": axis}, len(lengths), x, g.ints(lengths...))
}

// equal cuts the last axis of x into n parts of length d.
func (g *graph) equal(x string, n, d int) []string {
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = d
	}
	return g.split(-1, x, lengths...)
}

// heads takes x (B, T, D) to (B, heads, T, D/heads); keys to
// (B, heads, D/heads, T), as the product with queries needs them.
func (g *graph) heads(x string, n, d int) string {
	return g.transpose(g.reshape(x, 0, 0, n, d/n), 0, 2, 1, 3)
}

func (g *graph) keys(x string, n, d int) string {
	return g.transpose(g.reshape(x, 0, 0, n, d/n), 0, 2, 3, 1)
}
