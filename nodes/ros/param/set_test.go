package param

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// declarations has one parameter of each type.
func declarations() []Declaration {
	return []Declaration{
		{Name: "guard", Default: Of(true), Description: "roll back what is worse"},
		{Name: "steps", Default: Of(1000), IntegerRange: &IntegerRange{From: 0, To: math.MaxInt64}},
		{Name: "batch", Default: Of(32), IntegerRange: &IntegerRange{From: 8, To: 65, Step: 8}},
		{Name: "lr", Default: Of(1e-4), DoubleRange: &DoubleRange{From: 0, To: 1}},
		{Name: "rate", Default: Of(0.5), DoubleRange: &DoubleRange{From: 0.1, To: 2, Step: 0.1}},
		{Name: "output", Default: Of("topic"), OneOf: []string{"topic", "action", "servo"}},
		{Name: "checkpoint_dir", Default: Of(""), ReadOnly: true},
		{Name: "bytes", Default: Of([]byte{1, 2})},
		{Name: "flags", Default: Of([]bool{true})},
		{Name: "sizes", Default: Of([]int64{96, 96})},
		{Name: "gains", Default: Of([]float64{1.5})},
		{Name: "joint_limits", Default: Of([]string{})},
		{Name: "validity.enabled", Default: Of(false)},
		{Name: "validity.budget_ms", Default: Of(20.0)},
		{Name: "qos.scan.depth", Default: Of(5)},
	}
}

func declared(t *testing.T, overrides map[string]Override) *Set {
	t.Helper()
	s := NewSet(overrides)
	if err := s.Declare(declarations()...); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetRefusals(t *testing.T) {
	tests := []struct {
		name  string
		value Value
		want  string // "" is accepted
	}{
		{"steps", Of(0), ""},
		{"steps", Of(-1), "steps is -1; it must be 0 or more"},
		{"steps", Of(1.0), "steps is an integer, but 1.0 is a double; give an integer"},
		{"batch", Of(16), ""},
		{"batch", Of(65), ""}, // the bound itself, as in rclcpp
		{"batch", Of(17), "batch is 17; it must be between 8 and 65 in steps of 8"},
		{"lr", Of(1.0), ""},
		{"lr", Of(1.1), "lr is 1.1; it must be between 0.0 and 1.0"},
		{"lr", Of(math.NaN()), "lr is .nan; it must be between 0.0 and 1.0"},
		{"lr", Of(1), "lr is a double, but 1 is an integer; write 1.0"},
		{"rate", Of(0.7), ""},
		{"rate", Of(0.75), "rate is 0.75; it must be between 0.1 and 2.0 in steps of 0.1"},
		{"output", Of("servo"), ""},
		{"output", Of("topics"), "output is topics; it must be one of topic, action, servo"},
		{"output", Of(true), "output is a string, but true is a boolean; put it into quotes"},
		{"checkpoint_dir", Of("x"), "checkpoint_dir is read-only; set it when the node starts, by -p checkpoint_dir:=VALUE or in a parameter file"},
		{"joint_limits", Of("a.yaml"), "joint_limits is a string array, but a.yaml is a string; write [a.yaml]"},
		{"joint_limits", Value{emptyList{}}, ""},
		{"joint_limits", Of([]bool{}), ""}, // as ros2 param load sends it
		{"gains", Of([]int64{1, 2}), "gains is a double array, but [1, 2] is an integer array; write each number with a decimal point, as in [1.0, 2.0]"},
		{"bytes", Of([]byte{0}), ""},
		{"guard", Value{}, "guard is a boolean and cannot be unset"},
		{"guard", Value{emptyList{}}, "guard is a boolean, but [] is a list; give a boolean"},
		{"stepps", Of(1), "unknown parameter stepps; steps is near it"},
		{"", Of(1), "unknown parameter \"\"; see `ros2 param list`"},
	}
	for _, test := range tests {
		s := declared(t, nil)
		before, _ := s.Values("steps", "output")
		got := s.Set(Parameter{test.name, test.value})[0]
		if got.Reason != test.want || got.Successful != (test.want == "") {
			t.Errorf("%s := %v: %+v\nwant %q", test.name, test.value, got, test.want)
		}
		if after, _ := s.Values("steps", "output"); test.want != "" && !reflect.DeepEqual(before, after) {
			t.Errorf("%s := %v changed values", test.name, test.value)
		}
	}
}

func TestSetAtomically(t *testing.T) {
	s := declared(t, nil)
	var asked, told int
	s.OnSet(func(params []Parameter) error {
		asked++
		for _, p := range params {
			if n, ok := As[int](p.Value); ok && n == 13 {
				return errors.New("13 brings bad luck")
			}
		}
		if Get[int](s, "steps") != 1000 { // may be read in a hook
			return errors.New("too late")
		}
		return nil
	})
	s.OnChange(func(c Change) {
		told++
		if len(c.Changed) != 2 || len(c.New) != 0 || Get[string](s, "output") != "action" {
			t.Errorf("change %+v, output is %s", c, Get[string](s, "output"))
		}
	})
	for _, params := range [][]Parameter{
		{{"steps", Of(13)}, {"output", Of("action")}},
		{{"output", Of("action")}, {"lr", Of(2.0)}},
		{{"output", Of("action")}, {"unknown", Of(2.0)}},
	} {
		if r := s.SetAtomically(params...); r.Successful || Get[string](s, "output") != "topic" {
			t.Errorf("%v: %+v, output is now %s", params, r, Get[string](s, "output"))
		}
	}
	if r := s.SetAtomically(Parameter{"output", Of("action")}, Parameter{"joint_limits", Value{emptyList{}}}); !r.Successful {
		t.Errorf("refused: %s", r.Reason)
	}
	if asked != 2 || told != 1 {
		t.Errorf("the hooks were asked %d and told %d times, want 2 and 1", asked, told)
	}
}

func TestSeparateResults(t *testing.T) {
	s := declared(t, nil)
	got := s.Set(Parameter{"guard", Of(false)}, Parameter{"nope", Of(1)}, Parameter{"lr", Of(0.5)})
	if !got[0].Successful || got[1].Successful || !got[2].Successful || Get[bool](s, "guard") || Get[float64](s, "lr") != 0.5 {
		t.Errorf("results %+v", got)
	}
	if got := s.SetAtomically(); !got.Successful {
		t.Errorf("nothing to set: %+v", got)
	}
}

func TestDeclareErrors(t *testing.T) {
	for want, d := range map[string]Declaration{
		"has no default":         {Name: "a"},
		"no or more than":        {Default: Of(1)},
		"declared twice":         {Name: "steps", Default: Of(1)},
		"an integer range that":  {Name: "a", Default: Of(1.0), IntegerRange: &IntegerRange{}},
		"a range of doubles":     {Name: "a", Default: Of(1.0), DoubleRange: &DoubleRange{From: 1}},
		"does not fit: a is 5":   {Name: "a", Default: Of(5), IntegerRange: &IntegerRange{From: 1, To: 2}},
		"a list of words, which": {Name: "a", Default: Of(1), OneOf: []string{"x"}},
	} {
		if err := declared(t, nil).Declare(d); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrOverride) {
			t.Errorf("%+v: %v, want ...%s...", d, err, want)
		}
	}
}

