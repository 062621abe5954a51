package cdr

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Record is one message. Nested messages that Lookup returns are views: to set
// a field of one changes the whole. It may be read by several goroutines, but
// not while one sets fields.
type Record struct {
	typ  *Type
	nums []uint64 // bits of numbers and bools
	strs []string
	refs []any // []T of numbers and strings, []*Record
}

func newRecord(t *Type) *Record {
	return &Record{
		typ:  t,
		nums: make([]uint64, t.size.nums),
		strs: make([]string, t.size.strs),
		refs: make([]any, t.size.refs),
	}
}

// New returns a message with the defaults of its definition, zero where it
// gives none.
func (t *Type) New() *Record {
	r := newRecord(t)
	r.fill()
	return r
}

func (r *Record) fill() {
	for i := range r.typ.fields {
		f := &r.typ.fields[i]
		switch {
		case f.ref.shape != scalar:
			r.refs[f.at.refs] = f.list()
		case f.child != nil:
			nested := r.nested(f)
			nested.fill()
		case f.def == nil:
		case f.ref.kind.text():
			r.strs[f.at.strs] = f.def.(string)
		default:
			r.nums[f.at.nums], _ = bitsOf(f.ref.kind, f.def)
		}
	}
}

// list returns the initial value of an array or sequence.
func (f *slot) list() any {
	if f.def != nil {
		return clone(f.ref.kind, f.def)
	}
	n := 0
	if f.ref.shape == array {
		n = int(f.ref.n)
	}
	s := makeSlice(f.ref.kind, n)
	if recs, ok := s.([]*Record); ok {
		for i := range recs {
			recs[i] = f.child.New()
		}
	}
	return s
}

// nested returns the view of a message inside r.
func (r *Record) nested(f *slot) Record {
	end := f.at.plus(f.child.size)
	return Record{
		typ:  f.child,
		nums: r.nums[f.at.nums:end.nums:end.nums],
		strs: r.strs[f.at.strs:end.strs:end.strs],
		refs: r.refs[f.at.refs:end.refs:end.refs],
	}
}

// Type returns the type of the message.
func (r *Record) Type() *Type { return r.typ }

// TypeName returns its full name, "pkg/msg/Name".
func (r *Record) TypeName() string { return r.typ.name }

// walk finds the message and field that path names, and the index of the
// element if it names one (else -1).
func (r *Record) walk(path string) (rec Record, f *slot, i int, ok bool) {
	rec = *r
	for {
		name, rest, more := strings.Cut(path, ".")
		at, known := rec.typ.index[name]
		if !known {
			return rec, nil, -1, false
		}
		f = &rec.typ.fields[at]
		if !more {
			return rec, f, -1, true
		}
		path = rest
		if f.ref.shape == scalar {
			if f.child == nil {
				return rec, nil, -1, false
			}
			rec = rec.nested(f)
			continue
		}
		number, rest, more := strings.Cut(path, ".")
		list := rec.refs[f.at.refs]
		i, err := strconv.ParseUint(number, 10, 31)
		if err != nil || int(i) >= sliceLen(list) {
			return rec, nil, -1, false
		}
		if !more {
			return rec, f, int(i), true
		}
		recs, ok := list.([]*Record)
		if !ok {
			return rec, nil, -1, false
		}
		rec, path = *recs[i], rest
	}
}

// Lookup returns the value at path: "position", "twist.linear.x",
// "points.0.positions", "name.2". Values are bool, int8 to uint64, float32,
// float64, string, a slice of those for arrays and sequences, *Record and
// []*Record. Slices are not copied; a []uint8 of a decoded message aliases the
// bytes it was decoded from. false: there is no such field or element.
func (r *Record) Lookup(path string) (any, bool) {
	rec, f, i, ok := r.walk(path)
	switch {
	case !ok:
		return nil, false
	case i >= 0:
		return elem(rec.refs[f.at.refs], i), true
	case f.ref.shape != scalar:
		return rec.refs[f.at.refs], true
	case f.child != nil:
		nested := rec.nested(f)
		return &nested, true
	case f.ref.kind.text():
		return rec.strs[f.at.strs], true
	}
	return native(f.ref.kind, rec.nums[f.at.nums]), true
}

// Set stores v at path. A number may come as any Go integer or float that the
// field can hold exactly (float32 rounds); a list must come as the slice that
// Lookup returns, and is not copied. A *Record is copied in, its slices are
// shared. Errors wrap ErrPath or ErrValue.
func (r *Record) Set(path string, v any) error {
	rec, f, i, ok := r.walk(path)
	if !ok {
		return fmt.Errorf("cdr: %s: %w %q", r.typ.name, ErrPath, clip(path))
	}
	var err error
	switch {
	case i >= 0:
		err = rec.setElem(f, i, v)
	case f.ref.shape != scalar:
		err = rec.setList(f, v)
	case f.child != nil:
		err = rec.setNested(f, v)
	case f.ref.kind.text():
		var s string
		if s, err = f.text(v); err == nil {
			rec.strs[f.at.strs] = s
		}
	default:
		var bits uint64
		if bits, err = bitsOf(f.ref.kind, v); err == nil {
			rec.nums[f.at.nums] = bits
		}
	}
	if err != nil {
		return fmt.Errorf("cdr: %s.%s (%s): %w: %w", r.typ.name, clip(path), f.ref, ErrValue, err)
	}
	return nil
}

