package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func words(s string, shape ...int) *Tensor {
	v := strings.Fields(s)
	if shape == nil {
		shape = []int{len(v)}
	}
	return must(NewStrings(v, shape...))
}

// TestStringTensors: what is written is read again, and a damaged or boundless
// tensor is refused.
func TestStringTensors(t *testing.T) {
	x := must(NewStrings([]string{"", "Zoë", "a b"}, 3, 1))
	got, err := DecodeTensor(x.AppendProto(nil))
	if err != nil || !slices.Equal(got.Strings(), x.Strings()) || !slices.Equal(got.Shape, x.Shape) || got.String() != "string[3 1]" {
		t.Fatalf("%v, %v", got, err)
	}
	if n := len(x.AppendProto(nil)); n != (NamedTensor{"", x}).size() {
		t.Errorf("%d bytes, announced %d", n, NamedTensor{"", x}.size())
	}
	head := NamedTensor{"w", &Tensor{Type: String, Shape: []int{2}}}.head()
	for want, b := range map[string][]byte{
		"1 elements of data, its shape needs 2":   appendText(head, 6, "a"),
		"string 1 should be UTF-8":                appendText(appendText(head, 6, "a"), 6, "\xff"),
		"string 0 has 65537 bytes, at most 65536": appendText(appendText(head, 6, strings.Repeat("a", maxString+1)), 6, ""),
		"strings lie in string_data only":         appendMessage(head, 9, []byte("ab")),
		"string_data only":                        appendMessage(appendText(appendText(head, 6, "a"), 6, "b"), 4, make([]byte, 8)),
		"is of int64 and has string_data":         appendText(NamedTensor{"w", ints(1)}.append(nil), 6, "a"),
		"or what is none":                         appendInt(head, 6, 7),
		"more than 1048576 strings":               slices.Concat(slices.Repeat([][]byte{appendText(nil, 6, "")}, maxStrings+1)...),
	} {
		if _, err := DecodeTensor(b); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, expected %q", err, want)
		}
	}
	for _, bad := range [][]string{{"a"}, {"a", "\xff"}, {"a", strings.Repeat("a", maxString+1)}} {
		if _, err := NewStrings(bad, 2); err == nil {
			t.Errorf("%.10q was taken", bad)
		}
	}
}

func TestStringNormalizer(t *testing.T) {
	week := "Monday tuesday MONDAY Istanbul"
	for name, c := range map[string]struct {
		x     *Tensor
		attrs map[string]any
		want  *Tensor
	}{
		"as it is":                 {words(week), nil, words(week)},
		"any case":                 {words(week), map[string]any{"stopwords": []string{"monday"}}, words("tuesday Istanbul")},
		"this case":                {words(week), map[string]any{"stopwords": []string{"Monday"}, "is_case_sensitive": 1, "case_change_action": "LOWER"}, words("tuesday monday istanbul")},
		"row":                      {words(week, 1, 4), map[string]any{"stopwords": []string{"TUESDAY"}, "case_change_action": "UPPER"}, words("MONDAY MONDAY ISTANBUL", 1, 3)},
		"Turkish":                  {words("Istanbul idil"), map[string]any{"locale": "tr_TR", "case_change_action": "UPPER"}, words("ISTANBUL İDİL")},
		"Turkish stop word":        {words("Irmak irmak"), map[string]any{"locale": "tr_TR", "stopwords": []string{"ırmak"}}, words("irmak")},
		"nothing left":             {words("a A"), map[string]any{"stopwords": []string{"a"}}, must(NewStrings([]string{""}, 1))},
		"nothing left of a row":    {words("a A", 1, 2), map[string]any{"stopwords": []string{"a"}}, must(NewStrings([]string{""}, 1, 1))},
		"nothing there":            {must(NewStrings(nil, 0)), nil, must(NewStrings([]string{""}, 1))},
		"longer in the other case": {words("ɐ"), map[string]any{"case_change_action": "UPPER"}, words("Ɐ")},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			f := &file{opset: 10, nodes: []string{"StringNormalizer a -> y"}, inputs: []*Tensor{c.x}, outputs: []string{"y"},
				attrs: map[string]map[string]any{"y": c.attrs}}
			if err := near(f.run(t)[0], c.want); err != nil {
				t.Error(err)
			}
		})
	}
	for want, x := range map[string]*Tensor{"neither [C] nor [1 C]": words("a b", 2, 1), "input 0 is of float32": scalar(1)} {
		f := &file{opset: 10, nodes: []string{"StringNormalizer a -> y"}, inputs: []*Tensor{x}, outputs: []string{"y"}}
		if err := f.fails(t); !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected %q", err, want)
		}
	}
}

