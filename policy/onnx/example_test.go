package onnx

import (
	"fmt"
	"os"
	"path/filepath"
)

// A model of one operator, as a file holds it, run twice.
func ExampleModel_Run() {
	data := (&file{opset: 17, nodes: []string{"Softmax a -> y"}, inputs: []*Tensor{floats([]float32{0, 0}, 1, 2)}, open: true, outputs: []string{"y"}}).bytes()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "softmax.onnx")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		fmt.Println(err)
		return
	}
	m, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	fmt.Println("in:", m.Inputs[0])
	for _, x := range [][]float32{{0, 0}, {1, 1, 1, 1}} {
		in, err := New(Float32, x, 1, len(x))
		if err != nil {
			fmt.Println(err)
			return
		}
		out, err := m.Run(map[string]*Tensor{"a": in})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(out[0], Data[float32](out[0]))
	}
	// Output:
	// in: a: float32[n0 n1]
	// float32[1 2] [0.5 0.5]
	// float32[1 4] [0.25 0.25 0.25 0.25]
}
