package cpu

import "testing"

func TestLowered(t *testing.T) {
	for _, c := range []struct {
		has   Level
		asked string
		want  Level
	}{
		{AVX512, "", AVX512}, {AVX512, "avx2", AVX2}, {AVX512, "generic", Generic},
		{AVX2, "avx512", AVX2}, {Generic, "avx2", Generic}, {AVX512, "sse", AVX512},
	} {
		if got := lowered(c.has, c.asked); got != c.want {
			t.Errorf("%v with %q asked for: %v, want %v", c.has, c.asked, got, c.want)
		}
	}
}
