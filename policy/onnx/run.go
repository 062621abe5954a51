package onnx

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"time"

	"arfm/policy/nn/workers"
)

// pool keeps the memory of results that are no longer read for those to come,
// by powers of two. It bounds what is in use at a time.
type pool struct {
	free  [48][][]byte
	used  int
	limit int
}

func (p *pool) get(n int) ([]byte, error) {
	if n == 0 {
		return []byte{}, nil
	}
	if err := p.take(n); err != nil {
		return nil, err
	}
	class := bits.Len(uint(n - 1))
	if list := p.free[class]; len(list) > 0 {
		b := list[len(list)-1]
		p.free[class] = list[:len(list)-1]
		return b[:n], nil
	}
	return alignedBytes(1 << class)[:n], nil
}

// take counts bytes as in use.
func (p *pool) take(n int) error {
	if n > p.limit-p.used {
		return fmt.Errorf("the results need more than the limit of %d bytes: %w", p.limit, ErrTooLarge)
	}
	p.used += n
	return nil
}

func (p *pool) put(b []byte) {
	if len(b) == 0 {
		return
	}
	p.used -= len(b)
	class := bits.Len(uint(len(b) - 1))
	p.free[class] = append(p.free[class], b[:0])
}

// memory is a piece of the pool that one or more tensors share.
type memory struct {
	tensors int
	text    int // bytes of strings that lie elsewhere
}

// fill gives t memory, whose bytes may be anything.
func (p *pool) fill(t *Tensor) (err error) {
	t.data, err = p.get(t.Len() * t.Type.Size())
	t.memory = &memory{tensors: 1}
	return err
}

// share lets t read what from holds.
func (t *Tensor) share(from *Tensor) {
	t.data, t.text, t.memory = from.data, from.text, from.memory
	if t.memory != nil {
		t.memory.tensors++
	}
}

// drop lets go of a tensor's memory, which goes back when no other has it.
func (p *pool) drop(t *Tensor) {
	if t == nil || t.memory == nil {
		return
	}
	if t.memory.tensors--; t.memory.tensors == 0 {
		p.put(t.data)
		p.used -= t.memory.text
	}
	t.data, t.text, t.memory = nil, nil, nil
}

// give gives a copy of t that owns its memory: t's own where no other shares it.
func (p *pool) give(t *Tensor) *Tensor {
	own := &Tensor{Type: t.Type, Shape: t.Shape, text: slices.Clone(t.text)}
	if t.memory != nil && t.memory.tensors == 1 {
		p.used -= len(t.data) + t.memory.text
		own.data, t.memory = t.data, nil
		return own
	}
	own.data = alignedBytes(len(t.data))
	copy(own.data, t.data)
	p.drop(t)
	return own
}

// Run computes the outputs, in their order, from the inputs by name. Shapes may
// differ from call to call where the file leaves them open. The results belong
// to the caller.
func (m *Model) Run(inputs map[string]*Tensor) ([]*Tensor, error) {
	for _, v := range m.Inputs {
		if err := v.fits(inputs[v.Name]); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", m.label, ErrInput, err)
		}
	}
	m.feed(inputs)
	err := m.engine.Run()
	if errors.Is(err, errUnfit) {
		m.pool = pool{limit: m.pool.limit}
		m.feed(inputs)
		err = m.runSingle()
	}
	defer func() { m.live = nil }()
	if err != nil {
		m.pool = pool{limit: m.pool.limit} // what was in use is left to the collector
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	var out []*Tensor
	for _, id := range m.outputIDs {
		out = append(out, m.pool.give(m.value(id)))
	}
	return out, nil
}

// feed sets the inputs of a run.
func (m *Model) feed(inputs map[string]*Tensor) {
	m.live = make([]*Tensor, len(m.names.text))
	for i, v := range m.Inputs {
		m.live[m.inputIDs[i]] = inputs[v.Name]
	}
}