// fails runs a model that does not run.
func (f *file) fails(t *testing.T) error {
	t.Helper()
	m, err := Decode(f.bytes())
	if err == nil {
		_, err = m.Run(f.feed())
	}
	if err == nil {
		t.Fatal("it ran")
	}
	return err
}

// TestMovedStrings: operators that only move elements or compare them move and
// compare strings, with open shapes and fixed ones, from constants too; and a
// run gives its memory back.
func TestMovedStrings(t *testing.T) {
	x := words("a b c a", 2, 2)
	for node, want := range map[string]*Tensor{
		"Identity a -> y":           x,
		"Transpose a -> y":          words("a c b a", 2, 2),
		"Reshape a four -> y":       words("a b c a"),
		"Gather a one -> y":         words("c a", 1, 2),
		"Concat a a -> y":           words("a b c a a b c a", 4, 2),
		"Where t a k -> y":          words("a k c k", 2, 2),
		"Expand k two -> y":         words("k k", 2),
		"Split a -> y z":            words("a b", 1, 2),
		"Slice a one two zero -> y": words("c a", 1, 2),
		"Equal a k -> y":            must(New(Bool, []uint8{0, 0, 0, 0}, 2, 2)),
		"Equal a c -> y":            must(New(Bool, []uint8{0, 1, 0, 1}, 2, 2)),
		"Shape a -> y":              ints(2, 2),
		"StringConcat a c -> y":     words("ax bb cx aa", 2, 2),
		"StringConcat k k -> y":     words("kk", 1),
	} {
		f := &file{opset: 13, nodes: []string{node}, inputs: []*Tensor{x}, outputs: []string{"y"}, attrs: map[string]map[string]any{"Concat": {"axis": 0}},
			initializers: map[string]*Tensor{"four": ints(4), "one": ints(1), "two": ints(2), "zero": ints(0), "k": words("k"),
				"t": must(New(Bool, []uint8{1, 0}, 2)), "c": words("x b x a", 2, 2)}}
		if strings.HasPrefix(node, "String") {
			f.opset = 20
		}
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(node, err)
		}
		for range 2 {
			got, err := m.Run(f.feed())
			if err != nil {
				t.Fatal(node, err)
			}
			if err := near(got[0], want); err != nil {
				t.Errorf("%s: %v", node, err)
			}
			if m.pool.used != 0 {
				t.Errorf("%s keeps %d bytes", node, m.pool.used)
			}
			if err := m.Fix(nil); err != nil {
				t.Fatal(node, err)
			}
		}
	}
	f := &file{opset: 13, nodes: []string{"Constant -> k", "Constant -> l", "Concat k l l -> y"}, outputs: []string{"y"},
		attrs: map[string]map[string]any{"k": {"value_strings": []string{"a", "b"}}, "l": {"value": words("c")}, "y": {"axis": 0}}}
	if err := near(f.run(t)[0], words("a b c c")); err != nil {
		t.Error(err)
	}
}

// TestRefusedStrings: an operator that does not take strings is named before
// any work; strings beside numbers are refused.
func TestRefusedStrings(t *testing.T) {
	f := &file{opset: 13, nodes: []string{"Identity a -> b", "Constant -> k", "Concat b k -> c", "Relu c -> y", "Abs c -> z"}, inputs: []*Tensor{words("a")}, outputs: []string{"y", "z"},
		attrs: map[string]map[string]any{"k": {"value_string": "k"}, "c": {"axis": 0}}}
	_, err := Decode(f.bytes())
	const want = `the node that makes "y" (Relu): unsupported operator Relu of domain ai.onnx, opset 13; its input "c" is of strings, which it does not take here`
	if !errors.Is(err, ErrUnsupported) || err.Error() != "model: "+want {
		t.Errorf("got %v", err)
	}
	p, err := readProto(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, why := p.operators(); len(why) != 2 || why[0] != want {
		t.Errorf("inspected: %q", why)
	}
	mixed := &file{opset: 13, nodes: []string{"Concat a b -> y"}, inputs: []*Tensor{words("a"), scalar(1)}, outputs: []string{"y"}, attrs: map[string]map[string]any{"y": {"axis": 0}}}
	if err := mixed.fails(t); !strings.Contains(err.Error(), "in the place of strings") {
		t.Errorf("strings beside numbers: %v", err)
	}
	regex := &file{opset: 20, nodes: []string{"RegexFullMatch a -> y"}, inputs: []*Tensor{words("a")}, outputs: []string{"y"}}
	for pattern, want := range map[string]string{"(": `the pattern "(" is no regular expression`, "a)|(b": `the pattern "a)|(b" is no`, `\C`: "not available here", "a{900}b{900}c{900}d{900}e{900}": "instructions", strings.Repeat("a", maxText+1): "longer"} {
		regex.attrs = map[string]map[string]any{"y": {"pattern": pattern}}
		if err := regex.fails(t); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20s: %v", pattern, err)
		}
	}
}

