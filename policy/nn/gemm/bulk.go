package gemm

import "unsafe"

// Bulk hands out memory for operands that are read one after another and
// together exceed the near caches: in large pages where the system has them, as
// otherwise each page costs a walk through its tables. It must not be used
// concurrently. The zero Bulk is empty.
type Bulk struct{ left []float32 }

// Numbers of a page, and of what is taken from the system at a time.
const (
	pageFloats = 2 << 20 / 4
	bulkFloats = 4 * pageFloats
)

// take returns memory for n numbers, which begins with a cache line.
func (b *Bulk) take(n int) []float32 {
	whole := (n + 15) / 16 * 16
	if whole > len(b.left) {
		size := (max(whole, bulkFloats) + pageFloats - 1) / pageFloats * pageFloats
		all := make([]float32, size+pageFloats)
		skip := -uintptr(unsafe.Pointer(&all[0])) % (4 * pageFloats) / 4
		b.left = all[skip:][:size]
		largePages(b.left)
	}
	got := b.left[:n:n]
	b.left = b.left[whole:]
	return got
}
