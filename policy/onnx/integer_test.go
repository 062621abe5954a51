package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/policy/nn/cpu"
)

// octetsOf draws 8-bit numbers, in some draws only those at the ends.
func octetsOf(r *rand.Rand, t Type, shape ...int) *Tensor {
	v, ends := make([]uint8, product(shape)), r.IntN(3) == 0
	low, one := uint8(r.IntN(2)*255), r.IntN(2) == 0
	for i := range v {
		v[i] = uint8(r.IntN(256))
		if ends {
			v[i] = low
			if !one && r.IntN(2) == 0 {
				v[i] = ^low
			}
		}
		if t == Int8 && ends {
			v[i] ^= 1 << 7
		}
	}
	return must(New(t, v, shape...))
}

func octetType(r *rand.Rand) Type { return []Type{Uint8, Int8}[r.IntN(2)] }

// lessZero reads 8-bit numbers less zero points, of which there is one or one for
// each index of axis a.
func lessZero(x, zero *Tensor, a int) []int32 {
	v, z := must(x.Cast(Int32)), []int32{0}
	if zero != nil {
		z = Data[int32](must(zero.Cast(Int32)))
	}
	inner := 1
	if a >= 0 {
		_, _, inner = alongAxis(x.Shape, a)
	}
	out := Data[int32](v)
	for i := range out {
		out[i] -= z[i/inner%len(z)]
	}
	return out
}

// integerFile makes a model of one node whose inputs a, b, c and d are operands
// and zero points; the last operand and its zero point may be constants.
func integerFile(r *rand.Rand, op string, attrs map[string]any, x, k, xZero, kZero *Tensor) *file {
	f := &file{opset: 21, outputs: []string{"y"}, initializers: map[string]*Tensor{}, inputs: []*Tensor{x}, attrs: map[string]map[string]any{op: attrs}}
	names := []string{"a", "_", "_", "_"}
	for i, t := range []*Tensor{nil, k, xZero, kZero} {
		if t == nil {
			continue
		}
		names[i] = string(rune('a' + len(f.inputs)))
		if i != 2 && r.IntN(3) > 0 {
			names[i] = "constant" + fmt.Sprint(i)
			f.initializers[names[i]] = t
			continue
		}
		f.inputs = append(f.inputs, t)
	}
	f.nodes = []string{fmt.Sprintf("%s %s %s %s %s -> y", op, names[0], names[1], names[2], names[3])}
	return f
}

// runTwice: what is kept from the first run serves the second.
func runTwice(t *testing.T, f *file) *Tensor {
	t.Helper()
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	first, err := m.Run(f.feed())
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Run(f.feed())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first[0].data, second[0].data) {
		t.Fatal("two runs differ")
	}
	return first[0]
}

type convCase struct {
	x, k                     []int
	pads, strides, dilations []int
	groups                   int
}

func (v *convCase) String() string {
	return fmt.Sprintf("image %v kernel %v groups %d pads %v strides %v dilations %v", v.x, v.k, v.groups, v.pads, v.strides, v.dilations)
}

func drawConv(r *rand.Rand, i int) *convCase {
	rank := []int{2, 1, 2, 3}[i%4]
	v := &convCase{groups: 1 + r.IntN(3)}
	cin, cout := 1+r.IntN(40), 1+r.IntN(18)
	if i%5 == 0 { // depthwise
		cin, cout = 1, 1
	}
	v.x, v.k = []int{1 + r.IntN(2), v.groups * cin}, []int{v.groups * cout, cin}
	for range rank {
		kernel, dilation := 1+r.IntN(3), 1+r.IntN(2)
		if i%10 == 0 {
			kernel = 17
		}
		v.k, v.x = append(v.k, kernel), append(v.x, (kernel-1)*dilation+1+r.IntN(20/rank))
		v.strides, v.dilations = append(v.strides, 1+r.IntN(3)), append(v.dilations, dilation)
	}
	for range 2 * rank {
		v.pads = append(v.pads, r.IntN(2)*r.IntN(3))
	}
	return v
}