func TestGetPanics(t *testing.T) {
	s := declared(t, nil)
	for name, get := range map[string]func(){
		"unknown": func() { Get[int](s, "nope") },
		"type":    func() { Get[float64](s, "steps") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			get()
		}()
	}
	if Get[int](s, "steps") != 1000 || Get[int64](s, "steps") != 1000 || !slices.Equal(Get[[]byte](s, "bytes"), []byte{1, 2}) {
		t.Error("wrong values")
	}
	Get[[]int64](s, "sizes")[0] = 0
	if Get[[]int64](s, "sizes")[0] != 96 {
		t.Error("the set shares its slices")
	}
}

func TestList(t *testing.T) {
	s := NewSet(nil)
	for _, name := range []string{"a", "b.c", "b.d.e", "bc", "b.d.f.g"} {
		if err := s.Declare(Declaration{Name: name, Default: Of(1)}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		prefixes []string
		depth    uint64
		want     string // names | prefixes
	}{
		{nil, 0, "a b.c b.d.e b.d.f.g bc | b b.d b.d.f"},
		{nil, 1, "a bc |"},
		{nil, 2, "a b.c bc | b"},
		{[]string{"b"}, 0, "b.c b.d.e b.d.f.g | b b.d b.d.f"},
		{[]string{"b"}, 1, "|"}, // the dot after the prefix counts, as in rclcpp
		{[]string{"b"}, 2, "b.c | b"},
		{[]string{"b.d", "a"}, 2, "a b.d.e | b.d"},
		{[]string{"b.c"}, 1, "b.c | b"},
		{[]string{""}, 0, "|"},
		{[]string{"x"}, 0, "|"},
	}
	for _, test := range tests {
		names, under := s.List(test.prefixes, test.depth)
		got := strings.TrimSpace(strings.Join(names, " ") + " | " + strings.Join(under, " "))
		if got != test.want {
			t.Errorf("List(%q, %d) is %q, want %q", test.prefixes, test.depth, got, test.want)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	s := declared(t, nil)
	if _, err := s.Values("lr", "nope"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Values: %v", err)
	}
	if _, err := s.Describe("guard", "Guard"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "guard is near") {
		t.Errorf("Describe: %v", err)
	}
	d, err := s.Describe("output")
	if err != nil || d[0].AdditionalConstraints() != "one of topic, action, servo" {
		t.Errorf("Describe: %+v, %v", d, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := declared(t, nil)
	changes := 0
	s.OnChange(func(Change) { changes++ }) // never two at a time
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				s.Set(Parameter{"steps", Of(i*50 + j)})
				_ = Get[int](s, "steps")
				s.List(nil, 0)
				_ = s.Declare(Declaration{Name: fmt.Sprint("p", i, ".", j), Default: Of(j)})
			}
		})
	}
	wg.Wait()
	if changes != 800 {
		t.Errorf("%d changes were told, want 800", changes)
	}
}
