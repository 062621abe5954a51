package onnx

import (
	"fmt"
	"strconv"

	decoder "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend"
	"gonum.org/v1/gonum/graph"
)

// engine is the backend that onnx-go decodes a model into. onnx-go adds one
// node per value, an edge from each output of an operator to each of its
// inputs, weighted with the input's position, and then applies the operator to
// its outputs. Methods that onnx-go never calls while decoding come from the
// embedded nil interface.
type engine struct {
	graph.DirectedWeightedBuilder
	vertices int64
	nodes    []*node // in the file's order
	run      func() error
}

var _ backend.ComputationBackend = (*engine)(nil)

// vertex is a value of the graph.
type vertex struct {
	id     int64
	value  int // its number, from its name
	inputs []int
}

// node is an operator applied to values.
type node struct {
	number   int // in the file
	op       string
	name     string
	domain   string
	inputs   []int // numbers of values, 0 where left out
	outputs  []int
	attrs    map[string]any
	version  int64 // of its domain
	operator *operator
	of       *node // the Gradient in whose place it is
	joined   bool  // from several, by fuse
	rank     int   // least number of dimensions of what a join gives
	packs    packs
}

func (v *vertex) ID() int64       { return v.id }
func (v *vertex) GetName() string { return valueName(v.value) }

// SetName takes a value's number, which the skeleton wrote as its name.
func (v *vertex) SetName(s string) {
	id, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("onnx: onnx-go named a value %q", s))
	}
	v.value = id
}

type edge struct {
	from, to *vertex
	weight   float64
}

func (e edge) From() graph.Node         { return e.from }
func (e edge) To() graph.Node           { return e.to }
func (e edge) ReversedEdge() graph.Edge { return edge{e.to, e.from, e.weight} }
func (e edge) Weight() float64          { return e.weight }

func (g *engine) NewNode() graph.Node { return &vertex{id: g.vertices} }

func (g *engine) AddNode(graph.Node) { g.vertices++ }

func (g *engine) NewWeightedEdge(from, to graph.Node, w float64) graph.WeightedEdge {
	return edge{from.(*vertex), to.(*vertex), w}
}

// SetWeightedEdge notes an input. A value may be the same operator's input
// twice, which a simple graph could not hold.
func (g *engine) SetWeightedEdge(e graph.WeightedEdge) {
	from, to := e.From().(*vertex), e.To().(*vertex)
	if int(e.Weight()) == len(from.inputs) {
		from.inputs = append(from.inputs, to.value)
	}
}

// ApplyOperation notes an operator with its outputs.
func (g *engine) ApplyOperation(op decoder.Operation, outputs ...graph.Node) error {
	number, ok := op.Attributes[numberAttr].(int64)
	if !ok || len(outputs) == 0 {
		return fmt.Errorf("operator %s has no outputs", op.Name)
	}
	n := &node{number: int(number), op: op.Name, attrs: op.Attributes, inputs: outputs[0].(*vertex).inputs}
	delete(n.attrs, numberAttr)
	for _, o := range outputs {
		n.outputs = append(n.outputs, o.(*vertex).value)
	}
	g.nodes = append(g.nodes, n)
	return nil
}

// Run computes the outputs from the inputs that were set.
func (g *engine) Run() error { return g.run() }