// integers is the convolution of whole numbers from its definition.
func (v *convCase) integers(x, k []int32, out []int) []int32 {
	y, place := make([]int32, product(out)), make([]int, len(out))
	cout, cin, inside, in := v.k[0]/v.groups, v.k[1], product(v.k[2:]), product(v.x[2:])
	for i := range y {
		at := make([]int, len(out)-2)
		for j := range inside {
			from, ok := 0, true
			for a := range at {
				p := place[2+a]*v.strides[a] + at[a]*v.dilations[a] - v.pads[a]
				ok = ok && p >= 0 && p < v.x[2+a]
				from = from*v.x[2+a] + p
			}
			for c := 0; ok && c < cin; c++ {
				y[i] += k[(place[1]*cin+c)*inside+j] * x[(place[0]*v.x[1]+place[1]/cout*cin+c)*in+from]
			}
			step(at, v.k[2:])
		}
		step(place, out)
	}
	return y
}

// atLevels runs a test with the kernels and without.
func atLevels(t *testing.T, f func(t *testing.T)) {
	for _, l := range slices.Compact([]cpu.Level{cpu.Has, cpu.Generic}) {
		t.Run(l.String(), func(t *testing.T) {
			defer func(was cpu.Level) { cpu.Has = was }(cpu.Has)
			cpu.Has = l
			f(t)
		})
	}
}

// TestConvInteger: sums are those of whole numbers, to the bit.
func TestConvInteger(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for i := range 120 {
			v := drawConv(r, i)
			if i == 7 { // more than one tile
				v = &convCase{[]int{1, 10, 300, 200}, []int{4, 5, 3, 3}, []int{0, 2, 1, 0}, []int{1, 1}, []int{2, 1}, 2}
			}
			if i == 8 {
				v = &convCase{[]int{1, 2, 400000}, []int{2, 2, 3}, []int{3, 1}, []int{2}, []int{1}, 1}
			}
			x, k := octetsOf(r, octetType(r), v.x...), octetsOf(r, octetType(r), v.k...)
			var xZero, kZero *Tensor
			if r.IntN(4) > 0 {
				xZero = octetsOf(r, x.Type)
			}
			switch r.IntN(3) {
			case 0:
				kZero = octetsOf(r, k.Type)
			case 1:
				kZero = octetsOf(r, k.Type, v.k[0])
			}
			f := integerFile(r, "ConvInteger", map[string]any{"pads": v.pads, "strides": v.strides, "dilations": v.dilations, "group": v.groups}, x, k, xZero, kZero)
			y := runTwice(t, f)
			if want := v.integers(lessZero(x, xZero, -1), lessZero(k, kZero, 0), y.Shape); !slices.Equal(Data[int32](y), want) {
				t.Fatalf("%v: other sums than whole numbers give", v)
			}
		}
	})
}

func integerProduct(a, b []int32, m, n, k int) []int32 {
	c := make([]int32, m*n)
	mulMatrix(c, a, b, m, n, k)
	return c
}

// TestMatMulInteger: also sums that wrap around.
func TestMatMulInteger(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for i := range 80 {
			stack, m, n, k := 1+r.IntN(3), 1+r.IntN(30), 1+r.IntN(40), 1+r.IntN(900)
			switch i {
			case 3:
				stack, m, n, k = 1, 2, 2, 70000
			case 4:
				stack, m, n, k = 1, 3000, 1, 400
			}
			b := octetsOf(r, octetType(r), stack, k, n)
			if stack == 1 {
				b.Shape = b.Shape[1:]
			}
			a := octetsOf(r, octetType(r), stack, m, k)
			var aZero, bZero *Tensor
			switch r.IntN(3) {
			case 0:
				aZero = octetsOf(r, a.Type)
			case 1:
				aZero = octetsOf(r, a.Type, m)
			}
			switch r.IntN(3) {
			case 0:
				bZero = octetsOf(r, b.Type)
			case 1:
				bZero = octetsOf(r, b.Type, n)
			}
			if i == 3 { // 255 * -255 * 70000 is beyond int32
				a, b = must(New(Uint8, slices.Repeat([]uint8{255}, m*k), m, k)), must(New(Uint8, make([]uint8, k*n), k, n))
				aZero, bZero = nil, must(New[uint8](Uint8, []uint8{255}))
			}
			got := Data[int32](runTwice(t, integerFile(r, "MatMulInteger", nil, a, b, aZero, bZero)))
			av, bv := lessZero(a, aZero, len(a.Shape)-2), lessZero(b, bZero, len(b.Shape)-1)
			for s := range stack {
				if want := integerProduct(av[s*m*k:], bv[s*k*n:], m, n, k); !slices.Equal(got[s*m*n:(s+1)*m*n], want) {
					t.Fatalf("draw %d, (%d, %d) by (%d, %d): other sums than whole numbers give", i, m, k, k, n)
				}
			}
		}
	})
}

