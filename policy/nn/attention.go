package nn

import (
	"math"

	"arfm/policy/nn/gemm"
)

// Heads is the geometry of a multi-head attention: B items, Tq queries and Tk
// keys each, N heads of width D/N. Queries, keys and values are read in place
// from wider rows (a fused qkv product, say), hence the row lengths.
type Heads struct {
	B, Tq, Tk, N, D int
	LdQ, LdK, LdV   int // length of a stored row of q, k, v

	Keys []gemm.Packed // (B, N) of PackKeys, where k serves several queries; or nil
}

// PackKeys packs the keys k, (B, Tk, LdK), of every head into to, (B, N).
func (h Heads) PackKeys(to []gemm.Packed, k []float32) {
	for i := range to[:h.B*h.N] {
		b, o := i/h.N, i%h.N*(h.D/h.N)
		to[i].Right(true, h.D/h.N, h.Tk, k[b*h.Tk*h.LdK+o:], h.LdK)
	}
}

// Attention computes out = softmax(q kᵀ / sqrt(D/N)) v head by head (Vaswani
// et al., arXiv 1706.03762): q (B, Tq, LdQ), k (B, Tk, LdK), v (B, Tk, LdV),
// out (B, Tq, D). The weights are left in p (B, N, Tq, Tk). Without heads
// nothing is done.
func (h Heads) Attention(out, p, q, k, v []float32) {
	if h.N == 0 {
		return
	}
	hd := h.D / h.N
	scale := float32(1 / math.Sqrt(float64(hd)))
	pp := h.Tq * h.Tk
	for b := 0; b < h.B; b++ {
		qb, kb, vb, ob := q[b*h.Tq*h.LdQ:], k[b*h.Tk*h.LdK:], v[b*h.Tk*h.LdV:], out[b*h.Tq*h.D:]
		for n := 0; n < h.N; n++ {
			w, o := p[(b*h.N+n)*pp:(b*h.N+n+1)*pp], n*hd
			scores := gemm.Product{
				M: h.Tq, N: h.Tk, K: hd, Alpha: scale, A: gemm.Matrix{Data: qb[o:], Ld: h.LdQ},
				B: gemm.Matrix{Data: kb[o:], Ld: h.LdK, Trans: true}, C: w, LdC: h.Tk,
			}
			if h.Keys != nil {
				scores.B = gemm.Matrix{Packed: &h.Keys[b*h.N+n]}
			}
			scores.Run()
			Softmax(w, h.Tq, h.Tk)
			Gemm(false, false, h.Tq, hd, h.Tk, 1, w, h.Tk, vb[o:], h.LdV, 0, ob[o:], h.D)
		}
	}
}

// AttentionBackward sets dq, dk and dv, laid out like q, k and v, from
// dout (B, Tq, D) and the forward pass's p; dp (Tq, Tk) is scratch.
func (h Heads) AttentionBackward(dq, dk, dv, dp, dout, p, q, k, v []float32) {
	hd := h.D / h.N
	scale := float32(1 / math.Sqrt(float64(hd)))
	pp := h.Tq * h.Tk
	dp = dp[:pp]
	for b := 0; b < h.B; b++ {
		iq, ik, iv, gb := b*h.Tq*h.LdQ, b*h.Tk*h.LdK, b*h.Tk*h.LdV, dout[b*h.Tq*h.D:]
		for n := 0; n < h.N; n++ {
			w, o := p[(b*h.N+n)*pp:(b*h.N+n+1)*pp], n*hd
			Gemm(true, false, h.Tk, hd, h.Tq, 1, w, h.Tk, gb[o:], h.D, 0, dv[iv+o:], h.LdV)
			Gemm(false, true, h.Tq, h.Tk, hd, 1, gb[o:], h.D, v[iv+o:], h.LdV, 0, dp, h.Tk)
			SoftmaxBackward(dp, w, h.Tq, h.Tk)
			Gemm(false, false, h.Tq, hd, h.Tk, scale, dp, h.Tk, k[ik+o:], h.LdK, 0, dq[iq+o:], h.LdQ)
			Gemm(true, false, h.Tk, hd, h.Tq, scale, dp, h.Tk, q[iq+o:], h.LdQ, 0, dk[ik+o:], h.LdK)
		}
	}
}
