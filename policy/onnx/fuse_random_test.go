package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pieces grows a random network from the pieces that are joined, and from those
// that look like them.
type pieces struct {
	*network
	x     string // the last value
	shape []int
	older map[string][]int // values that may be added again
}

func (c *pieces) pick(n int) bool { return c.random.IntN(n) == 0 }

// one is a constant of one element of a random rank.
func (c *pieces) one(v float32) string {
	t := floats([]float32{v})
	t.Shape = [][]int{nil, nil, nil, {1}, {1}, {1, 1, 1}, {1, 1, 1, 1}}[c.random.IntN(7)]
	return c.keep(t)
}

// with applies an element-wise operator with a constant, on a random side.
func (c *pieces) with(op string, x string, constant string) string {
	c.stretch(c.initializers[constant].Shape)
	if c.pick(2) {
		return c.add(op, nil, constant, x)
	}
	return c.add(op, nil, x, constant)
}

func (c *pieces) stretch(shape []int) {
	s, err := broadcastShape(c.shape, shape)
	if err != nil {
		panic(err)
	}
	c.shape = s
}

// row is a constant that stretches along the last axes.
func (c *pieces) row(make func(shape ...int) string) string {
	d := c.shape[len(c.shape)-1]
	switch c.random.IntN(8) {
	case 0:
		return make(1)
	case 1:
		return make(1, d)
	case 2:
		return make(1, 1, d)
	}
	return make(d)
}

func (c *pieces) small(shape ...int) string { return c.weight(4, shape...) }

func (c *pieces) addTokens() {
	d := c.shape[len(c.shape)-1]
	switch c.random.IntN(7) {
	case 0, 1: // a product, and mostly a bias
		out := 1 + c.random.IntN(6)
		c.x, c.shape = c.add("MatMul", nil, c.x, c.weight(d, d, out)), slices.Concat(c.shape[:len(c.shape)-1], []int{out})
		for !c.pick(3) {
			c.x = c.with("Add", c.x, c.row(c.small))
		}
	case 2:
		c.addNorm()
	case 3:
		c.addGELU()
	case 4:
		if len(c.shape) > 1 {
			c.addAttention()
		}
	case 5:
		if len(c.shape) == 2 {
			out := 1 + c.random.IntN(6)
			c.x, c.shape = c.add("Gemm", nil, c.x, c.weight(d, d, out), c.small(out)), []int{c.shape[0], out}
		}
	case 6:
		c.x = c.add("Relu", nil, c.x)
	}
}

func (c *pieces) addNorm() {
	axes := map[string]any{"axes": []int{-1}}
	centred := c.add("Sub", nil, c.x, c.add("ReduceMean", axes, c.x))
	square := c.add("Mul", nil, centred, centred)
	if c.pick(2) {
		power := c.one([]float32{2, 2, 2, 2.0015}[c.random.IntN(4)])
		c.stretch(c.initializers[power].Shape)
		square = c.add("Pow", nil, centred, power)
	}
	root := c.add("Sqrt", nil, c.with("Add", c.add("ReduceMean", axes, square), c.one(1e-2)))
	y := c.add("Div", nil, centred, root)
	c.x = c.with("Add", c.with("Mul", y, c.row(c.positive)), c.row(c.small))
}

func (c *pieces) addGELU() {
	off := func(v float32) float32 {
		if c.pick(10) {
			v *= 1.0009
		}
		return v
	}
	var in string
	if c.pick(2) {
		in = c.with("Mul", c.x, c.one(off(math.Sqrt2/2)))
	} else {
		root := c.one(off(math.Sqrt2))
		c.stretch(c.initializers[root].Shape)
		in = c.add("Div", nil, c.x, root)
	}
	e := c.with("Add", c.add("Erf", nil, in), c.one(off(1)))
	switch half := c.one(off(0.5)); c.random.IntN(3) {
	case 0:
		c.x = c.with("Mul", c.add("Mul", nil, c.x, e), half)
	case 1:
		c.x = c.add("Mul", nil, c.with("Mul", c.x, half), e)
	case 2:
		c.x = c.add("Mul", nil, c.x, c.with("Mul", e, half))
	}
}

