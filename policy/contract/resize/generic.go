package resize

import "encoding/binary"

// weighGo does weigh for the first columns and returns for how many. One
// multiplication serves two bytes, which lie 32 bits apart: with weights that
// add up to unity, a sum has 24. Four bytes at a time leave the sums in registers.
func weighGo(dst []uint32, src []uint8, stride int, weights []uint32) int {
	const (
		two  = 0x000000ff_000000ff
		half = 0x00000080_00000080
	)
	x := 0
	for ; x+4 <= len(dst); x += 4 {
		var a, b uint64 = half, half
		at := x
		for _, weight := range weights {
			v, w := uint64(binary.LittleEndian.Uint32(src[at:])), uint64(weight)
			v |= v << 16
			a += (v & two) * w
			b += (v >> 8 & two) * w
			at += stride
		}
		out := dst[x : x+4 : x+4]
		out[0], out[1] = uint32(a)>>8, uint32(b)>>8
		out[2], out[3] = uint32(a>>40), uint32(b>>40)
	}
	return x
}
