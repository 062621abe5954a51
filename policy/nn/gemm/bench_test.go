package gemm

import (
	"fmt"
	"testing"

	"arfm/policy/nn/blas"
	"arfm/policy/nn/cpu"
)

// shape is a product that the policy or a backbone computes.
type shape struct {
	name    string
	tA, tB  bool
	m, n, k int
}

var shapes = []shape{
	{"vit/qkv", false, false, 197, 1152, 384},
	{"vit/out", false, false, 197, 384, 384},
	{"vit/up", false, false, 197, 1536, 384},
	{"vit/down", false, false, 197, 384, 1536},
	{"vit/score", false, true, 197, 197, 64},
	{"vit/value", false, false, 197, 64, 197},
	{"resnet/1", false, false, 64, 3136, 576},
	{"resnet/2", false, false, 128, 784, 1152},
	{"resnet/3", false, false, 256, 196, 2304},
	{"resnet/4", false, false, 512, 49, 4608},
	{"expert/qkv", false, true, 16, 768, 256},
	{"expert/up", false, true, 16, 1024, 256},
	{"expert/down", false, true, 16, 256, 1024},
	{"expert/out", false, true, 16, 256, 256},
	{"expert/score", false, true, 16, 64, 64},
	{"expert/value", false, false, 16, 64, 64},
	{"train/qkv", false, true, 256, 768, 256},
	{"train/up", false, true, 256, 1024, 256},
	{"train/down", false, true, 256, 256, 1024},
	{"train/dx", false, false, 256, 256, 1024},
	{"train/dw", true, false, 1024, 256, 256},
}

// operands are filled with small numbers.
func (s shape) operands() (a, b, c []float32, lda, ldb int) {
	a, b, c = make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
	for i := range a {
		a[i] = float32(i%7) - 3
	}
	for i := range b {
		b[i] = float32(i%5) - 2
	}
	lda, ldb = s.k, s.n
	if s.tA {
		lda = s.m
	}
	if s.tB {
		ldb = s.k
	}
	return a, b, c, lda, ldb
}

func (s shape) time(b *testing.B, multiply func()) {
	multiply()
	b.ReportAllocs()
	for b.Loop() {
		multiply()
	}
	b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// BenchmarkGemm computes each shape with the library, at each level, with B
// packed before and on two goroutines.
func BenchmarkGemm(b *testing.B) {
	for _, s := range shapes {
		x, y, c, lda, ldb := s.operands()
		b.Run(fmt.Sprintf("%s/%s", s.name, blas.Name), func(b *testing.B) {
			s.time(b, func() { blas.Sgemm(s.tA, s.tB, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, c, s.n) })
		})
		for _, l := range levels()[1:] {
			atLevel(b, l, func() {
				b.Run(fmt.Sprintf("%s/%v", s.name, l), func(b *testing.B) {
					s.time(b, func() { Gemm(s.tA, s.tB, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, c, s.n) })
				})
			})
		}
		if cpu.Has == cpu.Generic {
			continue
		}
		p := Product{M: s.m, N: s.n, K: s.k, Alpha: 1, A: Matrix{Data: x, Ld: lda, Trans: s.tA}, C: c, LdC: s.n}
		p.B.Packed = new(Packed).Right(s.tB, s.k, s.n, y, ldb)
		b.Run(s.name+"/packed", func(b *testing.B) { s.time(b, p.Run) })
		p.B.Packed = new(Packed).RightOnce(s.tB, s.k, s.n, y, ldb)
		b.Run(s.name+"/once", func(b *testing.B) { s.time(b, p.Run) })
		b.Run(s.name+"/two", func(b *testing.B) { s.time(b, func() { p.Parallel(2) }) })
	}
}
