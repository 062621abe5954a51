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

// TestPoolCeil: with ceil_mode a map that is smaller than the kernel has one
// window, over what there is, as PyTorch's pooling says; without it has none.
func TestPoolCeil(t *testing.T) {
	image := func(data []float32, h, w int) *Tensor {
		x, err := New(Float32, data, 1, 1, h, w)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	small, long := image([]float32{1, 4, 3, 2}, 2, 2), image([]float32{1, 2, 3, 4, 8, 1, 2, 3, 4, 8}, 2, 5)
	for _, c := range []struct {
		op, shape string
		image     *Tensor
		ceil      int
		want      []float32 // nil: refused
	}{
		{"MaxPool", "2x2", small, 1, []float32{4}},
		{"AveragePool", "2x2", small, 1, []float32{2.5}},
		{"AveragePool", "2x5", long, 1, []float32{2, 5}},
		{"MaxPool", "2x2", small, 0, nil},
	} {
		f := &file{opset: 13, nodes: []string{c.op + " a -> y"}, inputs: []*Tensor{c.image}, outputs: []string{"y"},
			attrs: map[string]map[string]any{c.op: {"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "ceil_mode": c.ceil}}}
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		y, err := m.Run(f.feed())
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%s of %s without ceil_mode gives %v", c.op, c.shape, y[0])
		case c.want != nil && (err != nil || !slices.Equal(Data[float32](y[0]), c.want)):
			t.Errorf("%s of %s: %v, error %v, want %v", c.op, c.shape, y, err, c.want)
		}
	}
}
