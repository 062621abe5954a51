package resize

import "encoding/binary"

// weighGo does weigh for the first columns and returns for how many.
func weighGo(dst []uint32, src []uint8, stride int, weights []uint32) int {
	x := 0
	for ; x+8 <= len(dst); x += 8 {
		a, b, c, d := weigh8(src[x:], stride, weights)
		out := dst[x : x+8 : x+8]
		out[0], out[4] = uint32(a)>>8, uint32(a>>40)
		out[1], out[5] = uint32(b)>>8, uint32(b>>40)
		out[2], out[6] = uint32(c)>>8, uint32(c>>40)
		out[3], out[7] = uint32(d)>>8, uint32(d>>40)
	}
	return x
}

// weigh8 sums eight columns. One multiplication serves two bytes, which lie 32
// bits apart: with weights that add up to unity, a sum has 24. By itself it has
// registers enough.
//
//go:noinline
func weigh8(src []uint8, stride int, weights []uint32) (a, b, c, d uint64) {
	const (
		two  = 0x000000ff_000000ff
		half = 0x00000080_00000080
	)
	a, b, c, d = half, half, half, half
	at := 0
	for _, weight := range weights {
		v, w := binary.LittleEndian.Uint64(src[at:]), uint64(weight)
		a += (v & two) * w
		v >>= 8
		b += (v & two) * w
		v >>= 8
		c += (v & two) * w
		v >>= 8
		d += (v & two) * w
		at += stride
	}
	return a, b, c, d
}
