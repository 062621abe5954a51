package vla

import (
	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// visionActs are the activations of the ViT on one camera (Dosovitskiy et al.,
// arXiv 2010.11929, pre-norm, without a class token): R = n P rows, one a patch.
type visionActs struct {
	patches []float32 // (R, patch*patch*3) pixels as (x/255 - 0.5)/0.5
	x       []float32 // (R, VD) residual stream
	layers  []*visionLayer
	norm    normActs
	tokens  []float32 // (R, D) projected; their gradient in the backward pass

	dx, dy, da []float32 // (R, VD)
	dp         []float32 // (P, P)
}

type visionLayer struct {
	norm   [visionBranches]normActs
	s      [visionBranches][]float32 // (R, VD), what each branch adds
	qkv, a []float32                 // (R, 3VD), (R, VD)
	p      []float32                 // (n, heads, P, P)
	f, g   []float32                 // (R, 4VD)

	dqkv, df []float32                 // (R, 3VD), (R, 4VD)
	ds       [visionBranches][]float32 // like s
}

// newVision allocates for n items; without training all cameras and blocks of
// the ViT share one set of activations. A backbone's features need room for
// their tokens only, each camera's its own: they are read later on.
func newVision(c *Config, n int, train bool) (acts []*visionActs) {
	if c.Vision != nil {
		for range c.Cameras {
			acts = append(acts, &visionActs{tokens: make([]float32, n*c.Vision.Tokens*c.D)})
		}
		return acts
	}
	most := 0
	for _, cam := range c.Cameras {
		rows, cols := c.patches(cam)
		most = max(most, rows*cols)
	}
	for _, cam := range c.Cameras {
		if !train && len(acts) > 0 {
			acts = append(acts, acts[0])
			continue
		}
		rows, cols := c.patches(cam)
		p := rows * cols
		if !train {
			p = most
		}
		acts = append(acts, newVisionActs(c, n, p, train))
	}
	return acts
}

func newVisionActs(c *Config, n, p int, train bool) *visionActs {
	v, r := c.VisionD, n*p
	f := func(k int) []float32 { return make([]float32, r*k) }
	a := &visionActs{patches: f(c.Patch * c.Patch * channels), x: f(v), norm: newNormActs(r, v, train), tokens: f(c.D)}
	for range c.VisionLayers {
		if len(a.layers) > 0 && !train {
			a.layers = append(a.layers, a.layers[0])
			continue
		}
		y := &visionLayer{
			norm: [visionBranches]normActs{newNormActs(r, v, train), newNormActs(r, v, train)}, s: [visionBranches][]float32{f(v), f(v)},
			qkv: f(3 * v), a: f(v), p: f(c.VisionHeads * p), f: f(4 * v),
		}
		y.g = y.f
		if train {
			y.g = f(4 * v)
			y.dqkv, y.df, y.ds = f(3*v), f(4*v), [visionBranches][]float32{f(v), f(v)}
		}
		a.layers = append(a.layers, y)
	}
	if train {
		a.dx, a.dy, a.da = f(v), f(v), f(v)
		a.dp = make([]float32, p*p)
	}
	return a
}

// cut writes patch i of an image, counted row by row of patches; pixels beyond
// the edge are 0, mid grey.
func (c *Config) cut(dst []float32, img []uint8, cam Camera, i int) {
	_, cols := c.patches(cam)
	r, q := i/cols, i%cols
	k := c.Patch * channels // floats of one row of a patch
	wide := min(c.Patch, cam.Width-q*c.Patch) * channels
	for y := range c.Patch {
		row := dst[y*k : (y+1)*k]
		if r*c.Patch+y >= cam.Height {
			clear(row)
			continue
		}
		from := ((r*c.Patch+y)*cam.Width + q*c.Patch) * channels
		for i, px := range img[from : from+wide] {
			row[i] = float32(px)*(2.0/255) - 1
		}
		clear(row[wide:])
	}
}

// normed is an affine layer normalisation of x (rows, VD).
func normed(a *normActs, p *affine, x []float32, rows int) {
	d := len(p.gain)
	nn.LayerNorm(a.xhat, a.rstd, x, rows, d)
	nn.Affine(a.y, a.xhat, p.gain, p.bias, rows)
}

// normedBackward takes dy, which it overwrites, and adds to dx.
func normedBackward(a *normActs, p, g *affine, dx, dy []float32, rows int) {
	nn.AffineBackward(dy, g.gain, g.bias, dy, a.xhat, p.gain, rows)
	nn.LayerNormBackward(dx, dy, a.xhat, a.rstd, rows, len(p.gain))
}

// see writes camera i's tokens into ctx from token at on and returns their
// number.
func (w *worker) see(c *Config, p *weights, b *Batch, i, at int) int {
	a, d, np := w.vision[i], c.D, c.cameraTokens(c.Cameras[i])
	r := w.n * np
	w.hand.camera, w.hand.b = i, b
	w.each(stagePatches, 1)
	all := visionBranches * c.VisionLayers
	w.each(stageVisionBranch, all)
	w.added(a.x, all-1)
	normed(&a.norm, &p.visionNorm, a.x, r)
	w.project(c, &p.proj, a.tokens, a.norm.y, at, np, p.camera[i*d:(i+1)*d], p.visionType)
	return np
}

// added adds branch k, counted through all blocks of the ViT, the sum of all mates'
// terms, to x.
func (w *worker) added(x []float32, k int) {
	c, i := w.hand.c, w.hand.camera
	x = x[:w.n*c.cameraTokens(c.Cameras[i])*c.VisionD]
	for _, mate := range w.part.mates {
		vec.Add(x, x, mate.vision[i].layers[k/visionBranches].s[k%visionBranches])
	}
}

// seeBackward is see's gradient.
func (w *worker) seeBackward(c *Config, p, g *weights, i, at int) int {
	a := w.vision[i]
	rows, cols := c.patches(c.Cameras[i])
	n, v, d, np := w.n, c.VisionD, c.D, rows*cols
	r := n * np
	w.collect(c, a.tokens, at, np, g.camera[i*d:(i+1)*d], g.visionType)
	dx := a.dx[:r*v]
	clear(dx)
	w.backward(&p.proj, &g.proj, a.dy, a.tokens, a.norm.y, r, 0)
	normedBackward(&a.norm, &p.visionNorm, &g.visionNorm, dx, a.dy, r)
	for l := len(p.vision) - 1; l >= 0; l-- {
		q, gq, y := &p.vision[l], &g.vision[l], a.layers[l]
		copy(y.ds[1], dx)
		w.backward(&q.f2, &gq.f2, y.df, y.ds[1], y.g, r, 0)
		vec.GELUBackward(y.df[:r*4*v], y.df[:r*4*v], y.f[:r*4*v])
		w.backward(&q.f1, &gq.f1, a.dy, y.df, y.norm[1].y, r, 0)
		normedBackward(&y.norm[1], &q.n2, &gq.n2, dx, a.dy, r)
		copy(y.ds[0], dx)
		w.backward(&q.o, &gq.o, a.da, y.ds[0], y.a, r, 0)
		w.part.visionHeads(c, n, np).AttentionBackward(y.dqkv, y.dqkv[v:], y.dqkv[2*v:], a.dp, a.da, y.p, y.qkv, y.qkv[v:], y.qkv[2*v:])
		w.backward(&q.qkv, &gq.qkv, a.dy, y.dqkv, y.norm[0].y, r, 0)
		normedBackward(&y.norm[0], &q.n1, &gq.n1, dx, a.dy, r)
	}
	vec.AddRows(g.visionPos[i], dx, n)
	w.backward(&p.patch, &g.patch, nil, dx, a.patches, r, 0)
	return np
}
