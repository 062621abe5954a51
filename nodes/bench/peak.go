package bench

import (
	"math"
	"runtime"
	"sync"
	"time"

	"arfm/policy/nn/blas"
	"arfm/policy/nn/gemm"
)

// Peak is the fastest that this machine was seen to multiply large matrices,
// GFLOP/s of float32.
type Peak struct {
	Kernel string  `json:"kernel"` // the faster, on all cores: ours or a library
	One    float64 `json:"one_core"`
	All    float64 `json:"all_cores"`

	mul product // of Kernel
}

// product is what a peak is measured with: Gemm of package gemm or Sgemm of a
// library.
type product func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

// peakSide is the side of the square matrices: three of them are 12 MB.
const peakSide = 1024

// squareGFLOP is what a product of them takes.
const squareGFLOP = 2 * peakSide * peakSide * peakSide / 1e9

// add measures for about a second and keeps what is faster than before.
func (p *Peak) add() {
	kernels := []struct {
		name string
		mul  product
	}{{gemm.Level(), gemm.Gemm}}
	if blas.Name == "openblas" && gemm.Level() != blas.Name {
		kernels = append(kernels, struct {
			name string
			mul  product
		}{blas.Name, blas.Sgemm})
	}
	each := time.Second / time.Duration(2*len(kernels))
	for _, k := range kernels {
		p.One = max(p.One, fastestSquare(k.mul, 1, each))
		if all := fastestSquare(k.mul, runtime.GOMAXPROCS(0), each); all > p.All {
			p.All, p.Kernel, p.mul = all, k.name, k.mul
		}
	}
}

// fastestSquare multiplies squares for a while and returns the fastest product's
// GFLOP/s.
func fastestSquare(mul product, workers int, for_ time.Duration) float64 {
	square := squares(mul, workers)
	best := time.Duration(math.MaxInt64)
	for begin := time.Now(); best == math.MaxInt64 || time.Since(begin) < for_; {
		start := time.Now()
		_ = square() // it cannot fail
		best = min(best, time.Since(start))
	}
	return squareGFLOP / best.Seconds()
}

// squares is a side that multiplies large squares, whose rows are split over
// workers.
func squares(mul product, workers int) sideFunc {
	const n = peakSide
	a, b, c := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for i := range a {
		a[i], b[i] = float32(i%7)-3, float32(i%5)-2
	}
	return func() error {
		var wg sync.WaitGroup
		for w := range workers {
			lo, hi := w*n/workers, (w+1)*n/workers
			wg.Go(func() { mul(false, false, hi-lo, n, n, 1, a[lo*n:], n, b, n, 0, c[lo*n:], n) })
		}
		wg.Wait()
		return nil
	}
}
