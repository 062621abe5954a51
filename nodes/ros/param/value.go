// Package param holds the parameters of a ROS 2 node: what is declared, what
// the command line and parameter files set, and the values now. It knows no
// ROS library; package ros serves it over the parameter services.
package param

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of a parameter, numbered as rcl_interfaces/msg/ParameterType.
type Type uint8

const (
	NotSet Type = iota
	Bool
	Integer
	Double
	String
	ByteArray
	BoolArray
	IntegerArray
	DoubleArray
	StringArray
)

var typeNames = [...]string{"not set", "boolean", "integer", "double", "string", "byte array", "boolean array", "integer array", "double array", "string array"}

// String is the type as `ros2 param describe` writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// a is the type with its article.
func (t Type) a() string {
	if t == Integer || t == IntegerArray {
		return "an " + t.String()
	}
	return "a " + t.String()
}

// Kind lists the Go types of parameters. An int is an Integer.
type Kind interface {
	bool | int | int64 | float64 | string | []byte | []bool | []int64 | []float64 | []string
}

// Value is the value of a parameter. The zero Value is not set.
type Value struct{ v any }

// emptyList is a list of which the source does not tell the type.
type emptyList struct{}

// Of returns v as a Value. A slice is copied.
func Of[T Kind](v T) Value {
	if n, ok := any(v).(int); ok {
		return Value{int64(n)}
	}
	return Value{clone(v)}
}

func clone(v any) any {
	switch v := v.(type) {
	case []byte:
		return slices.Clone(v)
	case []bool:
		return slices.Clone(v)
	case []int64:
		return slices.Clone(v)
	case []float64:
		return slices.Clone(v)
	case []string:
		return slices.Clone(v)
	}
	return v
}

// Type returns the type of the value.
func (v Value) Type() Type {
	switch v.v.(type) {
	case bool:
		return Bool
	case int64:
		return Integer
	case float64:
		return Double
	case string:
		return String
	case []byte:
		return ByteArray
	case []bool:
		return BoolArray
	case []int64:
		return IntegerArray
	case []float64:
		return DoubleArray
	case []string:
		return StringArray
	}
	return NotSet
}

// Any returns a copy of the value as one of the types of Kind, int left out;
// nil if it is not set.
func (v Value) Any() any {
	if v.Type() == NotSet {
		return nil
	}
	return clone(v.v)
}

// As returns the value as a T; false if it is of another type.
func As[T Kind](v Value) (T, bool) {
	var t T
	if n, ok := any(&t).(*int); ok {
		i, ok := v.v.(int64)
		*n = int(i)
		return t, ok
	}
	t, ok := clone(v.v).(T)
	return t, ok
}

// empty returns the empty array of type t; false if t is no array.
func empty(t Type) (Value, bool) {
	switch t {
	case ByteArray:
		return Value{[]byte{}}, true
	case BoolArray:
		return Value{[]bool{}}, true
	case IntegerArray:
		return Value{[]int64{}}, true
	case DoubleArray:
		return Value{[]float64{}}, true
	case StringArray:
		return Value{[]string{}}, true
	}
	return Value{}, false
}

func (v Value) isEmpty() bool {
	switch v := v.v.(type) {
	case emptyList:
		return true
	case []byte:
		return len(v) == 0
	case []bool:
		return len(v) == 0
	case []int64:
		return len(v) == 0
	case []float64:
		return len(v) == 0
	case []string:
		return len(v) == 0
	}
	return false
}

// String is the value in YAML, shortened if it is long: "1.0", "[a, b]".
func (v Value) String() string {
	switch v := v.v.(type) {
	case nil:
		return "nothing"
	case emptyList:
		return "[]"
	case bool, int64:
		return fmt.Sprint(v)
	case float64:
		return double(v)
	case string:
		return quote(v)
	case []byte:
		return list(v, func(b byte) string { return strconv.Itoa(int(b)) })
	case []bool:
		return list(v, strconv.FormatBool)
	case []int64:
		return list(v, func(n int64) string { return strconv.FormatInt(n, 10) })
	case []float64:
		return list(v, double)
	case []string:
		return list(v, quote)
	}
	return "?"
}

func list[T any](vs []T, text func(T) string) string {
	var b strings.Builder
	for i, v := range vs {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > 80 {
			b.WriteString("...")
			break
		}
		b.WriteString(text(v))
	}
	return "[" + b.String() + "]"
}

// double writes a float so that it is read as one.
func double(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// quote writes a string as YAML reads it back, a long one shortened.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	q := strconv.Quote(s)
	plain := s != "" && q == `"`+s+`"` && !strings.ContainsAny(s, ":#'{}[],&*!|>%@` ")
	if _, isString := scalar(s).v.(string); plain && isString && s[0] != '-' && s[0] != '?' {
		return s
	}
	return q
}
