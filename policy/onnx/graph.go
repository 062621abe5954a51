package onnx

import (
	"errors"
	"fmt"
	"maps"
	"strconv"

	decoder "github.com/owulveryck/onnx-go"
)

// load takes a model from its bytes to where it may run.
func load(data []byte, files outer, label string, optimise bool) (*Model, error) {
	bad := func(err error) error {
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("%s: %w", label, err)
		}
		return fmt.Errorf("%s: %w: %w", label, ErrFormat, err)
	}
	p, err := readProto(data)
	if err != nil {
		return nil, bad(err)
	}
	m := newModel(p, label)
	for _, step := range []func(*proto) error{m.checkNames, resolveSequences, m.decode, m.bind, refuseTypes} {
		if err := step(p); err != nil {
			return nil, bad(err)
		}
	}
	if err := m.readConstants(p, files); err != nil {
		return nil, bad(err)
	}
	for _, step := range []func() error{m.order, m.differentiate} {
		if err := step(); err != nil {
			return nil, bad(err)
		}
	}
	m.countUses()
	if err := m.fold(); err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	m.single = m.engine.nodes
	m.loaded = loaded{m.Inputs, m.single, maps.Clone(m.constants), m.work}
	if optimise {
		m.fuse(nil)
	}
	return m, nil
}

func newModel(p *proto, label string) *Model {
	m := &Model{Inputs: p.inputs, Outputs: p.outputs, Producer: p.producer, Opsets: p.opsets,
		engine: &engine{}, names: newNames(), constants: map[int]*Tensor{}, label: label}
	m.engine.run = m.compute
	m.SetLimit(DefaultLimit)
	return m
}

// checkNames refuses values that are made twice or by no one, before onnx-go
// would mix them up.
func (m *Model) checkNames(p *proto) error {
	made := map[string]bool{"": true}
	for _, v := range p.inputs {
		if made[v.Name] {
			return fmt.Errorf("the input %q is named twice or has no name", v.Name)
		}
		made[v.Name] = true
	}
	initial := map[string]bool{}
	for _, t := range p.initializers {
		if t.name == "" || initial[t.name] {
			return fmt.Errorf("the initializer %q is there twice or has no name", t.name)
		}
		initial[t.name], made[t.name] = true, true
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		real := 0
		for _, o := range n.outputs {
			if o == "" {
				continue
			}
			if made[o] {
				return fmt.Errorf("the value %q is made twice, last by %s", o, n)
			}
			made[o] = true
			real++
		}
		if real == 0 {
			return fmt.Errorf("%s has no outputs", n)
		}
	}
	for i := range p.nodes {
		for _, s := range p.nodes[i].inputs {
			if !made[s] {
				return fmt.Errorf("%s reads %q, which nothing makes", &p.nodes[i], s)
			}
		}
	}
	if len(p.outputs) == 0 {
		return fmt.Errorf("it has no outputs")
	}
	for _, v := range p.outputs {
		if v.Name == "" || !made[v.Name] {
			return fmt.Errorf("the output %q is made by nothing", v.Name)
		}
	}
	return nil
}

func (n *nodeProto) String() string { return describe(n.op, n.name, n.outputs) }

// Plain is a name of the file as messages may show it.
func Plain(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}

// describe names a node for messages: by its name or, without one, by its
// first output.
func describe(op, name string, outputs []string) string {
	op = Plain(op)
	if name != "" {
		return fmt.Sprintf("node %q (%s)", name, op)
	}
	for _, o := range outputs {
		if o != "" {
			return fmt.Sprintf("the node that makes %q (%s)", o, op)
		}
	}
	return fmt.Sprintf("a node (%s)", op)
}

