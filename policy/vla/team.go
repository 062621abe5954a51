package vla

import (
	"cmp"
	"runtime"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// part says what of its items a worker computes: all, or its share in a team.
//
// A team computes one item together. Each worker has some of the attention
// heads with their columns of the queries, keys and values, and some of the
// MLPs' width; of the layer that leads back to the residual stream it has the
// matching columns of the weight, so that its product is one term of a sum
// (Shoeybi et al., arXiv 1909.08053). Each has a residual stream of its own, to
// which it adds the terms of all in the workers' order, and normalises it for
// itself: that is done sooner than one could hand the others a result. The first
// worker leads: what is small it computes alone.
type part struct {
	i     int
	mates []*worker // in order, the worker itself among them
	crew  *crew     // nil for one alone
}

// of is the worker's share of what is so long.
func (p *part) of(size int) (lo, hi int) {
	return p.i * size / len(p.mates), (p.i + 1) * size / len(p.mates)
}

// form makes the workers a team. Its goroutines end when nobody has the
// workspace any more.
func (ws *Workspace) form() {
	t := newCrew(len(ws.workers))
	for i, w := range ws.workers {
		w.team = part{i, ws.workers, t}
		w.part = w.team
	}
	ws.crew = t
	runtime.AddCleanup(ws, (*crew).close, t)
}

// stage is what the members of a team compute side by side.
type stage int

const (
	stageKeys stage = iota
	stageBranch
	stagePatches
	stageVisionBranch
	stageProject
)

// each lets w and its mates compute their parts of a stage, so many times.
func (w *worker) each(s stage, times int) {
	w.hand.stage = s
	if w.part.crew != nil {
		w.part.crew.run(times, w.work)
		return
	}
	for k := range times {
		w.compute(k, 0)
	}
}

// compute is mate i's part of the stage in hand, the k'th time: of the others'
// activations it reads those that all need and writes its own.
func (w *worker) compute(k, i int) {
	m, p := w.part.mates[i], w.hand.p
	if w.part.crew != nil {
		p = m.sampled
	}
	switch w.hand.stage {
	case stageKeys:
		w.contextKeys(m, p)
	case stageBranch:
		w.branch(m, p, k)
	case stagePatches:
		w.embedPatches(m, p)
	case stageVisionBranch:
		w.visionBranch(m, p, k)
	case stageProject:
		lo, hi := m.part.of(w.hand.rows)
		w.hand.linear.forward(w.hand.tokens[lo*w.hand.c.D:], w.hand.x[lo*w.hand.linear.in:], hi-lo)
	}
}

// contextKeys are mate m's keys and values of the context, for all blocks.
func (w *worker) contextKeys(m *worker, p *weights) {
	c := w.hand.c
	for l, a := range m.layers {
		p.blocks[l].kv.forward(a.kv, w.ctx, w.n*c.ContextTokens())
		switch h := m.part.crossHeads(c, w.n); {
		case p.blocks[l].fold != nil:
			a.fold(p.blocks[l].fold, h, c.D, m.folding)
		case a.keys != nil && h.N > 0:
			h.PackKeys(a.keys, a.kv)
		}
	}
}

// branches of a block: self-attention, cross-attention, MLP.
const branches = 3

// branch is mate m's term of branch k, counted through all blocks.
func (w *worker) branch(m *worker, p *weights, k int) {
	c := w.hand.c
	switch {
	case k > 0:
		w.gated(m.x, k-1)
	case m != w:
		copy(m.x, w.x[:w.n*c.Horizon*c.D])
	}
	l, k := k/branches, k%branches
	a, b, rows := m.layers[l], &p.blocks[l], w.n*c.Horizon
	mod, stride := w.modulation(l)
	w.modulated(c, &a.norm[k], m.x, mod, stride, 3*k)
	switch y := a.norm[k].y; k {
	case 0:
		h := m.part.selfHeads(c, w.n)
		b.qkv.forward(a.qkv, y, rows)
		h.Attention(a.a1, a.p1, a.qkv, a.qkv[h.D:], a.qkv[2*h.D:])
		b.o1.forward(a.s[0], a.a1, rows)
	case 1:
		h := m.part.crossHeads(c, w.n)
		if b.fold != nil {
			a.attendFolded(a.s[1], y, h, c.D)
			break
		}
		h.Keys = a.keys
		b.q.forward(a.q, y, rows)
		h.Attention(a.a2, a.p2, a.q, a.kv, a.kv[h.D:])
		b.o2.forward(a.s[1], a.a2, rows)
	case 2:
		mlp(a.s[2], a.f, a.g, y, &b.f1, &b.f2, rows)
	}
}

// visionBranches of a block of the ViT: attention, MLP.
const visionBranches = 2

// visionBranch is mate m's term of branch k of the ViT, counted through all
// blocks.
func (w *worker) visionBranch(m *worker, p *weights, k int) {
	c, i := w.hand.c, w.hand.camera
	np := c.cameraTokens(c.Cameras[i])
	v, rows := m.vision[i], w.n*np
	switch {
	case k > 0:
		w.added(v.x, k-1)
	case m != w:
		copy(v.x, w.vision[i].x[:rows*c.VisionD])
	}
	l, k := k/visionBranches, k%visionBranches
	a, b := v.layers[l], &p.vision[l]
	y := a.norm[k].y
	normed(&a.norm[k], [...]*affine{&b.n1, &b.n2}[k], v.x, rows)
	switch k {
	case 0:
		h := m.part.visionHeads(c, w.n, np)
		b.qkv.forward(a.qkv, y, rows)
		h.Attention(a.a, a.p, a.qkv, a.qkv[h.D:], a.qkv[2*h.D:])
		b.o.forward(a.s[0], a.a, rows)
	case 1:
		mlp(a.s[1], a.f, a.g, y, &b.f1, &b.f2, rows)
	}
}

// mlp computes s (rows, out of f2), with f and g (rows, out of f1) between.
func mlp(s, f, g, y []float32, f1, f2 *linear, rows int) {
	f1.forward(f, y, rows)
	vec.GELU(g[:rows*f1.out], f[:rows*f1.out])
	f2.forward(s, g, rows)
}

// embedPatches sets mate m's rows of x = Linear(patches) + position.
func (w *worker) embedPatches(m *worker, p *weights) {
	c, i := w.hand.c, w.hand.camera
	cam, a, v := c.Cameras[i], w.vision[i], c.VisionD
	np, size, pixels := c.cameraTokens(cam), p.patch.in, cam.Height*cam.Width*channels
	lo, hi := m.part.of(w.n * np)
	for r := lo; r < hi; r++ {
		at := (w.lo + r/np) * pixels
		c.cut(a.patches[r*size:(r+1)*size], w.hand.b.Images[i][at:at+pixels], cam, r%np)
	}
	p.patch.forward(a.x[lo*v:], a.patches[lo*size:], hi-lo)
	for r := lo; r < hi; r++ {
		vec.Add(a.x[r*v:(r+1)*v], a.x[r*v:(r+1)*v], p.visionPos[i][r%np*v:(r%np+1)*v])
	}
}

// heads are the part's share of all heads of an attention of width d.
func (p *part) heads(heads, d int) (n, width int) {
	lo, hi := p.of(heads)
	return hi - lo, (hi - lo) * d / heads
}

// selfHeads attend over the chunks of n items: queries, keys and values lie side
// by side.
func (p *part) selfHeads(c *Config, n int) nn.Heads {
	k, d := p.heads(c.Heads, c.D)
	return nn.Heads{B: n, Tq: c.Horizon, Tk: c.Horizon, N: k, D: d, LdQ: 3 * d, LdK: 3 * d, LdV: 3 * d}
}

// crossHeads attend over the context of n items: keys and values lie side by
// side.
func (p *part) crossHeads(c *Config, n int) nn.Heads {
	k, d := p.heads(c.Heads, c.D)
	return nn.Heads{B: n, Tq: c.Horizon, Tk: c.ContextTokens(), N: k, D: d, LdQ: d, LdK: 2 * d, LdV: 2 * d}
}

// visionHeads attend over the np patches of n items: queries, keys and values
// lie side by side.
func (p *part) visionHeads(c *Config, n, np int) nn.Heads {
	k, d := p.heads(c.VisionHeads, c.VisionD)
	return nn.Heads{B: n, Tq: np, Tk: np, N: k, D: d, LdQ: 3 * d, LdK: 3 * d, LdV: 3 * d}
}

// share packs into to the weights that part p reads over and over, at first into
// memory of the store, for n items whose cross-attention it folds or not. The
// others are the model's.
func (w *weights) share(to *weights, c *Config, p *part, folds bool, n int, in *store) {
	blocks, vision := to.blocks, to.vision
	*to = *w
	if blocks == nil {
		blocks, vision = make([]block, len(w.blocks)), make([]visionBlock, len(w.vision))
	}
	to.blocks, to.vision = blocks, vision
	for l := range blocks {
		b, from := &blocks[l], &w.blocks[l]
		lo, hi := p.of(c.Heads)
		lo, hi = lo*c.D/c.Heads, hi*c.D/c.Heads
		b.ada, in.rows = from.ada, n*c.ContextTokens()
		b.kv.packRows(&from.kv, lo, hi, 2, in)
		in.rows = n * c.Horizon
		b.qkv.packRows(&from.qkv, lo, hi, 3, in)
		b.o1.packColumns(&from.o1, lo, hi, p.i == 0, in)
		if folds {
			b.fold = cmp.Or(b.fold, new(foldWeights))
			b.fold.take(&from.q, &from.o2, lo, hi, c.D/c.Heads, p.i == 0)
		} else {
			b.q.packRows(&from.q, lo, hi, 1, in)
			b.o2.packColumns(&from.o2, lo, hi, p.i == 0, in)
		}
		lo, hi = p.of(from.f1.out)
		b.f1.packRows(&from.f1, lo, hi, 1, in)
		b.f2.packColumns(&from.f2, lo, hi, p.i == 0, in)
	}
	for _, cam := range c.Cameras {
		in.rows = n * c.cameraTokens(cam)
	}
	for l := range vision {
		b, from := &vision[l], &w.vision[l]
		lo, hi := p.of(c.VisionHeads)
		lo, hi = lo*c.VisionD/c.VisionHeads, hi*c.VisionD/c.VisionHeads
		b.n1, b.n2 = from.n1, from.n2
		b.qkv.packRows(&from.qkv, lo, hi, 3, in)
		b.o.packColumns(&from.o, lo, hi, p.i == 0, in)
		lo, hi = p.of(from.f1.out)
		b.f1.packRows(&from.f1, lo, hi, 1, in)
		b.f2.packColumns(&from.f2, lo, hi, p.i == 0, in)
	}
}
