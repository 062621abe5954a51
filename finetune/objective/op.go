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

// weighOp is a function of losses and advantages that has no gradient.
type weighOp struct {
	base
	f   func(l, adv, w []float32) error
	out *tensor.Dense // (B)
	err error         // of the last run: Gorgonia's own error hides it from errors.Is
}

// Weigh returns a node of shape (B) that f fills on every run from the losses
// l and the advantages adv, both (B). No gradient flows through it. f must keep
// none of the slices.
func Weigh(name string, l, adv *gorgonia.Node, f func(l, adv, w []float32) error) (*gorgonia.Node, error) {
	out := tensor.New(tensor.WithShape(l.Shape().Clone()...), tensor.Of(tensor.Float32))
	return gorgonia.ApplyOp(&weighOp{base: newBase("weigh "+name, 2), f: f, out: out}, l, adv)
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

// velocityOp is a Field as one node: parameters (P) to velocities (B, H*A).
type velocityOp struct {
	base
	field Field
	out   *tensor.Dense // (B, H*A)
	grad  *tensor.Dense // (P), over the caller's gradient
}

func (op *velocityOp) Type() hm.Type { return hm.NewFnType(vector(), matrix()) }

func (op *velocityOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.out.Shape().Clone(), nil
}

func (op *velocityOp) Do(...gorgonia.Value) (gorgonia.Value, error) {
	op.field.Velocity(floats(op.out))
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
	return hm.NewFnType(vector(), matrix(), matrix(), vector())
}

func (op *backwardOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return op.velocity.grad.Shape().Clone(), nil
}

func (op *backwardOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	op.velocity.field.Backward(floats(in[2]), floats(op.velocity.grad))
	return op.velocity.grad, nil
}
