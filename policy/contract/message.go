package contract

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Message is a decoded ROS message. Lookup returns the field at a path as Go's
// native value: bool, intN, uintN, floatN, string or a slice of those.
type Message interface {
	TypeName() string
	Lookup(path string) (any, bool)
}

// Errors about one message; Push wraps them, counts the message as refused and
// keeps nothing of it.
var (
	ErrTopic     = errors.New("topic is not in the contract")
	ErrType      = errors.New("message has another type than the contract says")
	ErrField     = errors.New("message lacks a field that the contract takes")
	ErrNotFinite = errors.New("message has NaN or infinity where the contract takes a number")
)

// errOtherJoints marks a message that names none of the wanted joints: another
// publisher on the same topic, nothing wrong.
var errOtherJoints = errors.New("message names none of the joints")

// otherJoints is errOtherJoints with the names that the message has. The
// sentence is made when it is asked for: such messages come at any rate.
type otherJoints []string

func (o otherJoints) Error() string      { return errOtherJoints.Error() + ", but " + nameList(o) }
func (otherJoints) Is(target error) bool { return target == errOtherJoints }

// nameList is a bounded list of names from a message.
func nameList(names []string) string {
	const most, longest = 12, 60
	if len(names) == 0 {
		return "none at all"
	}
	var b strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		if len(name) > longest {
			name = name[:longest] + "..."
		}
		b.WriteString(strings.Trim(strconv.Quote(name), `"`)) // without line breaks and the like
	}
	if n := len(names) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

