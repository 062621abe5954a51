package objective

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// opIDs tells two Ops of a kind apart: Gorgonia merges nodes of equal hash.
var opIDs atomic.Uint64

// base is what every Op here shares: it owns its output, writes over no input
// and calls nothing foreign.
type base struct {
	name  string
	id    uint64
	arity int
}

func newBase(name string, arity int) base {
	return base{name: name, id: opIDs.Add(1), arity: arity}
}

func (b base) Arity() int           { return b.arity }
func (b base) ReturnsPtr() bool     { return true }
func (b base) CallsExtern() bool    { return false }
func (b base) OverwritesInput() int { return -1 }
func (b base) String() string       { return b.name }
func (b base) WriteHash(h hash.Hash) {
	fmt.Fprint(h, b.name)
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], b.id)
	h.Write(id[:])
}

func (b base) Hashcode() uint32 {
	h := fnv.New32a()
	b.WriteHash(h)
	return h.Sum32()
}

func vector() hm.Type { return gorgonia.TensorType{Dims: 1, Of: tensor.Float32} }
func matrix() hm.Type { return gorgonia.TensorType{Dims: 2, Of: tensor.Float32} }

func floats(v gorgonia.Value) []float32 { return v.Data().([]float32) }

// weighOp is a function of two vectors that has no gradient.
type weighOp struct {
	base
	f   func(x, y, w []float32) error
	out *tensor.Dense // of the shape of x
	err error         // of the last run: Gorgonia's own error hides it from errors.Is
}

// Weigh returns a node w of the shape of x that f fills on every run from the
// vectors x and y, such as the losses and the advantages. No gradient flows
// through it. f must keep none of the slices.
func Weigh(name string, x, y *gorgonia.Node, f func(x, y, w []float32) error) (*gorgonia.Node, error) {
	out := tensor.New(tensor.WithShape(x.Shape().Clone()...), tensor.Of(tensor.Float32))
	return gorgonia.ApplyOp(&weighOp{base: newBase("weigh "+name, 2), f: f, out: out}, x, y)
}

func (op *weighOp) Type() hm.Type { return hm.NewFnType(vector(), vector(), vector()) }

func (op *weighOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.out.Shape().Clone(), nil
}

func (op *weighOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	op.err = op.f(floats(in[0]), floats(in[1]), floats(op.out))
	return op.out, op.err
}

// DiffWRT says that no input gets a gradient, which makes the output a constant
// in the derivative of whatever uses it.
func (op *weighOp) DiffWRT(inputs int) []bool { return make([]bool, inputs) }

func (op *weighOp) SymDiff(_ gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("%s has no gradient", op.name)
}

// velocityOp is a Field as one node: parameters (P) to velocities (B, H*A). Of a
// Predictor the node is a vector: velocities, then predictions.
type velocityOp struct {
	base
	field Field
	heads Predictor     // the field, where predictions are asked for; nil otherwise
	split int           // B*H*A
	out   *tensor.Dense // (B, H*A) or (B*H*A + B*K)
	grad  *tensor.Dense // (P), over the caller's gradient
}

func (op *velocityOp) Type() hm.Type { return hm.NewFnType(vector(), op.outType()) }

func (op *velocityOp) outType() hm.Type {
	if op.heads != nil {
		return vector()
	}
	return matrix()
}

func (op *velocityOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.out.Shape().Clone(), nil
}

func (op *velocityOp) Do(...gorgonia.Value) (gorgonia.Value, error) {
	if op.heads == nil {
		op.field.Velocity(floats(op.out))
		return op.out, nil
	}
	out := floats(op.out)
	op.heads.Predict(out[:op.split], out[op.split:])
	return op.out, nil
}

func (op *velocityOp) DiffWRT(int) []bool { return []bool{true} }

func (op *velocityOp) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	back := &backwardOp{base: newBase("velocity backward", 3), velocity: op}
	n, err := gorgonia.ApplyOp(back, in[0], out, grad)
	return gorgonia.Nodes{n}, err
}

// backwardOp fills the flat gradient and returns a tensor that lies over it:
// a fresh one would cost as much as the optimiser.
type backwardOp struct {
	base
	velocity *velocityOp
}

func (op *backwardOp) Type() hm.Type {
	out := op.velocity.outType()
	return hm.NewFnType(vector(), out, out, vector())
}

func (op *backwardOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.velocity.grad.Shape().Clone(), nil
}

func (op *backwardOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	v, d := op.velocity, floats(in[2])
	if v.heads == nil {
		v.field.Backward(d, floats(v.grad))
		return v.grad, nil
	}
	v.heads.PredictBackward(d[:v.split], d[v.split:], floats(v.grad))
	return v.grad, nil
}

// windowOp is a part of a vector in another shape.
type windowOp struct {
	base
	lo  int
	out *tensor.Dense
	all int // elements of the vector
}

// window returns elements lo and on of the vector x, in the given shape.
func window(x *gorgonia.Node, lo int, shape ...int) (*gorgonia.Node, error) {
	out := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	return gorgonia.ApplyOp(&windowOp{base: newBase("window", 1), lo: lo, out: out, all: x.Shape().TotalSize()}, x)
}

func (op *windowOp) outType() hm.Type {
	return gorgonia.TensorType{Dims: op.out.Dims(), Of: tensor.Float32}
}
func (op *windowOp) Type() hm.Type { return hm.NewFnType(vector(), op.outType()) }

func (op *windowOp) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.out.Shape().Clone(), nil
}

func (op *windowOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	copy(floats(op.out), floats(in[0])[op.lo:])
	return op.out, nil
}

func (op *windowOp) DiffWRT(int) []bool { return []bool{true} }

func (op *windowOp) SymDiff(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	back := &windowBackOp{newBase("window backward", 1), op, tensor.New(tensor.WithShape(op.all), tensor.Of(tensor.Float32))}
	n, err := gorgonia.ApplyOp(back, grad)
	return gorgonia.Nodes{n}, err
}

// windowBackOp puts the gradient of a window among zeros.
type windowBackOp struct {
	base
	window *windowOp
	out    *tensor.Dense
}

func (op *windowBackOp) Type() hm.Type { return hm.NewFnType(op.window.outType(), vector()) }

func (op *windowBackOp) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.out.Shape().Clone(), nil
}

func (op *windowBackOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	out := floats(op.out)
	clear(out) // the machine adds the other windows' gradients in place
	copy(out[op.window.lo:], floats(in[0]))
	return op.out, nil
}
