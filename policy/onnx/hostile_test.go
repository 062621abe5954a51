package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRefused: each bad file is one sentence that names what is wrong.
func TestRefused(t *testing.T) {
	one := floats([]float32{1}, 1)
	good := func() *file {
		return &file{opset: 17, nodes: []string{"Relu a -> y"}, inputs: []*Tensor{one}, outputs: []string{"y"}}
	}
	if _, err := Decode(good().bytes()); err != nil {
		t.Fatal(err)
	}
	with := func(change func(f *file)) []byte {
		f := good()
		change(f)
		return f.bytes()
	}
	wrongSize := floats([]float32{1, 2}, 2)
	wrongSize.Shape = []int{3}
	huge := floats([]float32{1}, 1)
	huge.Shape = []int{1 << 31, 1 << 31, 1 << 31}
	kind := floats([]float32{1}, 1)
	kind.Type = 14
	for _, tc := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "holds no graph"},
		{"truncated", good().bytes()[:40], "damaged"},
		{"noise", []byte("solid teapot"), "protobuf"},
		{"cycle", with(func(f *file) { f.nodes = []string{"Add a z -> y", "Relu y -> z"} }), "cycle"},
		{"reads itself", with(func(f *file) { f.nodes = []string{"Add a y -> y"} }), "cycle"},
		{"made twice", with(func(f *file) { f.nodes = []string{"Relu a -> y", "Abs a -> y"} }), "made twice"},
		{"made twice by one", with(func(f *file) { f.nodes = []string{"Split a -> y y"} }), "made twice"},
		{"overwrites an input", with(func(f *file) { f.nodes = []string{"Relu a -> a"} }), "made twice"},
		{"reads nothing", with(func(f *file) { f.nodes = []string{"Add a q -> y"} }), `"q", which nothing makes`},
		{"no outputs", with(func(f *file) { f.outputs = nil }), "model: not a readable ONNX model: it has no outputs"},
		{"no output", with(func(f *file) { f.outputs = []string{"q"} }), `"q" is made by nothing`},
		{"unknown operator", with(func(f *file) { f.nodes = []string{"Frob a -> y"} }),
			`the node that makes "y" (Frob): unsupported operator Frob of domain ai.onnx, opset 17`},
		{"operator with a line break", with(func(f *file) { f.nodes = []string{"Fr\u0001b a -> y"} }), `unsupported operator "Fr\x01b" of`},
		{"unknown domain", with(func(f *file) { f.domain = "com.example" }), "unsupported operator Relu of domain com.example, opset 17"},
		{"old opset", with(func(f *file) { f.opset = 5 }), "supported from opset 6 on"},
		{"opset of the future", with(func(f *file) { f.opset = 999 }), "opset 999"},
		{"input left out", with(func(f *file) { f.nodes = []string{"Add a _ -> y"} }), "has 1 inputs"},
		{"first input left out", with(func(f *file) { f.nodes = []string{"Add _ a -> y"} }), "lacks input 0"},
		{"wrong size", with(func(f *file) { f.initializers = map[string]*Tensor{"w": wrongSize} }), "3 elements of float32 need 12"},
		{"huge dimensions", with(func(f *file) { f.initializers = map[string]*Tensor{"w": huge} }), "too large"},
		{"type", with(func(f *file) { f.initializers = map[string]*Tensor{"w": kind} }), "complex64, which is not supported"},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			_, err := Decode(tc.file)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, expected a sentence with %q", err, tc.want)
			}
		})
	}
}

// TestLenient: a graph without nodes hands its inputs on, and a negative
// dimension is an open one.
func TestLenient(t *testing.T) {
	x := floats([]float32{1, 2}, 2)
	f := &file{opset: 17, inputs: []*Tensor{{Type: Float32, Shape: []int{-1}}}, outputs: []string{"a"}}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if m.Inputs[0].String() != "a: float32[?]" {
		t.Errorf("input %v", m.Inputs[0])
	}
	y, err := m.Run(map[string]*Tensor{"a": x})
	if err != nil || &y[0].data[0] == &x.data[0] {
		t.Fatalf("%v, or the result is the caller's own input", err)
	}
	if err := near(y[0], x); err != nil {
		t.Error(err)
	}
}

