package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// fuse replaces groups of nodes by one that computes the same in fewer passes
// over memory. A pattern is looked for from its last node backwards; nodes of
// it that others read too simply stay, and patterns with a product are joined
// only where no other reads it.
func (m *Model) fuse() {
	m.maker = map[int]*node{}
	for _, n := range m.engine.nodes {
		for _, o := range n.outputs {
			m.maker[o] = n
		}
	}
	for _, pattern := range []func(*node) *node{m.gelu, m.layerNorm, m.batchNorm, m.convClip, m.joinedAttention, m.attention, m.linear} {
		for i, n := range m.engine.nodes {
			if f := pattern(n); f != nil {
				f.name, f.outputs, f.version, f.number = n.name, n.outputs[:1], newestOpset, n.number
				m.engine.nodes[i] = f
				m.maker[f.outputs[0]] = f
			}
		}
		m.prune()
	}
	m.maker = nil
}

// prune drops nodes whose results nobody reads, and constants.
func (m *Model) prune() {
	m.countUses()
	var kept []*node
	for _, n := range slices.Backward(m.engine.nodes) {
		if slices.ContainsFunc(n.outputs, func(o int) bool { return m.uses[o] > 0 }) {
			kept = append(kept, n)
			continue
		}
		for _, v := range n.inputs {
			m.uses[v]--
		}
	}
	slices.Reverse(kept)
	m.engine.nodes = kept
	for id := range m.constants {
		if m.uses[id] == 0 {
			delete(m.constants, id)
		}
	}
}

// from is the node of that operator that makes v, or nil.
func (m *Model) from(v int, op string) *node {
	if n := m.maker[v]; n != nil && n.op == op && n.domain == "" {
		return n
	}
	return nil
}

// number is the value of a constant of one element.
func (m *Model) number(v int) (float64, bool) {
	t := m.constants[v]
	if t == nil || t.Len() != 1 || !t.Type.isFloat() {
		return 0, false
	}
	f, err := t.float()
	return f, err == nil
}

// is says that v is a constant near want.
func (m *Model) is(v int, want float64) bool {
	f, ok := m.number(v)
	return ok && math.Abs(f-want) <= 1e-3*math.Abs(want)
}

// pair calls try with a node's two inputs in both orders until it says yes.
func pair(n *node, try func(a, b int) bool) bool {
	return n != nil && len(n.inputs) == 2 && (try(n.inputs[0], n.inputs[1]) || try(n.inputs[1], n.inputs[0]))
}

// scaled finds the factor by which v is a multiple of another value.
func (m *Model) scaled(v int) (of int, factor float64) {
	if n := m.from(v, "Div"); n != nil {
		if f, ok := m.number(n.inputs[1]); ok && f != 0 {
			return n.inputs[0], 1 / f
		}
	}
	of, factor = v, 1
	pair(m.from(v, "Mul"), func(a, b int) bool {
		f, ok := m.number(b)
		if ok {
			of, factor = a, f
		}
		return ok
	})
	return of, factor
}

// fused makes a node of an operator that is not in the registry or takes more
// than there.
func fused(op *operator, attrs map[string]any, inputs ...int) *node {
	return &node{op: op.name, operator: op, attrs: attrs, inputs: inputs}
}

// gelu finds x/2 (1 + erf(x/sqrt 2)), multiplied in any order.
func (m *Model) gelu(n *node) *node {
	if n.op != "Mul" {
		return nil
	}
	x, half := m.scaled(n.outputs[0])
	if half == 1 {
		x = n.outputs[0]
	}
	found := 0
	ok := pair(m.from(x, "Mul"), func(a, b int) bool {
		of, f := a, half
		if half == 1 {
			of, f = m.scaled(a)
		}
		if math.Abs(f-0.5) > 1e-6 || !m.onePlusErf(b, of) {
			return false
		}
		found = of
		return true
	})
	if !ok {
		return nil
	}
	return fused(operators["Gelu"], map[string]any{}, found)
}