// TestQLinear: sums times the scales, rounded to even and saturated.
func TestQLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 60 {
		v := drawConv(r, 2*i)
		kind := octetType(r)
		x, k := octetsOf(r, octetType(r), v.x...), octetsOf(r, octetType(r), v.k...)
		op, attrs := "QLinearConv", map[string]any{"pads": v.pads, "strides": v.strides, "dilations": v.dilations, "group": v.groups}
		if i%2 == 0 {
			op, attrs = "QLinearMatMul", nil
			x, k = octetsOf(r, x.Type, 7, 300), octetsOf(r, k.Type, 300, 11)
		}
		lanes := map[string]int{"QLinearConv": k.Shape[0], "QLinearMatMul": 11}[op]
		scales := make([]float32, []int{1, lanes}[r.IntN(2)])
		for j := range scales {
			scales[j] = float32(math.Exp(r.NormFloat64() - 6))
		}
		shape := []int{len(scales)}
		if len(scales) == 1 {
			shape = nil
		}
		xZero, kZero, yZero := octetsOf(r, x.Type), octetsOf(r, k.Type), octetsOf(r, kind)
		f := &file{opset: 21, outputs: []string{"y"}, attrs: map[string]map[string]any{op: attrs},
			inputs: []*Tensor{x, scalar(0.5), xZero, k, floats(scales, shape...), kZero, scalar(0.25), yZero},
			nodes:  []string{op + " a b c d e f g h -> y"}}
		bias := make([]int32, lanes)
		if op == "QLinearConv" && i%3 == 0 {
			for j := range bias {
				bias[j] = int32(r.IntN(20000) - 10000)
			}
			f.inputs, f.nodes[0] = append(f.inputs, must(New(Int32, bias, lanes))), op+" a b c d e f g h i -> y"
		}
		y := f.run(t)[0]
		row, sums := 1, []int32(nil)
		if op == "QLinearConv" {
			row, sums = product(y.Shape[2:]), v.integers(lessZero(x, xZero, -1), lessZero(k, kZero, -1), y.Shape)
		} else {
			sums = integerProduct(lessZero(x, xZero, -1), lessZero(k, kZero, -1), 7, 11, 300)
		}
		lo, hi := 0.0, 255.0
		if kind == Int8 {
			lo, hi = -128, 127
		}
		zero := float64(Data[int32](must(yZero.Cast(Int32)))[0])
		for j, got := range Data[int32](must(y.Cast(Int32))) {
			lane := j / row % lanes
			want := math.RoundToEven(float64(sums[j]+bias[lane])*(0.5*float64(scales[lane%len(scales)])/0.25)) + zero
			if want = min(max(want, lo), hi); float64(got) != want {
				t.Fatalf("%s draw %d: %d at %d, want %v", op, i, got, j, want)
			}
		}
	}
}

// TestZeroPointType: differences beyond 8 bits would not be exact.
func TestZeroPointType(t *testing.T) {
	x, zero := must(New(Uint8, []uint8{1, 2, 3, 4}, 2, 2)), must(New(Int32, []int32{1 << 30}))
	for _, node := range []string{"MatMulInteger a a b -> y", "MatMulInteger a a _ b -> y"} {
		f := &file{opset: 21, outputs: []string{"y"}, inputs: []*Tensor{x, zero}, nodes: []string{node}}
		m, err := Decode(f.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Run(f.feed()); err == nil {
			t.Errorf("%s: a zero point of int32 was accepted", node)
		}
	}
}
