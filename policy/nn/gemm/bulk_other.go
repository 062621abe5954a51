//go:build !linux

package gemm

func largePages([]float32) {}
