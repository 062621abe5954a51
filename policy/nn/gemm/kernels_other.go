//go:build !amd64

package gemm

// Other processors have the level Generic only, where no engine runs.

func (x *engine) compute() { panic("gemm: no kernels") }

func (x *engine) copyRows(to []float32, toRow int, from []float32, fromRow, n, width int) {
	panic("gemm: no kernels")
}

func (x *engine) pickRows(to []float32, toRow int, from []float32, offsets []int, width int) {
	panic("gemm: no kernels")
}

func (x *engine) transposeBlocks(to *float32, toRow int, from *float32, fromRow, rows, blocks int) {
	panic("gemm: no kernels")
}
