package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Element is a number type that a tensor can hold: F32, F64, I64 or U8 in the
// file.
type Element interface {
	float32 | float64 | int64 | uint8
}

// Tensor is a named array as a safetensors file holds it.
type Tensor struct {
	Name  string
	Shape []int // row-major; empty for a scalar
	Data  any   // []float32, []float64, []int64 or []uint8, as long as the shape says
}

// NewTensor names data; no shape means one dimension. The data are not copied.
func NewTensor[T Element](name string, data []T, shape ...int) Tensor {
	if len(shape) == 0 {
		shape = []int{len(data)}
	}
	return Tensor{Name: name, Shape: shape, Data: data}
}

// Values returns a tensor's elements, a view. The error wraps ErrDType when
// the tensor holds another number type.
func Values[T Element](t Tensor) ([]T, error) {
	v, ok := t.Data.([]T)
	if !ok {
		var want []T
		return nil, fmt.Errorf("tensor %q: %w (it holds %T, not %T)", t.Name, ErrDType, t.Data, want)
	}
	return v, nil
}

// dtype returns the type's name in the file and the number of elements.
func (t *Tensor) dtype() (DType, int, error) {
	switch v := t.Data.(type) {
	case []float32:
		return F32, len(v), nil
	case []float64:
		return F64, len(v), nil
	case []int64:
		return I64, len(v), nil
	case []uint8:
		return U8, len(v), nil
	}
	return "", 0, fmt.Errorf("tensor %q: %w (it holds %T)", t.Name, ErrDType, t.Data)
}

// chunkBytes is how much is hashed, converted and read or written at once. It
// is a multiple of every element's size, and is what a load needs beside the
// tensors themselves.
const chunkBytes = 1 << 20

// encodeTensor hands a tensor's bytes to emit, a chunk at a time; buf is
// chunkBytes long.
func encodeTensor(data any, buf []byte, emit func([]byte) error) error {
	switch v := data.(type) {
	case []float32:
		return encodeFloats(v, buf, emit)
	case []float64:
		return encodeChunks(v, 8, buf, emit, func(b []byte, x float64) {
			binary.LittleEndian.PutUint64(b, math.Float64bits(x))
		})
	case []int64:
		return encodeChunks(v, 8, buf, emit, func(b []byte, x int64) {
			binary.LittleEndian.PutUint64(b, uint64(x))
		})
	case []uint8:
		return emit(v)
	}
	return ErrDType
}

// encodeFloats is encodeChunks for the weights, four times as fast without the
// call for each element.
func encodeFloats(v []float32, buf []byte, emit func([]byte) error) error {
	for len(v) > 0 {
		n := min(len(v), len(buf)/4)
		for i, x := range v[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(x))
		}
		if err := emit(buf[:4*n]); err != nil {
			return err
		}
		v = v[n:]
	}
	return nil
}

func encodeChunks[T Element](v []T, size int, buf []byte, emit func([]byte) error, put func([]byte, T)) error {
	for len(v) > 0 {
		n := min(len(v), len(buf)/size)
		for i, x := range v[:n] {
			put(buf[i*size:], x)
		}
		if err := emit(buf[:n*size]); err != nil {
			return err
		}
		v = v[n:]
	}
	return nil
}

// decodeFloats fills dst from little-endian bytes and returns the index of the
// first NaN or infinity, -1 when all are finite.
func decodeFloats(dst []float32, b []byte) int {
	bad := -1
	for i := range dst {
		bits := binary.LittleEndian.Uint32(b[4*i:])
		if bits&0x7f800000 == 0x7f800000 && bad < 0 { // exponent all ones
			bad = i
		}
		dst[i] = math.Float32frombits(bits)
	}
	return bad
}

// decodeInto fills elements [at, ...) of dst, whose type is the tensor's.
func decodeInto(dst any, at int, b []byte) {
	switch v := dst.(type) {
	case []float32:
		decodeFloats(v[at:at+len(b)/4], b)
	case []float64:
		for i := range len(b) / 8 {
			v[at+i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []int64:
		for i := range len(b) / 8 {
			v[at+i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []uint8:
		copy(v[at:], b)
	}
}

// allocate returns a slice for n elements of a type.
func allocate(d DType, n int64) any {
	switch d {
	case F32:
		return make([]float32, n)
	case F64:
		return make([]float64, n)
	case I64:
		return make([]int64, n)
	}
	return make([]uint8, n)
}
