package onnx

import (
	"fmt"
	"slices"

	"arfm/policy/nn"
	"arfm/policy/nn/gemm"
)

func init() {
	register(
		operator{"MatMul", 6, 2, 2, half, prepareMatMul, false},
		operator{"Gemm", 6, 2, 3, only32, prepareGemm, false},
		operator{"MatMulInteger", 10, 2, 4, asIs, prepareMatMulInteger, false},
	)
}

// product of two stacks of matrices: shapes and, per pair, where they lie.
type matmul struct {
	m, n, k int
	shape   []int // of the result
	stack   []int
	a, b    []int // strides of the stacks
}

func planMatMul(as, bs []int) (*matmul, error) {
	if len(as) == 0 || len(bs) == 0 {
		return nil, fmt.Errorf("shapes %v and %v have no product", as, bs)
	}
	row, column := len(as) == 1, len(bs) == 1
	if row {
		as = []int{1, as[0]}
	}
	if column {
		bs = []int{bs[0], 1}
	}
	ra, rb := len(as)-2, len(bs)-2
	p := &matmul{m: as[ra], k: as[ra+1], n: bs[rb+1]}
	if bs[rb] != p.k {
		return nil, fmt.Errorf("shapes %v and %v have no product", as, bs)
	}
	if rb == 0 && !column { // one matrix for all rows
		p.m *= product(as[:ra])
		p.stack, p.a, p.b = []int{}, []int{}, []int{}
		p.shape = slices.Concat(as[:ra+1], bs[1:])
	} else {
		var err error
		if p.stack, err = broadcastShape(as[:ra], bs[:rb]); err != nil {
			return nil, err
		}
		p.a, p.b = stretch(as[:ra], p.stack), stretch(bs[:rb], p.stack)
		p.shape = append(slices.Clone(p.stack), p.m, p.n)
	}
	if row {
		p.shape = slices.Delete(p.shape, len(p.shape)-2, len(p.shape)-1)
	}
	if column {
		p.shape = p.shape[:len(p.shape)-1]
	}
	return p, nil
}

// each visits the pairs of the stack with the offsets of a, b and the result.
func (p *matmul) each(visit func(a, b, c int)) {
	i := 0
	walkRows(p.stack, [][]int{p.a, p.b}, func(at int, from []int, n int, step []int) {
		for k := range n {
			visit((from[0]+k*step[0])*p.m*p.k, (from[1]+k*step[1])*p.k*p.n, i*p.m*p.n)
			i++
		}
	})
}

// offsets is where two matrices and their product lie.
type offsets struct{ a, b, c int }

func (p *matmul) pairs() (list []offsets) {
	p.each(func(a, b, c int) { list = append(list, offsets{a, b, c}) })
	return list
}