// addAttention attends to itself, with some of scale, mask and swapped heads.
func (c *pieces) addAttention() {
	rank := len(c.shape)
	swap := make([]int, rank)
	for i := range swap {
		swap[i] = i
	}
	swap[rank-1], swap[rank-2] = rank-2, rank-1
	t := c.shape[rank-2]
	value, width := c.x, c.shape[rank-1]
	score := c.add("MatMul", nil, c.x, c.add("Transpose", map[string]any{"perm": swap}, c.x))
	c.shape = slices.Concat(c.shape[:rank-1], []int{t})
	if c.pick(2) {
		score = c.with("Mul", score, c.one(0.3))
	}
	if c.pick(2) {
		masks := [][]int{{t}, {t, t}, {1, t, t}, {2, 1, t, t}, {2, 1, 1, t, t}, {1}}
		if t == 1 {
			masks = append(masks, []int{3, t}, []int{t, 3})
		}
		if shape := masks[c.random.IntN(len(masks))]; c.stretches(shape) {
			score = c.with("Add", score, c.small(shape...))
		}
	}
	if keys := c.shape[len(c.shape)-1]; keys != t || c.pick(6) { // a value of other ranks
		value, width = c.small(keys, 2), 2
		if c.pick(2) {
			value, width = c.small(keys), 0
		}
	}
	soft := map[string]any{}
	if c.pick(2) {
		soft["axis"] = len(c.shape) - 1 - c.random.IntN(2)
	}
	c.x = c.add("MatMul", nil, c.add("Softmax", soft, score), value)
	c.shape = slices.Clone(c.shape[:len(c.shape)-1])
	if width > 0 {
		c.shape = append(c.shape, width)
	}
	if len(c.shape) == 4 && c.pick(2) {
		c.x = c.add("Transpose", map[string]any{"perm": []int{0, 2, 1, 3}}, c.x)
		c.shape[1], c.shape[2] = c.shape[2], c.shape[1]
	}
}

func (c *pieces) stretches(shape []int) bool {
	_, err := broadcastShape(c.shape, shape)
	return err == nil
}

func (c *pieces) addImage() {
	channels := c.shape[1]
	switch c.random.IntN(6) {
	case 0, 1:
		out, k, groups := 1+c.random.IntN(4), 1+2*c.random.IntN(2), 1
		if c.pick(3) {
			out, groups = channels, channels
		}
		inputs := []string{c.x, c.weight(channels*k*k, out, channels/groups, k, k)}
		if c.pick(2) {
			inputs = append(inputs, c.small(out))
		}
		c.x = c.add("Conv", map[string]any{"pads": []int{k / 2, k / 2, k / 2, k / 2}, "group": groups}, inputs...)
		c.shape = []int{c.shape[0], out, c.shape[2], c.shape[3]}
		if c.pick(3) {
			c.addConstant()
		}
	case 2:
		c.x = c.add("Relu", nil, c.x)
	case 3:
		low := c.random.Float32() - 0.5
		bound := func(v float32) string {
			t := floats([]float32{v})
			t.Shape = nil
			return c.keep(t)
		}
		c.x = c.add("Clip", nil, c.x, bound(low), bound(low+c.random.Float32()))
	case 4:
		c.x = c.add("BatchNormalization", nil, c.x, c.positive(channels), c.small(channels), c.small(channels), c.positive(channels))
	case 5:
		c.addConstant()
	}
}

func (c *pieces) addConstant() {
	shapes := [][]int{{1}, {c.shape[1], 1, 1}, {1, c.shape[1], 1, 1}, c.shape}
	c.x = c.with("Add", c.x, c.small(shapes[c.random.IntN(4)]...))
}