// runSingle runs the nodes as they were before some were joined.
func (m *Model) runSingle() error {
	nodes, uses, plan := m.engine.nodes, m.uses, m.plan
	defer func() { m.engine.nodes, m.uses, m.plan = nodes, uses, plan }()
	m.engine.nodes, m.plan = m.single, nil
	m.countUses()
	return m.engine.Run()
}

// fits checks a tensor against an input's description.
func (v Value) fits(t *Tensor) error {
	if t == nil || t.data == nil {
		return fmt.Errorf("input %s is missing", v)
	}
	if t.Type != v.Type {
		return fmt.Errorf("input %s got %v", v, t.Type)
	}
	if !v.takes(t.Shape) {
		return fmt.Errorf("input %s got shape %v", v, t.Shape)
	}
	return nil
}

// takes says whether the file allows a shape.
func (v Value) takes(shape []int) bool {
	ok := v.Dims == nil || len(v.Dims) == len(shape)
	for i := 0; ok && i < len(v.Dims); i++ {
		ok = v.Dims[i].Symbol != "" || v.Dims[i].Size == shape[i]
	}
	return ok
}

func (m *Model) value(id int) *Tensor {
	if t := m.constants[id]; t != nil || id == 0 {
		return t // none where an input is left out
	}
	return m.live[id]
}

// compute runs every node that is not folded away.
func (m *Model) compute() error {
	left := slices.Clone(m.uses)
	for _, n := range m.engine.nodes {
		start := time.Now()
		results, err := m.apply(n, &m.pool, m.limit)
		if err != nil {
			return err
		}
		if took := time.Since(start); m.Trace != nil {
			name := m.describe(n)
			if n.of != nil {
				name += ", " + n.op
			}
			if err := m.Trace(Step{name, n.op, results, took}); err != nil {
				return err
			}
		}
		for i, id := range n.outputs {
			m.live[id] = results[i]
			if left[id] == 0 {
				m.pool.drop(results[i])
			}
		}
		for _, id := range n.inputs {
			if left[id]--; left[id] == 0 {
				m.pool.drop(m.live[id])
			}
		}
	}
	return nil
}

// apply computes one node from the values at hand. Memory from another pool
// than that of runs is taken while constants are folded.
func (m *Model) apply(n *node, p *pool, limit int) ([]*Tensor, error) {
	c := &call{node: n, in: make([]*Tensor, len(n.inputs)), result: make([]*Tensor, len(n.outputs)), limit: limit, pool: p}
	if p != &m.pool {
		c.work = &m.work
	} else {
		c.fixed = make([]bool, len(n.inputs))
	}
	for i, id := range n.inputs {
		c.in[i] = m.value(id)
	}
	var made []*Tensor
	defer func() {
		for _, t := range made {
			p.drop(t)
		}
	}()
	err := c.work.take(c.reads())
	if err != nil {
		return nil, m.failed(n, err)
	}
	narrow, made, err := m.widen(c)
	if err != nil {
		return nil, m.failed(n, err)
	}
	fill := func(i int, t *Tensor) error {
		if narrow != 0 && t.Type == narrow.standIn() {
			return p.fill(t) // for as long as it takes to narrow it
		}
		return m.place(p, n.outputs[i], t)
	}
	if err := c.run(fill); err != nil {
		for _, t := range c.result {
			p.drop(t)
		}
		if narrow == String {
			err = fmt.Errorf("%w (with numbers, of %v, in the place of strings)", err, numberType)
		}
		return nil, m.failed(n, err)
	}
	if narrow == 0 {
		return c.result, nil
	}
	wide, err := m.narrow(c, narrow)
	made = append(made, wide...)
	if err != nil {
		return nil, m.failed(n, err)
	}
	return c.result, nil
}

