package onnx

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzFront feeds the front and onnx-go with damaged files.
func FuzzFront(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := readProto(b); err == nil {
			p.operators()
		}
		m, err := Decode(b)
		if err != nil && (strings.Contains(err.Error(), "\n") || err.Error() == "") {
			t.Errorf("the error is not a sentence: %q", err)
		}
		if err == nil && len(m.outputIDs) == 0 {
			t.Error("a model without outputs was taken")
		}
	})
}

// FuzzRun runs whatever decodes, with inputs as the file describes them.
func FuzzRun(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b, uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, fill uint8) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		m.SetLimit(1 << 20)
		in := map[string]*Tensor{}
		for _, v := range m.Inputs {
			x := &Tensor{Type: v.Type}
			for _, d := range v.Dims {
				if d.Symbol != "" {
					d.Size = int(fill % 4)
				}
				x.Shape = append(x.Shape, d.Size)
			}
			n, err := volume(x.Shape)
			if err != nil || n > 1<<12 || v.Type.Size() == 0 && v.Type != String {
				return
			}
			if v.Type == String {
				in[v.Name] = must(NewStrings(slices.Repeat([]string{"a", "B c"}, n)[:n], x.Shape...))
				continue
			}
			x.data = alignedBytes(n * v.Type.Size())
			for i := range x.data {
				if i%v.Type.Size() == 0 {
					x.data[i] = byte(i) % (fill%16 + 1)
				}
			}
			if v.Type == Bool {
				for i := range x.data {
					x.data[i] &= 1
				}
			}
			in[v.Name] = x
		}
		dims := map[string]int{}
		for _, v := range m.Inputs {
			for _, d := range v.Dims {
				dims[d.Symbol] = int(fill % 4)
			}
		}
		for i := range 3 { // the second run finds the memory of the first
			if i == 2 && m.Fix(dims) != nil {
				return
			}
			if _, err := m.Run(in); err != nil {
				return
			}
		}
	})
}

// seeds are small models of our own and, where they are at hand, those of the
// node tests that pass.
func seeds(f *testing.F) [][]byte {
	image := floats(make([]float32, 1*2*4*4), 1, 2, 4, 4)
	kernel := floats(make([]float32, 2*1*3*3), 2, 1, 3, 3)
	list := [][]byte{
		(&file{opset: 17, nodes: []string{"Conv a w -> c", "Relu c -> r", "MaxPool r -> y"}, inputs: []*Tensor{image},
			attrs:        map[string]map[string]any{"Conv": {"group": 2, "pads": []int{1, 1, 1, 1}}, "MaxPool": {"kernel_shape": []int{2, 2}}},
			initializers: map[string]*Tensor{"w": kernel}, outputs: []string{"y"}}).bytes(),
		(&file{opset: 17, nodes: []string{"Shape a -> s", "Gather s i -> d", "Unsqueeze d z -> u", "Concat u m -> t", "Reshape a t -> r", "Softmax r -> y"},
			attrs: map[string]map[string]any{"Concat": {"axis": 0}}, inputs: []*Tensor{image}, open: true,
			initializers: map[string]*Tensor{"i": must(New(Int64, []int64{0})), "z": ints(0), "m": ints(-1)}, outputs: []string{"y"}}).bytes(),
		(&file{opset: 13, nodes: []string{"SplitToSequence a k -> s", "SequenceEmpty -> e", "SequenceInsert e a -> e2", "SequenceInsert e2 w p -> e3", "SequenceErase e3 p -> e4",
			"Identity s -> s2", "SequenceLength s2 -> n", "SequenceAt s p -> x", "SequenceConstruct x x -> t", "ConcatFromSequence t -> y", "SequenceAt e4 p -> z"},
			attrs: map[string]map[string]any{"s": {"axis": 2}, "y": {"axis": -1, "new_axis": 1}}, inputs: []*Tensor{image},
			initializers: map[string]*Tensor{"k": index(3), "w": kernel, "p": index(-1)}, outputs: []string{"y", "z", "n"}}).bytes(),
		(&file{opset: 20, nodes: []string{"StringNormalizer a -> n", "StringConcat n k -> c", "Gather c i -> g", "Equal g k -> e", "Where e g k -> w", "StringSplit w -> y l", "RegexFullMatch c -> m"},
			attrs: map[string]map[string]any{"n": {"case_change_action": "UPPER", "stopwords": []string{"a"}}, "m": {"pattern": "[A-Z ]+k"}}, inputs: []*Tensor{words("a b")}, open: true,
			initializers: map[string]*Tensor{"k": words("k"), "i": ints(0, 0)}, outputs: []string{"y", "l", "m"}}).bytes(),
	}
	for _, c := range []string{"MatMul of vectors", "Gemm transposed", "Pow of many", "ReduceMean", "shapes", "a small network"} {
		f := slopeCases[c].file(rand.New(rand.NewPCG(7, 1)))
		list = append(list, f.bytes())
	}
	for _, name := range sharedArchives {
		path := filepath.Join("..", "..", "..", "shared", "data", "onnx", name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		for _, files := range readArchive(f, path) {
			if b := files["model.onnx"]; len(b) > 0 && len(b) < 4096 {
				if _, err := Decode(b); err == nil {
					list = append(list, b)
				}
			}
		}
	}
	return list
}
