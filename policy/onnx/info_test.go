package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestTrace(t *testing.T) {
	f := &file{opset: 17, nodes: []string{"Relu a -> b", "Abs b -> y"}, inputs: []*Tensor{floats([]float32{-2, 1}, 2)}, outputs: []string{"y"}}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if m.Steps() != 2 {
		t.Errorf("%d steps", m.Steps())
	}
	var seen []string
	m.Trace = func(s Step) error { seen = append(seen, s.Op, s.Results[0].String()); return nil }
	if _, err := m.Run(f.feed()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Relu", "float32[2]", "Abs", "float32[2]"}; !slices.Equal(seen, want) {
		t.Errorf("traced %v", seen)
	}
	stop := errors.New("enough")
	m.Trace = func(s Step) error { seen = append(seen, s.Op); return stop }
	if _, err := m.Run(f.feed()); !errors.Is(err, stop) || len(seen) != 5 {
		t.Errorf("after an error: %v, traced %v", err, seen)
	}
}

// TestInspect: a model that cannot run is described too. Tensors of Constant nodes
// are parameters.
func TestInspect(t *testing.T) {
	f := &file{opset: 17, attrs: map[string]map[string]any{"Constant": {"value": floats(make([]float32, 4), 4)}, "Frob": {"value": scalar(1)}},
		nodes: []string{"Constant -> k", "Frob a -> b", "Relu b -> c", "Relu c -> d", "Gelu d -> y"}, inputs: []*Tensor{scalar(1)}, outputs: []string{"y"},
		initializers: map[string]*Tensor{"w": floats(make([]float32, 6), 2, 3), "v": floats(make([]float32, 2), 2), "i": ints(1, 2, 3)}}
	b := f.bytes()
	b = appendText(appendText(b, 2, "maker"), 3, "1.2")
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &Info{
		Producer: "maker 1.2", Opsets: map[string]int64{"": 17}, Inputs: got.Inputs, Outputs: got.Outputs, Nodes: 5,
		Operators: []OperatorCount{{"Constant", 1, true}, {"Frob", 1, false}, {"Gelu", 1, false}, {"Relu", 2, true}},
		Unsupported: []string{
			`the node that makes "b" (Frob): unsupported operator Frob of domain ai.onnx, opset 17`,
			`the node that makes "y" (Gelu): unsupported operator Gelu of domain ai.onnx, opset 17; it is supported from opset 20 on`,
		},
		Parameters: []ParameterCount{{Float32, 3, 12, 48}, {Int64, 1, 3, 24}},
		External:   got.External,
	}
	if !reflect.DeepEqual(got, want) || len(got.Inputs) != 1 || len(got.Outputs) != 1 || len(got.External) != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestInspectHostile: dimensions that no file holds are refused, not summed up.
func TestInspectHostile(t *testing.T) {
	huge := appendText(appendInt(appendInt(nil, 1, 1<<40), 2, 1), 8, "w")
	for name, b := range map[string][]byte{
		"one tensor":  appendMessage(nil, 5, appendInt(huge, 1, 2)),
		"no protobuf": []byte("\xff\xff\xff"),
		"all":         slices.Repeat(appendMessage(nil, 5, huge), 2),
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), b), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(path); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
