package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// network grows a model node by node, with random weights of a fixed seed.
type network struct {
	file
	random *rand.Rand
	count  int
}

func newNetwork(opset int) *network {
	return &network{file: file{opset: opset, attrs: map[string]map[string]any{}, initializers: map[string]*Tensor{}}, random: rand.New(rand.NewPCG(1, 2))}
}

func (n *network) name() string { n.count++; return fmt.Sprint("v", n.count) }

// add appends a node and returns its output.
func (n *network) add(op string, attrs map[string]any, inputs ...string) string {
	out := n.name()
	line := op
	for _, s := range inputs {
		line += " " + s
	}
	n.nodes = append(n.nodes, line+" -> "+out)
	n.attrs[out] = attrs
	return out
}

// weight is a random tensor of variance 1/fan.
func (n *network) weight(fan int, shape ...int) string {
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = float32(n.random.NormFloat64() / math.Sqrt(float64(fan)))
	}
	return n.keep(floats(v, shape...))
}

// positive is a random tensor of numbers around 1.
func (n *network) positive(shape ...int) string {
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = 0.75 + n.random.Float32()/2
	}
	return n.keep(floats(v, shape...))
}

func (n *network) keep(t *Tensor) string {
	out := n.name()
	n.initializers[out] = t
	return out
}

func (n *network) linear(x string, in, out int) string {
	return n.add("Add", nil, n.weight(10, out), n.add("MatMul", nil, x, n.weight(in, in, out)))
}

// layerNorm is the decomposed form that exporters write below opset 17.
func (n *network) layerNorm(x string, d int) string {
	if n.opset >= 17 {
		return n.add("LayerNormalization", nil, x, n.positive(d), n.weight(10, d))
	}
	axes := map[string]any{"axes": []int{-1}}
	c := n.add("Sub", nil, x, n.add("ReduceMean", axes, x))
	v := n.add("ReduceMean", axes, n.add("Pow", nil, c, n.keep(floats([]float32{2}))))
	s := n.add("Sqrt", nil, n.add("Add", nil, v, n.keep(floats([]float32{1e-5}))))
	return n.add("Add", nil, n.add("Mul", nil, n.add("Div", nil, c, s), n.positive(d)), n.weight(10, d))
}

// gelu is exact GELU in primitive operators.
func (n *network) gelu(x string) string {
	e := n.add("Erf", nil, n.add("Div", nil, x, n.keep(floats([]float32{math.Sqrt2}))))
	y := n.add("Mul", nil, x, n.add("Add", nil, e, n.keep(floats([]float32{1}))))
	return n.add("Mul", nil, y, n.keep(floats([]float32{0.5})))
}

// attention is multi-head self-attention as PyTorch exports it.
func (n *network) attention(x, mask string, d, heads int) string {
	split := func(x string, perm ...int) string {
		r := n.add("Reshape", nil, n.linear(x, d, d), n.keep(ints(0, -1, int64(heads), int64(d/heads))))
		return n.add("Transpose", map[string]any{"perm": perm}, r)
	}
	q, k, v := split(x, 0, 2, 1, 3), split(x, 0, 2, 3, 1), split(x, 0, 2, 1, 3)
	s := n.add("Div", nil, n.add("MatMul", nil, q, k), n.keep(floats([]float32{float32(math.Sqrt(float64(d / heads)))})))
	if mask != "" {
		s = n.add("Add", nil, s, mask)
	}
	o := n.add("MatMul", nil, n.add("Softmax", map[string]any{"axis": -1}, s), v)
	o = n.add("Reshape", nil, n.add("Transpose", map[string]any{"perm": []int{0, 2, 1, 3}}, o), n.keep(ints(0, -1, int64(d))))
	return n.linear(o, d, d)
}

// vit is a vision transformer on square images.
func vit(opset, size, patch, d, layers, heads int) *network {
	n := newNetwork(opset)
	image := make([]float32, 3*size*size)
	for i := range image {
		image[i] = n.random.Float32()
	}
	n.inputs = []*Tensor{floats(image, 1, 3, size, size)}
	tokens := (size / patch) * (size / patch)
	p := n.add("Conv", map[string]any{"strides": []int{patch, patch}, "kernel_shape": []int{patch, patch}}, "a", n.weight(3*patch*patch, d, 3, patch, patch), n.weight(10, d))
	x := n.add("Transpose", map[string]any{"perm": []int{0, 2, 1}}, n.add("Reshape", nil, p, n.keep(ints(1, int64(d), -1))))
	x = n.add("Add", nil, x, n.weight(10, 1, tokens, d))
	for range layers {
		x = n.add("Add", nil, x, n.attention(n.layerNorm(x, d), "", d, heads))
		h := n.linear(n.gelu(n.linear(n.layerNorm(x, d), d, 4*d)), 4*d, d)
		x = n.add("Add", nil, x, h)
	}
	n.outputs = []string{n.layerNorm(x, d)}
	return n
}

