//go:build !openblas

package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Name is the library behind Sgemm.
const Name = "gonum"

// gonum's Sgemm starts goroutines from four 64x64 blocks of C on. The callers
// here are workers already, and goroutines cost allocations, so C is cut into
// tiles of three blocks, which run in place. The depth is cut so that a tile of
// each operand stays in the cache.
const (
	tileM = 64
	tileN = 192
	tileK = 256
)

// Sgemm computes C = alpha op(A) op(B) + beta C, where op(A) is (m, k), op(B)
// is (k, n), C is (m, n) and op transposes when tA or tB is set; ld are the
// lengths of a stored row. The sum over k runs in a fixed order for a given
// shape. beta = 0 overwrites C, whatever it held.
func Sgemm(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	ta, tb := trans(tA), trans(tB)
	for j := 0; j < n; j += tileN {
		nj := min(tileN, n-j)
		for l := 0; l < k || l == 0; l += tileK {
			kl := min(tileK, k-l)
			bl := beta
			if l > 0 {
				bl = 1
			}
			bo := l*ldb + j
			if tB {
				bo = j*ldb + l
			}
			for i := 0; i < m; i += tileM {
				mi := min(tileM, m-i)
				ao := i*lda + l
				if tA {
					ao = l*lda + i
				}
				gonum.Implementation{}.Sgemm(ta, tb, mi, nj, kl, alpha, a[ao:], lda, b[bo:], ldb, bl, c[i*ldc+j:], ldc)
			}
		}
	}
}

func trans(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}
