package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Decode makes the model in data ready, as Open does one that needs no other
// files.
func Decode(data []byte) (*Model, error) { return load(data, nil, "model", true) }

// file writes small models for tests.
type file struct {
	opset        int
	domain       string // of the nodes but Gradient
	nodes        []string
	attrs        map[string]map[string]any // by the node's operator, or its last output
	inputs       []*Tensor                 // called a, b, c, ...
	open         bool                      // inputs of any shape
	initializers map[string]*Tensor
	outputs      []string
	more         []byte // of the graph
}

// bytes encodes the model. A node is "Op in in -> out out"; "_" is left out.
func (f *file) bytes() []byte {
	var g []byte
	for _, line := range f.nodes {
		g = appendMessage(g, 1, f.node(line))
	}
	for name, t := range f.initializers {
		g = appendMessage(g, 5, NamedTensor{name, t}.append(nil))
	}
	for i, t := range f.inputs {
		v := Value{Name: string(rune('a' + i)), Type: t.Type, Dims: []Dim{}}
		for k, d := range t.Shape {
			dim := Dim{Size: d}
			if f.open {
				dim = Dim{Symbol: fmt.Sprint("n", k)}
			}
			v.Dims = append(v.Dims, dim)
		}
		g = appendMessage(g, 11, v.message(""))
	}
	for _, name := range f.outputs {
		g = appendMessage(g, 12, (&Value{Name: name}).message(""))
	}
	b := appendMessage(appendInt(nil, 1, irVersion), 7, append(g, f.more...))
	if slices.ContainsFunc(f.nodes, func(line string) bool { return strings.HasPrefix(line, "Gradient ") }) {
		b = appendMessage(b, 8, opsetMessage(trainingDomain, 1))
	}
	return appendMessage(b, 8, opsetMessage(f.domain, int64(f.opset)))
}

func (f *file) node(line string) []byte {
	words := strings.Fields(line)
	n := NodeDef{Op: words[0], Domain: f.domain, Attrs: map[string]any{}}
	if trainingOps[n.Op] != nil {
		n.Domain = trainingDomain
	}
	to := &n.Inputs
	for _, w := range words[1:] {
		switch w {
		case "->":
			to = &n.Outputs
		case "_":
			*to = append(*to, "")
		default:
			*to = append(*to, w)
		}
	}
	for _, key := range []string{words[0], words[len(words)-1]} {
		maps.Copy(n.Attrs, f.attrs[key])
	}
	return n.message()
}

// feed gives the inputs by name.
func (f *file) feed() map[string]*Tensor {
	in := map[string]*Tensor{}
	for i, x := range f.inputs {
		in[string(rune('a'+i))] = x
	}
	return in
}

func (f *file) run(t *testing.T) []*Tensor {
	t.Helper()
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Run(f.feed())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func floats(v []float32, shape ...int) *Tensor { return must(New(Float32, v, shape...)) }
func ints(v ...int64) *Tensor                  { return must(New(Int64, v, len(v))) }

func must(t *Tensor, err error) *Tensor {
	if err != nil {
		panic(err)
	}
	return t
}
