package onnx

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// file writes small models for tests.
type file struct {
	opset        int
	domain       string // of the nodes
	nodes        []string
	attrs        map[string]map[string]any // by the node's operator, or its last output
	inputs       []*Tensor                 // called a, b, c, ...
	open         bool                      // inputs of any shape
	initializers map[string]*Tensor
	outputs      []string
	more         []byte // of the graph
}

func varint(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

func attrMessage(name string, v any) []byte {
	b := appendText(nil, 1, name)
	switch v := v.(type) {
	case int:
		return varint(varint(b, 3, int64(v)), 20, 2)
	case float64:
		b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, f32bits(v))
		return varint(b, 20, 1)
	case string:
		return varint(appendText(b, 4, v), 20, 3)
	case []int:
		for _, x := range v {
			b = varint(b, 8, int64(x))
		}
		return varint(b, 20, 7)
	case []float64:
		for _, x := range v {
			b = protowire.AppendFixed32(protowire.AppendTag(b, 7, protowire.Fixed32Type), f32bits(x))
		}
		return varint(b, 20, 6)
	case *Tensor:
		return varint(appendMessage(b, 5, tensorMessage("", v)), 20, 4)
	}
	panic(fmt.Sprintf("attribute of %T", v))
}

func f32bits(v float64) uint32 {
	t := []float32{float32(v)}
	return viewAs[uint32](bytesOf(t))[0]
}

func tensorMessage(name string, t *Tensor) []byte {
	var b []byte
	for _, d := range t.Shape {
		b = varint(b, 1, int64(d))
	}
	b = varint(b, 2, int64(t.Type))
	return appendMessage(appendText(b, 8, name), 9, t.data)
}

func valueMessage(name string, t *Tensor, open bool) []byte {
	var shape []byte
	for i, d := range t.Shape {
		dim := varint(nil, 1, int64(d))
		if open {
			dim = appendText(nil, 2, fmt.Sprint("n", i))
		}
		shape = appendMessage(shape, 1, dim)
	}
	kind := appendMessage(varint(nil, 1, int64(t.Type)), 2, shape)
	return appendMessage(appendText(nil, 1, name), 2, appendMessage(nil, 1, kind))
}

// bytes encodes the model. A node is "Op in in -> out out"; "_" is left out.
func (f *file) bytes() []byte {
	var g []byte
	for _, line := range f.nodes {
		g = appendMessage(g, 1, f.node(line))
	}
	for name, t := range f.initializers {
		g = appendMessage(g, 5, tensorMessage(name, t))
	}
	for i, t := range f.inputs {
		g = appendMessage(g, 11, valueMessage(string(rune('a'+i)), t, f.open))
	}
	for _, name := range f.outputs {
		g = appendMessage(g, 12, appendText(nil, 1, name))
	}
	b := appendMessage(varint(nil, 1, 8), 7, append(g, f.more...))
	return appendMessage(b, 8, varint(appendText(nil, 1, f.domain), 2, int64(f.opset)))
}

func (f *file) node(line string) []byte {
	var b []byte
	field := protowire.Number(1)
	words := strings.Fields(line)
	for _, w := range words[1:] {
		switch w {
		case "->":
			field = 2
		case "_":
			b = appendText(b, field, "")
		default:
			b = appendText(b, field, w)
		}
	}
	b = appendText(b, 4, words[0])
	for _, key := range []string{words[0], words[len(words)-1]} {
		for name, v := range f.attrs[key] {
			b = appendMessage(b, 5, attrMessage(name, v))
		}
	}
	return appendText(b, 7, f.domain)
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
