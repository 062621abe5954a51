package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// File is a model to be written as an ONNX file.
type File struct {
	Producer, ProducerVersion string
	Domain                    string // of the model's name space, such as a host name reversed
	Version                   int64  // of the model
	Doc                       string
	Metadata                  map[string]string
	Opset                     int64 // of the default domain
	Graph                     string
	Nodes                     []NodeDef // each after those whose outputs it reads
	Inputs, Outputs           []Value
	Docs                      map[string]string // of inputs and outputs, by name
	Initializers              []NamedTensor
}

// NodeDef is a node to be written. An empty name stands for an input or output
// that is left out.
type NodeDef struct {
	Name, Op, Domain string
	Inputs, Outputs  []string
	Attrs            map[string]any // int, float64, string, []int, []float64, []string or *Tensor
}

// NamedTensor is a constant of a graph.
type NamedTensor struct {
	Name string
	*Tensor
}

// maxFile is what a protobuf message can hold.
const maxFile = math.MaxInt32

// irVersion is that of ONNX 1.12, the first with opset 17.
const irVersion = 8

// Bytes encodes the model, weights included. The same model gives the same
// bytes. The error wraps ErrTooLarge where the model is beyond the 2 GiB of a
// protobuf message.
func (f *File) Bytes() ([]byte, error) {
	var b []byte
	b = appendInt(b, 1, irVersion)
	b = appendText(b, 2, f.Producer)
	b = appendText(b, 3, f.ProducerVersion)
	b = appendText(b, 4, f.Domain)
	b = appendInt(b, 5, f.Version)
	b = appendText(b, 6, f.Doc)
	b = appendMessage(b, 8, opsetMessage("", f.Opset))
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		b = appendMessage(b, 14, appendText(appendText(nil, 1, key), 2, f.Metadata[key]))
	}
	g := appendText(nil, 2, f.Graph)
	for _, n := range f.Nodes {
		g = appendMessage(g, 1, n.message())
	}
	for _, v := range f.Inputs {
		g = appendMessage(g, 11, v.message(f.Docs[v.Name]))
	}
	for _, v := range f.Outputs {
		g = appendMessage(g, 12, v.message(f.Docs[v.Name]))
	}
	size := len(g)
	for _, t := range f.Initializers {
		size += protowire.SizeTag(5) + protowire.SizeBytes(t.size())
	}
	if size > maxFile-len(b)-16 {
		return nil, fmt.Errorf("a model of %d bytes is beyond the 2 GiB of one ONNX file: %w", len(b)+size, ErrTooLarge)
	}
	b = slices.Grow(b, size+16) // the weights are copied once
	b = protowire.AppendVarint(protowire.AppendTag(b, 7, protowire.BytesType), uint64(size))
	b = append(b, g...)
	for _, t := range f.Initializers {
		b = protowire.AppendVarint(protowire.AppendTag(b, 5, protowire.BytesType), uint64(t.size()))
		b = t.append(b)
	}
	return b, nil
}

func opsetMessage(domain string, version int64) []byte {
	return appendInt(appendText(nil, 1, domain), 2, version)
}

// message encodes a NodeProto.
func (n *NodeDef) message() []byte {
	var b []byte
	for _, s := range n.Inputs {
		b = appendText(b, 1, s)
	}
	for _, s := range n.Outputs {
		b = appendText(b, 2, s)
	}
	b = appendText(b, 3, n.Name)
	b = appendText(b, 4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		b = appendMessage(b, 5, attrMessage(name, n.Attrs[name]))
	}
	return appendText(b, 7, n.Domain)
}

// attrMessage encodes an AttributeProto; a value of another type than NodeDef
// lists is a bug of the caller.
func attrMessage(name string, v any) []byte {
	b := appendText(nil, 1, name)
	kind := attrInt
	switch v := v.(type) {
	case int:
		b = appendInt(b, 3, int64(v))
	case float64:
		kind, b = attrFloat, appendFloat(b, 2, v)
	case string:
		kind, b = attrString, appendText(b, 4, v)
	case []int:
		kind = attrInts
		for _, x := range v {
			b = appendInt(b, 8, int64(x))
		}
	case []float64:
		kind = attrFloats
		for _, x := range v {
			b = appendFloat(b, 7, x)
		}
	case []string:
		kind = attrStrings
		for _, s := range v {
			b = appendText(b, 9, s)
		}
	case *Tensor:
		kind, b = attrTensor, appendMessage(b, 5, v.AppendProto(nil))
	default:
		panic(fmt.Sprintf("onnx: attribute %s of %T", name, v))
	}
	return appendInt(b, 20, int64(kind))
}

// AppendProto writes t as a TensorProto, which OpenTensor reads, behind b.
func (t *Tensor) AppendProto(b []byte) []byte { return NamedTensor{"", t}.append(b) }

// head encodes a TensorProto without its data.
func (t NamedTensor) head() []byte {
	var b []byte
	for _, d := range t.Shape {
		b = appendInt(b, 1, int64(d))
	}
	return appendText(appendInt(b, 2, int64(t.Type)), 8, t.Name)
}

// size is the length of what append appends.
func (t NamedTensor) size() int {
	if t.Type == String {
		n := len(t.head())
		for _, s := range t.text {
			n += protowire.SizeTag(6) + protowire.SizeBytes(len(s))
		}
		return n
	}
	return len(t.head()) + protowire.SizeTag(9) + protowire.SizeBytes(len(t.data))
}

// append encodes a TensorProto.
func (t NamedTensor) append(b []byte) []byte {
	b = append(b, t.head()...)
	if t.Type == String {
		for _, s := range t.text {
			b = appendText(b, 6, s)
		}
		return b
	}
	b = appendMessage(b, 9, t.data)
	if !littleEndian {
		swapBytes(b[len(b)-len(t.data):], t.Type.Size())
	}
	return b
}

// message encodes a ValueInfoProto. Without a type only the name is stated.
func (v *Value) message(doc string) []byte {
	b := appendText(nil, 1, v.Name)
	if v.Type != 0 {
		kind := appendInt(nil, 1, int64(v.Type))
		if v.Dims != nil {
			var shape []byte
			for _, d := range v.Dims {
				dim := appendInt(nil, 1, int64(d.Size))
				if d.Symbol != "" {
					dim = appendText(nil, 2, d.Symbol)
				}
				shape = appendMessage(shape, 1, dim)
			}
			kind = appendMessage(kind, 2, shape)
		}
		b = appendMessage(b, 2, appendMessage(nil, 1, kind))
	}
	if doc != "" {
		b = appendText(b, 3, doc)
	}
	return b
}

func appendInt(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

func appendFloat(b []byte, num protowire.Number, v float64) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(float32(v)))
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendMessage(b []byte, num protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
}
