package cdr

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"
)

// Encode writes a message of this type, little endian, with its encapsulation
// header. A wstring's characters take 4 bytes, as Humble writes them. It fails
// with ErrValue if r is of another type.
func (t *Type) Encode(r *Record) ([]byte, error) { return t.encode(r, binary.LittleEndian, 4) }

// byteOrdering is binary.LittleEndian or binary.BigEndian.
type byteOrdering interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (t *Type) encode(r *Record, order byteOrdering, wide int) ([]byte, error) {
	if r == nil || !t.same(r.typ) {
		name := "nil"
		if r != nil {
			name = r.typ.name
		}
		return nil, fmt.Errorf("cdr: %w: record of %s cannot be encoded as %s", ErrValue, name, t.name)
	}
	e := encoder{order: order, wide: wide, buf: make([]byte, headerSize, headerSize+r.sizeHint())}
	if order == byteOrdering(binary.LittleEndian) {
		e.buf[1] = 1
	}
	if err := e.message(r); err != nil {
		return nil, fmt.Errorf("cdr: %s: %w", t.name, err)
	}
	return e.buf, nil
}

// sizeHint is about what r takes on the wire; nested lists are not followed.
func (r *Record) sizeHint() int {
	n := r.typ.min + 16
	for _, s := range r.strs {
		n += len(s) + 4
	}
	for _, list := range r.refs {
		n += 8 + 8*sliceLen(list)
		if b, ok := list.([]uint8); ok {
			n -= 7 * len(b)
		}
	}
	return n
}

type encoder struct {
	buf   []byte // the header included
	order byteOrdering
	wide  int
}

// align pads to a multiple of n bytes from the body's start.
func (e *encoder) align(n int) {
	for (len(e.buf)-headerSize)&(n-1) != 0 {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) uint32(v uint32) {
	e.align(4)
	e.buf = e.order.AppendUint32(e.buf, v)
}

// count writes the length of a string or sequence.
func (e *encoder) count(n int) error {
	if n > math.MaxInt32 {
		return fmt.Errorf("%w: %d elements are too many for CDR", ErrValue, n)
	}
	e.uint32(uint32(n))
	return nil
}

func (e *encoder) message(r *Record) error {
	for i := range r.typ.ops {
		o := &r.typ.ops[i]
		var err error
		switch o.code {
		case opString:
			err = e.text(o.ref.kind, r.strs[o.at])
		case opList:
			err = e.list(o, r.refs[o.at])
		case opPadding:
			e.buf = append(e.buf, 0)
		default:
			e.numbers(o.code, r.nums[o.at:o.at+o.n])
		}
		if err != nil {
			return r.typ.located(o, err)
		}
	}
	return nil
}

func (e *encoder) numbers(code opcode, src []uint64) {
	switch code {
	case opNums2:
		e.align(2)
		for _, v := range src {
			e.buf = e.order.AppendUint16(e.buf, uint16(v))
		}
	case opNums4:
		e.align(4)
		for _, v := range src {
			e.buf = e.order.AppendUint32(e.buf, uint32(v))
		}
	case opNums8:
		e.align(8)
		for _, v := range src {
			e.buf = e.order.AppendUint64(e.buf, v)
		}
	default:
		for _, v := range src {
			e.buf = append(e.buf, byte(v))
		}
	}
}

func (e *encoder) text(k kind, s string) error {
	if k == kindString {
		if err := e.count(len(s) + 1); err != nil {
			return err
		}
		e.buf = append(append(e.buf, s...), 0)
		return nil
	}
	units := utf16.Encode([]rune(s))
	if err := e.count(len(units)); err != nil {
		return err
	}
	for _, u := range units {
		if e.wide == 2 {
			e.buf = e.order.AppendUint16(e.buf, u)
		} else {
			e.buf = e.order.AppendUint32(e.buf, uint32(u))
		}
	}
	return nil
}

func (e *encoder) list(o *op, v any) error {
	n := sliceLen(v)
	if o.ref.shape == sequence {
		if err := e.count(n); err != nil {
			return err
		}
	}
	if n > 0 && o.ref.kind.size() > 0 {
		e.align(o.ref.kind.size())
	}
	switch s := v.(type) {
	case []uint8:
		e.buf = append(e.buf, s...)
	case []int8:
		for _, x := range s {
			e.buf = append(e.buf, byte(x))
		}
	case []bool:
		for _, x := range s {
			b := byte(0)
			if x {
				b = 1
			}
			e.buf = append(e.buf, b)
		}
	case []string:
		for _, x := range s {
			if err := e.text(o.ref.kind, x); err != nil {
				return err
			}
		}
	case []*Record:
		for _, x := range s {
			if err := e.message(x); err != nil {
				return err
			}
		}
	default:
		e.words(v)
	}
	return nil
}

// words writes a slice of numbers of 2, 4 or 8 bytes.
func (e *encoder) words(v any) {
	switch s := v.(type) {
	case []int16:
		for _, x := range s {
			e.buf = e.order.AppendUint16(e.buf, uint16(x))
		}
	case []uint16:
		for _, x := range s {
			e.buf = e.order.AppendUint16(e.buf, x)
		}
	case []int32:
		for _, x := range s {
			e.buf = e.order.AppendUint32(e.buf, uint32(x))
		}
	case []uint32:
		for _, x := range s {
			e.buf = e.order.AppendUint32(e.buf, x)
		}
	case []float32:
		for _, x := range s {
			e.buf = e.order.AppendUint32(e.buf, math.Float32bits(x))
		}
	case []int64:
		for _, x := range s {
			e.buf = e.order.AppendUint64(e.buf, uint64(x))
		}
	case []uint64:
		for _, x := range s {
			e.buf = e.order.AppendUint64(e.buf, x)
		}
	case []float64:
		for _, x := range s {
			e.buf = e.order.AppendUint64(e.buf, math.Float64bits(x))
		}
	}
}