func (r *Record) setElem(f *slot, i int, v any) error {
	list := r.refs[f.at.refs]
	switch {
	case f.child != nil:
		rec, ok := v.(*Record)
		if !ok || rec == nil || !f.child.same(rec.typ) {
			return fmt.Errorf("it is %T, not a %s", v, f.child.name)
		}
		setElem(list, i, rec)
	case f.ref.kind.text():
		s, err := f.text(v)
		if err != nil {
			return err
		}
		setElem(list, i, s)
	default:
		bits, err := bitsOf(f.ref.kind, v)
		if err != nil {
			return err
		}
		setElem(list, i, native(f.ref.kind, bits))
	}
	return nil
}

func (r *Record) setList(f *slot, v any) error {
	if !isSliceOf(f.ref.kind, v) {
		return fmt.Errorf("it is %T, not %T", v, makeSlice(f.ref.kind, 0))
	}
	n := sliceLen(v)
	if f.ref.shape == array && n != int(f.ref.n) || f.ref.n > 0 && n > int(f.ref.n) {
		return fmt.Errorf("%d elements do not fit", n)
	}
	switch list := v.(type) {
	case []string:
		for _, s := range list {
			if _, err := f.text(s); err != nil {
				return err
			}
		}
	case []*Record:
		for i, rec := range list {
			if rec == nil || !f.child.same(rec.typ) {
				return fmt.Errorf("element %d is not a %s", i, f.child.name)
			}
		}
	}
	r.refs[f.at.refs] = v
	return nil
}

func (r *Record) setNested(f *slot, v any) error {
	rec, ok := v.(*Record)
	if !ok || rec == nil || !f.child.same(rec.typ) {
		return fmt.Errorf("it is %T, not a %s", v, f.child.name)
	}
	nested := r.nested(f)
	copy(nested.nums, rec.nums)
	copy(nested.strs, rec.strs)
	copy(nested.refs, rec.refs)
	return nil
}

// text checks a string against the field's bound.
func (f *slot) text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("it is %T, not string", v)
	}
	if f.ref.strMax > 0 && textLen(s, f.ref.kind == kindWString) > int(f.ref.strMax) {
		return "", fmt.Errorf("%q is longer than %d", clip(s), f.ref.strMax)
	}
	return s, nil
}

// bitsOf returns the bits that v has as a number of kind k, and an error if it
// has none there.
func bitsOf(k kind, v any) (uint64, error) {
	if k == kindBool {
		b, ok := v.(bool)
		if !ok {
			return 0, fmt.Errorf("it is %T, not bool", v)
		}
		if b {
			return 1, nil
		}
		return 0, nil
	}
	neg, abs, f, kind := number(v)
	switch {
	case kind == 0:
		return 0, fmt.Errorf("it is %T, not a number", v)
	case k == kindFloat64:
		return math.Float64bits(f), nil
	case k == kindFloat32:
		return uint64(math.Float32bits(float32(f))), nil
	case kind == 'f':
		if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
			return 0, fmt.Errorf("%v is no integer in range", f)
		}
		neg, abs = f < 0, uint64(math.Abs(f))
	}
	bits := uint(8 * k.size())
	limit := uint64(math.MaxUint64) >> (64 - bits)
	if k == kindInt8 || k == kindInt16 || k == kindInt32 || k == kindInt64 {
		limit >>= 1
		if neg {
			limit++
		}
	} else if neg && abs != 0 {
		limit = 0
	}
	if abs > limit {
		return 0, fmt.Errorf("%v is out of range", v)
	}
	if neg {
		abs = -abs
	}
	return abs & (math.MaxUint64 >> (64 - bits)), nil
}

// number splits a Go number into sign and magnitude, and its value as float64.
// kind is 'i' for integers, 'f' for floats, 0 for anything else.
func number(v any) (neg bool, abs uint64, f float64, kind byte) {
	var i int64
	switch x := v.(type) {
	case float64:
		return false, 0, x, 'f'
	case float32:
		return false, 0, float64(x), 'f'
	case uint8:
		return false, uint64(x), float64(x), 'i'
	case uint16:
		return false, uint64(x), float64(x), 'i'
	case uint32:
		return false, uint64(x), float64(x), 'i'
	case uint64:
		return false, x, float64(x), 'i'
	case uint:
		return false, uint64(x), float64(x), 'i'
	case int8:
		i = int64(x)
	case int16:
		i = int64(x)
	case int32:
		i = int64(x)
	case int64:
		i = x
	case int:
		i = int64(x)
	default:
		return false, 0, 0, 0
	}
	if i < 0 {
		return true, -uint64(i), float64(i), 'i'
	}
	return false, uint64(i), float64(i), 'i'
}
