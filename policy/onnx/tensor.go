package onnx

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"unsafe"
)

// Type is the type of a tensor's elements, numbered as in ONNX.
type Type int32

// The types that the package computes with. Float16 and BFloat16 are stored as
// they are and computed in float32.
const (
	Float32  Type = 1
	Uint8    Type = 2
	Int8     Type = 3
	Uint16   Type = 4
	Int16    Type = 5
	Int32    Type = 6
	Int64    Type = 7
	String   Type = 8
	Bool     Type = 9
	Float16  Type = 10
	Float64  Type = 11
	Uint32   Type = 12
	Uint64   Type = 13
	BFloat16 Type = 16
)

var typeNames = [...]string{"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64",
	"string", "bool", "float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
	"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2"}

func (t Type) String() string {
	if t >= 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Size is the length of an element in bytes, 0 for strings, which differ in
// length, and for a type that is not supported.
func (t Type) Size() int {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Float64, Int64, Uint64:
		return 8
	}
	return 0
}

func (t Type) isFloat() bool {
	return t == Float32 || t == Float64 || t == Float16 || t == BFloat16
}

func (t Type) isHalf() bool { return t == Float16 || t == BFloat16 }

// Tensor is a dense row-major array. A tensor without data carries only its
// type and shape.
type Tensor struct {
	Type  Type
	Shape []int

	data   []byte   // aligned to its elements, or nil
	text   []string // of String, whose data is empty
	memory *memory  // that data lies in, nil for constants and callers' tensors
}

// number lists the Go types that hold elements. A bool is a byte, 0 or 1, and a
// half precision number its 16 bits.
type number interface {
	~float32 | ~float64 | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// New makes a tensor of data, which is kept, not copied. len(data) must be the
// product of shape.
func New[T number](t Type, data []T, shape ...int) (*Tensor, error) {
	n, err := volume(shape)
	if err != nil {
		return nil, err
	}
	var zero T
	if n != len(data) || int(unsafe.Sizeof(zero)) != t.Size() {
		return nil, fmt.Errorf("a %v tensor %v does not fit %d elements of %d bytes", t, shape, len(data), unsafe.Sizeof(zero))
	}
	return &Tensor{Type: t, Shape: slices.Clone(shape), data: bytesOf(data)}, nil
}

// Data is a view of the elements of t as T, which must have the size of t.Type:
// bool as uint8, float16 and bfloat16 as uint16.
func Data[T number](t *Tensor) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if size != t.Type.Size() {
		panic(fmt.Sprintf("onnx: %v tensor viewed as elements of %d bytes", t.Type, size))
	}
	return viewAs[T](t.data)
}

func viewAs[T number](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

func bytesOf[T number](s []T) []byte {
	if len(s) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// alignedBytes makes n zero bytes that any element type may view.
func alignedBytes(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	return bytesOf(make([]uint64, (n+7)/8))[:n]
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

func (t *Tensor) String() string { return fmt.Sprintf("%v%v", t.Type, t.Shape) }

// volume is the number of elements of a shape; negative dimensions and products
// beyond 2^40 are refused, so that byte counts and indices cannot overflow.
func volume(shape []int) (int, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("a tensor has %d dimensions, %d are supported", len(shape), maxRank)
	}
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("the shape %v has a negative dimension", shape)
		case d == 0:
			empty = true
		case n > maxVolume/d:
			return 0, fmt.Errorf("a tensor of shape %v is too large", shape)
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

const (
	maxRank   = 16
	maxVolume = 1 << 40
)

// strides of a row-major array of that shape, in elements.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// product of a part of a checked shape.
func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// ints reads an integer tensor as int64.
func (t *Tensor) ints() ([]int64, error) {
	if t.data == nil {
		return nil, errNoData
	}
	switch t.Type {
	case Int64:
		return Data[int64](t), nil
	case Int32:
		return convert[int64](Data[int32](t)), nil
	case Uint8, Bool:
		return convert[int64](Data[uint8](t)), nil
	case Int8:
		return convert[int64](Data[int8](t)), nil
	}
	return nil, fmt.Errorf("expected integers, got %v", t.Type)
}

// float reads a number of any type, the first element.
func (t *Tensor) float() (float64, error) {
	if t.data == nil {
		return 0, errNoData
	}
	if t.Len() < 1 {
		return 0, fmt.Errorf("expected a number, got an empty tensor")
	}
	one := &Tensor{Type: t.Type, data: t.data[:t.Type.Size()]}
	wide := &Tensor{Type: Float64, data: alignedBytes(8)}
	if err := castInto(wide, one); err != nil {
		return 0, err
	}
	return Data[float64](wide)[0], nil
}

func convert[D, S number](src []S) []D {
	dst := make([]D, len(src))
	for i, v := range src {
		dst[i] = D(v)
	}
	return dst
}

// Cast converts the elements to another type, as the operator Cast does.
func (t *Tensor) Cast(to Type) (*Tensor, error) {
	if to == String && t.Type == String {
		return NewStrings(slices.Clone(t.text), t.Shape...)
	}
	if to.Size() == 0 {
		return nil, fmt.Errorf("a cast to %v is not supported", to)
	}
	out := &Tensor{Type: to, Shape: slices.Clone(t.Shape), data: alignedBytes(t.Len() * to.Size())}
	return out, castInto(out, t)
}

// Floats gives the elements of any type but String as float64, in their order.
func (t *Tensor) Floats() iter.Seq[float64] {
	return func(yield func(float64) bool) {
		if t.Type == String {
			return
		}
		const most = 1 << 12 // converted at a time
		size, n := t.Type.Size(), t.Len()
		wide := make([]float64, min(n, most))
		for at := 0; at < n; at += most {
			piece := wide[:min(most, n-at)]
			part := &Tensor{Type: t.Type, Shape: []int{len(piece)}, data: t.data[at*size : (at+len(piece))*size]}
			if err := castInto(&Tensor{Type: Float64, Shape: part.Shape, data: bytesOf(piece)}, part); err != nil {
				panic(err) // only a type that no tensor has
			}
			for _, v := range piece {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// half precision

// FromFloat16 is the number whose bits in half precision are h.
func FromFloat16(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&0x3ff
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp > 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) / (1 << 24)
	return math.Float32frombits(sign | math.Float32bits(v))
}

// ToFloat16 gives the bits of f in half precision. It rounds to nearest, ties to even.
func ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, a := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case a > 0x7f800000:
		return sign | 0x7e00
	case a >= 0x477ff000: // rounds to 65520 or more
		return sign | 0x7c00
	case a >= 0x38800000:
		a += 0xfff + (a>>13)&1
		return sign | uint16((a-112<<23)>>13)
	}
	// Subnormal: a multiple of 2^-24.
	return sign | uint16(math.RoundToEven(float64(math.Float32frombits(a))*(1<<24)))
}

func fromBFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// toBFloat16 rounds to nearest, ties to even.
func toBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}
