package param

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Parameter is a name and its value.
type Parameter struct {
	Name  string
	Value Value
}

// IntegerRange bounds an integer. Step 0: every integer between the bounds.
type IntegerRange struct {
	From, To int64
	Step     uint64
}

// DoubleRange bounds a double. Step 0: every number between the bounds.
type DoubleRange struct{ From, To, Step float64 }

// Declaration says what a parameter is. The type is that of the default.
type Declaration struct {
	Name         string
	Default      Value
	Description  string // what it does and its unit
	Constraints  string // what else bounds it, in words
	ReadOnly     bool   // only overrides change it
	IntegerRange *IntegerRange
	DoubleRange  *DoubleRange
	OneOf        []string // what a string may be
}

// Type returns the type of the parameter.
func (d *Declaration) Type() Type { return d.Default.Type() }

// AdditionalConstraints is what the descriptor says in words beside the range.
func (d *Declaration) AdditionalConstraints() string {
	if len(d.OneOf) == 0 {
		return d.Constraints
	}
	words := "one of " + strings.Join(d.OneOf, ", ")
	if d.Constraints != "" {
		words += "; " + d.Constraints
	}
	return words
}

// validate finds what is wrong with the declaration itself.
func (d *Declaration) validate() error {
	t := d.Type()
	switch {
	case d.Name == "" || len(d.Name) > maxName:
		return fmt.Errorf("param: the name %s has no or more than %d letters", quote(d.Name), maxName)
	case t == NotSet:
		return fmt.Errorf("param: %s has no default", d.Name)
	case d.IntegerRange != nil && (t != Integer || d.IntegerRange.From > d.IntegerRange.To):
		return fmt.Errorf("param: %s has an integer range that is empty or not for %s", d.Name, t.a())
	case d.DoubleRange != nil && (t != Double || !(d.DoubleRange.From <= d.DoubleRange.To) || !(d.DoubleRange.Step >= 0)):
		return fmt.Errorf("param: %s has a range of doubles that is empty or not for %s", d.Name, t.a())
	case d.OneOf != nil && t != String:
		return fmt.Errorf("param: %s has a list of words, which is not for %s", d.Name, t.a())
	}
	if reason := d.check(d.Default); reason != "" {
		return fmt.Errorf("param: the default does not fit: %s", reason)
	}
	return nil
}

// fit turns an empty list into one of the parameter's type and returns why the
// value may not be the parameter's, "" if it may. No YAML tells the type of an
// empty list; `ros2 param load` sends it as one of booleans.
func (d *Declaration) fit(v Value) (Value, string) {
	if list, ok := empty(d.Type()); ok && v.isEmpty() {
		v = list
	}
	return v, d.check(v)
}

func (d *Declaration) check(v Value) string {
	if v.Type() != d.Type() {
		return d.wrongType(v)
	}
	switch x := v.v.(type) {
	case int64:
		if r := d.IntegerRange; r != nil && !r.holds(x) {
			return fmt.Sprintf("%s is %d; it must be %s", d.Name, x, r)
		}
	case float64:
		if r := d.DoubleRange; r != nil && !r.holds(x) {
			return fmt.Sprintf("%s is %s; it must be %s", d.Name, double(x), r)
		}
	case string:
		if d.OneOf != nil && !slices.Contains(d.OneOf, x) {
			return fmt.Sprintf("%s is %s; it must be one of %s", d.Name, quote(x), strings.Join(d.OneOf, ", "))
		}
	}
	return ""
}

// wrongType says how to write a value of the right type.
func (d *Declaration) wrongType(v Value) string {
	what := "a list"
	if _, ok := v.v.(emptyList); !ok {
		what = v.Type().a()
	}
	remedy := "give " + d.Type().a()
	switch x := v.v.(type) {
	case nil:
		return fmt.Sprintf("%s is %s and cannot be unset", d.Name, d.Type().a())
	case int64:
		if d.Type() == Double {
			remedy = "write " + double(float64(x))
		}
	case []int64:
		if d.Type() == DoubleArray {
			remedy = "write each number with a decimal point, as in [1.0, 2.0]"
		}
	}
	if array, ok := empty(d.Type()); ok && v.Type() == array.element() {
		remedy = fmt.Sprintf("write [%s]", v)
	}
	if d.Type() == String && v.Type() >= Bool && v.Type() <= Double {
		remedy = "put it into quotes"
	}
	return fmt.Sprintf("%s is %s, but %s is %s; %s", d.Name, d.Type().a(), v, what, remedy)
}

// element returns the type of a list's elements.
func (v Value) element() Type {
	switch v.Type() {
	case BoolArray:
		return Bool
	case IntegerArray:
		return Integer
	case DoubleArray:
		return Double
	case StringArray:
		return String
	}
	return NotSet
}

// holds is rclcpp's rule: the bounds themselves are in, whatever the step.
func (r *IntegerRange) holds(v int64) bool {
	if v == r.From || v == r.To {
		return true
	}
	return v > r.From && v < r.To && (r.Step == 0 || (uint64(v)-uint64(r.From))%r.Step == 0)
}

func (r *IntegerRange) String() string {
	s := fmt.Sprintf("between %d and %d", r.From, r.To)
	switch {
	case r.To == math.MaxInt64 && r.From != math.MinInt64:
		s = fmt.Sprintf("%d or more", r.From)
	case r.From == math.MinInt64 && r.To != math.MaxInt64:
		s = fmt.Sprintf("%d or less", r.To)
	}
	if r.Step > 1 {
		s += fmt.Sprintf(" in steps of %d", r.Step)
	}
	return s
}

// holds is rclcpp's rule, with NaN left out of every range.
func (r *DoubleRange) holds(v float64) bool {
	if near(v, r.From) || near(v, r.To) {
		return true
	}
	if !(v > r.From && v < r.To) {
		return false
	}
	return r.Step == 0 || near(v, r.From+math.Round((v-r.From)/r.Step)*r.Step)
}

// near is equality within 100 units in the last place of the sum, as rclcpp has it.
func near(x, y float64) bool {
	const epsilon = 0x1p-52
	return x == y || math.Abs(x-y) <= epsilon*math.Abs(x+y)*100 && !math.IsInf(x+y, 0)
}

func (r *DoubleRange) String() string {
	s := fmt.Sprintf("between %s and %s", double(r.From), double(r.To))
	switch {
	case math.IsInf(r.To, 1) && !math.IsInf(r.From, -1):
		s = double(r.From) + " or more"
	case math.IsInf(r.From, -1) && !math.IsInf(r.To, 1):
		s = double(r.To) + " or less"
	}
	if r.Step != 0 {
		s += " in steps of " + double(r.Step)
	}
	return s
}
