package resize

import (
	"unsafe"

	"arfm/policy/nn/cpu"
)

//go:generate go run ./asm -out kernels_amd64.s -stubs stubs_amd64.go

// piece bounds the products of a call: the scheduler cannot interrupt assembly.
const piece = 1 << 20

// weighKernel does weigh for the first columns and returns for how many.
func weighKernel(dst []uint32, src []uint8, stride int, weights []uint32) int {
	if cpu.Has == cpu.Generic || len(dst) < lanes || len(weights) == 0 {
		return weighGo(dst, src, stride, weights)
	}
	all := len(dst) / lanes * lanes
	_ = src[(len(weights)-1)*stride+all-1]
	most := max(piece/len(weights)/lanes, 1) * lanes
	for x := 0; x < all; x += most {
		weighAVX2(&dst[x], &src[x], stride, min(most, all-x), unsafe.SliceData(weights), len(weights))
	}
	return all
}

// combineKernel does combine for samples side by side; false: nothing is done.
func combineKernel(dst []uint8, row []uint32, a *axis) bool {
	if cpu.Has == cpu.Generic {
		return false
	}
	n := len(a.first)
	_, _ = dst[3*(n-1)], row[a.first[n-1]+a.width-1] // the last output reaches farthest
	most := max(piece/a.width, 1)
	for i := 0; i < n; i += most {
		combineAVX2(&dst[3*i], &row[0], &a.first[i], min(most, n-i), &a.weights[i*a.width], a.width)
	}
	return true
}
