package nn

import "arfm/policy/nn/gemm"

// Linear computes y = x Wᵀ + b for n rows: x (n, in), w (out, in), b (out) or
// nil, y (n, out).
func Linear(y, x, w, b []float32, n, in, out int) {
	p := gemm.Product{
		M: n, N: out, K: in, Alpha: 1, A: gemm.Matrix{Data: x[:n*in], Ld: in}, B: gemm.Matrix{Data: w[:out*in], Ld: in, Trans: true},
		C: y[:n*out], LdC: out, ColumnBias: b,
	}
	p.Run()
}

// LinearBackward adds dyᵀ x to dw (out, in) and the column sums of dy (n, out)
// to db (out; nil without a bias), and sets dx = dy W + beta dx, (n, in); a nil
// dx is left out.
func LinearBackward(dx, dw, db, dy, x, w []float32, n, in, out int, beta float32) {
	dy = dy[:n*out]
	Gemm(true, false, out, in, n, 1, dy, out, x[:n*in], in, 1, dw[:out*in], in)
	if db != nil {
		AddRows(db[:out], dy, n)
	}
	if dx != nil {
		Gemm(false, false, n, in, out, 1, dy, out, w[:out*in], in, beta, dx[:n*in], in)
	}
}

// AddRows adds the n rows of x (n, len(dst)) to dst.
func AddRows(dst, x []float32, n int) {
	d := len(dst)
	for i := 0; i < n; i++ {
		row := x[i*d : (i+1)*d]
		for j, v := range row {
			dst[j] += v
		}
	}
}

// Add computes dst += x.
func Add(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

// Gate adds a gated branch to the residual stream: x += gate * s for rows of
// x and s (t, d) and one gate (d).
func Gate(x, s, gate []float32, t int) {
	d := len(gate)
	for i := 0; i < t; i++ {
		xr, sr := x[i*d:(i+1)*d], s[i*d:(i+1)*d]
		for j, g := range gate {
			xr[j] += g * sr[j]
		}
	}
}

// GateBackward sets ds = gate * dx, (t, d), and adds the sum over rows of
// dx * s to dgate (d). The residual's own gradient is dx, unchanged.
func GateBackward(ds, dgate, dx, s, gate []float32, t int) {
	d := len(gate)
	dgate = dgate[:d]
	for i := 0; i < t; i++ {
		dsr, dxr, sr := ds[i*d:(i+1)*d], dx[i*d:(i+1)*d], s[i*d:(i+1)*d]
		for j, g := range gate {
			v := dxr[j]
			dsr[j] = g * v
			dgate[j] += v * sr[j]
		}
	}
}

// Embed copies row ids[i] of table (V, d) to row i of y (len(ids), d).
func Embed(y, table []float32, ids []int32, d int) {
	for i, id := range ids {
		copy(y[i*d:(i+1)*d], table[int(id)*d:(int(id)+1)*d])
	}
}

// EmbedBackward adds row i of dy to row ids[i] of dtable.
func EmbedBackward(dtable, dy []float32, ids []int32, d int) {
	for i, id := range ids {
		Add(dtable[int(id)*d:(int(id)+1)*d], dy[i*d:(i+1)*d])
	}
}

// Axpy computes dst += alpha x.
func Axpy(dst []float32, alpha float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += alpha * x[i]
	}
}
