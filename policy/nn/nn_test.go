package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/policy/nn/vec"
)

func randoms(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// TestGemm compares every transposition, odd sizes around the tiles, strides
// and beta with a plain loop in float64.
func TestGemm(t *testing.T) {
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {16, 64, 64}, {65, 193, 257}, {128, 33, 300}, {4, 4, 0}} {
		m, n, k := s[0], s[1], s[2]
		for trans := range 4 {
			tA, tB := trans&1 != 0, trans&2 != 0
			lda, ldb, ldc := k+3, n+2, n+1
			rowsA, rowsB := m, k
			if tA {
				lda, rowsA = m+3, k
			}
			if tB {
				ldb, rowsB = k+2, n
			}
			a, b, c := randoms(rowsA*lda+8, 1), randoms(rowsB*ldb+8, 2), randoms(m*ldc, 3)
			for _, beta := range []float32{0, 1, 0.5} {
				got := slices.Clone(c)
				Gemm(tA, tB, m, n, k, 0.7, a, lda, b, ldb, beta, got, ldc)
				for i := range m {
					for j := range n {
						want := float64(beta) * float64(c[i*ldc+j])
						for l := range k {
							ia, ib := i*lda+l, l*ldb+j
							if tA {
								ia = l*lda + i
							}
							if tB {
								ib = j*ldb + l
							}
							want += 0.7 * float64(a[ia]) * float64(b[ib])
						}
						if math.Abs(float64(got[i*ldc+j])-want) > 1e-5*float64(k+8) {
							t.Fatalf("m %d n %d k %d tA %v tB %v beta %v: C[%d,%d] = %v, want %v", m, n, k, tA, tB, beta, i, j, got[i*ldc+j], want)
						}
					}
					if i < m-1 && got[i*ldc+n] != c[i*ldc+n] {
						t.Fatalf("wrote between the rows of C")
					}
				}
			}
		}
	}
}

// beta = 0 overwrites C even where it holds NaN, as buffers are reused.
func TestGemmOverwrites(t *testing.T) {
	c := []float32{float32(math.NaN())}
	Gemm(false, false, 1, 1, 1, 1, []float32{2}, 1, []float32{3}, 1, 0, c, 1)
	if c[0] != 6 {
		t.Errorf("C = %v, want 6", c[0])
	}
}

func TestGemmDeterministic(t *testing.T) {
	m, n, k := 200, 300, 500
	a, b := randoms(m*k, 1), randoms(k*n, 2)
	first, again := make([]float32, m*n), make([]float32, m*n)
	Gemm(false, true, m, n, k, 1, a, k, b, k, 0, first, n)
	for range 5 {
		Gemm(false, true, m, n, k, 1, a, k, b, k, 0, again, n)
		if !slices.Equal(first, again) {
			t.Fatal("two runs differ")
		}
	}
}

// gradCheck compares df, the gradient of <f(x), r> at x, with central
// differences.
func gradCheck(t *testing.T, what string, x, df []float32, loss func() float64) {
	t.Helper()
	for i := range x {
		keep := x[i]
		at := func(h float32) float64 { x[i] = keep + h; return loss() }
		const h = 4e-3
		d1, d2 := (at(h)-at(-h))/(2*h), (at(2*h)-at(-2*h))/(4*h)
		x[i] = keep
		if want := (4*d1 - d2) / 3; math.Abs(want-float64(df[i])) > 3e-3*max(1, math.Abs(want)) {
			t.Errorf("%s: gradient %d is %v, finite difference %v", what, i, df[i], want)
		}
	}
}

func inner(x, y []float32) float64 {
	s := 0.0
	for i := range x {
		s += float64(x[i]) * float64(y[i])
	}
	return s
}

func TestNormGradients(t *testing.T) {
	const n, d = 3, 7
	x, r, gain, bias := randoms(n*d, 1), randoms(n*d, 2), randoms(d, 3), randoms(d, 4)
	xhat, rstd, y := make([]float32, n*d), make([]float32, n), make([]float32, n*d)
	run := func(affine func(y, xhat []float32)) func() float64 {
		return func() float64 {
			LayerNorm(xhat, rstd, x, n, d)
			affine(y, xhat)
			return inner(y, r)
		}
	}
	for _, c := range []struct {
		name string
		f    func(y, xhat []float32)
		df   func(dxhat, dgain, dbias []float32)
	}{
		{"affine", func(y, xhat []float32) { Affine(y, xhat, gain, bias, n) },
			func(dxhat, dgain, dbias []float32) { AffineBackward(dxhat, dgain, dbias, r, xhat, gain, n) }},
		{"modulate", func(y, xhat []float32) { Modulate(y, xhat, bias, gain, n) },
			func(dxhat, dgain, dbias []float32) { ModulateBackward(dxhat, dbias, dgain, r, xhat, gain, n) }},
	} {
		loss := run(c.f)
		loss()
		dxhat, dgain, dbias, dx := make([]float32, n*d), make([]float32, d), make([]float32, d), make([]float32, n*d)
		c.df(dxhat, dgain, dbias)
		LayerNormBackward(dx, dxhat, xhat, rstd, n, d)
		gradCheck(t, c.name+" x", x, dx, loss)
		gradCheck(t, c.name+" gain", gain, dgain, loss)
		gradCheck(t, c.name+" bias", bias, dbias, loss)
	}
}

