package onnx

import (
	"cmp"
	"fmt"
	"slices"
)

// There are no sequences while a model runs. Before onnx-go sees the graph,
// resolve finds which values each sequence holds and puts operators on tensors
// in the place of those on sequences. So the file must state positions and
// lengths, and no sequence may enter or leave the graph.

func init() {
	register(
		operator{"SequenceEmpty", 11, 0, 0, asIs, prepareSequence, false},
		operator{"SequenceConstruct", 11, 1, many, asIs, prepareSequence, false},
		operator{"SequenceInsert", 11, 2, 3, asIs, prepareSequence, false},
		operator{"SequenceErase", 11, 1, 2, asIs, prepareSequence, false},
		operator{"SequenceAt", 11, 2, 2, asIs, prepareSequence, false},
		operator{"SequenceLength", 11, 1, 1, asIs, prepareSequence, false},
		operator{"SplitToSequence", 11, 1, 2, asIs, prepareSequence, false},
		operator{"ConcatFromSequence", 11, 1, 1, asIs, prepareSequence, false},
	)
}

// prepareSequence stands for operators that resolve takes out of the graph.
func prepareSequence(*call) (func() error, error) {
	return nil, fmt.Errorf("a sequence is left in the graph")
}

// sequenceOp is how a node on sequences is resolved.
type sequenceOp struct {
	takes   bool // its first input is a sequence
	resolve func(*resolver, *nodeProto) error
}

var sequenceOps = map[string]sequenceOp{
	"SequenceEmpty":      {false, (*resolver).construct},
	"SequenceConstruct":  {false, (*resolver).construct},
	"SequenceInsert":     {true, (*resolver).insert},
	"SequenceErase":      {true, (*resolver).erase},
	"SequenceAt":         {true, (*resolver).at},
	"SequenceLength":     {true, (*resolver).length},
	"SplitToSequence":    {false, (*resolver).split},
	"ConcatFromSequence": {true, (*resolver).concat},
	"Identity":           {true, (*resolver).identity}, // of a sequence
}

const (
	maxMade  = 1 << 14 // values that take the place of sequences, in a graph
	maxMoved = 1 << 20 // names of values that are copied on the way
)

// sequence is what is known of a value that is no tensor.
type sequence struct {
	values []string // that it holds
	by     int      // the node that makes it; -1 for an input of the graph
	kind   string   // of an input of the graph: what it is
	open   bool     // a refused node stands before it
}

// resolver is the state of resolve.
type resolver struct {
	p         *proto
	nodes     []nodeProto // of the graph without sequences
	node      int         // that is being resolved
	version   int64       // of its operator
	sequences map[string]*sequence
	left      map[string]int        // how often a value is still to be read
	read      map[string]bool       // what was read as a tensor so far
	taken     map[string]bool       // names of the file's own values
	tensors   map[string]*attrProto // what Constant nodes hold
	initial   map[string]int        // the initializer of that name
	known     map[string]knownInts  // constants that were looked at
	shapes    map[string][]Dim      // that the file states, once one was asked for
	next      int                   // for names
	made      int
	moved     int
	refused   []refusal
}

// knownInts is a constant, where shape is not nil.
type knownInts struct {
	v     []int64
	shape []int
	err   error
}

// refusal says why a node cannot be resolved; -1 stands for none in particular.
type refusal struct {
	node int
	err  error
}

// resolveSequences is resolve with the first refusal as an error.
func resolveSequences(p *proto) error {
	if refused := p.resolve(); len(refused) > 0 {
		return refused[0].err
	}
	return nil
}

// resolve takes the sequences out of the graph, and says which nodes stand in
// the way, in the file's order.
func (p *proto) resolve() []refusal {
	r := newResolver(p)
	if r == nil {
		return nil
	}
	for i := range p.nodes {
		if open, err := r.visit(i); open || err != nil {
			for _, o := range p.nodes[i].outputs {
				if r.sequences[o] == nil {
					r.sequences[o] = &sequence{by: i, open: true}
				}
			}
			if err != nil {
				r.refuse(i, err)
			}
		}
	}
	for _, v := range p.outputs {
		s := r.sequences[v.Name]
		switch {
		case s == nil || s.open:
		case s.by < 0:
			r.refuse(-1, fmt.Errorf("the output %q is of type %s, only tensors may leave the graph", v.Name, s.kind))
		default:
			n := &p.nodes[s.by]
			r.version = p.opsets[n.domain]
			r.refuse(s.by, fmt.Errorf("%s: %w", n, r.cannot(n, "it makes the output %q, a sequence, and only tensors may leave the graph", v.Name)))
		}
	}
	for _, v := range p.inputs {
		if s := r.sequences[v.Name]; s != nil && s.kind != "" && len(r.refused) == 0 {
			r.refuse(-1, fmt.Errorf("the input %q is of type %s, only tensors may enter the graph", v.Name, s.kind))
		}
	}
	slices.SortStableFunc(r.refused, func(a, b refusal) int { return cmp.Compare(a.node, b.node) })
	p.nodes = r.nodes
	return r.refused
}

func (r *resolver) refuse(node int, err error) { r.refused = append(r.refused, refusal{node, err}) }

