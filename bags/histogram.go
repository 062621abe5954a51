package bags

import (
	"math"
	"math/bits"
)

// histogram counts times in ns in bins 1.6 % wide, so that any number of
// messages takes the same memory. The largest value is exact.
type histogram struct {
	n     int64
	max   int64
	count map[int]int64
}

// subBins is the bins per factor of two.
const subBins = 64

func bin(ns int64) int {
	if ns < subBins {
		return int(max(ns, 0))
	}
	shift := bits.Len64(uint64(ns)) - 7 // leaves subBins..2*subBins-1
	return shift*subBins + int(ns>>shift)
}

// middle is the value that stands for a bin.
func middle(b int) int64 {
	if b < 2*subBins {
		return int64(b)
	}
	shift := b/subBins - 1
	return int64(b-shift*subBins)<<shift + int64(1)<<shift/2
}

func (h *histogram) add(ns int64) {
	if h.count == nil {
		h.count = map[int]int64{}
	}
	h.n++
	h.max = max(h.max, ns)
	h.count[bin(ns)]++
}

// quantile returns the value in ns below which a share q of the values lies.
func (h *histogram) quantile(q float64) int64 {
	left := int64(math.Ceil(q * float64(h.n)))
	for b := range bin(h.max) + 1 {
		if left -= h.count[b]; left <= 0 && h.n > 0 {
			return min(middle(b), h.max)
		}
	}
	return h.max
}

// above counts the values over ns.
func (h *histogram) above(ns int64) int64 {
	n := int64(0)
	for b, k := range h.count {
		if b > bin(ns) {
			n += k
		}
	}
	return n
}