// randomChain is a network of a few pieces, which seed chooses.
func randomChain(seed uint64) *pieces {
	c := &pieces{network: newNetwork(13), older: map[string][]int{}}
	c.random = rand.New(rand.NewPCG(seed, 3))
	c.open = true
	c.shape = make([]int, 1+c.random.IntN(5))
	for i := range c.shape {
		c.shape[i] = 1 + c.random.IntN(4)
	}
	image := len(c.shape) == 4 && c.pick(2)
	start := c.weight(1, c.shape...)
	c.inputs, c.x = []*Tensor{c.initializers[start]}, "a"
	delete(c.initializers, start)
	for range 2 + c.random.IntN(6) {
		if len(c.shape) == 0 || product(c.shape) > 4096 {
			break
		}
		if image && len(c.shape) == 4 {
			c.addImage()
		} else {
			c.addTokens()
		}
		for _, name := range slices.Sorted(maps.Keys(c.older)) {
			if slices.Equal(c.older[name], c.shape) && c.pick(6) {
				c.x = c.add("Add", nil, c.x, name)
				break
			}
		}
		if c.pick(4) {
			c.older[c.x] = c.shape
		}
	}
	c.outputs = []string{c.x}
	for _, name := range slices.Sorted(maps.Keys(c.older)) {
		if name != c.x && c.pick(3) {
			c.outputs = append(c.outputs, name)
		}
	}
	return c
}

// cast makes the network one of another type.
func (c *pieces) cast(kind Type) {
	for name, t := range c.initializers {
		if t.Type == Float32 {
			c.initializers[name] = must(t.Cast(kind))
		}
	}
	c.inputs[0] = must(c.inputs[0].Cast(kind))
}

// TestRandomChains: random networks give joined, with open and with fixed
// shapes, what they give in single nodes.
func TestRandomChains(t *testing.T) {
	joined := map[string]int{}
	for seed := range uint64(2000) {
		c := randomChain(seed)
		c.cast([]Type{Float32, Float32, Float32, Float32, Float64, Float16}[seed%6])
		if err := c.check(joined); err != nil {
			t.Errorf("seed %d, a of %v: %v\n%v", seed, c.inputs[0].Shape, err, c.nodes)
		}
	}
	for _, name := range []string{"Conv", "Conv and Add", "MatMul", "LayerNormalization", "attention", "Gelu"} {
		if joined[name] < 50 {
			t.Errorf("%d joined nodes are a %s, expected 50", joined[name], name)
		}
	}
}

// check runs the ways of a model, and counts the operators that only joining
// makes.
func (c *pieces) check(joined map[string]int) error {
	run := func(m *Model, err error, x *Tensor) ([]*Tensor, error) {
		if err != nil {
			return nil, err
		}
		return m.Run(map[string]*Tensor{"a": x})
	}
	data := c.bytes()
	single, err := load(data, nil, "model", false)
	want, err := run(single, err, c.inputs[0])
	if err != nil {
		return fmt.Errorf("single: %w", err)
	}
	if !slices.Equal(want[0].Shape, c.shape) {
		return fmt.Errorf("single nodes give %v, expected %v", want[0].Shape, c.shape)
	}
	open, err := Decode(data)
	got, err := run(open, err, c.inputs[0])
	if err := errors.Join(err, alike(got, want)); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	fixed, err := Decode(data)
	if err != nil {
		return err
	}
	dims := map[string]int{}
	for k, d := range c.inputs[0].Shape {
		dims[fmt.Sprint("n", k)] = d
	}
	for _, times := range []string{"fixed", "fixed again"} {
		err = fixed.Fix(dims)
		got, err = run(fixed, err, c.inputs[0])
		if err := errors.Join(err, alike(got, want)); err != nil {
			return fmt.Errorf("%s: %w", times, err)
		}
	}
	for _, n := range fixed.engine.nodes {
		if n.op == "Gelu" || n.operator != operators[n.op] {
			joined[n.op]++
		}
		if len(n.inputs) == 4 && n.op == "Conv" {
			joined["Conv and Add"]++
		}
	}
	return nil
}

// alike refuses results of other types, shapes or numbers.
func alike(got, want []*Tensor) error {
	for i := range got {
		if got[i].Type != want[i].Type {
			return fmt.Errorf("output %d is of %v, expected %v", i, got[i].Type, want[i].Type)
		}
		size, part := 1e-2, 2e-5
		if want[i].Type == Float16 {
			part = 3e-2 // as single nodes round between them
		}
		for _, v := range toFloat64(want[i]) {
			size = max(size, math.Abs(v))
		}
		d, err := Compare(got[i], want[i], 0, part*size)
		if err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		if d.Outside > 0 {
			return fmt.Errorf("output %d of size %g: %s", i, size, d.Worst)
		}
	}
	return nil
}
