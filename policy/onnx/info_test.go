package onnx

import (
	"bytes"
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

// TestRefusedCasts: types that are not there are refused at load, and listed.
func TestRefusedCasts(t *testing.T) {
	const float8 = 19
	f := &file{opset: 17, nodes: []string{"Cast a -> x", "Cast a -> y", "CastLike a b -> z", "Cast a -> v", "Cast b -> w"}, outputs: []string{"x"},
		inputs: []*Tensor{scalar(1), {Type: float8, Shape: []int{}}},
		attrs:  map[string]map[string]any{"x": {"to": int(Int32)}, "y": {"to": int(String)}, "v": {"to": float8}, "w": {"to": 1 << 40}}}
	const want = `the node that makes "y" (Cast): unsupported operator Cast of domain ai.onnx, opset 17; it is to give string, which is not supported here`
	if _, err := Decode(f.bytes()); !errors.Is(err, ErrUnsupported) || err.Error() != "model: "+want {
		t.Errorf("got %v", err)
	}
	p, err := readProto(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	list, why := p.operators()
	if len(why) != 4 || why[0] != want || list[0].Supported || list[1].Supported {
		t.Errorf("%v, %q", list, why)
	}
}

// TestNoOpset: a domain that the file does not import has no opset.
func TestNoOpset(t *testing.T) {
	f := &file{opset: 17, domain: "made.here", nodes: []string{"Relu a -> y"}, inputs: []*Tensor{scalar(1)}, outputs: []string{"y"}}
	b := f.bytes()
	copy(b[bytes.LastIndex(b, []byte("made.here")):], "made.else")
	if _, err := Decode(b); !errors.Is(err, ErrUnsupported) || !strings.HasSuffix(err.Error(), "Relu of domain made.here, of which the file imports no opset") {
		t.Error(err)
	}
}
