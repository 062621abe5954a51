package nn

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name    string
		tA, tB  bool
		m, n, k int
	}{
		{"linear16", false, true, 16, 1024, 256},
		{"linear128", false, true, 128, 1024, 256},
		{"dx128", false, false, 128, 256, 1024},
		{"dw128", true, false, 1024, 256, 128},
		{"score", false, true, 16, 64, 64},
		{"value", false, false, 16, 64, 64},
	} {
		b.Run(fmt.Sprintf("%s/%s", Backend(), s.name), func(b *testing.B) {
			x, y, c := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
			for i := range x {
				x[i] = float32(i%7) - 3
			}
			for i := range y {
				y[i] = float32(i%5) - 2
			}
			lda, ldb := s.k, s.n
			if s.tA {
				lda = s.m
			}
			if s.tB {
				ldb = s.k
			}
			b.ReportAllocs()
			for b.Loop() {
				Gemm(s.tA, s.tB, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, c, s.n)
			}
			b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
