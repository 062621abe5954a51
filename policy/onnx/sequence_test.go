package onnx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func index(i int64) *Tensor { return must(New(Int64, []int64{i})) }

// TestSequences: what the operators on sequences give, at the opset that has
// them first and at the newest that is held to PyTorch.
func TestSequences(t *testing.T) {
	six := floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	one, two := floats([]float32{7, 8}, 2), floats([]float32{9, 10}, 2)
	type attrs = map[string]map[string]any
	type init = map[string]*Tensor
	for _, tc := range []struct {
		name  string
		nodes string // by line
		in    []*Tensor
		attrs attrs
		init  init
		want  []*Tensor // y, z
	}{
		{"a copy is changed where the first is still read", `
			SequenceConstruct a b -> s
			SequenceInsert s a p -> s2
			SequenceErase s -> s3
			SequenceLength s3 -> n
			SequenceAt s2 p -> y
			ConcatFromSequence s -> z`,
			[]*Tensor{one, two}, attrs{"z": {"axis": 0}}, init{"p": index(1)},
			[]*Tensor{one, floats([]float32{7, 8, 9, 10}, 4)}},
		{"positions from the end", `
			SequenceConstruct a b b a -> s
			SequenceErase s first -> s2
			SequenceInsert s2 a last -> s3
			ConcatFromSequence s3 -> y
			SequenceAt s3 last -> z`,
			[]*Tensor{one, two}, attrs{"y": {"axis": -1}}, init{"first": index(-4), "last": must(New(Int32, []int32{-1}))},
			[]*Tensor{floats([]float32{9, 10, 9, 10, 7, 8, 7, 8}, 8), one}},
		{"positions of Constant nodes", `
			Constant -> p
			Constant -> q
			SequenceConstruct a b -> s
			SequenceAt s p -> y
			SequenceAt s q -> z`,
			[]*Tensor{one, two}, attrs{"p": {"value": index(0)}, "q": {"value_int": -1}}, nil,
			[]*Tensor{one, two}},
		{"a new axis, and Identity of a sequence", `
			SequenceConstruct a b -> s
			Identity s -> s2
			ConcatFromSequence s -> y
			ConcatFromSequence s2 -> z`,
			[]*Tensor{one, two}, attrs{"y": {"axis": 0, "new_axis": 1}, "z": {"axis": -1, "new_axis": 1}}, nil,
			[]*Tensor{floats([]float32{7, 8, 9, 10}, 2, 2), floats([]float32{7, 9, 8, 10}, 2, 2)}},
		{"parts of one size", `
			SplitToSequence a k -> s
			SequenceAt s last -> y
			SequenceLength s -> z`,
			[]*Tensor{six}, attrs{"s": {"axis": 1, "keepdims": 0}}, init{"k": index(2), "last": index(-1)},
			[]*Tensor{floats([]float32{3, 6}, 2, 1), index(2)}},
		{"parts of given sizes", `
			SplitToSequence a k -> s
			SequenceAt s p -> y
			SequenceLength s -> z`,
			[]*Tensor{six}, attrs{"s": {"axis": -1}}, init{"k": ints(2, 0, 1), "p": index(0)},
			[]*Tensor{floats([]float32{1, 2, 4, 5}, 2, 2), index(3)}},
		{"sizes that come with a run", `
			SplitToSequence a b -> s
			SequenceErase s p -> s2
			ConcatFromSequence s2 -> y
			SequenceLength s -> z`,
			[]*Tensor{six, ints(1, 1, 1)}, attrs{"s": {"axis": 1}, "y": {"axis": 1}}, init{"p": index(1)},
			[]*Tensor{floats([]float32{1, 3, 4, 6}, 2, 2), index(3)}},
		{"rows without their axis", `
			Relu a -> sequence.1
			SplitToSequence sequence.1 -> s
			SequenceAt s p -> y
			ConcatFromSequence s -> z`,
			[]*Tensor{six}, attrs{"s": {"keepdims": 0}, "z": {"axis": 0}}, init{"p": index(1)},
			[]*Tensor{floats([]float32{4, 5, 6}, 3), floats([]float32{1, 2, 3, 4, 5, 6}, 6)}},
		{"nothing is cut to nothing", `
			SplitToSequence b -> s
			SequenceInsert s a -> s2
			SequenceAt s2 p -> y
			SequenceLength s -> z`,
			[]*Tensor{one, floats(nil, 0, 2)}, nil, init{"p": index(0)},
			[]*Tensor{one, index(0)}},
	} {
		for _, opset := range []int{11, 17} {
			if tc.attrs["q"] != nil && opset == 11 {
				opset = 12 // the first with value_int
			}
			t.Run(fmt.Sprint(strings.ReplaceAll(tc.name, " ", "_"), "/", opset), func(t *testing.T) {
				f := &file{opset: opset, nodes: strings.Split(strings.TrimSpace(tc.nodes), "\n"), attrs: tc.attrs,
					inputs: tc.in, initializers: tc.init, outputs: []string{"y", "z"}}
				// the file states what Relu gives
				f.more = appendMessage(nil, 13, (&Value{Name: "sequence.1", Type: Float32, Dims: []Dim{{Size: 2}, {Size: 3}}}).message(""))
				for i, got := range f.run(t) {
					if err := within(got, tc.want[i], 0, 0); err != nil {
						t.Errorf("output %d: %v", i, err)
					}
				}
				m, err := Decode(f.bytes())
				if err == nil {
					err = m.Fix(nil)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSequencesAtRandom holds graphs that change sequences at random places, old
// ones beside new ones, against lists.
func TestSequencesAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f := &file{opset: 17, nodes: []string{"SequenceConstruct a b a -> s0"}, inputs: []*Tensor{floats([]float32{0}, 1), floats([]float32{1}, 1)},
			initializers: map[string]*Tensor{}, attrs: map[string]map[string]any{"ConcatFromSequence": {"axis": 0}}}
		for i := range 20 {
			f.initializers[fmt.Sprint("p", i-10)] = index(int64(i - 10))
		}
		lists := [][]float32{{0, 1, 0}}
		for len(lists) < 20 {
			from := random.IntN(len(lists))
			if random.IntN(3) > 0 {
				from = len(lists) - 1
			}
			list, out := slices.Clone(lists[from]), len(lists)
			at := random.IntN(min(len(list), 10))
			p := at
			if random.IntN(2) == 0 && len(list) <= 10 {
				p -= len(list)
			}
			if v := random.IntN(2); random.IntN(3) > 0 || len(list) == 1 {
				list = slices.Insert(list, at, float32(v))
				f.nodes = append(f.nodes, fmt.Sprintf("SequenceInsert s%d %c p%d -> s%d", from, 'a'+v, p, out))
			} else {
				list = slices.Delete(list, at, at+1)
				f.nodes = append(f.nodes, fmt.Sprintf("SequenceErase s%d p%d -> s%d", from, p, out))
			}
			lists = append(lists, list)
		}
		var want []*Tensor
		for i := 0; i < len(lists); i += 1 + random.IntN(4) {
			f.nodes = append(f.nodes, fmt.Sprintf("ConcatFromSequence s%d -> y%d", i, i))
			f.outputs, want = append(f.outputs, fmt.Sprint("y", i)), append(want, floats(lists[i], len(lists[i])))
		}
		for i, got := range f.run(t) {
			if err := within(got, want[i], 0, 0); err != nil {
				t.Fatalf("%s of %q: %v", f.outputs[i], f.nodes, err)
			}
		}
	}
}

// otherInput is a graph's input that is no tensor.
func otherInput(name string) []byte {
	tensor := appendMessage(nil, 1, appendInt(nil, 1, int64(Float32)))
	return appendMessage(nil, 11, appendMessage(appendText(nil, 1, name), 2, appendMessage(nil, 4, appendMessage(nil, 1, tensor))))
}

// TestSequencesRefused: what cannot be resolved is one sentence with operator,
// node and what is missing.
func TestSequencesRefused(t *testing.T) {
	for _, tc := range []struct {
		nodes, want string
		unsupported bool
	}{
		{"SequenceAt in p -> y", `the node that makes "y" (SequenceAt): unsupported operator SequenceAt of domain ai.onnx, opset 17; its input "in" is of type sequence, only tensors may enter the graph`, true},
		{"Relu in -> y", `(Relu): unsupported operator Relu of domain ai.onnx, opset 17; its input "in" is of type sequence`, true},
		{"Relu a -> y", `the input "in" is of type sequence`, false},
		{"SequenceMap in -> y", `unsupported operator SequenceMap of`, true},
		{"SequenceConstruct a -> y", `(SequenceConstruct): unsupported operator SequenceConstruct of domain ai.onnx, opset 17; it makes the output "y", a sequence, and only tensors may leave`, true},
		{"SequenceConstruct a -> s; SequenceAt s b -> y", `the position "b" is known in a run only`, true},
		{"SequenceConstruct a -> s; SequenceAt s p -> y", `a sequence of 1 has no position 1`, false},
		{"SequenceConstruct a a -> s; SequenceErase s far -> r; SequenceLength r -> y", `a sequence of 2 has no position -9223372036854775806`, false},
		{"SequenceConstruct a -> s; SequenceAt s many -> y", `the position "many" is 2 numbers`, false},
		{"SequenceConstruct a -> s; SequenceAt s w -> y", `"w": expected integers, got float32`, false},
		{"SequenceConstruct a -> s; Relu s -> y", `the node that makes "y" (Relu): "s" is a sequence, it should be a tensor`, false},
		{"SequenceConstruct a -> s; SequenceConstruct s -> r; SequenceLength r -> y", `"s" is a sequence`, false},
		{"SequenceConstruct a -> s; SequenceInsert s s -> r; SequenceLength r -> y", `"s" is a sequence`, false},
		{"SequenceConstruct a -> s; Loop a s -> y", `unsupported operator Loop of`, true},
		{"SequenceConstruct a _ a -> s; SequenceLength s -> y", `an element is left out`, false},
		{"SequenceConstruct a -> s t; SequenceLength s -> y", `has 2 outputs`, false},
		{"SequenceConstruct -> s; SequenceLength s -> y", `has 0 inputs`, false},
		{"SequenceLength a -> y", `"a" is no sequence that a node before it makes`, false},
		{"SequenceLength s -> y; SequenceConstruct a -> s", `"s" is no sequence that a node before it makes`, false},
		{"Relu t -> y; SequenceConstruct a -> s; Identity s -> t", `its output "t" is read by a node before it`, false},
		{"SequenceInsert s a -> s2; SequenceInsert s2 a -> s; SequenceLength s -> y", `"s" is no sequence that`, false},
		{"SequenceEmpty -> s; ConcatFromSequence s -> y", `lacks the attribute axis`, false},
		{"SequenceEmpty -> s; ConcatFromSequence s -> z; Relu z -> y", `the sequence "s" is empty`, false},
		{"SplitToSequence a -> s; SequenceLength s -> y", `dimension 0 of "a" is open, so the number of parts is not known`, true},
		{"Relu a -> b2; SplitToSequence b2 -> s; SequenceLength s -> y", `the file does not state the shape of "b2"`, true},
		{"SplitToSequence a b -> s; SequenceLength s -> y", `does not state how many parts "b" lists`, true},
		{"SplitToSequence a none -> s; SequenceLength s -> y", `"none" is no size or list of sizes`, false},
	} {
		f := &file{opset: 17, nodes: strings.Split(tc.nodes, "; "), inputs: []*Tensor{floats([]float32{1}, 1), ints(1)}, open: true,
			initializers: map[string]*Tensor{"p": index(1), "none": index(0), "many": ints(0, 0), "w": scalar(0), "far": index(-1 << 63)},
			attrs:        map[string]map[string]any{"z": {"axis": 0}}, outputs: []string{"y"}, more: otherInput("in")}
		_, err := Decode(f.bytes())
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") || errors.Is(err, ErrUnsupported) != tc.unsupported {
			t.Errorf("%s: got %q, expected a sentence with %q", tc.nodes, err, tc.want)
		}
	}
}

// chain grows a sequence by so many elements, each put at a position.
func chain(elements int, position string) *file {
	f := &file{opset: 17, nodes: []string{"SequenceEmpty -> s0"}, inputs: []*Tensor{scalar(1)}, initializers: map[string]*Tensor{"first": index(0)}, outputs: []string{"y"}}
	for i := range elements {
		f.nodes = append(f.nodes, fmt.Sprintf("SequenceInsert s%d a %s -> s%d", i, position, i+1))
	}
	f.nodes = append(f.nodes, fmt.Sprintf("SequenceLength s%d -> y", elements))
	return f
}

// TestSequenceLimits: resolving takes no more than the file justifies.
func TestSequenceLimits(t *testing.T) {
	taken := func(f *file) (bytes uint64, err error) {
		p, err := readProto(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = resolveSequences(p)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, err
	}
	short, err := taken(chain(10000, "_"))
	if err != nil {
		t.Fatal(err)
	}
	long, err := taken(chain(40000, "_"))
	if err != nil || long > 8*short {
		t.Errorf("chains of 10000 and 40000 take %d and %d bytes: %v", short, long, err)
	}
	if y := chain(10000, "_").run(t)[0]; Data[int64](y)[0] != 10000 {
		t.Errorf("a length of %v", Data[int64](y))
	}
	if y := chain(1000, "first").run(t)[0]; Data[int64](y)[0] != 1000 {
		t.Errorf("a length of %v", Data[int64](y))
	}
	shared := chain(2000, "_") // each sequence is read twice
	for i := range 2000 {
		shared.nodes = append(shared.nodes, fmt.Sprintf("SequenceLength s%d -> l%d", i, i))
	}
	stacked := chain(5000, "_")
	for i := range 1000 {
		stacked.nodes = append(stacked.nodes, fmt.Sprintf("ConcatFromSequence s5000 -> c%d", i))
	}
	stacked.attrs = map[string]map[string]any{"ConcatFromSequence": {"axis": 0}}
	fresh := &file{opset: 17, inputs: []*Tensor{floats(make([]float32, 2000), 2000)}, outputs: []string{"y"}}
	for i := range 10 {
		fresh.nodes = append(fresh.nodes, fmt.Sprintf("SplitToSequence a -> s%d", i))
	}
	fresh.nodes = append(fresh.nodes, "SequenceLength s0 -> y")
	huge := &file{opset: 17, nodes: []string{"SplitToSequence w -> s", "SequenceLength s -> y"}, outputs: []string{"y"},
		initializers: map[string]*Tensor{"w": {Type: Float32, Shape: []int{1 << 39}}}}
	for name, f := range map[string]*file{"at the front": chain(4000, "first"), "shared": shared, "stacked": stacked, "fresh": fresh, "huge": huge} {
		if bytes, err := taken(f); !errors.Is(err, ErrTooLarge) || bytes > 64<<20 {
			t.Errorf("%s: %d bytes, %v", name, bytes, err)
		}
	}
}

// TestInspectSequences: every node that cannot be resolved is named, and none
// that only follows one.
func TestInspectSequences(t *testing.T) {
	f := &file{opset: 17, inputs: []*Tensor{scalar(1), ints(1)}, outputs: []string{"y"}, more: otherInput("in"), initializers: map[string]*Tensor{"p": index(0)}, nodes: []string{
		"SequenceAt in p -> x", "Relu x -> y", "SequenceConstruct a -> s", "SequenceErase s b -> s2", "SequenceAt s2 p -> z", "SequenceAt s p -> w", "Frob s -> v"}}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, f.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := []OperatorCount{{"Frob", 1, false}, {"Relu", 1, true}, {"SequenceAt", 3, false}, {"SequenceConstruct", 1, true}, {"SequenceErase", 1, false}}; !slices.Equal(got.Operators, want) {
		t.Errorf("operators %v", got.Operators)
	}
	if len(got.Unsupported) != 3 || !strings.Contains(got.Unsupported[0], `"in"`) || !strings.Contains(got.Unsupported[1], `"b"`) || !strings.Contains(got.Unsupported[2], "Frob") {
		t.Errorf("unsupported %q", got.Unsupported)
	}
	if s := got.Inputs[2].String(); s != "in: sequence" {
		t.Errorf("input %s", s)
	}
}
