package onnx

import (
	"fmt"
	"maps"
	"os"
	"time"
)

// Step is a node that was just computed, or several that were joined into one.
type Step struct {
	Node    string // which, as messages name it
	Op      string
	Results []*Tensor // valid until the call returns
	Time    time.Duration
}

// Operators counts the file's nodes by operator.
func (m *Model) Operators() map[string]int { return maps.Clone(m.ops) }

// Steps is the number of nodes that a run computes, after folding and joining.
func (m *Model) Steps() int { return len(m.engine.nodes) }

// Unsupported lists, a sentence each, the nodes of the model at path that stand
// in the way of running it.
func Unsupported(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := mapFile(f)
	if err != nil {
		return nil, err
	}
	defer file.close()
	p, err := readProto(file.data)
	if err != nil {
		return nil, fmt.Errorf("%s is %w: %w", path, ErrFormat, err)
	}
	var list []string
	for i := range p.nodes {
		n := &p.nodes[i]
		if _, _, err := p.find(n.op, n.domain); err != nil {
			list = append(list, fmt.Sprintf("%s: %v", n, err))
		}
	}
	return list, nil
}
