package onnx

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// operator is an entry of the registry.
type operator struct {
	name     string
	from     int64 // the first opset whose semantics the kernel knows
	min, max int   // number of inputs, counted to the last that is there
	wide     wide
	prepare  prepare
	view     bool // the first output is the first input's data under another shape
}

// wide says which inputs the executor turns into float32 before an operator
// sees them, and its float32 outputs back.
type wide int

const (
	asIs   wide = iota
	half        // float16 and bfloat16
	only32      // those and float64
)

// prepare looks at the inputs' types and shapes, declares the outputs with
// call.out and returns what computes them. The inputs' data may be looked at
// only through methods of call that fail with errNoData where there is none.
type prepare func(c *call) (compute func() error, err error)

// call is one application of an operator.
type call struct {
	*node
	in      []*Tensor // nil where left out
	result  []*Tensor // one per output of the node
	limit   int
	pool    *pool     // for what a kernel needs while it computes
	work    *budget   // of folding, nil for none
	fixed   []bool    // inputs that are the same in every run
	numbers numbering // that stand for strings
}

// newestOpset is the newest version of the default domain that the node tests
// hold; what a later one changed is not known.
const newestOpset = 28

const many = math.MaxInt32

var operators = map[string]*operator{}

// viewOf is an operator whose first output is its first input's data.
func viewOf(name string, from int64, least, most int, p prepare) operator {
	return operator{name, from, least, most, asIs, p, true}
}

func register(list ...operator) {
	for i := range list {
		if operators[list[i].name] != nil {
			panic("onnx: operator " + list[i].name + " is registered twice")
		}
		operators[list[i].name] = &list[i]
	}
}

// bind finds each node's operator and checks what can be checked without
// shapes. After the first error it goes on; nodes with one get no operator.
func (m *Model) bind(p *proto) (first error) {
	for _, n := range m.engine.nodes {
		op, version, err := p.find(n.op, n.domain)
		if err != nil {
			err = fmt.Errorf("%s: %w", m.describe(n), err)
		} else if err = checkInputs(op, n.inputs); err != nil {
			err = fmt.Errorf("%s %w", m.describe(n), err)
		}
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		if n.version == 0 {
			n.version = version
		}
		n.operator = op
	}
	return first
}

// checkInputs refuses too many or too few inputs; the last is not left out.
func checkInputs[T comparable](op *operator, inputs []T) error {
	if len(inputs) < op.min || len(inputs) > op.max {
		return fmt.Errorf("has %d inputs", len(inputs))
	}
	var none T
	if i := slices.Index(inputs[:op.min], none); i >= 0 {
		return fmt.Errorf("lacks input %d", i)
	}
	return nil
}

// find gives the operator of that name in the opset that the file states.
func (p *proto) find(name, domain string) (*operator, int64, error) {
	version, ok := p.opset(domain)
	op, newest, more := operators[name], int64(newestOpset), ""
	if domain == trainingDomain {
		op, newest = trainingOps[name], newestTraining
	} else if domain != "" {
		op = nil
	}
	switch {
	case !ok:
		return nil, 0, unsupported(name, domain, 0, "")
	case op == nil:
	case version > newest:
		more = fmt.Sprintf("; opsets up to %d are known", newest)
	case version < op.from:
		more = fmt.Sprintf("; it is supported from opset %d on", op.from)
	default:
		return op, version, nil
	}
	return nil, version, unsupported(name, domain, version, more)
}

// opset is the version of a domain that the file states.
func (p *proto) opset(domain string) (version int64, ok bool) {
	version, ok = p.opsets[domain]
	if !ok && domain == "" && p.irVersion < 3 {
		return 1, true // IR versions before 3 state no opset
	}
	return version, ok
}

// unsupported refuses an operator; version 0 stands for a domain that the file
// does not import.
func unsupported(op, domain string, version int64, more string) error {
	if domain == "" {
		domain = "ai.onnx"
	}
	of := fmt.Sprintf("opset %d", version)
	if version == 0 {
		of = "of which the file imports no opset"
	}
	return fmt.Errorf("%w %s of domain %s, %s%s", ErrUnsupported, Plain(op), Plain(domain), of, more)
}

