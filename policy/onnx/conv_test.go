package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestConvolution draws convolutions and computes them from the definition.
// Weights are constants or inputs; what is kept from the first run serves the
// second.
func TestConvolution(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 150 {
		rank := []int{1, 2, 2, 3}[i%4]
		g, cin, cout := 1+r.IntN(3), 1+r.IntN(5), 1+r.IntN(18)
		if i%7 == 0 { // depthwise
			cin, cout = 1, 1
		}
		x, k := []int{1 + r.IntN(2), g * cin}, []int{g * cout, cin}
		var pads, strides, dilations []int
		for range rank {
			kernel, dilation := 1+r.IntN(3), 1+r.IntN(2)
			k, x = append(k, kernel), append(x, (kernel-1)*dilation+1+r.IntN(40/rank))
			strides, dilations = append(strides, 1+r.IntN(3)), append(dilations, dilation)
		}
		for range 2 * rank {
			pads = append(pads, r.IntN(2)*r.IntN(3))
		}
		f := &file{opset: 13, outputs: []string{"y"}, initializers: map[string]*Tensor{},
			nodes: []string{"Conv a k bias -> z", "Relu z -> y"},
			attrs: map[string]map[string]any{"Conv": {"pads": pads, "strides": strides, "dilations": dilations, "group": g}},
		}
		image, kernel, bias := random(r, x...), random(r, k...), random(r, g*cout)
		f.inputs, f.initializers["bias"] = []*Tensor{image}, bias
		if i%3 == 0 {
			f.nodes[0], f.inputs = "Conv a b bias -> z", append(f.inputs, kernel)
		} else {
			f.initializers["k"] = kernel
		}
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			out, err := m.Run(f.feed())
			if err != nil {
				t.Fatal(err)
			}
			label := fmt.Sprintf("image %v kernel %v groups %d pads %v strides %v dilations %v", x, k, g, pads, strides, dilations)
			compareConv(t, label, out[0], image, kernel, Data[float32](bias), g, pads, strides, dilations)
		}
	}
}

func random(r *rand.Rand, shape ...int) *Tensor {
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return floats(v, shape...)
}

// compareConv checks y = max(0, conv(x, k) + bias) place by place.
func compareConv(t *testing.T, label string, y, x, k *Tensor, bias []float32, groups int, pads, strides, dilations []int) {
	t.Helper()
	got, image, weights := Data[float32](y), Data[float32](x), Data[float32](k)
	cout, cin, inside := k.Shape[0]/groups, k.Shape[1], product(k.Shape[2:])
	out, place := y.Shape[2:], make([]int, len(y.Shape))
	for i := range got {
		ch, sum, size := place[1], float64(bias[place[1]]), math.Abs(float64(bias[place[1]]))
		at := make([]int, len(out))
		for j := range inside {
			from, ok := 0, true
			for a := range out {
				p := place[2+a]*strides[a] + at[a]*dilations[a] - pads[a]
				ok = ok && p >= 0 && p < x.Shape[2+a]
				from = from*x.Shape[2+a] + p
			}
			for c := 0; ok && c < cin; c++ {
				channel := place[0]*x.Shape[1] + ch/cout*cin + c
				v := float64(weights[(ch*cin+c)*inside+j]) * float64(image[channel*product(x.Shape[2:])+from])
				sum, size = sum+v, size+math.Abs(v)
			}
			step(at, k.Shape[2:])
		}
		if d := math.Abs(float64(got[i]) - max(sum, 0)); !(d <= 1e-5*size) {
			t.Fatalf("%s: %v at %v, want %v", label, got[i], place, max(sum, 0))
		}
		step(place, y.Shape)
	}
}

// TestGemmBias: alpha, beta and every way in which C stretches.
func TestGemmBias(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const m, n, k = 5, 7, 3
	a, w := random(r, m, k), random(r, n, k)
	for _, shape := range [][]int{{n}, {1, n}, {m, 1}, {m, n}, {1}, {}} {
		for _, beta := range []float64{1, 0.5, 0} {
			c := random(r, shape...)
			f := &file{opset: 13, nodes: []string{"Gemm a w c -> y"}, inputs: []*Tensor{a}, outputs: []string{"y"},
				initializers: map[string]*Tensor{"w": w, "c": c},
				attrs:        map[string]map[string]any{"Gemm": {"alpha": 2.0, "beta": beta, "transB": 1}}}
			got := Data[float32](f.run(t)[0])
			add := stretch(shape, []int{m, n})
			for i := range m * n {
				want := beta * float64(Data[float32](c)[i/n*add[0]+i%n*add[1]])
				for l := range k {
					want += 2 * float64(Data[float32](a)[i/n*k+l]) * float64(Data[float32](w)[i%n*k+l])
				}
				if math.Abs(float64(got[i])-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("C %v, beta %v: y[%d] = %v, want %v", shape, beta, i, got[i], want)
				}
			}
		}
	}
}
