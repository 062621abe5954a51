package onnx

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Strings have no fixed size, so a tensor of them holds them apart from data,
// which is empty. Operators that only move elements or ask whether two are
// equal (numbered) see numbers in their place, one for each different string;
// those that look into strings are in op_text.go.

// What a tensor of strings may hold: so many elements, of so many bytes each.
const (
	maxStrings = 1 << 20
	maxString  = 1 << 16
)

// stringHeader is what an element takes besides its bytes.
const stringHeader = 16

// NewStrings makes a tensor of strings, which are kept, not copied. len(v) must
// be the product of shape, and each string UTF-8.
func NewStrings(v []string, shape ...int) (*Tensor, error) {
	n, err := volume(shape)
	if err != nil {
		return nil, err
	}
	if n != len(v) || n > maxStrings {
		return nil, fmt.Errorf("a tensor %v does not fit %d strings; at most %d are supported", shape, len(v), maxStrings)
	}
	for i, s := range v {
		if err := checkString(i, s); err != nil {
			return nil, err
		}
	}
	return &Tensor{Type: String, Shape: slices.Clone(shape), data: []byte{}, text: v}, nil
}

// Strings gives the elements of a tensor of strings, nil for other types.
func (t *Tensor) Strings() []string { return t.text }

func checkString[S string | []byte](i int, s S) error {
	if len(s) > maxString {
		return fmt.Errorf("string %d has %d bytes, at most %d are supported: %w", i, len(s), maxString, ErrTooLarge)
	}
	if !utf8.ValidString(string(s)) {
		return fmt.Errorf("string %d should be UTF-8", i)
	}
	return nil
}

// textBytes is the memory that strings take.
func textBytes(v []string) int {
	n := stringHeader * len(v)
	for _, s := range v {
		n += len(s)
	}
	return n
}

// bytes is the memory that t's elements take.
func (t *Tensor) bytes() int { return len(t.data) + textBytes(t.text) }

// strings reads a TensorProto's elements, n by its shape.
func (t *tensorProto) strings(n int) ([]string, error) {
	if t.raw != nil || t.outside || len(t.floats)+len(t.doubles)+len(t.ints) > 0 {
		return nil, fmt.Errorf("strings lie in string_data only")
	}
	if len(t.text) != n {
		return nil, fmt.Errorf("%d elements of data, its shape needs %d", len(t.text), n)
	}
	v := make([]string, n)
	for i, b := range t.text {
		if err := checkString(i, b); err != nil {
			return nil, err
		}
		v[i] = string(b)
	}
	return v, nil
}

// strings reads input i, which must hold strings.
func (c *call) strings(i int) ([]string, error) {
	if err := c.types(i, String); err != nil {
		return nil, err
	}
	if c.in[i].data == nil {
		return nil, errNoData
	}
	return c.in[i].text, nil
}

// outStrings declares output i, if the node has it, as strings.
func (c *call) outStrings(i int, shape ...int) error {
	n, err := volume(shape)
	if err != nil {
		return err
	}
	if n > min(maxStrings, c.limit/stringHeader) {
		return fmt.Errorf("a result of %d strings is more than the limit: %w", n, ErrTooLarge)
	}
	if i < len(c.result) {
		c.result[i] = &Tensor{Type: String, Shape: slices.Clone(shape)}
	}
	return nil
}

// makes is gives of strings that may be beyond what a tensor holds.
func (c *call) makes(t *Tensor, v []string) error {
	for i, s := range v {
		if err := checkString(i, s); err != nil {
			return fmt.Errorf("of its result, %w", err)
		}
	}
	return c.gives(t, v)
}

// gives makes v the elements of a result that has its memory.
func (c *call) gives(t *Tensor, v []string) error {
	n := textBytes(v)
	if err := c.work.take(n); err != nil {
		return err
	}
	if n > c.limit {
		return fmt.Errorf("strings of %d bytes are more than the limit of %d: %w", n, c.limit, ErrTooLarge)
	}
	if err := c.pool.take(n); err != nil {
		return err
	}
	t.text, t.memory.text = v, n
	return nil
}

