package gemm

import (
	"syscall"
	"unsafe"
)

const adviseHugePage = 14 // MADV_HUGEPAGE

// largePages asks for large pages. Where there are none, small ones serve.
func largePages(x []float32) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
	_ = syscall.Madvise(b, adviseHugePage)
}