// out declares output i, if the node has it.
func (c *call) out(i int, t Type, shape ...int) error {
	n, err := volume(shape)
	if err != nil {
		return err
	}
	if t.Size() == 0 {
		return fmt.Errorf("%v is not supported", t)
	}
	if n > c.limit/t.Size() {
		return fmt.Errorf("a result of shape %v takes more than the limit of %d bytes: %w", shape, c.limit, ErrTooLarge)
	}
	if i < len(c.result) {
		c.result[i] = &Tensor{Type: t, Shape: slices.Clone(shape)}
	}
	return nil
}

// costs takes as many multiplications as the product of all factors from the
// call's budget.
func (c *call) costs(factors ...int) error { return c.work.take(factors...) }

// scratch lends n elements until done is called; their values may be anything.
func scratch[T number](c *call, n int) (s []T, done func(), err error) {
	var zero T
	b, err := c.pool.get(n * int(unsafe.Sizeof(zero)))
	return viewAs[T](b), func() { c.pool.put(b) }, err
}

// has says that input i is there.
func (c *call) has(i int) bool { return i < len(c.in) && c.in[i] != nil }

// wants says that output i is read. Outputs that are left out still get memory,
// so that kernels need not ask.
func (c *call) wants(i int) bool { return i < len(c.result) }

// types refuses input i unless it is one of the list.
func (c *call) types(i int, list ...Type) error {
	if !c.has(i) {
		return fmt.Errorf("input %d is missing", i)
	}
	if !slices.Contains(list, c.in[i].Type) {
		return fmt.Errorf("input %d is of %v, which is not supported here", i, c.in[i].Type)
	}
	return nil
}

// sameType refuses inputs that differ in type from the first.
func (c *call) sameType(inputs ...int) error {
	for _, i := range inputs {
		if c.has(i) && c.in[i].Type != c.in[inputs[0]].Type {
			return fmt.Errorf("inputs %d and %d are of %v and %v", inputs[0], i, c.in[inputs[0]].Type, c.in[i].Type)
		}
	}
	return nil
}

// attribute gives an attribute of type T, or missing where it is absent. One of
// another type counts as absent; strict files do not have it.
func attribute[T any](c *call, name string, missing T) T {
	if v, ok := c.attrs[name].(T); ok {
		return v
	}
	return missing
}

func (c *call) int(name string, missing int) int {
	return clampInt(attribute(c, name, int64(missing)))
}
func (c *call) float(name string, missing float32) float32 { return attribute(c, name, missing) }
func (c *call) string(name, missing string) string         { return attribute(c, name, missing) }
func (c *call) ints(name string) []int64                   { return attribute[[]int64](c, name, nil) }

// clampInt keeps an integer of a file where sums of a few cannot overflow.
func clampInt(v int64) int { return int(min(max(v, -maxVolume), maxVolume)) }

func clampInts(v []int64) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = clampInt(x)
	}
	return out
}

// input reads the integers of input i; none where it is left out.
func (c *call) input(i int) ([]int64, error) {
	if !c.has(i) {
		return nil, nil
	}
	v, err := c.in[i].ints()
	if err != nil && err != errNoData {
		err = fmt.Errorf("input %d: %w", i, err)
	}
	return v, err
}

// axesAt reads axes from the attribute before opset since, from input i after.
func (c *call) axesAt(i int, since int64) ([]int64, error) {
	if c.version < since {
		return c.ints("axes"), nil
	}
	return c.input(i)
}

// axis makes an axis count from the front.
func axis(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d is out of range for %d dimensions", a, rank)
	}
	return int(a), nil
}

// axisSet marks axes of a rank; each may appear once.
func axisSet(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d appears twice", i)
		}
		set[i] = true
	}
	return set, nil
}