// newResolver looks the graph over; nil where it has tensors only.
func newResolver(p *proto) *resolver {
	r := &resolver{p: p, sequences: map[string]*sequence{}, initial: map[string]int{}, known: map[string]knownInts{}}
	for i := range p.initializers {
		r.initial[p.initializers[i].name] = i
	}
	for _, v := range p.inputs {
		if _, ok := r.initial[v.Name]; !ok && v.other != "" {
			r.sequences[v.Name] = &sequence{by: -1, kind: v.other}
		}
	}
	if len(r.sequences) == 0 && !slices.ContainsFunc(p.nodes, func(n nodeProto) bool {
		return n.domain == "" && n.op != "Identity" && sequenceOps[n.op].resolve != nil
	}) {
		return nil
	}
	p.initializers = slices.Clip(p.initializers) // what is appended is not the caller's
	r.left, r.read, r.taken, r.tensors = map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]*attrProto{}
	for _, v := range p.inputs {
		r.taken[v.Name] = true
	}
	for name := range r.initial {
		r.taken[name] = true
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		for _, v := range n.inputs {
			r.left[v]++
		}
		for _, v := range n.outputs {
			r.taken[v] = true
			if n.op == "Constant" && n.domain == "" && len(n.attrs) == 1 {
				r.tensors[v] = &n.attrs[0]
			}
		}
	}
	for _, v := range p.outputs {
		r.left[v.Name]++
	}
	return r
}

// visit keeps a node on tensors and resolves one on sequences. Open says that
// what it reads hangs on a node that was refused.
func (r *resolver) visit(i int) (open bool, err error) {
	n := r.p.nodes[i] // a copy
	n.inputs, n.outputs = trim(n.inputs), trim(n.outputs)
	var lists []string
	for _, v := range n.inputs {
		r.left[v]--
		if s := r.sequences[v]; s == nil {
			r.read[v] = true
		} else if lists = append(lists, v); s.open {
			open = true
		}
	}
	op := sequenceOps[n.op]
	if n.domain != "" {
		op = sequenceOp{}
	}
	if open {
		return true, nil
	}
	if len(lists) == 0 && (op.resolve == nil || n.op == "Identity") {
		r.nodes = append(r.nodes, r.p.nodes[i])
		return false, nil
	}
	kernel, version, err := r.p.find(n.op, n.domain)
	if err != nil {
		return false, fmt.Errorf("%s: %w", &n, err)
	}
	if err := checkInputs(kernel, n.inputs); err != nil {
		return false, fmt.Errorf("%s %w", &n, err)
	}
	r.node, r.version = i, version
	if err := r.checkLists(&n, op, lists); err != nil {
		return false, fmt.Errorf("%s: %w", &n, err)
	}
	if err := op.resolve(r, &n); err != nil {
		return false, fmt.Errorf("%s: %w", &n, err)
	}
	return false, nil
}

// trim cuts off what is left out at the end.
func trim(s []string) []string {
	for len(s) > 0 && s[len(s)-1] == "" {
		s = s[:len(s)-1]
	}
	return s
}

// checkLists holds the inputs of a node that are sequences, and its outputs,
// against what the operator takes and gives.
func (r *resolver) checkLists(n *nodeProto, op sequenceOp, lists []string) error {
	for _, v := range lists {
		if s := r.sequences[v]; s.kind != "" {
			return r.cannot(n, "its input %q is of type %s, only tensors may enter the graph", v, s.kind)
		}
	}
	if op.takes && (len(lists) == 0 || lists[0] != n.inputs[0]) {
		return fmt.Errorf("%q is no sequence that a node before it makes", n.inputs[0])
	}
	if op.takes {
		lists = lists[1:]
	}
	if len(lists) > 0 {
		return fmt.Errorf("%q is a sequence, it should be a tensor", lists[0])
	}
	if len(n.outputs) != 1 {
		return fmt.Errorf("it has %d outputs", len(n.outputs))
	}
	return nil
}

// cannot says what is missing to resolve a node.
func (r *resolver) cannot(n *nodeProto, format string, args ...any) error {
	return unsupported(n.op, n.domain, r.version, "; "+fmt.Sprintf(format, args...))
}

// gives notes the sequence that a node makes.
func (r *resolver) gives(n *nodeProto, values []string) error {
	name := n.outputs[0]
	if r.read[name] {
		return fmt.Errorf("its output %q is read by a node before it, the nodes should be in the order in which they run", name)
	}
	r.sequences[name] = &sequence{values: values, by: r.node}
	return nil
}

// take gives the sequence that is a node's first input, for the node to change:
// itself where no other node reads it any more, else a copy.
func (r *resolver) take(n *nodeProto) ([]string, error) {
	s := r.sequences[n.inputs[0]]
	if r.left[n.inputs[0]] == 0 {
		values := s.values
		s.values = nil
		return values, nil
	}
	if err := r.move(len(s.values)); err != nil {
		return nil, err
	}
	return slices.Clone(s.values), nil
}

func (r *resolver) move(names int) error {
	if r.moved += names; r.moved > maxMoved {
		return fmt.Errorf("the elements of the graph's sequences are moved more than %d times: %w", maxMoved, ErrTooLarge)
	}
	return nil
}

// fresh gives names for values that the file does not have.
func (r *resolver) fresh(count int) ([]string, error) {
	if count > maxMade-r.made {
		return nil, fmt.Errorf("the graph's sequences need more than %d values: %w", maxMade, ErrTooLarge)
	}
	r.made += count
	names := make([]string, 0, count)
	for len(names) < count {
		r.next++
		if s := fmt.Sprintf("sequence.%d", r.next); !r.taken[s] {
			names = append(names, s)
		}
	}
	return names, nil
}

// put adds a node in the form of an opset, whatever that of the file.
func (r *resolver) put(n *nodeProto, op string, opset int64, inputs, outputs []string, attr string, value any) error {
	made := nodeProto{name: n.name, op: op, inputs: inputs, outputs: outputs, version: opset}
	if attr != "" {
		a, err := readAttr(attrMessage(attr, value))
		if err != nil {
			return err
		}
		made.attrs = []attrProto{a}
	}
	r.nodes = append(r.nodes, made)
	return nil
}