// scalar converts a native number or bool.
func scalar(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case int64:
		return float64(x), true
	case int32:
		return float64(x), true
	case int16:
		return float64(x), true
	case int8:
		return float64(x), true
	case uint64:
		return float64(x), true
	case uint32:
		return float64(x), true
	case uint16:
		return float64(x), true
	case uint8:
		return float64(x), true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// numbers appends the elements of a native slice (or one number) to dst.
func numbers(dst []float64, v any) ([]float64, bool) {
	switch x := v.(type) {
	case []float64:
		return append(dst, x...), true
	case []float32:
		return appendNumbers(dst, x), true
	case []int64:
		return appendNumbers(dst, x), true
	case []int32:
		return appendNumbers(dst, x), true
	case []int16:
		return appendNumbers(dst, x), true
	case []int8:
		return appendNumbers(dst, x), true
	case []uint64:
		return appendNumbers(dst, x), true
	case []uint32:
		return appendNumbers(dst, x), true
	case []uint16:
		return appendNumbers(dst, x), true
	case []uint8:
		return appendNumbers(dst, x), true
	case []bool:
		for _, b := range x {
			n, _ := scalar(b)
			dst = append(dst, n)
		}
		return dst, true
	}
	n, ok := scalar(v)
	return append(dst, n), ok
}

func appendNumbers[T float32 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8](dst []float64, src []T) []float64 {
	for _, x := range src {
		dst = append(dst, float64(x))
	}
	return dst
}

// Number looks a single number up. data.3 works also where Lookup does not
// look into slices.
func Number(m Message, path string) (float64, bool) {
	if v, ok := m.Lookup(path); ok {
		return scalar(v)
	}
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 {
		return 0, false
	}
	k, err := strconv.Atoi(path[dot+1:])
	if err != nil || k < 0 {
		return 0, false
	}
	v, ok := m.Lookup(path[:dot])
	if !ok {
		return 0, false
	}
	all, ok := numbers(nil, v)
	if !ok || k >= len(all) {
		return 0, false
	}
	return all[k], true
}

// Stamp returns the header's stamp in ns, or 0 where there is none.
func Stamp(m Message) int64 {
	sec, ok1 := m.Lookup("header.stamp.sec")
	nsec, ok2 := m.Lookup("header.stamp.nanosec")
	if !ok1 || !ok2 {
		return 0
	}
	s, ok1 := sec.(int32)
	n, ok2 := nsec.(uint32)
	if !ok1 || !ok2 || s < 0 || n >= 1e9 {
		return 0
	}
	return int64(s)*1e9 + int64(n)
}

// extractor takes the numbers of a selection out of messages of one topic.
type extractor struct {
	sel       Selection
	namePaths []string // where the array's names may be, nearest first
	seen      []string // name[] of the last message
	order     []int    // for each wanted name, its index in seen
	buf       []float64
}

func newExtractor(sel Selection) *extractor {
	e := &extractor{sel: sel, order: make([]int, len(sel.Names))}
	if len(sel.Names) == 0 || sel.Field == "" {
		return e
	}
	prefix := sel.Field[:strings.LastIndexByte(sel.Field, '.')+1]
	e.namePaths = []string{prefix + "name", prefix + "joint_names"}
	if prefix != "" {
		e.namePaths = append(e.namePaths, "name", "joint_names")
	}
	return e
}

// take fills dst with the selected numbers.
func (e *extractor) take(m Message, dst []float32) error {
	if len(e.sel.Fields) > 0 {
		for i, path := range e.sel.Fields {
			v, ok := Number(m, path)
			if !ok {
				return fmt.Errorf("%w: %s is no number of %s", ErrField, path, m.TypeName())
			}
			if err := store(dst, i, v, path); err != nil {
				return err
			}
		}
		return nil
	}
	v, ok := m.Lookup(e.sel.Field)
	if !ok {
		return fmt.Errorf("%w: %s has no field %s", ErrField, m.TypeName(), e.sel.Field)
	}
	all, ok := numbers(e.buf[:0], v)
	if !ok {
		return fmt.Errorf("%w: %s of %s holds no numbers", ErrField, e.sel.Field, m.TypeName())
	}
	e.buf = all
	indices, err := e.indices(m, len(all))
	if err != nil {
		return err
	}
	for i := range dst {
		k := i
		if indices != nil {
			k = indices[i]
		}
		if k >= len(all) {
			return fmt.Errorf("%w: %s has %d values, element %d is wanted", ErrField, e.sel.Field, len(all), k)
		}
		if err := store(dst, i, all[k], e.sel.Field); err != nil {
			return err
		}
	}
	return nil
}

// indices says which elements of an array of length n to take; nil: in order.
func (e *extractor) indices(m Message, n int) ([]int, error) {
	names, err := e.namesOf(m)
	switch {
	case err != nil:
		return nil, err
	case names != nil:
		return e.order, nil
	case len(e.sel.Indices) > 0:
		return e.sel.Indices, nil
	case n != e.sel.Dim():
		return nil, fmt.Errorf("%w: %s has %d values and no names, the contract takes %d; give indices", ErrField, e.sel.Field, n, e.sel.Dim())
	}
	return nil, nil
}

// namesOf matches the wanted names with the message's, which it returns, or
// nil where the message carries none.
func (e *extractor) namesOf(m Message) ([]string, error) {
	for _, path := range e.namePaths {
		v, _ := m.Lookup(path)
		names, _ := v.([]string)
		if len(names) == 0 {
			continue
		}
		if slices.Equal(names, e.seen) {
			return names, nil
		}
		e.seen = e.seen[:0]
		if err := matchNames(e.sel.Names, names, e.order); err != nil {
			return nil, err
		}
		e.seen = append(e.seen, names...)
		return names, nil
	}
	return nil, nil
}

// matchNames sets order[i] to the place of want[i] in have.
func matchNames(want, have []string, order []int) error {
	missing, found := "", 0
	for i, w := range want {
		order[i] = slices.Index(have, w)
		if order[i] < 0 {
			missing = w
		} else {
			found++
		}
	}
	switch {
	case found == 0:
		return otherJoints(have)
	case missing != "":
		return fmt.Errorf("%w: joint %q is not among its names, %s", ErrField, missing, nameList(have))
	}
	return nil
}

// store writes v as float32, refusing what is not finite there.
func store(dst []float32, i int, v float64, path string) error {
	f := float32(v)
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return fmt.Errorf("%w: %s", ErrNotFinite, path)
	}
	dst[i] = f
	return nil
}