// TestLimits: a small file cannot ask for much memory, at load or in a run.
func TestLimits(t *testing.T) {
	for _, f := range []*file{
		{opset: 17, nodes: []string{"ConstantOfShape s -> y"}, initializers: map[string]*Tensor{"s": ints(1<<20, 1<<19)}, outputs: []string{"y"}},
		{opset: 17, nodes: []string{"Expand a s -> y"}, inputs: []*Tensor{floats([]float32{1}, 1)}, initializers: map[string]*Tensor{"s": ints(1<<20, 1<<19)}, outputs: []string{"y"}},
		{opset: 17, nodes: []string{"Tile a s -> y"}, inputs: []*Tensor{floats([]float32{1}, 1)}, initializers: map[string]*Tensor{"s": ints(1 << 40)}, outputs: []string{"y"}},
		{opset: 17, nodes: []string{"Range a b c -> y"}, inputs: []*Tensor{scalar(0), scalar(1e30), scalar(1)}, outputs: []string{"y"}},
		{opset: 17, nodes: []string{"Pad a p -> y"}, inputs: []*Tensor{floats([]float32{1}, 1)}, initializers: map[string]*Tensor{"p": ints(1<<39, 1<<62)}, outputs: []string{"y"}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatalf("%s: %v", f.nodes[0], err)
		}
		_, err = m.Run(f.feed())
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", f.nodes[0])
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
			t.Errorf("%s took %d bytes before it was refused", f.nodes[0], taken)
		}
	}
	f := &file{opset: 17, nodes: []string{"Expand a s -> y"}, inputs: []*Tensor{floats([]float32{1}, 1)}, initializers: map[string]*Tensor{"s": ints(1 << 20)}, outputs: []string{"y"}}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	m.SetLimit(1 << 20)
	if _, err := m.Run(map[string]*Tensor{"a": f.inputs[0]}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
}

// TestLoadIsShort: constants that take long to compute are left for the run.
func TestLoadIsShort(t *testing.T) {
	big := map[string]*Tensor{"s": ints(1 << 19), "sq": ints(1, 1, 1<<21)}
	for _, node := range []string{"Einsum v v -> y", "MaxPool w -> y"} {
		f := &file{opset: 17, nodes: []string{"ConstantOfShape s -> v", "ConstantOfShape sq -> w", node}, initializers: big, outputs: []string{"y"},
			attrs: map[string]map[string]any{"Einsum": {"equation": "i,j->"}, "MaxPool": {"kernel_shape": []int{1 << 20}}}}
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if m.Steps() != 1 {
			t.Errorf("%s: %d nodes are left, expected 1", node, m.Steps())
		}
	}
}

// TestFoldingHasOneBudget: many constants that take a little each are left for
// the run as well, and what is small is computed still.
func TestFoldingHasOneBudget(t *testing.T) {
	for _, node := range []string{"Einsum", "ReduceL2", "Erf", "TopK", "LRN", "Resize"} {
		f := &file{opset: 17, nodes: []string{"Expand one s -> v"}, inputs: []*Tensor{scalar(1)},
			initializers: map[string]*Tensor{"one": floats([]float32{1}, 1, 1, 1), "s": ints(1, 1<<10, 1<<10), "k": ints(1), "size": ints(1, 1<<9, 1<<9)},
			attrs:        map[string]map[string]any{"Einsum": {"equation": "abc->"}, "LRN": {"size": 1}}}
		inputs := map[string]string{"TopK": " v k", "Resize": " v _ _ size"}[node]
		if inputs == "" {
			inputs = " v"
		}
		const n = 50
		for i := range n {
			y := fmt.Sprint("y", i)
			f.nodes, f.outputs = append(f.nodes, node+inputs+" -> "+y), append(f.outputs, y)
		}
		f.nodes, f.outputs = append(f.nodes, "Add k k -> z"), append(f.outputs, "z")
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if m.Steps() < n/3 || m.Steps() == n || m.work.left < 0 {
			t.Errorf("%s: %d of %d nodes are left, and %d of the budget", node, m.Steps(), n, m.work.left)
		}
		if m.constants[m.names.of("z")] == nil {
			t.Errorf("%s: no work was left for the sum of two numbers", node)
		}
	}
}

