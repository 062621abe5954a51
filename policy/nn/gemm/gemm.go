// Package gemm multiplies matrices in float32: on x86-64 with kernels for AVX2
// and AVX-512 of its own, elsewhere with gonum or, under the build tag
// openblas, with OpenBLAS.
//
// C is computed in tiles of a few rows and two vectors of columns that stay in
// registers while the sum over k runs (Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication", 2008). Operands that are read more
// than a few times are packed into panels in the order in which the kernel
// reads them. Each element of C is one chain of fused multiply-adds over k in
// ascending order, cut at the same places whatever the level, so AVX2 and
// AVX-512 give the same bits, and so does any number of goroutines.
//
// Matrices are row-major. A slice that is too short is a bug of the caller and
// panics.
package gemm

import (
	"fmt"
	"math"

	"arfm/policy/nn/blas"
	"arfm/policy/nn/cpu"
)

// Gemm computes C = alpha op(A) op(B) + beta C, where op(A) is (m, k), op(B)
// is (k, n), C is (m, n) and op transposes when tA or tB is set; ld are the
// lengths of a stored row. The sum over k runs in a fixed order for a given
// shape. beta = 0 overwrites C, whatever it held.
func Gemm(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	p := Product{
		M: m, N: n, K: k, Alpha: alpha, Beta: beta,
		A: Matrix{Data: a, Ld: lda, Trans: tA}, B: Matrix{Data: b, Ld: ldb, Trans: tB},
		C: c, LdC: ldc,
	}
	p.Run()
}

// Product is C = alpha op(A) op(B) + beta D + ColumnBias + RowBias, limited to
// Low..High where Clip is set: op(A) is (M, K), op(B) is (K, N), C and D are
// (M, N). D is C itself as it was, or does not overlap it.
type Product struct {
	M, N, K     int
	Alpha, Beta float32
	A, B        Matrix
	C           []float32
	LdC         int       // length of a stored row of C
	D           []float32 // nil for C itself
	LdD         int

	ColumnBias []float32 // (N), added to every row; nil for none
	RowBias    []float32 // (M), added to every column; nil for none
	Clip       bool      // NaN stays NaN
	Low, High  float32
}

// Matrix is an operand: numbers as they lie, or packed ones, or the columns of
// an image, which for A are its rows.
type Matrix struct {
	Data    []float32
	Ld      int // length of a stored row
	Trans   bool
	Packed  *Packed
	Columns *Columns
}

// Level names what computes products: a level of policy/nn/cpu, or the library
// where that is generic.
func Level() string {
	if cpu.Has == cpu.Generic {
		return blas.Name
	}
	return cpu.Has.String()
}

// level at which p runs: that for which its operands are packed.
func (p *Product) level() cpu.Level {
	switch {
	case p.A.Packed != nil:
		return p.A.Packed.level
	case p.B.Packed != nil:
		return p.B.Packed.level
	}
	return cpu.Has
}

// Run computes the product on this goroutine.
func (p *Product) Run() {
	if p.M == 0 || p.N == 0 {
		return
	}
	p.check()
	level := p.level()
	if level == cpu.Generic {
		p.plain()
		return
	}
	x := borrow(level)
	f := x.cutting(p)
	x.run(p, share{0, f.panels(p.M), 0, f.strips(p.N)})
	x.giveBack()
}

func (p *Product) check() {
	if p.M < 0 || p.N < 0 || p.K < 0 {
		panic(fmt.Sprintf("gemm: a product of (%d, %d) and (%d, %d)", p.M, p.K, p.K, p.N))
	}
	p.A.check("A", true, p.M, p.K)
	p.B.check("B", false, p.K, p.N)
	checkRows("C", p.C, p.LdC, p.M, p.N)
	if p.D != nil {
		checkRows("D", p.D, p.LdD, p.M, p.N)
	}
	if p.A.Packed != nil && p.B.Packed != nil && p.A.Packed.level != p.B.Packed.level {
		panic("gemm: operands packed for different levels")
	}
	if p.ColumnBias != nil {
		p.ColumnBias = p.ColumnBias[:p.N]
	}
	if p.RowBias != nil {
		p.RowBias = p.RowBias[:p.M]
	}
}

func (x *Matrix) check(name string, left bool, rows, columns int) {
	switch {
	case x.Packed != nil:
		if q := x.Packed; q.left != left || q.rows != rows || q.columns != columns {
			panic(fmt.Sprintf("gemm: %s is packed as (%d, %d), not (%d, %d)", name, q.rows, q.columns, rows, columns))
		}
	case x.Columns != nil && left:
		x.Columns.check(columns, rows)
	case x.Columns != nil:
		x.Columns.check(rows, columns)
	case x.Trans:
		checkRows(name, x.Data, x.Ld, columns, rows)
	default:
		checkRows(name, x.Data, x.Ld, rows, columns)
	}
}

func checkRows(name string, data []float32, ld, rows, columns int) {
	if rows == 0 || columns == 0 {
		return
	}
	if ld < columns || (rows-1) > (math.MaxInt-columns)/ld || len(data) < (rows-1)*ld+columns {
		panic(fmt.Sprintf("gemm: %s (%d, %d) with rows of %d in %d numbers", name, rows, columns, ld, len(data)))
	}
}
