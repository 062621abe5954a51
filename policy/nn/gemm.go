package nn

import "arfm/policy/nn/gemm"

// Backend names what computes products: a set of vector instructions, or a
// library.
func Backend() string { return gemm.Level() }

// Gemm computes C = alpha op(A) op(B) + beta C, where op(A) is (m, k), op(B)
// is (k, n), C is (m, n) and op transposes when tA or tB is set; ld are the
// lengths of a stored row. The sum over k runs in a fixed order for a given
// shape. beta = 0 overwrites C, whatever it held.
func Gemm(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gemm.Gemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}
