package vla

import (
	"math"

	"arfm/policy/nn"
	"arfm/policy/nn/gemm"
)

// A head of cross-attention scores rows x by (x Wqᵀ) Kᵀ = x (K Wq)ᵀ and gives
// (p V) Woᵀ = p (V Woᵀ). K Wq and V Woᵀ, (T, D), stay as they are while a chunk is
// integrated: computed once they take the place of the layers (D, D) before and
// after the attention, which is less work where there are few tokens of context.
// The bias of the queries becomes one of the scores, K bq; 1/sqrt(D/N) goes into
// both.

// folds reports whether folding is less work for a chunk of Config.Steps steps;
// doing it counts one and a half times, as what comes out has to be packed.
// Where many short chunks share a pass over the layers' weights it is not: each
// would have folded ones of its own, which no cache holds.
func (c *Config) folds() bool {
	d, t := c.D, c.ContextTokens()
	once, apart, folded := 2*t*d*d, 2*d*(d+t), 2*d*c.Heads*t // multiply-adds; the latter of a row in a step
	return 2*c.Steps*c.Horizon*(apart-folded) > 3*once && c.group()*c.Heads*t <= 4*d
}

// foldWeights are what keys and values of some heads are multiplied with.
type foldWeights struct {
	heads []foldHead
	out   []float32 // bias of the output (D); nil for none
}

// foldHead is for one head, packed to be the right operand: (D/heads, D).
type foldHead struct {
	q, o gemm.Packed
	bias []float32 // of the queries (D/heads)
}

// take makes f the weights of the heads in columns lo to hi; with bias it adds the
// output's, which one member of a team does.
func (f *foldWeights) take(q, o *linear, lo, hi, width int, bias bool) {
	if f.heads == nil {
		f.heads = make([]foldHead, (hi-lo)/width)
	}
	for i := range f.heads {
		h, at := &f.heads[i], lo+i*width
		h.q.Right(false, width, q.in, q.w[at*q.in:], q.in)
		h.o.Right(true, width, o.out, o.w[at:], o.in)
		h.bias = q.b[at : at+width]
	}
	if bias {
		f.out = o.b
	}
}

// folded are an item's keys and values as layers, from (D) to the scores of all
// heads (N T), and back.
type folded struct{ keys, values linear }

// makeRoom makes room, once, for what the worker folds: n items, the heads of p.
func (w *worker) makeRoom(c *Config, p *part, n int, in *store) {
	if w.folding != nil {
		return
	}
	heads, _ := p.heads(c.Heads, c.D)
	d, nt := c.D, heads*c.ContextTokens()
	w.folding = make([]float32, nt*d)
	for _, a := range w.layers {
		a.folded = make([]folded, n)
		for i := range a.folded {
			a.folded[i] = folded{
				keys:   linear{in: d, out: nt, b: make([]float32, nt), packed: new(gemm.Packed).In(&in.bulk, d, nt)},
				values: linear{in: nt, out: d, packed: new(gemm.Packed).In(&in.bulk, nt, d)},
			}
		}
	}
}

// fold folds keys and values of h; scratch (N T, D). Packed by RightOnce the
// results were 1 to 3 % slower in a policy's loop, and as much faster in batches.
func (a *layerActs) fold(f *foldWeights, h nn.Heads, d int, scratch []float32) {
	t, nt, width := h.Tk, h.N*h.Tk, h.D/max(h.N, 1) // a team may have members without a head
	p := gemm.Product{M: t, N: d, K: width, LdC: d}
	scale := float32(1 / math.Sqrt(float64(width)))
	for i := range a.folded[:h.B] {
		one, k, v := &a.folded[i], a.kv[i*t*h.LdK:], a.kv[i*t*h.LdV+h.D:]
		p.Alpha = scale
		for n := range f.heads {
			w, own := &f.heads[n], gemm.Matrix{Data: k[n*width:], Ld: h.LdK}
			p.A, p.B.Packed, p.C = own, &w.q, scratch[n*t*d:]
			p.Run()
			nn.Gemm(false, true, 1, t, width, scale, w.bias, width, own.Data, own.Ld, 0, one.keys.b[n*t:], t)
		}
		one.keys.packed.Right(true, d, nt, scratch, d)
		p.Alpha = 1
		for n := range f.heads {
			p.A, p.B.Packed, p.C = gemm.Matrix{Data: v[n*width:], Ld: h.LdV}, &f.heads[n].o, scratch[n*t*d:]
			p.Run()
		}
		one.values.packed.Right(false, nt, d, scratch, d)
		one.values.b = f.out
	}
}

// attendFolded is cross-attention with the layers before and after it: s (B Tq, D)
// from y (B Tq, D). The weights of one item at a time are in p2.
func (a *layerActs) attendFolded(s, y []float32, h nn.Heads, d int) {
	rows, nt := h.Tq, h.N*h.Tk
	for i := range a.folded[:h.B] {
		f, lo, hi := &a.folded[i], i*rows*d, (i+1)*rows*d
		p := a.p2[:rows*nt]
		f.keys.forward(p, y[lo:hi], rows)
		nn.Softmax(p, rows*h.N, h.Tk)
		f.values.forward(s[lo:hi], p, rows)
	}
}
