package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// proto is what the front reads of a model file: everything that onnx-go loses
// or cannot read, as views of the file.
type proto struct {
	irVersion    int64
	producer     string
	opsets       map[string]int64 // domain to version; the default domain is ""
	functions    int
	nodes        []nodeProto
	inputs       []Value
	outputs      []Value
	initializers []tensorProto
	infos        [][]byte // what the file says of other values, as it stands there
}

// Value describes an input or output of a model.
type Value struct {
	Name string
	Type Type
	Dims []Dim // nil where the file does not say

	other string // what it is, if no tensor
}

// Dim is a dimension: a size, or where it is open the name that the file gives
// it, or "?".
type Dim struct {
	Size   int
	Symbol string
}

func (d Dim) String() string {
	if d.Symbol != "" {
		return d.Symbol
	}
	return fmt.Sprint(d.Size)
}

type nodeProto struct {
	name, op, domain string
	inputs, outputs  []string
	attrs            []attrProto
	version          int64 // of nodes that are not the file's: the opset of their form
}

// attrProto is an attribute. Tensors stay with the front; the others are handed
// to onnx-go as raw bytes.
type attrProto struct {
	name   string
	kind   attrKind
	raw    []byte
	typed  bool // the file states the kind
	tensor *tensorProto
}

type attrKind int64

const (
	attrFloat   attrKind = 1
	attrInt     attrKind = 2
	attrString  attrKind = 3
	attrTensor  attrKind = 4
	attrFloats  attrKind = 6
	attrInts    attrKind = 7
	attrStrings attrKind = 8
)

// readProto reads a ModelProto.
func readProto(b []byte) (*proto, error) {
	p := &proto{opsets: map[string]int64{}}
	var graph []byte
	version := ""
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			p.irVersion = int64(f.bits)
		case 2:
			p.producer, err = f.text()
		case 3:
			version, err = f.text()
		case 7:
			if graph != nil {
				return fmt.Errorf("it holds two graphs")
			}
			graph = f.bytes
		case 8:
			err = p.readOpset(f.bytes)
		case 25:
			p.functions++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if graph == nil {
		return nil, fmt.Errorf("it holds no graph")
	}
	p.producer = strings.TrimSpace(p.producer + " " + version)
	return p, p.readGraph(graph)
}

func (p *proto) readOpset(b []byte) error {
	domain, version := "", int64(0)
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			domain, err = f.text()
		case 2:
			version = int64(f.bits)
		}
		return err
	})
	p.opsets[plainDomain(domain)] = version
	return err
}

// plainDomain maps the default domain's second name to its first.
func plainDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func (p *proto) readGraph(b []byte) error {
	return walk(b, func(f field) error {
		switch f.num {
		case 1:
			n, err := readNode(f.bytes)
			p.nodes = append(p.nodes, n)
			return err
		case 5:
			t, err := readTensorProto(f.bytes)
			p.initializers = append(p.initializers, t)
			return err
		case 11, 12:
			v, err := readValue(f.bytes)
			if f.num == 11 {
				p.inputs = append(p.inputs, v)
			} else {
				p.outputs = append(p.outputs, v)
			}
			return err
		case 13:
			p.infos = append(p.infos, f.bytes)
		case 15:
			return fmt.Errorf("it has sparse initializers, which are not supported")
		}
		return nil
	})
}

func readNode(b []byte) (nodeProto, error) {
	var n nodeProto
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1, 2:
			var s string
			s, err = f.text()
			if f.num == 1 {
				n.inputs = append(n.inputs, s)
			} else {
				n.outputs = append(n.outputs, s)
			}
		case 3:
			n.name, err = f.text()
		case 4:
			n.op, err = f.text()
		case 7:
			n.domain, err = f.text()
			n.domain = plainDomain(n.domain)
		case 5:
			var a attrProto
			a, err = readAttr(f.bytes)
			n.attrs = append(n.attrs, a)
		}
		return err
	})
	return n, err
}

// readAttr finds name and kind. Files of IR version 1 state no kind: it is then
// that of the field that is present.
func readAttr(b []byte) (attrProto, error) {
	a := attrProto{raw: b}
	present := map[protowire.Number]attrKind{2: attrFloat, 3: attrInt, 4: attrString, 5: attrTensor, 7: attrFloats, 8: attrInts, 9: attrStrings}
	guess := attrKind(0)
	var tensor []byte
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			a.name, err = f.text()
		case 20:
			a.kind, a.typed = attrKind(f.bits), true
		case 5:
			tensor = f.bytes
		}
		if k, ok := present[f.num]; ok {
			guess = k
		}
		return err
	})
	if err != nil {
		return a, err
	}
	if a.kind == 0 {
		a.kind, a.typed = guess, false
	}
	if a.kind == attrTensor {
		t, err := readTensorProto(tensor)
		a.tensor = &t
		return a, err
	}
	return a, nil
}

