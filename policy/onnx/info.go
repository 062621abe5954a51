package onnx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"arfm/policy/userfile"
)

// Step is a node that was just computed, or several that were joined into one.
type Step struct {
	Node    string // which, as messages name it
	Op      string
	Results []*Tensor // valid until the call returns
	Time    time.Duration
}

// Steps is the number of nodes that a run computes, after folding and joining.
func (m *Model) Steps() int { return len(m.engine.nodes) }

// Info is what a file says of its model, whether that can run or not.
type Info struct {
	Producer        string           // "" where the file does not say
	Opsets          map[string]int64 // as Model.Opsets
	Inputs, Outputs []Value          // without inputs that have a default
	Nodes           int
	Operators       []OperatorCount  // by name
	Unsupported     []string         // a sentence for each node that stands in the way
	Parameters      []ParameterCount // by type
	External        []string         // files that hold parameters, sorted
}

// OperatorCount says how often an operator is there.
type OperatorCount struct {
	Name      string `json:"name"` // with the domain before it where that is not the default
	Nodes     int    `json:"nodes"`
	Supported bool   `json:"supported"`
}

// ParameterCount sums up the initializers, and the tensors of Constant nodes, of
// a type.
type ParameterCount struct {
	Type     Type
	Tensors  int
	Elements int64
	Bytes    int64 // 0 for types that are not supported
}

// Inspect reads what the file at path says of its model.
func Inspect(path string) (*Info, error) {
	f, _, err := userfile.Open(path)
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
		return nil, fmt.Errorf("%s: %w: %w", path, ErrFormat, err)
	}
	info := &Info{Producer: p.producer, Opsets: p.opsets, Outputs: p.outputs, Nodes: len(p.nodes)}
	initial := map[string]bool{}
	for i := range p.initializers {
		initial[p.initializers[i].name] = true
	}
	for _, v := range p.inputs {
		if !initial[v.Name] {
			info.Inputs = append(info.Inputs, v)
		}
	}
	info.Operators, info.Unsupported = p.operators()
	if info.Parameters, info.External, err = p.parameters(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrFormat, err)
	}
	return info, nil
}

// operators counts the nodes by operator and says which cannot be computed.
func (p *proto) operators() (list []OperatorCount, unsupported []string) {
	count, refused := map[string]*OperatorCount{}, map[int]error{}
	for _, r := range p.refusedTypes() {
		refused[r.node] = r.err
	}
	rest := *p // keeps its sequences
	for _, r := range rest.resolve() {
		if r.node < 0 {
			unsupported = append(unsupported, r.err.Error())
		}
		refused[r.node] = r.err
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		name := Plain(n.op)
		if n.domain != "" {
			name = Plain(n.domain + "." + n.op)
		}
		_, _, err := p.find(n.op, n.domain)
		if err != nil {
			err = fmt.Errorf("%s: %w", n, err)
		} else {
			err = refused[i]
		}
		if count[name] == nil {
			count[name] = &OperatorCount{Name: name, Supported: true}
		}
		if err != nil {
			unsupported = append(unsupported, err.Error())
			count[name].Supported = false
		}
		count[name].Nodes++
	}
	for _, err := range rest.refusedGradients() {
		unsupported = append(unsupported, err.Error())
		count[trainingDomain+".Gradient"].Supported = false
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		list = append(list, *count[name])
	}
	return list, unsupported
}

// refusedGradients says what is not differentiable on the way of gradients, in a
// graph whose sequences are resolved. Other things may be wrong with it.
func (p *proto) refusedGradients() []error {
	if !slices.ContainsFunc(p.nodes, func(n nodeProto) bool { return n.op == "Gradient" && n.domain == trainingDomain }) {
		return nil
	}
	m := newModel(p, "")
	if m.checkNames(p) != nil || m.decode(p) != nil {
		return nil
	}
	for i := range p.initializers {
		m.names.of(p.initializers[i].name)
	}
	_ = m.bind(p) // nodes without an operator are named already
	if m.order() != nil {
		return nil
	}
	refused, _ := m.gradients() // of an error beside them, loading tells
	return refused
}

// tensors lists the initializers and what Constant nodes hold.
func (p *proto) tensors() (list []*tensorProto) {
	for i := range p.initializers {
		list = append(list, &p.initializers[i])
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		for k := range n.attrs {
			if t := n.attrs[k].tensor; t != nil && n.op == "Constant" && n.domain == "" {
				list = append(list, t)
			}
		}
	}
	return list
}

// parameters sums up the tensors by type and lists the files they lie in.
func (p *proto) parameters() ([]ParameterCount, []string, error) {
	room := int64(maxVolume)
	count, files := map[Type]*ParameterCount{}, map[string]bool{}
	for _, t := range p.tensors() {
		n, err := t.shape()
		if err != nil {
			return nil, nil, err
		}
		c := count[t.kind]
		if c == nil {
			c = &ParameterCount{Type: t.kind}
			count[t.kind] = c
		}
		size := int64(product(n))
		if room -= size; room < 0 {
			return nil, nil, fmt.Errorf("its tensors have more than %d elements together", int64(maxVolume))
		}
		c.Tensors++
		c.Elements += size
		c.Bytes += size * int64(t.kind.Size())
		for _, s := range t.text {
			c.Bytes += int64(len(s))
		}
		if t.outside {
			files[Plain(t.external["location"])] = true
		}
	}
	list := slices.SortedFunc(maps.Values(count), func(a, b *ParameterCount) int { return cmp.Compare(a.Type, b.Type) })
	out := make([]ParameterCount, len(list))
	for i, c := range list {
		out[i] = *c
	}
	return out, slices.Sorted(maps.Keys(files)), nil
}
