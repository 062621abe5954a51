package onnx

import (
	"fmt"
	"slices"

	"arfm/policy/nn"
)

// An operand of attention lies in memory as batch, head, token, width or, when
// the transposition before it is left out, in another order.
const (
	headsFirst  = "bhtd"
	tokensFirst = "bthd"
	keysLast    = "bhdt" // only for keys: as the product needs them
)

var fusedAttention = &operator{name: "attention", wide: only32, prepare: prepareAttention}

// joinedAttention finds attention whose heads are joined by a transposition.
func (m *Model) joinedAttention(n *node) *node {
	if !isPerm(n, 0, 2, 1, 3) {
		return nil
	}
	mul := m.from(n.inputs[0], "MatMul")
	if mul == nil || m.uses[mul.outputs[0]] != 1 {
		return nil
	}
	f := m.attention(mul)
	if f != nil {
		f.attrs["out"] = tokensFirst
	}
	return f
}

// attention finds softmax(q k^T scale + mask) v. The transpositions that split
// the heads are left out where they can be.
func (m *Model) attention(mul *node) *node {
	if mul.op != "MatMul" || len(mul.inputs) != 2 {
		return nil
	}
	soft := m.from(mul.inputs[0], "Softmax")
	if soft == nil || m.uses[soft.outputs[0]] != 1 || soft.version < 13 || !lastAxis(soft) {
		return nil
	}
	score, mask, scale := soft.inputs[0], 0, 1.0
	score, scale = m.scaled(score)
	product := m.from(score, "MatMul")
	if product == nil {
		pair(m.from(score, "Add"), func(a, b int) bool {
			of, f := m.scaled(a)
			if product = m.from(of, "MatMul"); product != nil {
				mask, scale = b, f*scale
			}
			return product != nil
		})
		if mask != 0 && soft.inputs[0] != score { // the mask would be scaled too
			return nil
		}
	}
	if product == nil || m.uses[product.outputs[0]] != 1 || len(product.inputs) != 2 {
		return nil
	}
	q, sq := m.scaled(product.inputs[0])
	k, sk := m.scaled(product.inputs[1])
	attrs := map[string]any{"scale": float32(scale * sq * sk), "out": headsFirst}
	q, attrs["q"] = m.untransposed(q, headsFirst)
	k, attrs["k"] = m.untransposed(k, keysLast)
	v := 0
	v, attrs["v"] = m.untransposed(mul.inputs[1], headsFirst)
	inputs := []int{q, k, v}
	if mask != 0 {
		inputs = append(inputs, mask)
	}
	return fused(fusedAttention, attrs, inputs...)
}

func isPerm(n *node, want ...int64) bool {
	perm, _ := n.attrs["perm"].([]int64)
	return n.op == "Transpose" && slices.Equal(perm, want)
}

// lastAxis of a Softmax over four dimensions.
func lastAxis(n *node) bool {
	a, ok := n.attrs["axis"].(int64)
	return !ok || a == -1 || a == 3
}

// untransposed steps over transpositions of an operand and says how it then
// lies.
func (m *Model) untransposed(v int, layout string) (int, string) {
	for {
		t := m.from(v, "Transpose")
		switch {
		case t == nil:
			return v, layout
		case layout == keysLast && isPerm(t, 0, 2, 3, 1):
			return t.inputs[0], tokensFirst
		case layout == keysLast && isPerm(t, 0, 1, 3, 2):
			v, layout = t.inputs[0], headsFirst
		case layout == headsFirst && isPerm(t, 0, 2, 1, 3):
			return t.inputs[0], tokensFirst
		default:
			return v, layout
		}
	}
}

// operand is a four-dimensional input, seen as batch, head, rows, columns.
type operand struct {
	data       []float32
	b, h, r, c int
	batch      int // step to the next of each, in elements
	head, row  int
}