// packed is a vision transformer's block whose queries, keys and values come
// from one product, with the scale on the queries.
func packed(t, d, heads int) *network {
	n := newNetwork(17)
	n.inputs = []*Tensor{n.initializers[n.weight(1, 1, t, d)]}
	hd := d / heads
	r := n.add("Reshape", nil, n.linear("a", d, 3*d), n.keep(ints(0, -1, 3, int64(heads), int64(hd))))
	r = n.add("Transpose", map[string]any{"perm": []int{2, 0, 3, 1, 4}}, r)
	part := func(i int64) string {
		index := ints(i)
		index.Shape = nil
		return n.add("Gather", map[string]any{"axis": 0}, r, n.keep(index))
	}
	q := n.add("Mul", nil, part(0), n.keep(floats([]float32{float32(1 / math.Sqrt(float64(hd)))})))
	k := n.add("Transpose", map[string]any{"perm": []int{0, 1, 3, 2}}, part(1))
	s := n.add("Softmax", map[string]any{"axis": -1}, n.add("MatMul", nil, q, k))
	o := n.add("Transpose", map[string]any{"perm": []int{0, 2, 1, 3}}, n.add("MatMul", nil, s, part(2)))
	n.outputs = []string{n.add("Reshape", nil, o, n.keep(ints(0, -1, int64(d))))}
	return n
}

// bert is a text encoder: token numbers and a mask of those that count.
func bert(t, d, layers, heads int) *network {
	n := newNetwork(13)
	id, mask := make([]int64, t), make([]int64, t)
	for i := range id {
		id[i], mask[i] = int64(n.random.IntN(50)), int64(min(1, t-1-i))
	}
	n.inputs = []*Tensor{must(New(Int64, id, 1, t)), must(New(Int64, mask, 1, t))}
	m := n.add("Cast", map[string]any{"to": int(Float32)}, n.add("Unsqueeze", nil, "b", n.keep(ints(1, 2))))
	m = n.add("Mul", nil, n.add("Sub", nil, n.keep(floats([]float32{1})), m), n.keep(floats([]float32{-1e4})))
	x := n.add("Add", nil, n.add("Gather", nil, n.weight(1, 50, d), "a"), n.weight(10, 1, t, d))
	x = n.layerNorm(x, d)
	for range layers {
		x = n.layerNorm(n.add("Add", nil, n.attention(x, m, d, heads), x), d)
		h := n.linear(n.gelu(n.linear(x, d, 4*d)), 4*d, d)
		x = n.layerNorm(n.add("Add", nil, h, x), d)
	}
	first := n.add("Gather", map[string]any{"axis": 1}, x, n.keep(ints(0)))
	n.outputs = []string{n.add("Tanh", nil, n.linear(first, d, d))}
	return n
}

// mobilenet has inverted residuals with depthwise convolutions.
func mobilenet(size, width int) *network {
	n := newNetwork(13)
	image := make([]float32, 3*size*size)
	for i := range image {
		image[i] = n.random.Float32()
	}
	n.inputs = []*Tensor{floats(image, 1, 3, size, size)}
	conv := func(x string, in, out, k, stride, groups int, clip bool) string {
		p := (k - 1) / 2
		c := n.add("Conv", map[string]any{"strides": []int{stride, stride}, "pads": []int{p, p, p, p}, "group": groups}, x, n.weight(in/groups*k*k, out, in/groups, k, k))
		c = n.add("BatchNormalization", nil, c, n.positive(out), n.weight(10, out), n.weight(10, out), n.positive(out))
		if !clip {
			return c
		}
		return n.add("Clip", nil, c, n.keep(floats([]float32{0})), n.keep(floats([]float32{6})))
	}
	x := conv("a", 3, width, 3, 2, 1, true)
	for block := range 3 {
		h := conv(x, width, 6*width, 1, 1, 1, true)
		h = conv(h, 6*width, 6*width, 3, 1+block%2, 6*width, true)
		h = conv(h, 6*width, width, 1, 1, 1, false)
		if block%2 == 0 {
			h = n.add("Add", nil, h, x)
		}
		x = h
	}
	n.outputs = []string{n.add("ReduceMean", map[string]any{"axes": []int{2, 3}}, x)}
	return n
}

// resnet has the stem and the blocks of ResNet-18 at a width.
func resnet(size, width int) *network {
	n := newNetwork(17)
	image := make([]float32, 3*size*size)
	for i := range image {
		image[i] = n.random.Float32()
	}
	n.inputs = []*Tensor{floats(image, 1, 3, size, size)}
	conv := func(x string, in, out, k, stride int) string {
		p := (k - 1) / 2
		c := n.add("Conv", map[string]any{"strides": []int{stride, stride}, "kernel_shape": []int{k, k}, "pads": []int{p, p, p, p}}, x, n.weight(in*k*k, out, in, k, k))
		return n.add("BatchNormalization", nil, c, n.positive(out), n.weight(10, out), n.weight(10, out), n.positive(out))
	}
	x := n.add("Relu", nil, conv("a", 3, width, 7, 2))
	x = n.add("MaxPool", map[string]any{"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}}, x)
	in := width
	for stage := range 4 {
		out := width << stage
		for block := range 2 {
			stride, short := 1, x
			if stage > 0 && block == 0 {
				stride = 2
				short = conv(x, in, out, 1, 2)
			}
			y := n.add("Relu", nil, conv(x, in, out, 3, stride))
			x = n.add("Relu", nil, n.add("Add", nil, conv(y, out, out, 3, 1), short))
			in = out
		}
	}
	n.outputs = []string{n.add("Flatten", nil, n.add("GlobalAveragePool", nil, x))}
	return n
}

func BenchmarkViTS(b *testing.B)     { bench(b, vit(17, 224, 16, 384, 12, 6)) }
func BenchmarkResNet18(b *testing.B) { bench(b, resnet(224, 64)) }

func bench(b *testing.B, n *network) {
	m, err := Decode(n.bytes())
	if err != nil {
		b.Fatal(err)
	}
	in := map[string]*Tensor{"a": n.inputs[0]}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Run(in); err != nil {
			b.Fatal(err)
		}
	}
}
