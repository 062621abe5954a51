package onnx

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func scaledSum() *File {
	return &File{
		Producer: "test", ProducerVersion: "1", Domain: "org.example", Version: 3, Doc: "a model", Opset: 17, Graph: "sum",
		Metadata: map[string]string{"b": "2", "a": "1"},
		Nodes: []NodeDef{
			{Name: "first", Op: "Mul", Inputs: []string{"x", "two"}, Outputs: []string{"y"}},
			{Name: "second", Op: "ReduceSum", Inputs: []string{"y", "axes"}, Outputs: []string{"z"}, Attrs: map[string]any{"keepdims": 0}},
		},
		Inputs:       []Value{{Name: "x", Type: Float32, Dims: []Dim{{Symbol: "rows"}, {Size: 3}}}},
		Outputs:      []Value{{Name: "z", Type: Float32, Dims: []Dim{{Symbol: "rows"}}}},
		Docs:         map[string]string{"x": "numbers"},
		Initializers: []NamedTensor{{"two", floats([]float32{2})}, {"axes", ints(1)}},
	}
}

// TestFileBytes: what is written is read again, means the same, and has the
// same bytes each time.
func TestFileBytes(t *testing.T) {
	f := scaledSum()
	data, err := f.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := scaledSum().Bytes(); err != nil || !bytes.Equal(data, again) {
		t.Errorf("the second time other bytes, %v", err)
	}
	m, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Producer != "test 1" || m.Opsets[""] != 17 || m.Inputs[0].String() != f.Inputs[0].String() || m.Outputs[0].String() != f.Outputs[0].String() {
		t.Errorf("%q, opsets %v, inputs %v, outputs %v", m.Producer, m.Opsets, m.Inputs, m.Outputs)
	}
	out, err := m.Run(map[string]*Tensor{"x": floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if got := Data[float32](out[0]); !slices.Equal(got, []float32{12, 30}) || !slices.Equal(out[0].Shape, []int{2}) {
		t.Errorf("%v", out[0])
	}
	for _, text := range []string{"org.example", "a model", "numbers", "first", "rows"} {
		if !bytes.Contains(data, []byte(text)) {
			t.Errorf("%q is not in the file", text)
		}
	}
}

func TestFileTooLarge(t *testing.T) {
	f := scaledSum()
	big := floats(make([]float32, 1<<28), 1<<28) // not touched
	f.Initializers = append(f.Initializers, NamedTensor{"a", big}, NamedTensor{"b", big})
	if _, err := f.Bytes(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2 GiB of weights: %v", err)
	}
}
