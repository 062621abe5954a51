package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// plan is what is known of a model whose inputs' shapes are fixed: the type and
// shape of every value, and for each result that needs memory of its own a
// place in one arena (layout.go). Results that live at different times share bytes.
type plan struct {
	shape  map[int]*Tensor // without data; a value that is missing depends on data
	offset map[int]int
	arena  []byte
	bytes  int // of the arena
}

// Fix sets the inputs' open dimensions by their names ("batch": 1), finds every
// shape, computes what depends on shapes only, and lays out memory for the
// results. Models whose shapes depend on data stay partly unplanned, and run. It
// may be called again, for other sizes.
func (m *Model) Fix(dims map[string]int) error {
	inputs := make([]Value, len(m.loaded.inputs))
	for i, v := range m.loaded.inputs {
		v.Dims = slices.Clone(v.Dims)
		for k, d := range v.Dims {
			if d.Symbol == "" {
				continue
			}
			size, ok := dims[d.Symbol]
			if !ok || size < 0 {
				return fmt.Errorf("%s: %w: dimension %q of input %s is not given", m.label, ErrInput, d.Symbol, v)
			}
			v.Dims[k] = Dim{Size: size}
		}
		inputs[i] = v
	}
	return m.fix(inputs)
}

// FixShapes is Fix by the inputs' whole shapes, which must agree with what the
// file says of them.
func (m *Model) FixShapes(shapes map[string][]int) error {
	inputs := make([]Value, len(m.loaded.inputs))
	for i, v := range m.loaded.inputs {
		shape := shapes[v.Name]
		if !v.takes(shape) {
			return fmt.Errorf("%s: %w: input %s cannot have shape %v", m.label, ErrInput, v, shape)
		}
		v.Dims = make([]Dim, len(shape))
		for k, n := range shape {
			v.Dims[k] = Dim{Size: n}
		}
		inputs[i] = v
	}
	return m.fix(inputs)
}

func (m *Model) fix(inputs []Value) error {
	for _, v := range inputs {
		if v.Dims == nil || v.Type.Size() == 0 && v.Type != String {
			return fmt.Errorf("%s: %w: the file gives no shape of input %s", m.label, ErrInput, v)
		}
	}
	constants := m.constants
	m.constants, m.work = maps.Clone(m.loaded.constants), m.loaded.work
	shape, err := m.inferAll(inputs)
	if err != nil {
		m.constants = constants
		return err
	}
	m.Inputs = inputs
	m.fuse(shape)
	m.plan = &plan{shape: shape, offset: map[int]int{}}
	return m.layOut()
}

// inferAll finds the types and shapes of all values. Nodes whose results are
// known for these shapes become constants.
func (m *Model) inferAll(inputs []Value) (map[int]*Tensor, error) {
	m.live = make([]*Tensor, len(m.names.text))
	defer func() { m.live = nil }()
	shape := map[int]*Tensor{}
	for i, v := range inputs {
		t := &Tensor{Type: v.Type}
		for _, d := range v.Dims {
			t.Shape = append(t.Shape, d.Size)
		}
		if _, err := volume(t.Shape); err != nil {
			return nil, fmt.Errorf("%s: %w: input %s: %w", m.label, ErrInput, v, err)
		}
		m.live[m.inputIDs[i]] = t
	}
	room := &pool{limit: foldRoom}
	var kept []*node
	for _, n := range m.loaded.nodes {
		results, err := m.infer(n, room)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.label, err)
		}
		if results == nil {
			kept = append(kept, n)
			continue
		}
		known := true
		for i, id := range n.outputs {
			m.live[id] = results[i]
			known = known && results[i].data != nil
		}
		if !known {
			kept = append(kept, n)
			continue
		}
		for i, id := range n.outputs {
			results[i].memory = nil
			m.constants[id] = results[i]
		}
	}
	m.engine.nodes = kept
	for id, t := range m.live {
		if t != nil {
			shape[id] = &Tensor{Type: t.Type, Shape: t.Shape}
		}
	}
	return shape, nil
}

// infer prepares one node. It computes it where all inputs are known, and where
// of the others only shape or type matters. No results: they depend on data.
func (m *Model) infer(n *node, room *pool) ([]*Tensor, error) {
	known := true
	for i, id := range n.inputs {
		if id == 0 {
			continue
		}
		t := m.value(id)
		if t == nil {
			return nil, nil
		}
		known = known && (t.data != nil || n.op == "CastLike" && i == 1)
	}
	if known || n.op == "Shape" || n.op == "Size" {
		results, err := m.apply(n, room, room.limit-room.used)
		if !errors.Is(err, ErrTooLarge) {
			return results, err
		}
	}
	results, err := m.inferShapes(n)
	if errors.Is(err, errNoData) {
		return nil, nil
	}
	if err != nil {
		return nil, m.failed(n, err)
	}
	return results, nil
}

// inferShapes gives the types and shapes of a node's results from those of its
// inputs.
func (m *Model) inferShapes(n *node) ([]*Tensor, error) {
	c := &call{node: n, in: make([]*Tensor, len(n.inputs)), result: make([]*Tensor, len(n.outputs)), limit: m.limit}
	narrow := Type(0)
	for i, id := range n.inputs {
		t := m.value(id)
		if t != nil && n.widens(t.Type) {
			if narrow == 0 {
				narrow = t.Type
			}
			t = &Tensor{Type: t.Type.standIn(), Shape: t.Shape}
		}
		c.in[i] = t
	}
	if _, err := c.ready(); err != nil {
		return nil, err
	}
	for _, t := range c.result {
		if narrow != 0 && t.Type == narrow.standIn() {
			t.Type = narrow
		}
	}
	return c.result, nil
}

// place gives a result its memory: where the plan says, or from the pool.
func (m *Model) place(p *pool, id int, t *Tensor) error {
	if m.plan == nil || p != &m.pool {
		return p.fill(t)
	}
	offset, ok := m.plan.offset[id]
	n := t.Len() * t.Type.Size()
	want := m.plan.shape[id]
	if !ok || want == nil || n != want.Len()*want.Type.Size() {
		return p.fill(t)
	}
	if m.plan.arena == nil {
		m.plan.arena = alignedBytes(m.plan.bytes)
	}
	t.data = m.plan.arena[offset : offset+n : offset+n]
	return nil
}

// Bytes is the memory that the results of a fixed model take while it runs; 0
// before Fix.
func (m *Model) Bytes() int {
	if m.plan == nil {
		return 0
	}
	return m.plan.bytes
}
