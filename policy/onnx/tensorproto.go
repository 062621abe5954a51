package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// tensorProto is a TensorProto: views of the file, not yet checked against its
// shape.
type tensorProto struct {
	name     string
	kind     Type
	dims     []int64
	raw      []byte  // nil when absent
	floats   []field // typed data, as the fields that hold it
	ints     []field
	doubles  []field
	text     [][]byte // strings
	external map[string]string
	outside  bool // the data lies in another file
	segment  bool
}

func readTensorProto(b []byte) (tensorProto, error) {
	var t tensorProto
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			t.dims, err = f.varints(t.dims)
		case 2:
			t.kind = Type(f.bits)
		case 3:
			t.segment = true
		case 4:
			t.floats = append(t.floats, f)
		case 5, 7, 11:
			t.ints = append(t.ints, f)
		case 6:
			if t.text = append(t.text, f.bytes); len(t.text) > maxStrings || f.kind != protowire.BytesType {
				err = fmt.Errorf("a tensor has more than %d strings, or what is none", maxStrings)
			}
		case 8:
			t.name, err = f.text()
		case 9:
			t.raw = f.bytes
			if t.raw == nil {
				t.raw = []byte{}
			}
		case 10:
			t.doubles = append(t.doubles, f)
		case 13:
			err = t.readExternal(f.bytes)
		case 14:
			t.outside = f.bits == 1
		}
		return err
	})
	return t, err
}

func (t *tensorProto) readExternal(b []byte) error {
	var key, value string
	err := walk(b, func(f field) (err error) {
		switch f.num {
		case 1:
			key, err = f.text()
		case 2:
			value, err = f.text()
		}
		return err
	})
	if t.external == nil {
		t.external = map[string]string{}
	}
	t.external[key] = value
	return err
}

// outer gives the bytes of files beside the model.
type outer interface {
	bytes(location string) ([]byte, error)
}

// tensor checks the data against type and shape and views it where it lies
// aligned, or copies it.
func (t *tensorProto) tensor(files outer) (*Tensor, error) {
	shape, err := t.shape()
	if err != nil {
		return nil, err
	}
	n := product(shape)
	if t.kind.Size() == 0 && t.kind != String {
		return nil, fmt.Errorf("tensor %q is of %v, which is not supported", t.name, t.kind)
	}
	if t.segment {
		return nil, fmt.Errorf("tensor %q is cut into segments, which is not supported", t.name)
	}
	if t.kind == String {
		text, err := t.strings(n)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.name, err)
		}
		return NewStrings(text, shape...)
	}
	if len(t.text) > 0 {
		return nil, fmt.Errorf("tensor %q is of %v and has string_data", t.name, t.kind)
	}
	raw := t.raw
	if t.outside {
		if raw, err = t.externalData(files, n*t.kind.Size()); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.name, err)
		}
	}
	out := &Tensor{Type: t.kind, Shape: shape}
	if raw == nil {
		out.data, err = t.typed(n)
	} else {
		out.data, err = viewRaw(raw, n, t.kind)
	}
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	return out, nil
}

// shape gives the dimensions; their product is at most maxVolume.
func (t *tensorProto) shape() ([]int, error) {
	shape := make([]int, len(t.dims))
	for i, d := range t.dims {
		if d < 0 || d > maxVolume {
			return nil, fmt.Errorf("tensor %q has a dimension of %d", t.name, d)
		}
		shape[i] = int(d)
	}
	if _, err := volume(shape); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	return shape, nil
}

// viewRaw is raw itself where a Go slice may view it, or a copy.
func viewRaw(raw []byte, n int, kind Type) ([]byte, error) {
	size := kind.Size()
	if len(raw) != n*size {
		return nil, fmt.Errorf("%d bytes of data, %d elements of %v need %d", len(raw), n, kind, n*size)
	}
	if n == 0 {
		return []byte{}, nil
	}
	if kind == Bool {
		b := alignedBytes(n)
		for i, v := range raw {
			if v != 0 {
				b[i] = 1
			}
		}
		return b, nil
	}
	if littleEndian && uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%uintptr(size) == 0 {
		return raw[:len(raw):len(raw)], nil
	}
	b := alignedBytes(len(raw))
	copy(b, raw)
	if !littleEndian {
		swapBytes(b, size)
	}
	return b, nil
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func swapBytes(b []byte, size int) {
	for ; len(b) > 0; b = b[size:] {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}

// typed reads data from the fields that hold numbers. Nothing is allocated that
// the file's own length does not justify.
func (t *tensorProto) typed(n int) ([]byte, error) {
	wrong := func(have int) error { return fmt.Errorf("%d elements of data, its shape needs %d", have, n) }
	switch t.kind {
	case Float32:
		var v []float32
		for _, f := range t.floats {
			var err error
			if v, err = f.floats(v); err != nil {
				return nil, err
			}
		}
		if len(v) != n {
			return nil, wrong(len(v))
		}
		return realign(bytesOf(v)), nil
	case Float64:
		var v []float64
		for _, f := range t.doubles {
			var err error
			if v, err = f.doubles(v); err != nil {
				return nil, err
			}
		}
		if len(v) != n {
			return nil, wrong(len(v))
		}
		return bytesOf(v), nil
	}
	var v []int64
	for _, f := range t.ints {
		var err error
		if v, err = f.varints(v); err != nil {
			return nil, err
		}
	}
	if len(v) != n {
		return nil, wrong(len(v))
	}
	return narrowInts(v, t.kind), nil
}

// realign moves data to where every element type may view it.
func realign(b []byte) []byte {
	if len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return b
	}
	c := alignedBytes(len(b))
	copy(c, b)
	return c
}

// narrowInts stores integers as elements of kind; those of half precision hold
// their bits.
func narrowInts(v []int64, kind Type) []byte {
	b := alignedBytes(len(v) * kind.Size())
	for i, x := range v {
		switch kind.Size() {
		case 1:
			if kind == Bool && x != 0 {
				x = 1
			}
			b[i] = byte(x)
		case 2:
			binary.NativeEndian.PutUint16(b[2*i:], uint16(x))
		case 4:
			binary.NativeEndian.PutUint32(b[4*i:], uint32(x))
		case 8:
			binary.NativeEndian.PutUint64(b[8*i:], uint64(x))
		}
	}
	return b
}

// externalData is the part of another file that holds the tensor's n bytes.
func (t *tensorProto) externalData(files outer, n int) ([]byte, error) {
	if files == nil {
		return nil, fmt.Errorf("its data lies in the file %q, which is out of reach here", t.external["location"])
	}
	number := func(key string, missing int64) (int64, error) {
		s, ok := t.external[key]
		if !ok {
			return missing, nil
		}
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < 0 {
			return 0, fmt.Errorf("the external %s %q is not a count of bytes", key, s)
		}
		return v, nil
	}
	offset, err := number("offset", 0)
	if err != nil {
		return nil, err
	}
	length, err := number("length", int64(n))
	if err != nil {
		return nil, err
	}
	all, err := files.bytes(t.external["location"])
	if err != nil {
		return nil, err
	}
	if length > math.MaxInt64-offset || offset+length > int64(len(all)) {
		return nil, fmt.Errorf("it needs bytes %d to %d of %q, which has %d", offset, offset+length, t.external["location"], len(all))
	}
	return all[offset : offset+length], nil
}
