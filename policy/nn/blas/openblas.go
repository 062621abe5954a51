//go:build openblas

package blas

// #cgo LDFLAGS: -lopenblas
// void openblas_set_num_threads(int n);
import "C"

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/netlib/blas/netlib"
)

// Name is the library behind Sgemm.
const Name = "openblas"

// The policy splits the batch over its own workers; threads inside OpenBLAS
// would fight them for the cores, and cost determinism.
func init() { C.openblas_set_num_threads(1) }

// Sgemm computes C = alpha op(A) op(B) + beta C, where op(A) is (m, k), op(B)
// is (k, n), C is (m, n) and op transposes when tA or tB is set; ld are the
// lengths of a stored row. The sum over k runs in a fixed order for a given
// shape. beta = 0 overwrites C, whatever it held.
func Sgemm(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	netlib.Implementation{}.Sgemm(trans(tA), trans(tB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func trans(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}
