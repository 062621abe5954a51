package gemm

import "arfm/policy/nn/blas"

// plainFloats is how many numbers of an image's columns are laid out at a time.
const plainFloats = 1 << 17

// plain computes the product with the library: what the kernels are measured
// against.
func (p *Product) plain() {
	a, b := p.A.unpacked(), p.B.unpacked()
	if p.D != nil && p.Beta != 0 {
		for i := range p.M {
			copy(p.C[i*p.LdC:][:p.N], p.D[i*p.LdD:])
		}
	}
	if p.K == 0 {
		for i := range p.M {
			row := p.C[i*p.LdC : i*p.LdC+p.N]
			for j, v := range row {
				if row[j] = 0; p.Beta != 0 {
					row[j] = p.Beta * v
				}
			}
		}
		p.finish(0, p.N)
		return
	}
	if x := p.A.Columns; x != nil {
		a = Matrix{Data: make([]float32, p.K*p.M), Ld: p.M, Trans: true}
		x.unfold(a.Data, p.M, 0, p.M)
	}
	x := p.B.Columns
	if x == nil {
		blas.Sgemm(a.Trans, b.Trans, p.M, p.N, p.K, p.Alpha, a.Data, a.Ld, b.Data, b.Ld, p.Beta, p.C, p.LdC)
		p.finish(0, p.N)
		return
	}
	step := min(p.N, max(1, plainFloats/max(p.K, 1)))
	unfolded := make([]float32, step*p.K)
	for j := 0; j < p.N; j += step {
		n := min(step, p.N-j)
		x.unfold(unfolded, step, j, n)
		blas.Sgemm(a.Trans, false, p.M, n, p.K, p.Alpha, a.Data, a.Ld, unfolded, step, p.Beta, p.C[j:], p.LdC)
		p.finish(j, j+n)
	}
}

// unfold writes columns j to j+n.
func (c *Columns) unfold(to []float32, toRow, j, n int) {
	for k, o := range c.Offsets {
		c.runs(j, n, func(from, at, n int) { copy(to[k*toRow+at:][:n], c.Image[o+from:]) })
	}
}

// unpacked is the matrix that was packed for no level.
func (x Matrix) unpacked() Matrix {
	if x.Packed != nil {
		return Matrix{Data: x.Packed.data, Ld: max(x.Packed.columns, 1)}
	}
	return x
}

// finish adds the biases to columns lo to hi of C and limits them.
func (p *Product) finish(lo, hi int) {
	if p.ColumnBias == nil && p.RowBias == nil && !p.Clip {
		return
	}
	for i := range p.M {
		row, bias := p.C[i*p.LdC+lo:i*p.LdC+hi], float32(0)
		if p.RowBias != nil {
			bias = p.RowBias[i]
		}
		for j, v := range row {
			if p.ColumnBias != nil {
				v += p.ColumnBias[lo+j]
			}
			row[j] = p.limit(v + bias)
		}
	}
}