func (c *call) operand(i int, layout string) (*operand, error) {
	t := c.in[i]
	if t.Type != Float32 || len(t.Shape) != 4 {
		return nil, fmt.Errorf("attention over %v is not supported", t)
	}
	s, d := strides(t.Shape), t.Shape
	if layout == tokensFirst {
		return &operand{b: d[0], h: d[2], r: d[1], c: d[3], batch: s[0], head: s[2], row: s[1]}, nil
	}
	return &operand{b: d[0], h: d[1], r: d[2], c: d[3], batch: s[0], head: s[1], row: s[2]}, nil
}

// prepareAttention: q (B, H, T, D), k (B, H, S, D), v (B, H, S, E) and a mask
// that stretches to (B, H, T, S) give (B, H, T, E), each in its layout.
func prepareAttention(c *call) (func() error, error) {
	var in [3]*operand
	for i, name := range []string{"q", "k", "v"} {
		var err error
		if in[i], err = c.operand(i, c.string(name, "")); err != nil {
			return nil, err
		}
	}
	q, k, v := in[0], in[1], in[2]
	flat := c.string("k", "") == keysLast
	keys, depth := k.r, k.c
	if flat {
		keys, depth = k.c, k.r
	}
	if k.b != q.b || v.b != q.b || k.h != q.h || v.h != q.h || depth != q.c || keys != v.r || keys == 0 || depth == 0 {
		return nil, fmt.Errorf("attention over %v, %v and %v is not supported", c.in[0], c.in[1], c.in[2])
	}
	score := []int{q.b, q.h, q.r, keys}
	var mask []int
	if c.has(3) {
		if s, err := broadcastShape(score, c.in[3].Shape); err != nil || !slices.Equal(s, score) || c.in[3].Type != Float32 {
			return nil, fmt.Errorf("the mask %v does not fit scores %v", c.in[3], score)
		}
		mask = stretch(c.in[3].Shape, score)
	}
	y := &operand{batch: q.h * q.r * v.c, head: q.r * v.c, row: v.c}
	shape := []int{q.b, q.h, q.r, v.c}
	if c.string("out", "") == tokensFirst {
		y.head, y.row = v.c, q.h*v.c
		shape = []int{q.b, q.r, q.h, v.c}
	}
	if err := c.out(0, Float32, shape...); err != nil {
		return nil, err
	}
	if n, err := volume([]int{q.r, keys}); err != nil || n > c.limit/4 {
		return nil, fmt.Errorf("scores %v take more than the limit of %d bytes: %w", score, c.limit, ErrTooLarge)
	}
	return func() error {
		for i, o := range in {
			o.data = Data[float32](c.in[i])
		}
		y.data = Data[float32](c.result[0])
		scale := c.float("scale", 1)
		if len(y.data) == 0 {
			return nil
		}
		parallel(q.b*q.h, 1+gemmGrain/(1+q.r*keys*depth), func(lo, hi int) {
			w := make([]float32, q.r*keys)
			for i := lo; i < hi; i++ {
				b, h := i/q.h, i%q.h
				nn.Gemm(false, !flat, q.r, keys, depth, scale, q.at(b, h), q.row, k.at(b, h), k.row, 0, w, keys)
				if mask != nil {
					addMask(w, Data[float32](c.in[3])[b*mask[0]+h*mask[1]:], score[2:], mask[2:])
				}
				nn.Softmax(w, q.r, keys)
				nn.Gemm(false, false, q.r, v.c, keys, 1, w, keys, v.at(b, h), v.row, 0, y.at(b, h), y.row)
			}
		})
		return nil
	}, nil
}

func (o *operand) at(b, h int) []float32 { return o.data[b*o.batch+h*o.head:] }

func addMask(w, mask []float32, shape, step []int) {
	for r := range shape[0] {
		for i := range shape[1] {
			w[r*shape[1]+i] += mask[r*step[0]+i*step[1]]
		}
	}
}
