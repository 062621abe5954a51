package onnx

import "fmt"

// A model of one operator, as a file holds it, run twice.
func ExampleModel_Run() {
	data := (&file{opset: 17, nodes: []string{"Softmax a -> y"}, inputs: []*Tensor{floats([]float32{0, 0}, 1, 2)}, open: true, outputs: []string{"y"}}).bytes()
	m, err := Decode(data) // or Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
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