// decode has onnx-go read the skeleton and gives each node back what the
// skeleton could not carry.
func (m *Model) decode(p *proto) error {
	for _, v := range p.inputs {
		m.inputIDs = append(m.inputIDs, m.names.of(v.Name))
	}
	for _, v := range p.outputs {
		m.outputIDs = append(m.outputIDs, m.names.of(v.Name))
	}
	if len(p.nodes) == 0 { // which onnx-go refuses
		return nil
	}
	if err := decoder.NewModel(m.engine).UnmarshalBinary(p.skeleton(m.names)); err != nil {
		return fmt.Errorf("onnx-go: %w", err)
	}
	for _, n := range m.engine.nodes {
		from := &p.nodes[n.number]
		n.name, n.domain, n.version = from.name, from.domain, from.version
		for i := range from.attrs {
			if a := &from.attrs[i]; !a.decoded() {
				n.attrs[a.name] = a
			}
		}
		for len(n.inputs) > 0 && n.inputs[len(n.inputs)-1] == 0 {
			n.inputs = n.inputs[:len(n.inputs)-1]
		}
	}
	return nil
}

// readConstants reads initializers and the tensors in attributes. An input with
// an initializer has a default, which is taken as a constant.
func (m *Model) readConstants(p *proto, files outer) error {
	for i := range p.initializers {
		t, err := p.initializers[i].tensor(files)
		if err != nil {
			return err
		}
		m.constants[m.names.of(p.initializers[i].name)] = t
	}
	var inputs []Value
	var ids []int
	for i, id := range m.inputIDs {
		if m.constants[id] == nil {
			inputs, ids = append(inputs, m.Inputs[i]), append(ids, id)
		}
	}
	m.Inputs, m.inputIDs = inputs, ids
	for _, n := range m.engine.nodes {
		for name, v := range n.attrs {
			a, ok := v.(*attrProto)
			if !ok {
				continue
			}
			if a.kind != attrTensor {
				return fmt.Errorf("%s has an attribute %q of kind %d, which is %w", m.describe(n), name, a.kind, ErrUnsupported)
			}
			t, err := a.tensor.tensor(files)
			if err != nil {
				return fmt.Errorf("%s, attribute %q: %w", m.describe(n), name, err)
			}
			n.attrs[name] = t
		}
	}
	return nil
}

// describe names a node of the file, for one in the place of a Gradient that.
func (m *Model) describe(n *node) string {
	if n.of != nil {
		n = n.of
	}
	outputs := make([]string, len(n.outputs))
	for i, o := range n.outputs {
		outputs[i] = m.names.text[o]
	}
	return describe(n.op, n.name, outputs)
}

// order sorts the nodes so that each comes after those it reads from, and
// refuses cycles.
func (m *Model) order() error {
	nodes := m.engine.nodes
	maker := make([]int, len(m.names.text))
	for i := range maker {
		maker[i] = -1
	}
	for i, n := range nodes {
		for _, o := range n.outputs {
			maker[o] = i
		}
	}
	waits := make([]int, len(nodes))
	readers := make([][]int, len(nodes))
	var ready []int
	for i, n := range nodes {
		for _, v := range n.inputs {
			if by := maker[v]; by >= 0 {
				waits[i]++
				readers[by] = append(readers[by], i)
			}
		}
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	sorted := make([]*node, 0, len(nodes))
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		sorted = append(sorted, nodes[i])
		for _, r := range readers[i] {
			if waits[r]--; waits[r] == 0 {
				ready = append(ready, r)
			}
		}
	}
	if len(sorted) < len(nodes) {
		for i, n := range nodes {
			if waits[i] > 0 {
				return fmt.Errorf("the graph has a cycle through %s", m.describe(n))
			}
		}
	}
	m.engine.nodes = sorted
	return nil
}

// countUses notes how often each value is read.
func (m *Model) countUses() {
	m.uses = make([]int, len(m.names.text))
	for _, n := range m.engine.nodes {
		for _, v := range n.inputs {
			m.uses[v]++
		}
	}
	for _, v := range m.outputIDs {
		m.uses[v]++
	}
}
