package onnx

import (
	"maps"
	"math"
	"slices"
)

// batchNorm folds a BatchNormalization into the weights of the Conv before it,
// when nothing else reads that Conv.
func (m *Model) batchNorm(n *node) *node {
	training, _ := n.attrs["training_mode"].(int64)
	if !n.plain("BatchNormalization") || training != 0 || len(n.outputs) != 1 {
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

// convAdd joins the addition of another value to the Conv before it, when
// nothing else reads that.
func (m *Model) convAdd(n *node) *node {
	var out *node
	if !n.plain("Add") || n.version < 7 {
		return nil
	}
	pair(n, func(product, other int) bool {
		conv := m.from(product, "Conv")
		if conv == nil || m.uses[product] != 1 {
			return false
		}
		w := m.constants[conv.inputs[1]]
		if w == nil || w.Type == Float64 || len(w.Shape) < 2 || w.Shape[1] == 1 { // one channel may be no product
			return false
		}
		bias := 0
		if len(conv.inputs) == 3 {
			bias = conv.inputs[2]
		}
		out = fused(addedConv, conv.attrs, conv.inputs[0], conv.inputs[1], bias, other)
		return true
	})
	return out
}

// addedConv is Conv with a fourth input, which stretches to the result and is
// added to it.
var addedConv = &operator{name: "Conv", wide: only32, prepare: prepareConv}

// convClip joins a Relu, or a Clip by constants, to the Conv before it, when
// nothing else reads that.
func (m *Model) convClip(n *node) *node {
	lo, hi := 0.0, math.Inf(1)
	switch {
	case n.plain("Relu"):
	case n.plain("Clip") && n.version >= 11 && len(n.inputs) == 3:
		var okLo, okHi bool
		lo, okLo = m.number(n.inputs[1])
		hi, okHi = m.number(n.inputs[2])
		if !okLo || !okHi {
			return nil
		}
	default:
		return nil
	}
	conv := m.maker[n.inputs[0]]
	if conv == nil || !conv.plain("Conv") && conv.operator != addedConv || m.uses[conv.outputs[0]] != 1 {
		return nil
	}
	attrs := maps.Clone(conv.attrs)
	attrs[lowAttr], attrs[highAttr] = float32(lo), float32(hi)
	return fused(clippedConv, attrs, conv.inputs...)
}

// clippedConv is Conv, or addedConv, whose result is limited.
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
	if !n.plain("Add") {
		return nil
	}
	pair(n, func(product, bias int) bool {
		mul, b := m.from(product, "MatMul"), m.constants[bias]
		if mul == nil || m.uses[product] != 1 || b == nil || len(b.Shape) != 1 || b.Type != Float32 {
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