// TestEmpty: dimensions of zero beside huge ones, and huge padding, take neither
// memory nor time.
func TestEmpty(t *testing.T) {
	none := floats(nil, 1<<38, 0)
	flat := floats(nil, 0, 1, 1<<30)
	for _, f := range []*file{
		{nodes: []string{"Relu a -> y"}, inputs: []*Tensor{none}},
		{nodes: []string{"Softmax a -> y"}, inputs: []*Tensor{none}},
		{nodes: []string{"CumSum a x -> y"}, inputs: []*Tensor{none}, initializers: map[string]*Tensor{"x": ints(1)}},
		{nodes: []string{"Pad a p -> y"}, inputs: []*Tensor{none}, initializers: map[string]*Tensor{"p": ints(0, 0, 0, 0)}},
		{nodes: []string{"Resize a _ s -> y"}, inputs: []*Tensor{none}, initializers: map[string]*Tensor{"s": floats([]float32{2, 1}, 2)}},
		{nodes: []string{"Resize a _ _ s -> y"}, inputs: []*Tensor{scalar(1)}, attrs: map[string]map[string]any{"Resize": {"keep_aspect_ratio_policy": "not_larger"}},
			initializers: map[string]*Tensor{"s": ints()}},
		{nodes: []string{"MaxPool a -> y"}, inputs: []*Tensor{flat}, attrs: map[string]map[string]any{"MaxPool": {"kernel_shape": []int{2}}}},
		{nodes: []string{"MaxPool a -> y"}, inputs: []*Tensor{floats([]float32{1}, 1, 1, 1, 1)},
			attrs: map[string]map[string]any{"MaxPool": {"kernel_shape": []int{1 << 24, 1 << 24}, "pads": []int{1 << 23, 1 << 23, 1 << 23, 1 << 23}}}},
		{nodes: []string{"Conv a w -> y"}, inputs: []*Tensor{flat}, initializers: map[string]*Tensor{"w": floats([]float32{1, 2}, 1, 1, 2)}},
		{nodes: []string{"TopK a k -> y i"}, inputs: []*Tensor{none}, initializers: map[string]*Tensor{"k": ints(0)}},
		{nodes: []string{"Transpose a -> y"}, inputs: []*Tensor{none}},
	} {
		f.opset, f.open, f.outputs = 18, true, []string{"y"}
		if y := f.run(t)[0]; y.Len() > 4 {
			t.Errorf("%s gives %v", f.nodes[0], y)
		}
	}
}

func scalar(v float32) *Tensor { return floats([]float32{v}) }

// TestExternalData: weights beside the model are read, from its folder only.
func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	w := floats([]float32{1, 2, 3}, 3)
	model := func(location, offset, length string) string {
		entry := func(k, v string) []byte { return appendText(appendText(nil, 1, k), 2, v) }
		tensor := appendText(appendInt(appendInt(nil, 1, 3), 2, int64(Float32)), 8, "w")
		for _, kv := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
			tensor = appendMessage(tensor, 13, entry(kv[0], kv[1]))
		}
		tensor = appendInt(tensor, 14, 1)
		f := &file{opset: 17, nodes: []string{"Add a w -> y"}, inputs: []*Tensor{w}, outputs: []string{"y"}}
		f.more = appendMessage(nil, 5, tensor)
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, f.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), append([]byte("0123"), w.data...), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Open(model("w.bin", "4", "12"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Run(map[string]*Tensor{"a": w})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := near(out[0], floats([]float32{2, 4, 6}, 3)); err != nil {
		t.Error(err)
	}
	if info, err := Inspect(model("w.bin", "4", "12")); err != nil || !slices.Equal(info.External, []string{"w.bin"}) || info.Parameters[0].Bytes != 12 {
		t.Errorf("inspected: %+v, %v", info, err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][4]string{
		{"pipe", "0", "12", "not a regular file"}, {"../w.bin", "4", "12", "outside"}, {"/etc/passwd", "0", "12", "outside"}, {"w.bin", "8", "12", "which has 16"},
		{"w.bin", "9223372036854775807", "12", "which has 16"}, {"w.bin", "-4", "12", "not a count"}, {"w.bin", "0", "16", "need 12"},
		{"gone.bin", "0", "12", "no such file"}, {".", "0", "12", "not a regular file"},
	} {
		if _, err := Open(model(bad[0], bad[1], bad[2])); err == nil || !strings.Contains(err.Error(), bad[3]) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestInputs: a run says which input does not fit.
func TestInputs(t *testing.T) {
	f := &file{opset: 17, nodes: []string{"Relu a -> y"}, inputs: []*Tensor{floats([]float32{1, 2}, 2)}, outputs: []string{"y"}}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []*Tensor{nil, ints(1, 2), floats([]float32{1, 2, 3}, 3)} {
		if _, err := m.Run(map[string]*Tensor{"a": in}); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "a: float32[2]") {
			t.Errorf("%v: %v", in, err)
		}
	}
}
