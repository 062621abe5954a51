package onnx

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protobuf message: bytes for a length-delimited one,
// bits for a number. Bytes are a view of the file.
type field struct {
	num   protowire.Number
	kind  protowire.Type
	bytes []byte
	bits  uint64
}

// walk calls visit for every field of the message b. Nothing is copied; groups
// and truncated messages are refused.
func walk(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("the protobuf is damaged: %w", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{num: num, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.bits = uint64(v)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(b)
		default:
			return fmt.Errorf("the protobuf has a field of wire type %d", kind)
		}
		if n < 0 {
			return fmt.Errorf("the protobuf is damaged: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// maxText bounds names, which messages repeat.
const maxText = 4096

// text is a string field; names that are not UTF-8 are refused, because they
// would not survive the way through the decoder.
func (f field) text() (string, error) {
	if f.kind != protowire.BytesType || !utf8.Valid(f.bytes) || len(f.bytes) > maxText {
		return "", fmt.Errorf("field %d should be UTF-8 text of at most %d bytes", f.num, maxText)
	}
	return string(f.bytes), nil
}

// varints appends the number or packed numbers of a repeated integer field.
func (f field) varints(dst []int64) ([]int64, error) {
	if f.kind == protowire.VarintType {
		return append(dst, int64(f.bits)), nil
	}
	if f.kind != protowire.BytesType {
		return nil, fmt.Errorf("field %d should hold integers", f.num)
	}
	for b := f.bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, fmt.Errorf("the protobuf is damaged: %w", protowire.ParseError(n))
		}
		dst, b = append(dst, int64(v)), b[n:]
	}
	return dst, nil
}

// floats appends the number or packed numbers of a repeated float field.
func (f field) floats(dst []float32) ([]float32, error) {
	if f.kind == protowire.Fixed32Type {
		return append(dst, math.Float32frombits(uint32(f.bits))), nil
	}
	if f.kind != protowire.BytesType || len(f.bytes)%4 != 0 {
		return nil, fmt.Errorf("field %d should hold floats", f.num)
	}
	for b := f.bytes; len(b) > 0; b = b[4:] {
		v, _ := protowire.ConsumeFixed32(b)
		dst = append(dst, math.Float32frombits(v))
	}
	return dst, nil
}

// doubles appends the number or packed numbers of a repeated double field.
func (f field) doubles(dst []float64) ([]float64, error) {
	if f.kind == protowire.Fixed64Type {
		return append(dst, math.Float64frombits(f.bits)), nil
	}
	if f.kind != protowire.BytesType || len(f.bytes)%8 != 0 {
		return nil, fmt.Errorf("field %d should hold doubles", f.num)
	}
	for b := f.bytes; len(b) > 0; b = b[8:] {
		v, _ := protowire.ConsumeFixed64(b)
		dst = append(dst, math.Float64frombits(v))
	}
	return dst, nil
}
