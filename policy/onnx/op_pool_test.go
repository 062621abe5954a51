package onnx

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMaxPool: images without indices, which go row by row, give what those with
// indices give window by window.
func TestMaxPool(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		image := random(r, 1+r.IntN(2), 1+r.IntN(3), 1+r.IntN(20), 1+r.IntN(40))
		attrs := map[string]any{"ceil_mode": r.IntN(2)}
		var kernel, strides, dilations, pads []int
		for range 2 {
			k := 1 + r.IntN(4)
			kernel, strides, dilations = append(kernel, k), append(strides, 1+r.IntN(6)), append(dilations, 1+r.IntN(3))
		}
		for i := range 4 {
			pads = append(pads, r.IntN(kernel[i%2]))
		}
		attrs["kernel_shape"], attrs["strides"], attrs["dilations"], attrs["pads"] = kernel, strides, dilations, pads
		label := fmt.Sprint(image, attrs)
		run := func(node string, outputs ...string) *Tensor {
			f := &file{opset: 13, nodes: []string{node}, inputs: []*Tensor{image}, outputs: outputs, attrs: map[string]map[string]any{"MaxPool": attrs}}
			m, err := Decode(f.bytes())
			if err != nil {
				t.Fatal(label, err)
			}
			y, err := m.Run(f.feed())
			if err != nil { // a kernel that does not fit
				return nil
			}
			return y[0]
		}
		rows, windows := run("MaxPool a -> y", "y"), run("MaxPool a -> y i", "y", "i")
		if (rows == nil) != (windows == nil) || rows != nil && !slices.Equal(Data[float32](rows), Data[float32](windows)) {
			t.Errorf("%s: %v, expected %v", label, rows, windows)
		}
	}
}
