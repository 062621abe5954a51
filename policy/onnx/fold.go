package onnx

import (
	"errors"
	"fmt"
)

// foldRoom is what constant folding may add to the bytes of the model's own
// constants.
const foldRoom = 16 << 20

// foldWork bounds the multiplications of one node that is folded: loading a
// small file must not take long.
const foldWork = 1 << 30

// fold computes the nodes that depend on constants only, once, and takes them
// out of the graph. A result that would take too much stays in the graph.
func (m *Model) fold() error {
	room := foldRoom
	for _, t := range m.constants {
		room += len(t.data)
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