func TestAttentionGradients(t *testing.T) {
	h := Heads{B: 2, Tq: 3, Tk: 4, N: 2, D: 6, LdQ: 8, LdK: 13, LdV: 13}
	q, kv, r := randoms(h.B*h.Tq*h.LdQ, 1), randoms(h.B*h.Tk*h.LdK, 2), randoms(h.B*h.Tq*h.D, 3)
	out, p := make([]float32, len(r)), make([]float32, h.B*h.N*h.Tq*h.Tk)
	loss := func() float64 { h.Attention(out, p, q, kv, kv[h.D:]); return inner(out, r) }
	loss()
	for i := 0; i < len(p); i += h.Tk {
		if s := vec.Sum(p[i : i+h.Tk]); math.Abs(float64(s)-1) > 1e-6 {
			t.Errorf("weights of row %d add up to %v", i/h.Tk, s)
		}
	}
	dq, dkv := make([]float32, len(q)), make([]float32, len(kv))
	h.AttentionBackward(dq, dkv, dkv[h.D:], make([]float32, h.Tq*h.Tk), r, p, q, kv, kv[h.D:])
	gradCheck(t, "q", q, dq, loss)
	gradCheck(t, "k and v", kv, dkv, loss)
}

func TestLinearAndGateGradients(t *testing.T) {
	const n, in, out = 3, 4, 5
	x, w, b, gate, r := randoms(n*in, 1), randoms(in*out, 2), randoms(out, 3), randoms(out, 4), randoms(n*out, 5)
	y, res := make([]float32, n*out), make([]float32, n*out)
	loss := func() float64 {
		Linear(y, x, w, b, n, in, out)
		clear(res)
		Gate(res, y, gate, n)
		return inner(res, r)
	}
	loss()
	dy, dgate := make([]float32, n*out), make([]float32, out)
	GateBackward(dy, dgate, r, y, gate, n)
	dx, dw, db := make([]float32, n*in), make([]float32, in*out), make([]float32, out)
	LinearBackward(dx, dy, w, n, in, out, 0)
	for _, rows := range [][2]int{{0, 2}, {2, out}} {
		LinearGradient(dw, dy, x, n, in, out, rows[0], rows[1], 0)
	}
	vec.AddRows(db, dy, n)
	gradCheck(t, "x", x, dx, loss)
	gradCheck(t, "w", w, dw, loss)
	gradCheck(t, "b", b, db, loss)
	gradCheck(t, "gate", gate, dgate, loss)
	twice, both := slices.Clone(dx), slices.Clone(dw)
	LinearBackward(twice, dy, w, n, in, out, 1)
	LinearGradient(both, dy, x, n, in, out, 0, out, 1)
	for i, v := range append(twice, both...) {
		if want := 2 * append(dx, dw...)[i]; math.Abs(float64(v-want)) > 1e-5 {
			t.Fatalf("beta = 1 gives %v, want %v", v, want)
		}
	}
}

func TestSoftmaxLargeLogits(t *testing.T) {
	x := []float32{1000, 999, -1000, -1000}
	Softmax(x, 2, 2)
	e := 1 / (1 + math.Exp(-1))
	if math.Abs(float64(x[0])-e) > 1e-6 || x[2] != 0.5 {
		t.Errorf("softmax %v", x)
	}
}

func TestEmbed(t *testing.T) {
	table := []float32{1, 2, 3, 4, 5, 6}
	y := make([]float32, 4)
	Embed(y, table, []int32{2, 0}, 2)
	if !slices.Equal(y, []float32{5, 6, 1, 2}) {
		t.Errorf("rows %v", y)
	}
	d := make([]float32, 6)
	EmbedBackward(d, []float32{1, 2, 3, 4}, []int32{2, 2}, 2)
	if !slices.Equal(d, []float32{0, 0, 0, 0, 4, 6}) {
		t.Errorf("gradient %v", d)
	}
}

func TestParams(t *testing.T) {
	p := NewParams([]Spec{{"a", []int{2, 3}}, {"b", []int{4}}})
	if len(p.Data) != 10 || !slices.Equal(p.Names(), []string{"a", "b"}) || !slices.Equal(p.Shape("a"), []int{2, 3}) {
		t.Errorf("laid out as %v, %d elements", p.Names(), len(p.Data))
	}
	p.View("b")[0] = 7
	if lo, hi := p.Range("b"); lo != 6 || hi != 10 || p.Data[6] != 7 {
		t.Errorf("b lies in [%d, %d)", lo, hi)
	}
	if p.View("c") != nil || p.Shape("c") != nil || p.Has("c") {
		t.Error("an unknown tensor has a view")
	}
	g := p.Like(make([]float32, 10))
	g.View("a")[5] = 1
	if g.Data[5] != 1 || p.Data[5] != 0 {
		t.Error("Like shares the data")
	}
}
