//go:build !race

package gemm

import (
	"runtime"
	"testing"

	"arfm/policy/nn/cpu"
)

// TestAllocations: none once the engines have what they need, whatever the
// collector and the scheduler do in between.
func TestAllocations(t *testing.T) {
	if cpu.Has == cpu.Generic {
		t.Skip("no kernels here")
	}
	s := shape{"", false, true, 40, 200, 500}
	a, b, c, lda, ldb := s.operands()
	w := new(Packed).Right(s.tB, s.k, s.n, b, ldb)
	p := Product{M: s.m, N: s.n, K: s.k, Alpha: 1, A: Matrix{Data: a, Ld: lda}, B: Matrix{Packed: w}, C: c, LdC: s.n}
	for name, f := range map[string]func(){
		"Gemm":     func() { Gemm(s.tA, s.tB, s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, s.n) },
		"Run":      p.Run,
		"Parallel": func() { p.Parallel(2) },
		"Right":    func() { w.Right(s.tB, s.k, s.n, b, ldb) },
	} {
		f()
		if n := testing.AllocsPerRun(50, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
		collect := func() { runtime.GC(); runtime.GC() }
		alone := testing.AllocsPerRun(5, collect)
		if n := testing.AllocsPerRun(5, func() { collect(); f() }); n > alone {
			t.Errorf("%s allocates %v times after a collection, which takes %v", name, n-alone, alone)
		}
	}
}
