package onnx

import (
	"strings"
	"testing"
)

// TestOpsets pins operators where an opset changed what they mean; the node
// tests hold each operator's newest form only.
func TestOpsets(t *testing.T) {
	six := floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	cube := floats([]float32{0, 1, 2, 3, 0, 0, 0, 0}, 1, 2, 2, 2)
	for _, tc := range []struct {
		name  string
		opset int
		node  string
		in    *Tensor
		attrs map[string]any
		init  map[string]*Tensor
		want  *Tensor
	}{
		{"softmax joins axes", 11, "Softmax a -> y", floats([]float32{0, 0, 0, 0}, 1, 2, 2), nil, nil,
			floats([]float32{0.25, 0.25, 0.25, 0.25}, 1, 2, 2)},
		{"softmax along the last axis", 13, "Softmax a -> y", floats([]float32{0, 0, 0, 0}, 1, 2, 2), nil, nil,
			floats([]float32{0.5, 0.5, 0.5, 0.5}, 1, 2, 2)},
		{"clip by attributes", 6, "Clip a -> y", six, map[string]any{"min": 2.0, "max": 5.0}, nil,
			floats([]float32{2, 2, 3, 4, 5, 5}, 2, 3)},
		{"clip by inputs", 11, "Clip a lo -> y", six, nil, map[string]*Tensor{"lo": floats([]float32{3})},
			floats([]float32{3, 3, 3, 4, 5, 6}, 2, 3)},
		{"clip without the lower bound", 13, "Clip a _ hi -> y", six, nil, map[string]*Tensor{"hi": floats([]float32{3})},
			floats([]float32{1, 2, 3, 3, 3, 3}, 2, 3)},
		{"sum over an attribute's axes", 11, "ReduceSum a -> y", six, map[string]any{"axes": []int{1}, "keepdims": 0}, nil,
			floats([]float32{6, 15}, 2)},
		{"sum over an input's axes", 13, "ReduceSum a ax -> y", six, map[string]any{"keepdims": 0}, map[string]*Tensor{"ax": ints(0)},
			floats([]float32{5, 7, 9}, 3)},
		{"mean over an attribute's axes", 17, "ReduceMean a -> y", six, map[string]any{"axes": []int{-1}}, nil,
			floats([]float32{2, 5}, 2, 1)},
		{"slice by attributes", 9, "Slice a -> y", six, map[string]any{"starts": []int{1}, "ends": []int{9}, "axes": []int{1}}, nil,
			floats([]float32{2, 3, 5, 6}, 2, 2)},
		{"slice backwards", 10, "Slice a s e ax st -> y", six, nil,
			map[string]*Tensor{"s": ints(-1), "e": ints(-9), "ax": ints(1), "st": ints(-2)},
			floats([]float32{3, 1, 6, 4}, 2, 2)},
		{"pad by attributes", 10, "Pad a -> y", floats([]float32{1, 2}, 2), map[string]any{"pads": []int{1, 2}, "value": 7.0}, nil,
			floats([]float32{7, 1, 2, 7, 7}, 5)},
		{"pad by inputs", 11, "Pad a p v -> y", floats([]float32{1, 2}, 2), nil,
			map[string]*Tensor{"p": ints(0, 1), "v": floats([]float32{9}, 1)}, floats([]float32{1, 2, 9}, 3)},
		{"squeeze by an attribute", 11, "Squeeze a -> y", floats([]float32{1, 2}, 1, 2, 1), map[string]any{"axes": []int{0}}, nil,
			floats([]float32{1, 2}, 2, 1)},
		{"squeeze by an input", 13, "Squeeze a ax -> y", floats([]float32{1, 2}, 1, 2, 1), nil, map[string]*Tensor{"ax": ints(-1)},
			floats([]float32{1, 2}, 1, 2)},
		{"unsqueeze by an attribute", 11, "Unsqueeze a -> y", floats([]float32{1, 2}, 2), map[string]any{"axes": []int{0, 2}}, nil,
			floats([]float32{1, 2}, 1, 2, 1)},
		{"split by an attribute", 11, "Split a -> y z", six, map[string]any{"split": []int{1, 2}, "axis": 1}, nil,
			floats([]float32{1, 4}, 2, 1)},
		{"top by an attribute", 9, "TopK a -> y i", six, map[string]any{"k": 2}, nil, floats([]float32{3, 2, 6, 5}, 2, 2)},
		{"dropout keeps all", 10, "Dropout a -> y", six, map[string]any{"ratio": 0.9}, nil, six},
		{"resize of opset 10", 10, "Resize a s -> y", floats([]float32{1, 2}, 1, 1, 1, 2), nil,
			map[string]*Tensor{"s": floats([]float32{1, 1, 1, 2}, 4)}, floats([]float32{1, 1, 2, 2}, 1, 1, 1, 4)},
		{"upsample by an attribute", 7, "Upsample a -> y", floats([]float32{1, 2}, 1, 1, 1, 2),
			map[string]any{"mode": "linear", "scales": []float64{1, 1, 1, 2}}, nil, floats([]float32{1, 1.5, 2, 2}, 1, 1, 1, 4)},
		{"batch norm in training's form", 7, "BatchNormalization a g b m v -> y", cube, map[string]any{"epsilon": 0.0},
			map[string]*Tensor{"g": floats([]float32{2, 1}, 2), "b": floats([]float32{1, 0}, 2), "m": floats([]float32{1, 0}, 2), "v": floats([]float32{4, 1}, 2)},
			floats([]float32{0, 1, 2, 3, 0, 0, 0, 0}, 1, 2, 2, 2)},
		{"addition of opset 6", 6, "Add a b -> y", floats([]float32{1, 2, 3, 4}, 2, 2), map[string]any{"broadcast": 1, "axis": 0},
			map[string]*Tensor{"b": floats([]float32{10, 20}, 2)}, floats([]float32{11, 12, 23, 24}, 2, 2)},
		{"group norm per group", 18, "GroupNormalization a g b -> y", floats([]float32{-1, 1, -2, 2}, 1, 4),
			map[string]any{"num_groups": 2, "epsilon": 0.0},
			map[string]*Tensor{"g": floats([]float32{1, 3}, 2), "b": floats([]float32{0, 1}, 2)}, floats([]float32{-1, 1, -2, 4}, 1, 4)},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			op, _, _ := strings.Cut(tc.node, " ")
			f := &file{opset: tc.opset, nodes: []string{tc.node}, attrs: map[string]map[string]any{op: tc.attrs},
				inputs: []*Tensor{tc.in}, initializers: tc.init, outputs: []string{"y"}}
			if err := near(f.run(t)[0], tc.want); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIntegersAreExact: what float64 cannot hold stays right.
func TestIntegersAreExact(t *testing.T) {
	f := &file{opset: 13, nodes: []string{"ReduceSum a -> y", "ReduceMax a -> z"}, attrs: map[string]map[string]any{"ReduceSum": {"keepdims": 0}, "ReduceMax": {"keepdims": 0}},
		inputs: []*Tensor{ints(1<<53, 1, 1<<60+1)}, outputs: []string{"y", "z"}}
	out := f.run(t)
	if y, z := Data[int64](out[0])[0], Data[int64](out[1])[0]; y != 1<<60+1<<53+2 || z != 1<<60+1 {
		t.Errorf("sum %d, max %d", y, z)
	}
}

// TestHalf: half precision is stored, computed in float32 and rounded once.
func TestHalf(t *testing.T) {
	for _, kind := range []Type{Float16, BFloat16} {
		x := &Tensor{Type: kind, Shape: []int{3}, data: alignedBytes(6)}
		if err := castInto(x, floats([]float32{0.5, -3, 1000}, 3)); err != nil {
			t.Fatal(err)
		}
		f := &file{opset: 17, nodes: []string{"Exp a -> e", "Log e -> l", "Mul l a -> y"}, inputs: []*Tensor{x}, outputs: []string{"y"}}
		y := f.run(t)[0]
		if y.Type != kind {
			t.Fatalf("%v comes out as %v", kind, y)
		}
		got := toFloat64(y)
		if d := got[1] - 9; d > 0.1 || d < -0.1 {
			t.Errorf("%v: -3 squared is %v", kind, got[1])
		}
	}
	for bits := range 1 << 16 { // every value there and back
		h := uint16(bits)
		if v := FromFloat16(h); v == v && ToFloat16(v) != h {
			t.Fatalf("float16 %#04x becomes %#04x", h, ToFloat16(v))
		}
		if v := fromBFloat16(h); v == v && toBFloat16(v) != h {
			t.Fatalf("bfloat16 %#04x becomes %#04x", h, toBFloat16(v))
		}
	}
}
