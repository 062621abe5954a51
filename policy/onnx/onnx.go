// Package onnx runs vision and text encoders that were trained elsewhere, from
// ONNX files of opset 7 to 17 (and those operators of later opsets that it
// knows).
//
// The way of a model through the package:
//
//	file -> front.go, tensorproto.go   reads the protobuf as views of the mapped
//	                                   file: opsets, domains, values, tensors
//	     -> sequence.go             resolves sequences to the values they hold
//	     -> skeleton -> onnx-go        decodes nodes, edges and attributes from
//	                                   the same model without its tensors
//	     -> backend.go                 takes them as onnx-go's computation backend
//	     -> graph.go                   checks the graph, binds operators, orders
//	                                   the nodes
//	     -> gradient.go                puts ordinary nodes in the place of Gradient
//	     -> fold.go                    computes what depends on constants only
//	     -> fuse.go                    joins nodes into fewer passes over memory
//	     -> plan.go, layout.go         fixes shapes, places results in one arena
//	     -> run.go                     computes the outputs from the inputs
//
// Strings, which have no fixed size, are in text.go.
//
// An operator (registry.go, op_*.go) looks at types and shapes first, says what
// comes out, and returns the function that computes it. float16 and bfloat16
// are stored as such and computed in float32. float64 is computed in float64
// element-wise, in reductions and in MatMul, elsewhere in float32.
//
// A file is hostile: whatever is wrong with it becomes one sentence, and no
// memory is taken that its own length, or the limit on results, does not
// justify.
package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that a caller may test for with errors.Is.
var (
	ErrFormat      = errors.New("not a readable ONNX model")
	ErrUnsupported = errors.New("unsupported operator")
	ErrInput       = errors.New("unsuitable input")
	ErrTooLarge    = errors.New("too large")
)

// errNoData says that an operator's shape depends on values that are not known
// yet.
var errNoData = errors.New("the shape depends on values that are not known yet")

// errUnfit says that shapes do not fit a join of nodes.
var errUnfit = errors.New("not joined")

// Model is a model that is ready to run. It is not safe for concurrent use.
type Model struct {
	// Inputs and Outputs are described as the file does.
	Inputs, Outputs []Value
	// Producer is the program that wrote the file, and its version.
	Producer string
	// Opsets maps domains to versions; the default domain is "".
	Opsets map[string]int64

	// Trace, where it is set, is called after each node of a run; an error ends
	// the run. A run whose shapes are open begins anew where joined nodes turn
	// out not to fit them.
	Trace func(Step) error

	engine    *engine
	loaded    loaded
	single    []*node       // before some were joined
	maker     map[int]*node // of each value, while nodes are fused
	names     *names
	constants map[int]*Tensor
	inputIDs  []int
	outputIDs []int
	uses      []int     // how many nodes and outputs read a value
	live      []*Tensor // the values of a run
	plan      *plan     // where results lie, once the shapes are fixed
	pool      pool
	limit     int
	work      budget // of folding
	files     *folder
	label     string // the file, for messages
}

// loaded is what Fix starts from: a model whose shapes are not fixed yet, before
// nodes are joined.
type loaded struct {
	inputs    []Value
	nodes     []*node
	constants map[int]*Tensor
	work      budget // that is left
}

// DefaultLimit bounds the bytes of one result, and of all that live at a time
// while a model runs.
const DefaultLimit = 4 << 30

// Open maps the model at path and makes it ready. External data is looked for
// in the same folder. Close gives the memory back; results stay valid.
func Open(path string) (*Model, error) {
	files, data, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	model, err := load(data, files, path, true)
	if err != nil {
		files.Close()
		return nil, err
	}
	model.files = files
	return model, nil
}

// SetLimit changes DefaultLimit for this model.
func (m *Model) SetLimit(bytes int) { m.limit = bytes; m.pool.limit = bytes }

// Close gives the mapped files back. The model must not run afterwards.
func (m *Model) Close() error {
	m.loaded, m.constants, m.plan, m.pool = loaded{}, nil, nil, pool{limit: m.limit}
	if m.files == nil {
		return nil
	}
	return m.files.Close()
}

func (v Value) String() string {
	if v.other != "" {
		return Plain(v.Name) + ": " + v.other
	}
	dims := make([]string, len(v.Dims))
	for i, d := range v.Dims {
		dims[i] = Plain(d.String())
	}
	return fmt.Sprintf("%s: %v[%s]", Plain(v.Name), v.Type, strings.Join(dims, " "))
}
