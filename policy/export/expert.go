package export

import (
	"fmt"
	"math"

	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// attention is softmax(q k / sqrt(D/heads)) v: q and v (B, heads, T, D/heads),
// k (B, heads, D/heads, T); the result is (B, T, D).
func (g *graph) attention(q, k, v string, n, d int) string {
	score := g.op("Mul", g.op("MatMul", q, k), g.number(float32(1/math.Sqrt(float64(d/n)))))
	p := g.node("Softmax", map[string]any{"axis": -1}, 1, score)[0]
	return g.reshape(g.transpose(g.op("MatMul", p, v), 0, 2, 1, 3), 0, 0, d)
}

// memory is what a block of the expert reads of the context: keys
// (B, heads, D/heads, T) and values (B, heads, T, D/heads).
type memory struct{ k, v string }

// keysValues are those of all blocks for the context tokens (B, T, D), (B, T, 2D)
// each.
func (g *graph) keysValues(c *vla.Config, context string) []string {
	kv := make([]string, c.Layers)
	for l := range kv {
		kv[l] = g.linear(fmt.Sprintf("expert.b.%d.kv", l), context)
	}
	return kv
}

// remember splits a block's keys and values.
func (g *graph) remember(c *vla.Config, kv string) memory {
	parts := g.equal(kv, 2, c.D)
	return memory{g.keys(parts[0], c.Heads, c.D), g.heads(parts[1], c.Heads, c.D)}
}

// modulations are those of n flow times tau (n): (n, 9D) for each block, then
// (n, 2D) of the head. Of constants a runtime computes them once, when it loads
// the graph.
func (g *graph) modulations(c *vla.Config, tau string) []string {
	half := c.D / 2
	// The phase goes up to 1000 rad: in float64, as package vla has it.
	frequencies := constant(g, "expert.frequencies", onnx.Float64, func() []float64 {
		f := make([]float64, half)
		for i := range f {
			f[i] = 1000 * math.Exp(-math.Log(10000)*float64(i)/float64(half))
		}
		return f
	}, half)
	wide := g.node("Cast", map[string]any{"to": int(onnx.Float64)}, 1, tau)[0]
	phase := g.op("Mul", g.op("Unsqueeze", wide, g.ints(1)), frequencies)
	x := g.node("Cast", map[string]any{"to": int(onnx.Float32)}, 1, g.concat(1, g.op("Cos", phase), g.op("Sin", phase)))[0]
	x = g.silu(g.linear("expert.t2", g.silu(g.linear("expert.t1", x))))
	var mods []string
	for l := range c.Layers {
		mods = append(mods, g.linear(fmt.Sprintf("expert.b.%d.ada", l), x))
	}
	return append(mods, g.linear("expert.ada", x))
}

// velocity is the velocity field (B, H, A) at noisy (B, H, A) and at flow time s
// of those that mods were made for, under a condition, "" for none.
func (g *graph) velocity(c *vla.Config, noisy, condition string, memories []memory, mods []string, s int) string {
	x := g.op("Add", g.linear("expert.inp", noisy), g.param("expert.pos"))
	if condition != "" {
		x = g.op("Add", x, condition)
	}
	at := func(l, n int) []string { return g.equal(g.gather(0, mods[l], g.index(s)), n, c.D) }
	for l, m := range memories {
		g.within(fmt.Sprintf("block%d", l), func() { x = g.block(c, fmt.Sprintf("expert.b.%d.", l), x, m, at(l, 9)) })
	}
	m := at(c.Layers, 2)
	return g.linear("expert.out", g.modulated(x, m[0], m[1]))
}

// block is a block of the expert on x (B, H, D). mod holds (D) each: shift,
// scale and gate of self-attention, of cross-attention and of the MLP.
func (g *graph) block(c *vla.Config, p, x string, m memory, mod []string) string {
	gated := func(name, branch, gate string) { x = g.op("Add", x, g.op("Mul", g.linear(name, branch), gate)) }

	qkv := g.equal(g.linear(p+"qkv", g.modulated(x, mod[0], mod[1])), 3, c.D)
	gated(p+"o1", g.attention(g.heads(qkv[0], c.Heads, c.D), g.keys(qkv[1], c.Heads, c.D), g.heads(qkv[2], c.Heads, c.D), c.Heads, c.D), mod[2])

	q := g.linear(p+"q", g.modulated(x, mod[3], mod[4]))
	gated(p+"o2", g.attention(g.heads(q, c.Heads, c.D), m.k, m.v, c.Heads, c.D), mod[5])

	gated(p+"f2", g.gelu(g.linear(p+"f1", g.modulated(x, mod[6], mod[7]))), mod[8])
	return x
}

// modulated normalises x and applies shift and scale: adaLN.
func (g *graph) modulated(x, shift, scale string) string {
	return g.norm(x, g.op("Add", scale, g.number(1)), shift)
}