// readValue reads a ValueInfoProto: the name and, for a tensor, type and shape.
func readValue(b []byte) (Value, error) {
	var v Value
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			v.Name, err = f.text()
		case 2:
			err = walk(f.bytes, func(f field) error {
				if f.num == 1 {
					return v.readTensorType(f.bytes)
				}
				if what := otherTypes[f.num]; what != "" { // Type stays 0
					v.other = what
				}
				return nil
			})
		}
		return err
	})
	return v, err
}

var otherTypes = map[protowire.Number]string{4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}

func (v *Value) readTensorType(b []byte) error {
	return walk(b, func(f field) error {
		switch f.num {
		case 1:
			v.Type = Type(f.bits)
		case 2:
			v.Dims = []Dim{}
			return walk(f.bytes, func(f field) error {
				if f.num != 1 {
					return nil
				}
				d, err := readDim(f.bytes)
				v.Dims = append(v.Dims, d)
				return err
			})
		}
		return nil
	})
}

func readDim(b []byte) (Dim, error) {
	d := Dim{Symbol: "?"}
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			switch size := int64(f.bits); {
			case size > math.MaxInt32:
				return fmt.Errorf("a dimension of %d is out of range", size)
			case size < 0: // as some write what is open
				d = Dim{Symbol: "?"}
			default:
				d = Dim{Size: int(size)}
			}
		case 2:
			if d.Symbol, err = f.text(); d.Symbol == "" {
				d.Symbol = "?"
			}
		}
		return err
	})
	return d, err
}

// names numbers the values of a graph. Number 0 stands for an input that is
// left out.
type names struct {
	number map[string]int
	text   []string
}

func newNames() *names { return &names{map[string]int{"": 0}, []string{""}} }

func (n *names) of(s string) int {
	id, ok := n.number[s]
	if !ok {
		id = len(n.text)
		n.number[s] = id
		n.text = append(n.text, s)
	}
	return id
}

// skeleton writes the model again for onnx-go: the same nodes, edges and
// attributes, without tensors. Values get their numbers as names, so that no
// name collides with those that onnx-go makes up; node i carries its number i
// in an extra attribute, which brings back its name, domain and tensors.
func (p *proto) skeleton(n *names) []byte {
	var g []byte
	for _, v := range p.inputs {
		g = appendMessage(g, 11, appendText(nil, 1, valueName(n.of(v.Name))))
	}
	for _, v := range p.outputs {
		g = appendMessage(g, 12, appendText(nil, 1, valueName(n.of(v.Name))))
	}
	for i, node := range p.nodes {
		g = appendMessage(g, 1, node.skeleton(i, n))
	}
	return appendMessage(nil, 7, g)
}

const numberAttr = "#"

func valueName(id int) string { return fmt.Sprint(id) }

func (node *nodeProto) skeleton(i int, n *names) []byte {
	var b []byte
	for _, s := range node.inputs {
		b = appendText(b, 1, valueName(n.of(s)))
	}
	if len(node.inputs) == 0 {
		b = appendText(b, 1, valueName(0)) // else onnx-go makes one up
	}
	for j, s := range node.outputs {
		if s == "" { // each output that is left out is a value of its own
			s = fmt.Sprintf("\x00%d.%d", i, j)
		}
		b = appendText(b, 2, valueName(n.of(s)))
	}
	b = appendText(b, 4, node.op)
	for _, a := range node.attrs {
		if !a.decoded() {
			continue
		}
		raw := a.raw
		if !a.typed {
			raw = appendInt(slices.Clone(raw), 20, int64(a.kind))
		}
		b = appendMessage(b, 5, raw)
	}
	return appendMessage(b, 5, attrMessage(numberAttr, i))
}

// int reads an attribute of an integer as onnx-go does, 0 where it is missing.
func (node *nodeProto) int(name string) (v int64) {
	for i := range node.attrs {
		if a := &node.attrs[i]; a.name == name && a.kind == attrInt {
			v = 0
			_ = walk(a.raw, func(f field) error { // which went well once
				if f.num == 3 {
					v = int64(f.bits)
				}
				return nil
			})
		}
	}
	return v
}

// decoded says that onnx-go reads this kind of attribute well.
func (a *attrProto) decoded() bool {
	switch a.kind {
	case attrFloat, attrInt, attrString, attrFloats, attrInts, attrStrings:
		return true
	}
	return false
}