// onePlusErf says that v is 1 + erf(x/sqrt 2).
func (m *Model) onePlusErf(v, x int) bool {
	return pair(m.from(v, "Add"), func(a, b int) bool {
		e := m.from(a, "Erf")
		if e == nil || !m.is(b, 1) {
			return false
		}
		of, f := m.scaled(e.inputs[0])
		return of == x && math.Abs(f-math.Sqrt2/2) < 1e-5
	})
}

// layerNorm finds (x - mean)/sqrt(var + eps) * gain + bias over the last axis.
func (m *Model) layerNorm(n *node) *node {
	var out *node
	if n.op != "Add" {
		return nil
	}
	pair(n, func(scaled, bias int) bool {
		return pair(m.from(scaled, "Mul"), func(normal, gain int) bool {
			g, b := m.constants[gain], m.constants[bias]
			if g == nil || b == nil || len(g.Shape) != 1 || !slices.Equal(g.Shape, b.Shape) || g.Type == Float64 || !g.Type.isFloat() {
				return false
			}
			x, eps, ok := m.normalised(normal)
			if ok {
				out = fused(fixedNorm, map[string]any{"epsilon": float32(eps)}, x, gain, bias)
			}
			return ok
		})
	})
	return out
}

// fixedNorm is LayerNormalization over exactly as many elements as gain and
// bias have.
var fixedNorm = &operator{name: "LayerNormalization", wide: only32, prepare: prepareFixedNorm}

func prepareFixedNorm(c *call) (func() error, error) {
	x := c.in[0]
	if len(x.Shape) == 0 || x.Shape[len(x.Shape)-1] != c.in[1].Len() {
		return nil, fmt.Errorf("a layer norm of %v with %d gains is not supported", x, c.in[1].Len())
	}
	return prepareLayerNorm(c)
}

// normalised finds x in (x - mean)/sqrt(var + eps).
func (m *Model) normalised(v int) (x int, eps float64, ok bool) {
	div := m.from(v, "Div")
	if div == nil {
		return 0, 0, false
	}
	centred := div.inputs[0]
	sub, root := m.from(centred, "Sub"), m.from(div.inputs[1], "Sqrt")
	if sub == nil || root == nil {
		return 0, 0, false
	}
	x = sub.inputs[0]
	if mean := m.lastMean(sub.inputs[1]); mean == nil || mean.inputs[0] != x {
		return 0, 0, false
	}
	ok = pair(m.from(root.inputs[0], "Add"), func(variance, small int) bool {
		var known bool
		eps, known = m.number(small)
		mean := m.lastMean(variance)
		return known && mean != nil && m.squareOf(mean.inputs[0], centred)
	})
	return x, eps, ok
}

// lastMean is the mean over the last axis that makes v.
func (m *Model) lastMean(v int) *node {
	n := m.from(v, "ReduceMean")
	if n == nil {
		return nil
	}
	axes, _ := n.attrs["axes"].([]int64)
	if len(n.inputs) == 2 && m.constants[n.inputs[1]] != nil {
		axes, _ = m.constants[n.inputs[1]].ints()
	}
	keep, stated := n.attrs["keepdims"].(int64)
	if !slices.Equal(axes, []int64{-1}) || stated && keep == 0 {
		return nil
	}
	return n
}

func (m *Model) squareOf(v, x int) bool {
	if n := m.from(v, "Pow"); n != nil {
		return n.inputs[0] == x && m.is(n.inputs[1], 2)
	}
	n := m.from(v, "Mul")
	return n != nil && n.inputs[0] == x && n.inputs[1] == x
}