// widen puts float32 in the place of inputs whose type the operator does not
// take, and numbers in that of strings. It gives the first such type, and what
// it made.
func (m *Model) widen(c *call) (narrow Type, made []*Tensor, err error) {
	for i, t := range c.in {
		if t == nil || !c.widens(t.Type) {
			if c.fixed != nil {
				c.fixed[i] = m.constants[c.inputs[i]] != nil
			}
			continue
		}
		if narrow == 0 {
			narrow = t.Type
		}
		w := &Tensor{Type: t.Type.standIn(), Shape: t.Shape}
		if err := c.pool.fill(w); err != nil {
			return narrow, made, err
		}
		made = append(made, w)
		if err := c.castIn(w, t); err != nil {
			return narrow, made, err
		}
		c.in[i] = w
	}
	return narrow, made, nil
}

// castIn writes an input in the type that stands for its own.
func (c *call) castIn(to, t *Tensor) error {
	if t.Type != String {
		return castInto(to, t)
	}
	if err := c.work.take(textBytes(t.text)); err != nil {
		return err
	}
	c.numbers.number(Data[uint32](to), t)
	return nil
}

// castOut writes a result in the inputs' own type.
func (c *call) castOut(to, t *Tensor) error {
	if to.Type != String {
		return castInto(to, t)
	}
	if n := t.Len(); n > maxStrings {
		return fmt.Errorf("a result of %d strings is more than %d: %w", n, maxStrings, ErrTooLarge)
	}
	return c.gives(to, c.numbers.strings(Data[uint32](t)))
}

// narrow puts the inputs' own type in the place of results of the type that
// stood for it. It gives those, which are no longer needed.
func (m *Model) narrow(c *call, to Type) (wide []*Tensor, err error) {
	for i, t := range c.result {
		if t.Type != to.standIn() {
			continue
		}
		s := &Tensor{Type: to, Shape: t.Shape}
		if err := m.place(c.pool, c.outputs[i], s); err != nil {
			return wide, err
		}
		if err := c.castOut(s, t); err != nil {
			return wide, err
		}
		wide = append(wide, t)
		c.result[i] = s
	}
	return wide, nil
}

// run prepares the call, takes memory for the results and computes them.
func (c *call) run(fill func(i int, t *Tensor) error) error {
	compute, err := c.ready()
	if err != nil {
		return err
	}
	empty, writes := true, 0
	for i, t := range c.result {
		empty = empty && t.Len() == 0
		if i == 0 && c.operator.view {
			t.share(c.in[0])
			continue
		}
		if err := fill(i, t); err != nil {
			return err
		}
		writes += t.Len()
	}
	if err := c.work.take(writes); err != nil {
		return err
	}
	if empty { // though other dimensions may be huge
		return nil
	}
	return compute()
}

// ready prepares the call, which then has all its results.
func (c *call) ready() (compute func() error, err error) {
	compute, err = c.operator.prepare(c)
	if i := slices.Index(c.result, nil); err == nil && i >= 0 {
		err = fmt.Errorf("output %d is not supported", i)
	}
	if err == nil && len(c.result[0].Shape) < c.rank {
		err = fmt.Errorf("the result has %d dimensions, expected %d", len(c.result[0].Shape), c.rank)
	}
	if err != nil && c.joined && !errors.Is(err, errNoData) {
		err = fmt.Errorf("%w: %w", errUnfit, err)
	}
	return compute, err
}

func (m *Model) failed(n *node, err error) error { return fmt.Errorf("%s: %w", m.describe(n), err) }

// widens says that the operator does not see elements of type t themselves.
func (n *node) widens(t Type) bool {
	if t == String {
		_, ok := numbered[n.op]
		return ok
	}
	w := n.operator.wide
	return w != asIs && t.isHalf() || w == only32 && t == Float64
}

// standIn is the type that stands for t where an operator does not see t.
func (t Type) standIn() Type {
	if t == String {
		return numberType
	}
	return Float32
}

// parallel calls f for parts of 0..n that together cover it, on all cores when
// a part holds at least grain.
func parallel(n, grain int, f func(lo, hi int)) {
	parts := min(runtime.GOMAXPROCS(0), n/max(grain, 1))
	if parts < 2 {
		f(0, n)
		return
	}
	new(workers.Job).Do(parts, parts, func(i int) { f(n*i/parts, n*(i+1)/parts) })
}