// numbered lists operators that take strings as numbers, and whether what they
// give are strings again.
var numbered = map[string]bool{
	"Equal": false, "Identity": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true,
	"Expand": true, "Tile": true, "Concat": true, "Split": true, "Slice": true, "Gather": true, "GatherElements": true,
	"GatherND": true, "Where": true, "Compress": true,
}

// numberType is that of the numbers in the place of strings.
const numberType = Uint32

// numbering is what stands for strings in a call.
type numbering struct {
	of   map[string]uint32
	text []string
}

// number writes the numbers of t's strings.
func (n *numbering) number(to []uint32, t *Tensor) {
	if n.of == nil {
		n.of = map[string]uint32{}
	}
	for i, s := range t.text {
		k, ok := n.of[s]
		if !ok {
			k = uint32(len(n.text))
			n.of[s] = k
			n.text = append(n.text, s)
		}
		to[i] = k
	}
}

// strings gives back what numbers stand for.
func (n *numbering) strings(from []uint32) []string {
	v := make([]string, len(from))
	for i, k := range from {
		v[i] = n.text[k]
	}
	return v
}

// texts says how many of an operator's first outputs are strings where it takes
// strings; ok is false where it does not.
func texts(op string, outputs int) (n int, ok bool) {
	if gives, ok := numbered[op]; ok && !gives {
		return 0, true
	} else if ok || sequenceOps[op].resolve != nil {
		return outputs, true
	}
	if n, ok := textOps[op]; ok {
		return min(n, outputs), true
	}
	return 0, op == "Shape" || op == "Size"
}

// refuseTypes is refusedTypes with the first refusal as an error.
func refuseTypes(p *proto) error {
	if refused := p.refusedTypes(); len(refused) > 0 {
		return refused[0].err
	}
	return nil
}

// refusedTypes says which nodes would get or give elements of types that they
// do not take here, as far as the file says, in its order.
func (p *proto) refusedTypes() []refusal {
	refused := append(p.refusedTexts(), p.refusedCasts()...)
	slices.SortStableFunc(refused, func(a, b refusal) int { return cmp.Compare(a.node, b.node) })
	return refused
}

// refuse says that node i is not supported, and why.
func (p *proto) refuse(i int, why string) refusal {
	n := &p.nodes[i]
	version, _ := p.opset(n.domain)
	return refusal{i, fmt.Errorf("%s: %w", n, unsupported(n.op, n.domain, version, "; "+why))}
}

// refusedTexts says which nodes would get strings and do not take them, as far
// as the file's own types say.
func (p *proto) refusedTexts() (refused []refusal) {
	readers, seen := map[string][]int{}, map[string]bool{}
	var list []string // values that are strings
	add := func(names []string) {
		for _, s := range names {
			if s != "" && !seen[s] {
				seen[s] = true
				list = append(list, s)
			}
		}
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		for _, s := range n.inputs {
			readers[s] = append(readers[s], i)
		}
		if n.holdsText() {
			add(n.outputs)
		}
	}
	for _, v := range p.inputs {
		if v.Type == String {
			add([]string{v.Name})
		}
	}
	for i := range p.initializers {
		if p.initializers[i].kind == String {
			add([]string{p.initializers[i].name})
		}
	}
	for ; len(list) > 0; list = list[1:] {
		for _, i := range readers[list[0]] {
			n := &p.nodes[i]
			count, ok := texts(n.op, len(n.outputs))
			if !ok {
				refused = append(refused, p.refuse(i, fmt.Sprintf("its input %q is of strings, which it does not take here", list[0])))
			}
			add(n.outputs[:count])
		}
	}
	return refused
}

// holdsText says that a node is a constant of strings.
func (n *nodeProto) holdsText() bool {
	if n.op != "Constant" || n.domain != "" {
		return false
	}
	return slices.ContainsFunc(n.attrs, func(a attrProto) bool {
		return a.kind == attrString || a.kind == attrStrings || a.kind == attrTensor && a.tensor.kind == String
	})
}