// batchNorm folds a BatchNormalization into the weights of the Conv before it,
// when nothing else reads that Conv.
func (m *Model) batchNorm(n *node) *node {
	training, _ := n.attrs["training_mode"].(int64)
	if n.op != "BatchNormalization" || training != 0 || len(n.outputs) != 1 {
		return nil
	}
	conv := m.from(n.inputs[0], "Conv")
	if conv == nil || m.uses[conv.outputs[0]] != 1 {
		return nil
	}
	var stat [4][]float32
	for i, v := range n.inputs[1:] {
		if t := m.constants[v]; t != nil && t.Type == Float32 {
			stat[i] = Data[float32](t)
		}
	}
	w := m.constants[conv.inputs[1]]
	if w == nil || w.Type != Float32 || len(w.Shape) < 3 {
		return nil
	}
	channels := w.Shape[0]
	bias := make([]float32, channels)
	if len(conv.inputs) == 3 {
		b := m.constants[conv.inputs[2]]
		if b == nil || b.Type != Float32 || b.Len() != channels {
			return nil
		}
		copy(bias, Data[float32](b))
	}
	for _, s := range stat {
		if len(s) != channels {
			return nil
		}
	}
	eps := float32(1e-5)
	if e, ok := n.attrs["epsilon"].(float32); ok {
		eps = e
	}
	weights := slices.Clone(Data[float32](w))
	part := len(weights) / channels
	for ch := range channels {
		g := float32(float64(stat[0][ch]) / math.Sqrt(float64(stat[3][ch])+float64(eps)))
		bias[ch] = (bias[ch]-stat[2][ch])*g + stat[1][ch]
		for i := range weights[ch*part : (ch+1)*part] {
			weights[ch*part+i] *= g
		}
	}
	folded := &Tensor{Type: Float32, Shape: w.Shape, data: bytesOf(weights)}
	shift := &Tensor{Type: Float32, Shape: []int{channels}, data: bytesOf(bias)}
	f := fused(conv.operator, conv.attrs, conv.inputs[0], m.constant(folded), m.constant(shift))
	return f
}

// convClip joins a Relu, or a Clip by constants, to the Conv before it, when
// nothing else reads that.
func (m *Model) convClip(n *node) *node {
	lo, hi := 0.0, math.Inf(1)
	switch {
	case n.op == "Relu":
	case n.op == "Clip" && n.version >= 11 && len(n.inputs) == 3:
		var okLo, okHi bool
		lo, okLo = m.number(n.inputs[1])
		hi, okHi = m.number(n.inputs[2])
		if !okLo || !okHi {
			return nil
		}
	default:
		return nil
	}
	conv := m.from(n.inputs[0], "Conv")
	if conv == nil || conv.operator == clippedConv || m.uses[conv.outputs[0]] != 1 {
		return nil
	}
	attrs := maps.Clone(conv.attrs)
	attrs[lowAttr], attrs[highAttr] = float32(lo), float32(hi)
	return fused(clippedConv, attrs, conv.inputs...)
}

var clippedConv = &operator{name: "Conv", wide: only32}

func init() { clippedConv.prepare = prepareConv } // which asks for clippedConv

// Attributes of our own, which no file's operator is asked for.
const lowAttr, highAttr = "#low", "#high"

// constant adds a value of our own.
func (m *Model) constant(t *Tensor) int {
	id := m.names.of("\x00constant " + valueName(len(m.names.text)))
	m.constants[id] = t
	m.uses = append(m.uses, 0)
	return id
}

// linear joins a MatMul with constant weights and the addition of a constant
// bias.
func (m *Model) linear(n *node) *node {
	var out *node
	if n.op != "Add" {
		return nil
	}
	pair(n, func(product, bias int) bool {
		mul, b := m.from(product, "MatMul"), m.constants[bias]
		if mul == nil || m.uses[product] != 1 || mul.operator == biasedMatMul || b == nil || len(b.Shape) != 1 || b.Type != Float32 {
			return false
		}
		w := m.constants[mul.inputs[1]]
		if w == nil || w.Type != Float32 || len(w.Shape) != 2 || w.Shape[1] != b.Len() {
			return false
		}
		out = fused(biasedMatMul, mul.attrs, mul.inputs[0], mul.inputs[1], bias)
		return true
	})
	return out
}

// biasedMatMul is MatMul with a third input, which is added to every row.
var biasedMatMul = &operator{name: "MatMul", wide: half, prepare: prepareMatMul}
