package onnx

import (
	"fmt"
	"slices"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// An operand of attention lies in memory as batch, head, token, width or, when
// the transposition before it is left out, in another order. The first and the
// last of these may lack batch, or batch and head.
const (
	headsFirst  = "bhtd"
	tokensFirst = "bthd"
	noBatch     = "thd"  // tokens first, without a batch
	keysLast    = "bhdt" // only for keys: as the product needs them
)

var fusedAttention = &operator{name: "attention", wide: half, prepare: prepareAttention}

// joinedAttention finds attention whose heads are joined by a transposition.
func (m *Model) joinedAttention(n *node) *node {
	out := tokensFirst
	switch {
	case isPerm(n, 0, 2, 1, 3):
	case isPerm(n, 1, 0, 2):
		out = noBatch
	default:
		return nil
	}
	mul := m.from(n.inputs[0], "MatMul")
	if mul == nil || m.uses[mul.outputs[0]] != 1 {
		return nil
	}
	f := m.attention(mul)
	if f != nil {
		f.attrs["out"] = out
	}
	return f
}

// attention finds softmax(q k^T scale + mask) v. The transpositions that split
// the heads are left out where they can be.
func (m *Model) attention(mul *node) *node {
	if !mul.plain("MatMul") {
		return nil
	}
	soft := m.from(mul.inputs[0], "Softmax")
	if soft == nil || m.uses[soft.outputs[0]] != 1 || soft.version < 13 {
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
	if product == nil || m.uses[product.outputs[0]] != 1 {
		return nil
	}
	q, sq := m.scaled(product.inputs[0])
	k, sk := m.scaled(product.inputs[1])
	attrs := map[string]any{"scale": float32(scale * sq * sk), "out": headsFirst}
	if axis, ok := soft.attrs["axis"]; ok {
		attrs["axis"] = axis
	}
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
	return n.plain("Transpose") && slices.Equal(perm, want)
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
		case layout == keysLast && isPerm(t, 1, 2, 0):
			return t.inputs[0], noBatch
		case layout == keysLast && (isPerm(t, 0, 1, 3, 2) || isPerm(t, 0, 2, 1)):
			v, layout = t.inputs[0], headsFirst
		case layout == headsFirst && isPerm(t, 0, 2, 1, 3):
			return t.inputs[0], tokensFirst
		case layout == headsFirst && isPerm(t, 1, 0, 2):
			return t.inputs[0], noBatch
		default:
			return v, layout
		}
	}
}

// operand is an input seen as batch, head, rows, columns.
type operand struct {
	data       []float32
	b, h, r, c int
	batch      int // step to the next of each, in elements
	head, row  int
}

func (c *call) operand(i int, layout string) (*operand, error) {
	t := c.in[i]
	s, d, n := strides(t.Shape), t.Shape, len(t.Shape)
	switch {
	case t.Type != Float32:
	case layout == tokensFirst && n == 4:
		return &operand{b: d[0], h: d[2], r: d[1], c: d[3], batch: s[0], head: s[2], row: s[1]}, nil
	case layout == noBatch && n == 3:
		return &operand{b: 1, h: d[1], r: d[0], c: d[2], head: s[1], row: s[0]}, nil
	case layout != tokensFirst && layout != noBatch && n >= 2 && n <= 4:
		o := &operand{b: 1, h: 1, r: d[n-2], c: d[n-1], row: s[n-2]}
		if n > 2 {
			o.h, o.head = d[n-3], s[n-3]
		}
		if n > 3 {
			o.b, o.batch = d[0], s[0]
		}
		return o, nil
	}
	return nil, fmt.Errorf("attention over %v is not supported", t)
}

// prepareAttention: q (B, H, T, D), k (B, H, S, D), v (B, H, S, E) and a mask
// that stretches to (B, H, T, S) give (B, H, T, E), each in its layout. B and H
// stretch as in a product of matrices.
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
	if depth != q.c || keys != v.r || keys == 0 || depth == 0 {
		return nil, fmt.Errorf("attention over %v, %v and %v is not supported", c.in[0], c.in[1], c.in[2])
	}
	score, mask, err := c.scores(in[:], keys)
	if err != nil {
		return nil, err
	}
	rank, err := c.scoreRank()
	if err != nil {
		return nil, err
	}
	batch, heads := score[0], score[1]
	y, err := c.joinHeads(score, max(rank, len(c.in[2].Shape)), v.c)
	if err != nil {
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
		parallel(batch*heads, 1+gemmGrain/(1+q.r*keys*depth), func(lo, hi int) {
			w := make([]float32, q.r*keys)
			for i := lo; i < hi; i++ {
				b, h := i/heads, i%heads
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

// scoreRank is how many dimensions the scores have, over whose last the softmax
// must go.
func (c *call) scoreRank() (int, error) {
	rank := max(len(c.in[0].Shape), len(c.in[1].Shape), c.rank)
	if c.has(3) {
		rank = max(rank, len(c.in[3].Shape))
	}
	if a, err := axis(attribute(c, "axis", int64(-1)), rank); err != nil || a != rank-1 {
		return 0, fmt.Errorf("attention over axis %d of %d is not supported", a, rank)
	}
	return rank, nil
}

// joinHeads declares the output of that rank and width and says how it lies.
func (c *call) joinHeads(score []int, rank, width int) (*operand, error) {
	batch, heads, rows := score[0], score[1], score[2]
	y := &operand{batch: heads * rows * width, head: rows * width, row: width}
	shape := []int{batch, heads, rows, width}
	switch out := c.string("out", ""); {
	case out == headsFirst:
	case out == tokensFirst && rank == 4, out == noBatch && rank == 3:
		y.head, y.row = width, heads*width
		shape = []int{batch, rows, heads, width}
	default:
		return nil, fmt.Errorf("attention over %v with its heads joined is not supported", c.in[0])
	}
	return y, c.out(0, Float32, shape[4-rank:]...)
}

// scores gives the shape (B, H, T, S) of the scores, to which operands are
// stretched, and the steps of the mask along it, nil without one.
func (c *call) scores(in []*operand, keys int) (shape, mask []int, err error) {
	shape = []int{1, 1, in[0].r, keys}
	for _, o := range in {
		if shape, err = broadcastShape(shape, []int{o.b, o.h, 1, 1}); err != nil {
			return nil, nil, err
		}
	}
	if c.has(3) {
		if shape, err = broadcastShape(shape, c.in[3].Shape); err != nil {
			return nil, nil, err
		}
		if len(shape) != 4 || shape[2] != in[0].r || shape[3] != keys || c.in[3].Type != Float32 {
			return nil, nil, fmt.Errorf("the mask %v does not fit scores of %d by %d", c.in[3], in[0].r, keys)
		}
		mask = stretch(c.in[3].Shape, shape)
	}
	for _, o := range in {
		if o.b < shape[0] {
			o.batch = 0
		}
		if o.h < shape[1] {
			o.head = 0
		}
	}
	return shape, mask, nil
}

func (o *operand) at(b, h int) []float32 { return o.data[b*o.batch+h*o.head:] }

func addMask(w, mask []float32, shape, step []int) {
	for r := range shape[0] {
		if step[1] == 1 {
			row := w[r*shape[1] : (r+1)*shape[1]]
			vec.Add(row, row, mask[r*step[0]:])
			continue
		}
		for i := range shape[1] {
			w[r*shape[1]+i] += mask[r*step[0]+i*step[1]]
		}
	}
}
