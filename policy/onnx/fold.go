package onnx

import (
	"errors"
	"fmt"
)

// foldRoom is what constant folding may add to the bytes of the model's own
// constants.
const foldRoom = 16 << 20

// budget is the work that folding may still do for a model, at load and when
// its shapes are fixed: elements read and written, and multiplications.
type budget struct{ left int }

// What a model may take: about a second of the slowest operators for a small
// file, more for one whose own constants are large. What a node costs to decode
// anyway is free, so that shapes can always be computed.
const (
	foldWork       = 1 << 25
	foldPerElement = 8
	foldFree       = 1 << 8
)

// take spends the product of all factors, or refuses it. No budget allows all.
func (b *budget) take(factors ...int) error {
	if b == nil {
		return nil
	}
	n := 1
	for _, f := range factors {
		if f = max(f, 1); n > max(b.left, foldFree)/f {
			return fmt.Errorf("it is too much work before a run: %w", ErrTooLarge)
		}
		n *= f
	}
	if n > foldFree {
		b.left -= n
	}
	return nil
}

// onlyPicked lists operators that read only the elements that they give.
var onlyPicked = map[string]bool{"Shape": true, "Size": true, "Gather": true, "GatherElements": true, "GatherND": true, "Slice": true}

// reads counts the elements that the call reads, as far as they are known.
func (c *call) reads() int {
	if c.operator.view || onlyPicked[c.op] {
		return 0
	}
	n := 0
	for _, t := range c.in {
		if t != nil && t.data != nil {
			n += t.Len()
		}
	}
	return n
}

// fold computes the nodes that depend on constants only, once, and takes them
// out of the graph. A node that would take too much memory or work stays in the
// graph.
func (m *Model) fold() error {
	room := foldRoom
	m.work.left = foldWork
	for _, t := range m.constants {
		room += t.bytes()
		m.work.left += foldPerElement * (t.Len() + textBytes(t.text))
	}
	p := &pool{limit: room}
	kept := m.engine.nodes[:0:0]
	for _, n := range m.engine.nodes {
		if !m.foldable(n) {
			kept = append(kept, n)
			continue
		}
		results, err := m.apply(n, p, room-p.used)
		if errors.Is(err, ErrTooLarge) {
			kept = append(kept, n)
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		for i, id := range n.outputs {
			results[i].memory = nil
			m.constants[id] = results[i]
		}
		for _, id := range n.inputs {
			m.uses[id]--
		}
	}
	m.engine.nodes = kept
	for id := range m.constants {
		if m.uses[id] == 0 {
			delete(m.constants, id)
		}
	}
	return nil
}

func (m *Model) foldable(n *node) bool {
	for _, id := range n.inputs {
		if id != 0 && m.constants[id] == nil {
			return false
		}
	}
	return true
}
