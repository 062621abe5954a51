//go:build !amd64

package resize

func weighKernel(dst []uint32, src []uint8, stride int, weights []uint32) int {
	return weighGo(dst, src, stride, weights)
}

func combineKernel([]uint8, []uint32, *axis) bool { return false }
