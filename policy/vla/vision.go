package vla

import (
	"slices"

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

	dx, dy, da, dqkv, df []float32 // (R, VD), (R, VD), (R, VD), (R, 3VD), (R, 4VD)
	dp                   []float32 // (P, P)
}

type visionLayer struct {
	norm      [2]normActs
	qkv, a, s []float32 // (R, 3VD), (R, VD), (R, VD)
	p         []float32 // (n, heads, P, P)
	f, g      []float32 // (R, 4VD)
}

// newVision allocates for n items; without training all cameras and blocks
// share one set of activations. A backbone's features need room for their
// tokens only.
func newVision(c *Config, n int, train bool) []*visionActs {
	if c.Vision != nil {
		a := &visionActs{tokens: make([]float32, n*c.Vision.Tokens*c.D)}
		return slices.Repeat([]*visionActs{a}, len(c.Cameras))
	}
	most := 0
	for _, cam := range c.Cameras {
		rows, cols := c.patches(cam)
		most = max(most, rows*cols)
	}
	var acts []*visionActs
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
	a := &visionActs{patches: f(c.Patch * c.Patch * channels), x: f(v), norm: newNormActs(r, v), tokens: f(c.D)}
	for range c.VisionLayers {
		if len(a.layers) > 0 && !train {
			a.layers = append(a.layers, a.layers[0])
			continue
		}
		a.layers = append(a.layers, &visionLayer{
			norm: [2]normActs{newNormActs(r, v), newNormActs(r, v)},
			qkv:  f(3 * v), a: f(v), s: f(v), p: f(c.VisionHeads * p), f: f(4 * v), g: f(4 * v),
		})
	}
	if train {
		a.dx, a.dy, a.da, a.dqkv, a.df = f(v), f(v), f(v), f(3*v), f(4*v)
		a.dp = make([]float32, p*p)
	}
	return a
}

// cut writes the patches of one image, row by row of patches; pixels beyond
// the edge are 0, mid grey.
func (c *Config) cut(dst []float32, img []uint8, cam Camera) {
	rows, cols := c.patches(cam)
	k := c.Patch * channels // floats of one row of a patch
	for r := range rows {
		for q := range cols {
			patch := dst[(r*cols+q)*c.Patch*k : (r*cols+q+1)*c.Patch*k]
			wide := min(c.Patch, cam.Width-q*c.Patch) * channels
			for y := range c.Patch {
				row := patch[y*k : (y+1)*k]
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
	}
}

func (c *Config) visionHeads(n, p int) nn.Heads {
	v := c.VisionD
	return nn.Heads{B: n, Tq: p, Tk: p, N: c.VisionHeads, D: v, LdQ: 3 * v, LdK: 3 * v, LdV: 3 * v}
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
	cam, a := c.Cameras[i], w.vision[i]
	rows, cols := c.patches(cam)
	n, v, d, np := w.n, c.VisionD, c.D, rows*cols
	size, pixels := np*c.Patch*c.Patch*channels, cam.Height*cam.Width*channels
	for j := range n {
		c.cut(a.patches[j*size:(j+1)*size], b.Images[i][(w.lo+j)*pixels:(w.lo+j+1)*pixels], cam)
	}
	r := n * np
	p.patch.forward(a.x, a.patches, r)
	for j := range n {
		vec.Add(a.x[j*np*v:(j+1)*np*v], a.x[j*np*v:(j+1)*np*v], p.visionPos[i])
	}
	x := a.x[:r*v]
	for l := range p.vision {
		q, y := &p.vision[l], a.layers[l]
		normed(&y.norm[0], &q.n1, x, r)
		q.qkv.forward(y.qkv, y.norm[0].y, r)
		c.visionHeads(n, np).Attention(y.a, y.p, y.qkv, y.qkv[v:], y.qkv[2*v:])
		q.o.forward(y.s, y.a, r)
		vec.Add(x, x, y.s)
		normed(&y.norm[1], &q.n2, x, r)
		q.f1.forward(y.f, y.norm[1].y, r)
		vec.GELU(y.g[:r*4*v], y.f[:r*4*v])
		q.f2.forward(y.s, y.g, r)
		vec.Add(x, x, y.s)
	}
	normed(&a.norm, &p.visionNorm, x, r)
	p.proj.forward(a.tokens, a.norm.y, r)
	w.place(c, a.tokens, at, np, p.camera[i*d:(i+1)*d], p.visionType)
	return np
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
	p.proj.backward(&g.proj, a.dy, a.tokens, a.norm.y, r, 0)
	normedBackward(&a.norm, &p.visionNorm, &g.visionNorm, dx, a.dy, r)
	for l := len(p.vision) - 1; l >= 0; l-- {
		q, gq, y := &p.vision[l], &g.vision[l], a.layers[l]
		q.f2.backward(&gq.f2, a.df, dx, y.g, r, 0)
		vec.GELUBackward(a.df[:r*4*v], a.df[:r*4*v], y.f[:r*4*v])
		q.f1.backward(&gq.f1, a.dy, a.df, y.norm[1].y, r, 0)
		normedBackward(&y.norm[1], &q.n2, &gq.n2, dx, a.dy, r)
		q.o.backward(&gq.o, a.da, dx, y.a, r, 0)
		c.visionHeads(n, np).AttentionBackward(a.dqkv, a.dqkv[v:], a.dqkv[2*v:], a.dp, a.da, y.p, y.qkv, y.qkv[v:], y.qkv[2*v:])
		q.qkv.backward(&gq.qkv, a.dy, a.dqkv, y.norm[0].y, r, 0)
		normedBackward(&y.norm[0], &q.n1, &gq.n1, dx, a.dy, r)
	}
	vec.AddRows(g.visionPos[i], dx, n)
	p.patch.backward(&g.patch, nil, dx, a.patches, r, 0)
	return np
}
