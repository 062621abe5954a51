package cdr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf16"
)

const (
	headerSize = 4       // encapsulation: scheme, options
	maxRecords = 1 << 22 // nested messages in one message
	maxPadding = 3       // bytes that a middleware may add to reach a multiple of 4
)

// Decode reads a message of this type: an encapsulation header (CDR_LE or
// CDR_BE) and the body, which must end where the definition does, save up to 3
// bytes of padding. Byte sequences alias data, everything else is copied.
// Errors wrap ErrEncapsulation, ErrXCDR2, ErrTruncated, ErrTrailing, ErrValue
// or ErrLimit.
//
// Characters of a wstring have 4 bytes in Humble (Fast CDR 1, Cyclone DDS) and
// 2 since Jazzy (Fast CDR 2). Nothing in a message says which: the first is
// tried, then the second.
func (t *Type) Decode(data []byte) (*Record, error) {
	big, err := byteOrder(data)
	if err != nil {
		return nil, fmt.Errorf("cdr: %s: %w", t.name, err)
	}
	r, err := t.decode(data[headerSize:], big, 4)
	if err != nil && t.wide {
		if narrow, err2 := t.decode(data[headerSize:], big, 2); err2 == nil {
			return narrow, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cdr: %s: %w", t.name, err)
	}
	return r, nil
}

// byteOrder reads the encapsulation header (RTPS 2.5 section 10.2, XTypes 1.3
// section 7.6.3.1.2).
func byteOrder(data []byte) (big bool, err error) {
	if len(data) < headerSize {
		return false, fmt.Errorf("%w: %d bytes, the encapsulation header has %d", ErrTruncated, len(data), headerSize)
	}
	switch id := binary.BigEndian.Uint16(data); {
	case id <= 1:
		return id == 0, nil
	case id == 2 || id == 3:
		return false, fmt.Errorf("%w: 0x%04x is a parameter list (PL_CDR), which ROS 2 messages never are", ErrEncapsulation, id)
	case id >= 6 && id <= 11:
		return false, fmt.Errorf("%w (0x%04x); record with a middleware that writes XCDR1", ErrXCDR2, id)
	default:
		return false, fmt.Errorf("%w: 0x%04x is no scheme that ROS 2 writes; is this a serialized message?", ErrEncapsulation, id)
	}
}

func (t *Type) decode(body []byte, big bool, wide int) (*Record, error) {
	d := decoder{buf: body, big: big, wide: wide}
	r := newRecord(t)
	if err := d.message(r); err != nil {
		return nil, err
	}
	if rest := len(d.buf) - d.pos; rest > maxPadding {
		return nil, fmt.Errorf("%w: it ends at byte %d, %d more follow; was it written with another definition?",
			ErrTrailing, d.pos, rest)
	}
	return r, nil
}

// decoder reads a body: positions, and thus alignment, count from its start.
type decoder struct {
	buf     []byte
	pos     int
	big     bool
	wide    int // bytes of a wstring's character
	records int
}

// take returns the next n values of size bytes.
func (d *decoder) take(size, n int) ([]byte, error) {
	start := (d.pos + size - 1) &^ (size - 1)
	if start > len(d.buf) || n > (len(d.buf)-start)/size {
		return nil, fmt.Errorf("%w: %d values of %d bytes needed at byte %d of %d", ErrTruncated, n, size, start, len(d.buf))
	}
	end := start + n*size
	d.pos = end
	return d.buf[start:end:end], nil
}

func (d *decoder) uint32() (uint32, error) {
	b, err := d.take(4, 1)
	if err != nil {
		return 0, err
	}
	if d.big {
		return binary.BigEndian.Uint32(b), nil
	}
	return binary.LittleEndian.Uint32(b), nil
}

// message runs the program of r's type.
func (d *decoder) message(r *Record) error {
	for i := range r.typ.ops {
		o := &r.typ.ops[i]
		var err error
		switch o.code {
		case opString:
			r.strs[o.at], err = d.text(o.ref.kind, o.ref.strMax)
		case opList:
			r.refs[o.at], err = d.list(o)
		case opPadding:
			// Some writers leave out the byte of an empty message.
			if len(d.buf) > 0 {
				_, err = d.take(1, 1)
			}
		default:
			err = d.numbers(o.code, r.nums[o.at:o.at+o.n])
		}
		if err != nil {
			return r.typ.located(o, err)
		}
	}
	return nil
}

// located names the field that instruction o fills first.
func (t *Type) located(o *op, err error) error {
	var nested *located
	if errors.As(err, &nested) {
		nested.path = t.pathOf(o) + "." + nested.path
		return err
	}
	return &located{t.pathOf(o), err}
}

// located is an error at a field.
type located struct {
	path string
	err  error
}

func (e *located) Error() string { return "field " + e.path + ": " + e.err.Error() }
func (e *located) Unwrap() error { return e.err }

// pathOf finds the field that lies where o starts.
func (t *Type) pathOf(o *op) string {
	at := int(o.at)
	place := func(c counts) int { return c.nums }
	switch o.code {
	case opString:
		place = func(c counts) int { return c.strs }
	case opList:
		place = func(c counts) int { return c.refs }
	case opPadding:
		return "(none)"
	}
	path := ""
	for {
		var in *slot
		for i := range t.fields {
			f := &t.fields[i]
			size := counts{nums: 1, strs: 1, refs: 1}
			leaf := numCode(f.ref.kind)
			if f.ref.kind.text() {
				leaf = opString
			}
			if f.ref.shape != scalar {
				leaf = opList
			} else if f.child != nil {
				size, leaf = f.child.size, o.code
			}
			if leaf == o.code && place(f.at) <= at && at < place(f.at)+place(size) {
				in = f
				break
			}
		}
		if in == nil {
			return path
		}
		if path != "" {
			path += "."
		}
		path += in.name
		if in.ref.shape != scalar || in.child == nil {
			return path
		}
		at -= place(in.at)
		t = in.child
	}
}

// numbers reads len(dst) numbers into their slots.
func (d *decoder) numbers(code opcode, dst []uint64) error {
	size := 1
	switch code {
	case opNums2:
		size = 2
	case opNums4:
		size = 4
	case opNums8:
		size = 8
	}
	b, err := d.take(size, len(dst))
	if err != nil {
		return err
	}
	switch code {
	case opBools:
		for i := range dst {
			if b[i] > 1 {
				return badBool(b[i])
			}
			dst[i] = uint64(b[i])
		}
	case opNums1:
		for i := range dst {
			dst[i] = uint64(b[i])
		}
	case opNums2:
		for i := range dst {
			dst[i] = uint64(get16(b, i, d.big))
		}
	case opNums4:
		for i := range dst {
			dst[i] = uint64(get32(b, i, d.big))
		}
	default:
		for i := range dst {
			dst[i] = get64(b, i, d.big)
		}
	}
	return nil
}

func badBool(b byte) error {
	return fmt.Errorf("%w: bool is %d, not 0 or 1; was it written with another definition?", ErrValue, b)
}

func get16(b []byte, i int, big bool) uint16 {
	v := binary.LittleEndian.Uint16(b[2*i:])
	if big {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func get32(b []byte, i int, big bool) uint32 {
	v := binary.LittleEndian.Uint32(b[4*i:])
	if big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func get64(b []byte, i int, big bool) uint64 {
	v := binary.LittleEndian.Uint64(b[8*i:])
	if big {
		v = bits.ReverseBytes64(v)
	}
	return v
}

// span reads the length of a string and returns its bytes without the NUL.
func (d *decoder) span(max uint32) ([]byte, error) {
	n, err := d.uint32()
	if err != nil || n == 0 { // some writers give an empty string no NUL
		return nil, err
	}
	if int64(n) > int64(len(d.buf)-d.pos) {
		return nil, fmt.Errorf("%w: string of %d bytes at byte %d of %d", ErrTruncated, n, d.pos, len(d.buf))
	}
	b, err := d.take(1, int(n))
	if err != nil {
		return nil, err
	}
	if b[n-1] != 0 {
		return nil, fmt.Errorf("%w: string does not end in NUL; was it written with another definition?", ErrValue)
	}
	if max > 0 && n-1 > max {
		return nil, fmt.Errorf("%w: string of %d bytes, at most %d are allowed", ErrValue, n-1, max)
	}
	return b[:n-1], nil
}

func (d *decoder) text(k kind, max uint32) (string, error) {
	if k == kindString {
		b, err := d.span(max)
		return string(b), err
	}
	n, err := d.uint32()
	if err != nil || n == 0 {
		return "", err
	}
	if max > 0 && n > max {
		return "", fmt.Errorf("%w: wstring of %d characters, at most %d are allowed", ErrValue, n, max)
	}
	if int64(n) > int64(len(d.buf)-d.pos)/2 {
		return "", fmt.Errorf("%w: wstring of %d characters at byte %d of %d", ErrTruncated, n, d.pos, len(d.buf))
	}
	b, err := d.take(d.wide, int(n))
	if err != nil {
		return "", err
	}
	units := make([]uint16, n)
	for i := range units {
		if d.wide == 2 {
			units[i] = get16(b, i, d.big)
			continue
		}
		u := get32(b, i, d.big)
		if u > math.MaxUint16 {
			return "", fmt.Errorf("%w: 0x%x is no UTF-16 unit", ErrValue, u)
		}
		units[i] = uint16(u)
	}
	return string(utf16.Decode(units)), nil
}

// list reads an array or sequence into a native slice.
func (d *decoder) list(o *op) (any, error) {
	n := o.ref.n
	if o.ref.shape == sequence {
		var err error
		if n, err = d.uint32(); err != nil {
			return nil, err
		}
		if o.ref.n > 0 && n > o.ref.n {
			return nil, fmt.Errorf("%w: %d elements, at most %d are allowed", ErrValue, n, o.ref.n)
		}
	}
	// Nothing is allocated for elements that cannot be there.
	one := minSize(o.ref.kind)
	if o.child != nil {
		one = o.child.min
	}
	if int64(n)*int64(one) > int64(len(d.buf)-d.pos) {
		return nil, fmt.Errorf("%w: %d elements of at least %d bytes at byte %d of %d", ErrTruncated, n, one, d.pos, len(d.buf))
	}
	switch {
	case o.child != nil:
		return d.messages(o.child, int(n))
	case o.ref.kind == kindString:
		return d.strings(int(n), o.ref.strMax)
	case o.ref.kind == kindWString:
		out := make([]string, n)
		for i := range out {
			var err error
			if out[i], err = d.text(kindWString, o.ref.strMax); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if n == 0 { // an empty sequence is not aligned
		return makeSlice(o.ref.kind, 0), nil
	}
	b, err := d.take(one, int(n))
	if err != nil {
		return nil, err
	}
	return numberSlice(o.ref.kind, b, int(n), d.big)
}

// strings reads n strings into one block of memory.
func (d *decoder) strings(n int, max uint32) ([]string, error) {
	out := make([]string, n)
	start := d.pos
	for range n {
		if _, err := d.span(max); err != nil {
			return nil, err
		}
	}
	block := string(d.buf[start:d.pos])
	d.pos = start
	for i := range out {
		b, err := d.span(max)
		if err != nil {
			return nil, err
		}
		end := d.pos - start
		if len(b) > 0 {
			end-- // its NUL
		}
		out[i] = block[end-len(b) : end]
	}
	return out, nil
}

// messages reads n messages. Their records share one block of memory each for
// headers, numbers, strings and lists.
func (d *decoder) messages(t *Type, n int) ([]*Record, error) {
	if d.records += n; d.records > maxRecords {
		return nil, fmt.Errorf("more than %d nested messages: %w", maxRecords, ErrLimit)
	}
	out := make([]*Record, n)
	recs := make([]Record, n)
	nums := make([]uint64, n*t.size.nums)
	strs := make([]string, n*t.size.strs)
	refs := make([]any, n*t.size.refs)
	s := t.size
	for i := range recs {
		recs[i] = Record{
			typ:  t,
			nums: nums[i*s.nums : (i+1)*s.nums : (i+1)*s.nums],
			strs: strs[i*s.strs : (i+1)*s.strs : (i+1)*s.strs],
			refs: refs[i*s.refs : (i+1)*s.refs : (i+1)*s.refs],
		}
		if err := d.message(&recs[i]); err != nil {
			return nil, err
		}
		out[i] = &recs[i]
	}
	return out, nil
}

// numberSlice converts n numbers; uint8 aliases b.
func numberSlice(k kind, b []byte, n int, big bool) (any, error) {
	switch k {
	case kindUint8:
		return b, nil
	case kindInt8:
		out := make([]int8, n)
		for i, v := range b {
			out[i] = int8(v)
		}
		return out, nil
	case kindBool:
		out := make([]bool, n)
		for i, v := range b {
			if v > 1 {
				return nil, badBool(v)
			}
			out[i] = v == 1
		}
		return out, nil
	case kindInt16:
		return slice16[int16](b, n, big), nil
	case kindUint16:
		return slice16[uint16](b, n, big), nil
	case kindInt32:
		return slice32[int32](b, n, big), nil
	case kindUint32:
		return slice32[uint32](b, n, big), nil
	case kindInt64:
		return slice64[int64](b, n, big), nil
	case kindUint64:
		return slice64[uint64](b, n, big), nil
	case kindFloat32:
		out := make([]float32, n)
		for i := range out {
			out[i] = math.Float32frombits(get32(b, i, big))
		}
		return out, nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Float64frombits(get64(b, i, big))
	}
	return out, nil
}

func slice16[T int16 | uint16](b []byte, n int, big bool) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(get16(b, i, big))
	}
	return out
}

func slice32[T int32 | uint32](b []byte, n int, big bool) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(get32(b, i, big))
	}
	return out
}

func slice64[T int64 | uint64](b []byte, n int, big bool) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(get64(b, i, big))
	}
	return out
}
