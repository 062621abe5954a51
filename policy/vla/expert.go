package vla

import (
	"math"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// timeFeatures writes the sinusoids of 1000 tau: cosines, then sines, at D/2
// frequencies from 1 down to 1/10000 (exclusive), as in the PyTorch twin.
func timeFeatures(feat []float32, tau float32, d int) {
	half := d / 2
	for i := range half {
		f := math.Exp(-math.Log(10000) * float64(i) / float64(half))
		s, c := math.Sincos(1000 * float64(tau) * f)
		feat[i], feat[half+i] = float32(c), float32(s)
	}
}

// forward computes SiLU of the time embedding, se (n, D), for n flow times.
func (t *timeActs) forward(w *weights, tau []float32, n, d int) {
	for i, v := range tau[:n] {
		timeFeatures(t.feat[i*d:(i+1)*d], v, d)
	}
	w.t1.forward(t.h, t.feat, n)
	vec.SiLU(t.a[:n*d], t.h[:n*d])
	w.t2.forward(t.e, t.a, n)
	vec.SiLU(t.se[:n*d], t.e[:n*d])
}

// velocityForward computes out (B, H, A), this worker's share of it.
func (w *worker) velocityForward(c *Config, p *weights, b *Batch, out []float32) {
	n, d, rows := w.n, c.D, c.Horizon*c.ActionDim
	t := &w.time
	t.forward(p, b.Tau[w.lo:w.lo+n], n, d)
	w.embed(c, p, b.Noisy[w.lo*rows:(w.lo+n)*rows])
	w.heed(c, w.condition.y)
	w.each(stageKeys, 1)
	for l := range p.blocks {
		p.blocks[l].ada.forward(w.layers[l].mod, t.se, n)
	}
	w.blocks(c)
	p.ada.forward(t.mod, t.se, n)
	w.head(c, p, t.mod, 2*d, out[w.lo*rows:(w.lo+n)*rows])
}

// embed sets x = Linear(noisy) + position.
func (w *worker) embed(c *Config, p *weights, noisy []float32) {
	p.inp.forward(w.x, noisy, w.n*c.Horizon)
	for i, k := 0, c.Horizon*c.D; i < w.n; i++ {
		vec.Add(w.x[i*k:(i+1)*k], w.x[i*k:(i+1)*k], p.pos)
	}
}

// modulation returns that of block l, which is found every stride elements
// (0: one for all items).
func (w *worker) modulation(l int) (mod []float32, stride int) {
	if m := w.hand.mods; m != nil {
		size := branches * 3 * w.hand.c.D
		return m.layers[l][w.hand.step*size:][:size], 0
	}
	return w.layers[l].mod, branches * 3 * w.hand.c.D
}

// modulated normalises x and applies shift k and scale k+1 of each item's
// modulation.
func (w *worker) modulated(c *Config, a *normActs, x, mod []float32, stride, k int) {
	d, h := c.D, c.Horizon
	if w.hand.mods != nil {
		nn.LayerNormAffine(a.y, x, mod[(k+1)*d:(k+2)*d], mod[k*d:(k+1)*d], w.n*h)
		return
	}
	nn.LayerNorm(a.xhat, a.rstd, x, w.n*h, d)
	for i := range w.n {
		m, lo, hi := mod[i*stride:], i*h*d, (i+1)*h*d
		nn.Modulate(a.y[lo:hi], a.xhat[lo:hi], m[k*d:(k+1)*d], m[(k+1)*d:(k+2)*d], h)
	}
}

// gated adds branch k, counted through all blocks, the sum of all mates' terms, to
// x times its gate.
func (w *worker) gated(x []float32, k int) {
	d, h := w.hand.c.D, w.hand.c.Horizon
	l, k := k/branches, k%branches
	mod, stride := w.modulation(l)
	for _, mate := range w.part.mates {
		s := mate.layers[l].s[k]
		for i := range w.n {
			lo, hi, g := i*h*d, (i+1)*h*d, i*stride+(3*k+2)*d
			nn.Gate(x[lo:hi], s[lo:hi], mod[g:g+d], h)
		}
	}
}

// blocks runs all blocks on x, with the keys and values already there.
func (w *worker) blocks(c *Config) {
	all := branches * c.Layers
	w.each(stageBranch, all)
	w.gated(w.x, all-1)
}

// head applies the final modulation (shift, scale) and the output layer.
func (w *worker) head(c *Config, p *weights, mod []float32, stride int, out []float32) {
	f := normActs{w.xhat, w.rstd, w.y}
	w.modulated(c, &f, w.x, mod, stride, 0)
	p.out.forward(out, w.y, w.n*c.Horizon)
}

// velocityBackward takes dOut into the expert's gradients g and leaves the
// gradient of the context in dctx.
func (w *worker) velocityBackward(c *Config, p, g *weights, b *Batch, dOut []float32) {
	n, d, h, rows := w.n, c.D, c.Horizon, c.Horizon*c.ActionDim
	t := &w.time
	dOut = dOut[w.lo*rows : (w.lo+n)*rows]
	dx, dse := w.dx[:n*h*d], t.dse[:n*d]
	clear(dx)

	w.backward(&p.out, &g.out, w.dy, dOut, w.y, n*h, 0)
	dmod := t.dmod[:n*2*d]
	clear(dmod)
	f := normActs{w.xhat, w.rstd, w.y}
	w.modulatedBackward(c, &f, t.mod, dmod, 2*d, 0)
	w.backward(&p.ada, &g.ada, dse, dmod, t.se, n, 0)

	for l := len(p.blocks) - 1; l >= 0; l-- {
		w.blockBackward(c, &p.blocks[l], &g.blocks[l], w.layers[l])
		beta := float32(1)
		if l == len(p.blocks)-1 {
			beta = 0 // the first to write dctx
		}
		w.backward(&p.blocks[l].kv, &g.blocks[l].kv, w.dctx, w.layers[l].dkv, w.ctx, n*c.ContextTokens(), beta)
		w.backward(&p.blocks[l].ada, &g.blocks[l].ada, dse, w.layers[l].dmod, t.se, n, 1)
	}

	w.backward(&p.inp, &g.inp, nil, dx, b.Noisy[w.lo*rows:(w.lo+n)*rows], n*h, 0)
	vec.AddRows(g.pos, dx, n)
	w.heedBackward(c, p, g, dx)
	vec.SiLUBackward(dse, dse, t.e[:n*d])
	dh := t.dh[:n*d]
	w.backward(&p.t2, &g.t2, dh, dse, t.a, n, 0)
	vec.SiLUBackward(dh, dh, t.h[:n*d])
	w.backward(&p.t1, &g.t1, nil, dh, t.feat, n, 0)
}

// modulatedBackward takes dy, the gradient of a.y, into dmod and dx.
func (w *worker) modulatedBackward(c *Config, a *normActs, mod, dmod []float32, stride, k int) {
	d, h := c.D, c.Horizon
	for i := range w.n {
		m, dm, lo, hi := mod[i*stride:], dmod[i*stride:], i*h*d, (i+1)*h*d
		nn.ModulateBackward(w.dy[lo:hi], dm[k*d:(k+1)*d], dm[(k+1)*d:(k+2)*d], w.dy[lo:hi], a.xhat[lo:hi], m[(k+1)*d:(k+2)*d], h)
	}
	nn.LayerNormBackward(w.dx, w.dy, a.xhat, a.rstd, w.n*h, d)
}

// gatedBackward takes dx into ds, the gradient of branch k, and dmod.
func (w *worker) gatedBackward(c *Config, a *layerActs, k int) {
	d, h := c.D, c.Horizon
	for i := range w.n {
		lo, hi, m := i*h*d, (i+1)*h*d, (9*i+3*k+2)*d
		nn.GateBackward(a.ds[k][lo:hi], a.dmod[m:m+d], w.dx[lo:hi], a.s[k][lo:hi], a.mod[m:m+d], h)
	}
}

// blockBackward takes dx through one block, leaving dmod and dkv to be taken
// further.
func (w *worker) blockBackward(c *Config, p, g *block, a *layerActs) {
	n, d, rows := w.n, c.D, w.n*c.Horizon
	clear(a.dmod[:n*9*d])

	w.gatedBackward(c, a, 2)
	w.backward(&p.f2, &g.f2, a.df, a.ds[2], a.g, rows, 0)
	vec.GELUBackward(a.df[:rows*4*d], a.df[:rows*4*d], a.f[:rows*4*d])
	w.backward(&p.f1, &g.f1, w.dy, a.df, a.norm[2].y, rows, 0)
	w.modulatedBackward(c, &a.norm[2], a.mod, a.dmod, 9*d, 6)

	w.gatedBackward(c, a, 1)
	w.backward(&p.o2, &g.o2, w.da, a.ds[1], a.a2, rows, 0)
	w.part.crossHeads(c, n).AttentionBackward(a.dq, a.dkv, a.dkv[d:], w.dp, w.da, a.p2, a.q, a.kv, a.kv[d:])
	w.backward(&p.q, &g.q, w.dy, a.dq, a.norm[1].y, rows, 0)
	w.modulatedBackward(c, &a.norm[1], a.mod, a.dmod, 9*d, 3)

	w.gatedBackward(c, a, 0)
	w.backward(&p.o1, &g.o1, w.da, a.ds[0], a.a1, rows, 0)
	w.part.selfHeads(c, n).AttentionBackward(a.dqkv, a.dqkv[d:], a.dqkv[2*d:], w.dp, w.da, a.p1, a.qkv, a.qkv[d:], a.qkv[2*d:])
	w.backward(&p.qkv, &g.qkv, w.dy, a.dqkv, a.norm[0].y, rows, 0)
	w.modulatedBackward(c, &a.norm[0], a.mod, a.dmod, 9*d, 0)
}
