//go:build unix

package onnx

import (
	"os"
	"syscall"
)

// mapFile maps f for reading. Pages are read when they are used and given back
// when memory is short; the file must not be cut while it is mapped.
func mapFile(f *os.File) (*mapping, error) {
	size, err := regularSize(f)
	if err != nil || size == 0 {
		return &mapping{close: func() error { return nil }}, err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, &os.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	return &mapping{data, func() error { return syscall.Munmap(data) }}, nil
}
