package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// fuse replaces groups of nodes by one that computes the same in fewer passes
// over memory. A pattern is looked for from its last node backwards; nodes of
// it that others read too simply stay, and patterns with a product are joined
// only where no other reads it.
//
// Groups are joined where the shapes fit, as far as shape knows them. Where it
// does not a run sees whether they do, and else computes the single nodes.
func (m *Model) fuse(shape map[int]*Tensor) {
	m.single, m.engine.nodes = m.engine.nodes, slices.Clone(m.engine.nodes)
	m.maker, m.live = map[int]*node{}, make([]*Tensor, len(m.names.text))
	for id, t := range shape {
		m.live[id] = t
	}
	for _, n := range m.engine.nodes {
		for _, o := range n.outputs {
			m.maker[o] = n
		}
	}
	for _, pattern := range []func(*node) *node{m.gelu, m.layerNorm, m.batchNorm, m.convAdd, m.convClip, m.joinedAttention, m.attention, m.linear} {
		m.prune()
		for i, n := range m.engine.nodes {
			f := pattern(n)
			if f == nil {
				continue
			}
			f.name, f.outputs, f.version, f.number, f.of = n.name, n.outputs[:1], newestOpset, n.number, n.of
			f.rank = m.leastRank(n.outputs[0], f.inputs)
			if m.fits(f) {
				m.engine.nodes[i] = f
				m.maker[f.outputs[0]] = f
			}
		}
	}
	m.prune()
	m.maker, m.live = nil, nil
	m.dropConstants()
}

// leastRank is how many dimensions v has at least, as constants of one element
// between it and the inputs of a join may add some, of size 1.
func (m *Model) leastRank(v int, inputs []int) int {
	t, n := m.constants[v], m.maker[v]
	switch {
	case slices.Contains(inputs, v):
		return 0
	case t != nil && t.Len() == 1:
		return len(t.Shape)
	case t != nil || n == nil:
		return 0
	}
	rank := n.rank
	for _, i := range n.inputs {
		rank = max(rank, m.leastRank(i, inputs))
	}
	return rank
}

// fits says that a join gives the type and shape of the nodes it is made of, or
// that these are not known yet.
func (m *Model) fits(f *node) bool {
	want := m.value(f.outputs[0])
	if want == nil || slices.ContainsFunc(f.inputs, func(id int) bool { return id != 0 && m.value(id) == nil }) {
		return true
	}
	got, err := m.inferShapes(f)
	return errors.Is(err, errNoData) || err == nil && got[0].Type == want.Type && slices.Equal(got[0].Shape, want.Shape)
}

// prune drops nodes whose results nobody reads.
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
}

// dropConstants forgets those that no node reads, joined or single.
func (m *Model) dropConstants() {
	read := map[int]bool{}
	for _, n := range m.single {
		for _, v := range n.inputs {
			read[v] = true
		}
	}
	maps.DeleteFunc(m.constants, func(id int, _ *Tensor) bool { return m.uses[id] == 0 && !read[id] })
}

// plain says that a node is of that operator as files have it, not a join that
// does more under the same name.
func (n *node) plain(op string) bool { return n.op == op && n.operator == operators[op] }

// from is the plain node of that operator that makes v, or nil.
func (m *Model) from(v int, op string) *node {
	if n := m.maker[v]; n != nil && n.plain(op) {
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

// is says that v is a constant, want.
func (m *Model) is(v int, want float64) bool {
	f, ok := m.number(v)
	return ok && nearly(f, want)
}

// nearly says that f is want, rounded to float32 on the way.
func nearly(f, want float64) bool { return math.Abs(f-want) <= 1e-6*math.Abs(want) }

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
	return &node{op: op.name, operator: op, attrs: attrs, inputs: inputs, joined: true}
}

// gelu finds x/2 (1 + erf(x/sqrt 2)), multiplied in any order.
func (m *Model) gelu(n *node) *node {
	if !n.plain("Mul") {
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
		if !nearly(f, 0.5) || !m.onePlusErf(b, of) {
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
		return of == x && nearly(f, math.Sqrt2/2)
	})
}

// layerNorm finds (x - mean)/sqrt(var + eps) * gain + bias over the last axis.
func (m *Model) layerNorm(n *node) *node {
	var out *node
	if !n.plain("Add") {
		return nil
	}
	pair(n, func(scaled, bias int) bool {
		return pair(m.from(scaled, "Mul"), func(normal, gain int) bool {
			g, b := m.constants[gain], m.constants[bias]
			if g == nil || b == nil || len(g.Shape) != 1 || g.Len() < 2 || !slices.Equal(g.Shape, b.Shape) || g.Type == Float64 || !g.Type.isFloat() {
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