func prepareMatMul(c *call) (func() error, error) {
	if err := c.sameType(0, 1); err != nil {
		return nil, err
	}
	p, err := planMatMul(c.in[0].Shape, c.in[1].Shape)
	if err != nil {
		return nil, err
	}
	if err := c.costs(append([]int{p.m, p.n, p.k}, p.stack...)...); err != nil {
		return nil, err
	}
	if err := c.out(0, c.in[0].Type, p.shape...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		return func() error { p.float32(c); return nil }, nil
	case Float64:
		return plainMatMul[float64](c, p), nil
	case Int32:
		return plainMatMul[int32](c, p), nil
	case Int64:
		return plainMatMul[int64](c, p), nil
	case Uint32:
		return plainMatMul[uint32](c, p), nil
	case Uint64:
		return plainMatMul[uint64](c, p), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

// float32 multiplies with the policy's Gemm, the stack's pairs or the rows of
// one pair on all cores.
func (p *matmul) float32(c *call) {
	x, y, z := Data[float32](c.in[0]), Data[float32](c.in[1]), Data[float32](c.result[0])
	if p.k == 0 {
		clear(z)
		return
	}
	pairs := p.pairs()
	if len(pairs) == 1 {
		q := gemm.Product{M: p.m, N: p.n, K: p.k, Alpha: 1, A: matrix(x, p.k, false), B: matrix(y, p.n, false), C: z, LdC: p.n, ColumnBias: c.floatsAt(2)}
		if w := c.packed(1, 1, false, func(_ int, w *gemm.Packed) { w.Right(false, p.k, p.n, y, p.n) }); w != nil {
			q.B = gemm.Matrix{Packed: &w[0]}
		}
		multiply(&q)
		return
	}
	parallel(len(pairs), 1+gemmGrain/(1+p.m*p.n*p.k), func(lo, hi int) {
		for _, at := range pairs[lo:hi] {
			nn.Gemm(false, false, p.m, p.n, p.k, 1, x[at.a:], p.k, y[at.b:], p.n, 0, z[at.c:], p.n)
		}
	})
}

// matrix is op(X) as it lies, (rows, columns) stored.
func matrix(x []float32, columns int, trans bool) gemm.Matrix {
	return gemm.Matrix{Data: x, Ld: max(columns, 1), Trans: trans}
}

func plainMatMul[T number](c *call, p *matmul) func() error {
	return func() error {
		x, y, z := Data[T](c.in[0]), Data[T](c.in[1]), Data[T](c.result[0])
		p.each(func(a, b, c int) { mulMatrix(z[c:c+p.m*p.n], x[a:a+p.m*p.k], y[b:b+p.k*p.n], p.m, p.n, p.k) })
		return nil
	}
}

func mulMatrix[T number](z, x, y []T, m, n, k int) {
	clear(z)
	for i := range m {
		row := z[i*n : (i+1)*n]
		for l, v := range x[i*k : (i+1)*k] {
			for j, w := range y[l*n : (l+1)*n] {
				row[j] += v * w
			}
		}
	}
}

// prepareGemm is alpha A B + beta C, of matrices that may be transposed.
func prepareGemm(c *call) (func() error, error) {
	integer := c.in[0].Type == Int32 || c.in[0].Type == Int64
	if integer || c.in[0].Type != Float32 {
		return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
	}
	if err := c.sameType(0, 1, 2); err != nil {
		return nil, err
	}
	a, b := c.in[0], c.in[1]
	ta, tb := c.int("transA", 0) != 0, c.int("transB", 0) != 0
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return nil, fmt.Errorf("%v and %v are not matrices", a, b)
	}
	m, k, k2, n := a.Shape[0], a.Shape[1], b.Shape[0], b.Shape[1]
	if ta {
		m, k = k, m
	}
	if tb {
		k2, n = n, k2
	}
	if k != k2 {
		return nil, fmt.Errorf("%v and %v have no product", a, b)
	}
	shape := []int{m, n}
	if err := c.stretches(2, shape); err != nil {
		return nil, err
	}
	if err := c.costs(m, n, k); err != nil {
		return nil, err
	}
	return func() error {
		y := Data[float32](c.result[0])
		q := gemm.Product{M: m, N: n, K: k, Alpha: c.float("alpha", 1), A: matrix(Data[float32](a), a.Shape[1], ta), B: matrix(Data[float32](b), b.Shape[1], tb), C: y, LdC: n}
		if w := c.packed(1, 1, false, func(_ int, w *gemm.Packed) { w.Right(tb, k, n, q.B.Data, q.B.Ld) }); w != nil {
			q.B = gemm.Matrix{Packed: &w[0]}
		}
		switch beta := c.float("beta", 1); {
		case !c.has(2):
		case beta == 1 && c.in[2].Len() == n && last(c.in[2].Shape) == n:
			q.ColumnBias = Data[float32](c.in[2])
		default:
			stretchTo(y, shape, c.in[2])
			q.Beta = beta
		}
		multiply(&q)
		return nil
	}, c.out(0, Float32, shape...)
}

// last is the size of the last axis, 1 where there is none.
func last(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[len(shape)-1]
}

// prepareMatMulInteger multiplies 8-bit matrices less their zero points in
// int32.
func prepareMatMulInteger(c *call) (func() error, error) {
	p, err := planMatMul(c.in[0].Shape, c.in[1].Shape)
	if err != nil {
		return nil, err
	}
	if err := c.costs(append([]int{p.m, p.n, p.k}, p.stack...)...); err != nil {
		return nil, err
	}
	if err := c.octetTypes([2]int{0, 2}, [2]int{1, 3}); err != nil {
		return nil, err
	}
	return func() error {
		return p.integers(c, Data[int32](c.result[0]), [2]int{0, 2}, [2]int{1, 3})
	}, c.out(0, Int32, p.shape...)
}