// TestStringLimits: a small model cannot ask for much memory by way of strings.
func TestStringLimits(t *testing.T) {
	double := &file{opset: 20, inputs: []*Tensor{words("ab")}, outputs: []string{"y"}}
	for i := range 40 {
		double.nodes = append(double.nodes, fmt.Sprintf("StringConcat x%d x%d -> x%d", i, i, i+1))
	}
	double.nodes[0], double.nodes[39] = "StringConcat a a -> x1", "StringConcat x39 x39 -> y"
	long := must(NewStrings([]string{strings.Repeat("a,", maxString/2)}, 1))
	for name, f := range map[string]*file{
		"joined":   double,
		"expanded": {opset: 13, nodes: []string{"Expand a s -> y"}, inputs: []*Tensor{long}, outputs: []string{"y"}, initializers: map[string]*Tensor{"s": ints(maxStrings)}},
		"many":     {opset: 13, nodes: []string{"Expand a s -> x", "Concat x x -> y"}, inputs: []*Tensor{words("a")}, outputs: []string{"y"}, initializers: map[string]*Tensor{"s": ints(maxStrings)}, attrs: map[string]map[string]any{"Concat": {"axis": 0}}},
		"split":    {opset: 20, nodes: []string{"Concat a a a a -> b", "Concat b b b b -> c", "Concat c c c -> d", "StringSplit d -> y z"}, inputs: []*Tensor{long}, outputs: []string{"y"}, attrs: map[string]map[string]any{"Concat": {"axis": 0}, "z": {"delimiter": ","}}},
	} {
		if err := f.fails(t); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFullMatch: a pattern matches whole strings, however it ends.
func TestFullMatch(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no string }{
		`\Qa.c`:      {"a.c", "abc a.cc aa.c"},
		`\Qa.c\E`:    {"a.c", "abc"},
		`a|ab`:       {"a ab", "b aba xab"},
		`(?U)a+?`:    {"a aa", "ab ba"},
		`(a|ab)(c)?`: {"a ab ac abc", "abcc"},
		`(?i)zoË`:    {"ZOë", "zoe"},
		`b$`:         {"b", "ab"},
	} {
		match, _, err := fullMatch(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for list, want := range map[string]bool{c.yes: true, c.no: false} {
			for _, s := range strings.Fields(list) {
				if match(s) != want {
					t.Errorf("%q of %q: %t", pattern, s, !want)
				}
			}
		}
		if match("a.c\n") || match("a\n") || match("") {
			t.Errorf("%q matches a line or nothing", pattern)
		}
	}
}

// TestMadeStrings: what operators make keeps to what a tensor may hold.
func TestMadeStrings(t *testing.T) {
	for want, f := range map[string]*file{
		`(StringSplit): of its result, string 1 should be UTF-8`: {opset: 20, nodes: []string{"StringSplit a -> y n"}, inputs: []*Tensor{words("aé")}, outputs: []string{"y"},
			attrs: map[string]map[string]any{"n": {"delimiter": "\xc3"}}},
		`(StringNormalizer): of its result, string 0 has 98304 bytes`: {opset: 10, nodes: []string{"StringNormalizer a -> y"}, inputs: []*Tensor{words(strings.Repeat("ɐ", maxString/2))},
			outputs: []string{"y"}, attrs: map[string]map[string]any{"y": {"case_change_action": "UPPER"}}},
	} {
		if err := f.fails(t); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, expected %q", err, want)
		}
	}
}
