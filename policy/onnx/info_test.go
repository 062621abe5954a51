package onnx

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestInfo(t *testing.T) {
	f := &file{opset: 17, nodes: []string{"Relu a -> b", "Abs b -> y"}, inputs: []*Tensor{floats([]float32{-2, 1}, 2)}, outputs: []string{"y"}}
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"Relu": 1, "Abs": 1}; !maps.Equal(m.Operators(), want) || m.Steps() != 2 {
		t.Errorf("operators %v in %d steps", m.Operators(), m.Steps())
	}
	var seen []string
	m.Trace = func(s Step) { seen = append(seen, s.Op, s.Results[0].String()) }
	if _, err := m.Run(f.feed()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Relu", "float32[2]", "Abs", "float32[2]"}; !slices.Equal(seen, want) {
		t.Errorf("traced %v", seen)
	}
}

func TestUnsupported(t *testing.T) {
	f := &file{opset: 17, nodes: []string{"Frob a -> b", "Relu b -> c", "Gelu c -> y"}, inputs: []*Tensor{scalar(1)}, outputs: []string{"y"}}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, f.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Unsupported(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`the node that makes "b" (Frob): unsupported operator Frob of domain ai.onnx, opset 17`,
		`the node that makes "y" (Gelu): unsupported operator Gelu of domain ai.onnx, opset 17; it is supported from opset 20 on`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
