package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/policy/nn/cpu"
)

// kernel is a function of the package over arrays of n elements; it returns
// what it adds up.
type kernel struct {
	name   string
	arrays int
	call   func(a [][]float32) []float64
	tied   [][2]int // arrays that may be one: written, read
	near   float64  // absolute tolerance, for differences of like numbers
	bytes  int      // read and written per element
}

func none(f func(a [][]float32)) func(a [][]float32) []float64 {
	return func(a [][]float32) []float64 { f(a); return nil }
}

func sums(f func(a [][]float32) float64) func(a [][]float32) []float64 {
	return func(a [][]float32) []float64 { return []float64{f(a)} }
}

func unary(name string, near float64, f func(y, x []float32)) kernel {
	return kernel{name, 2, none(func(a [][]float32) { f(a[0], a[1]) }), [][2]int{{0, 1}}, near, 8}
}

func binary(name string, near float64, f func(z, x, y []float32)) kernel {
	return kernel{name, 3, none(func(a [][]float32) { f(a[0], a[1], a[2]) }), [][2]int{{0, 1}, {0, 2}}, near, 12}
}

const near = 3e-7

var kernels = []kernel{
	unary("Exp", 0, Exp), unary("Tanh", 0, Tanh), unary("Sigmoid", 0, Sigmoid), unary("Erf", 0, Erf), unary("GELU", 0, GELU),
	unary("GELUTanh", 0, GELUTanh), unary("SiLU", 0, SiLU), unary("Softmax", 0, Softmax),
	unary("Sqrt", 0, func(y, x []float32) { Clamp(y, x, 0, 9); Sqrt(y, y) }),
	unary("Scale", 0, func(y, x []float32) { Scale(y, x, 1.7) }),
	unary("Line", near, func(y, x []float32) { Line(y, x, 1.7, -0.3) }),
	unary("Clamp", 0, func(y, x []float32) { Clamp(y, x, -0.4, 0.9) }),
	unary("ClampLine", near, func(y, x []float32) { ClampLine(y, x, 0.2, 0.5, 0, 1) }),
	unary("Normalize", 0, func(y, x []float32) { Normalize(y, x, 0.3, 1.7) }),
	binary("GELUBackward", near, GELUBackward), binary("SiLUBackward", near, SiLUBackward),
	binary("Add", 0, Add), binary("Sub", 0, Sub), binary("Mul", 0, Mul), binary("Div", 0, Div), binary("Larger", 0, Larger), binary("MulAdd", near, MulAdd),
	{"Axpy", 2, none(func(a [][]float32) { Axpy(a[0], 1.3, a[1]) }), nil, near, 12},
	{"Lerp", 2, none(func(a [][]float32) { Lerp(a[0], a[1], 0.1) }), nil, near, 12},
	{"SoftmaxBackward", 2, none(func(a [][]float32) { Softmax(a[1], a[1]); SoftmaxBackward(a[0], a[1]) }), nil, near, 12},
	{"NormalizeAffine", 4, none(func(a [][]float32) { NormalizeAffine(a[0], a[1], a[2], a[3], 0.3, 1.7) }), [][2]int{{0, 1}}, 1e-6, 16},
	{"NormalizeBackward", 3, none(func(a [][]float32) { NormalizeBackward(a[0], a[1], a[2], 1.7) }), nil, 1e-5, 16},
	{"Affine", 4, none(func(a [][]float32) { Affine(a[0], a[1], a[2], a[3], 1) }), [][2]int{{0, 1}}, 1e-6, 16},
	{"AffineBackward", 6, none(func(a [][]float32) { AffineBackward(a[0], a[1], a[2], a[3], a[4], a[5], 1) }), [][2]int{{0, 3}}, 1e-6, 32},
	{"GateBackward", 5, none(func(a [][]float32) { GateBackward(a[0], a[1], a[2], a[3], a[4]) }), [][2]int{{0, 2}}, 1e-6, 24},
	{"AdamW", 4, none(func(a [][]float32) {
		Clamp(a[3], a[3], 0.1, 9) // the second moment is not negative
		AdamW{0.7, 0.9, 0.95, 1e-2, 1.3, 1e-8, 0.999}.Step(a[0], a[1], a[2], a[3])
	}), nil, 2e-6, 32}, // 0.9 m, which 0.07 g may cancel, to 2^-23 of it: |m| < 18, nine deviations
	{"Sum", 1, sums(func(a [][]float32) float64 { return float64(Sum(a[0])) }), nil, 0, 4},
	{"SumDot", 2, func(a [][]float32) []float64 {
		s, d := SumDot(a[0], a[1])
		return []float64{float64(s), float64(d)}
	}, nil, 0, 8},
	{"Deviations", 1, sums(func(a [][]float32) float64 { return float64(Deviations(a[0], 0.3)) }), nil, 0, 4},
	{"SumSquares", 1, sums(func(a [][]float32) float64 { return SumSquares(a[0]) }), nil, 0, 4},
	{"Max", 1, sums(func(a [][]float32) float64 { return float64(Max(a[0])) }), nil, 0, 4},
	{"ExpSum", 2, sums(func(a [][]float32) float64 { return float64(ExpSum(a[0], a[1], Max(a[1]))) }), [][2]int{{0, 1}}, 0, 8},
}

// levels are those above Generic that this processor has.
func levels(t testing.TB) []cpu.Level {
	if cpu.Has == cpu.Generic {
		t.Skip("this processor has no kernels but the reference")
	}
	var l []cpu.Level
	for v := cpu.AVX2; v <= cpu.Has; v++ {
		l = append(l, v)
	}
	return l
}

// with runs f with the kernels of a level.
func with(l cpu.Level, f func()) {
	defer func(was cpu.Level) { cpu.Has = was }(cpu.Has)
	cpu.Has = l
	f()
}

const margin = 24

// array is a window of n elements at some odd place of a wider slice.
type array struct {
	wide  []float32
	at, n int
}

func (a array) window() []float32 { return a.wide[a.at : a.at+a.n : a.at+a.n] }

// inputs are arrays of random numbers.
func inputs(r *rand.Rand, arrays, n int) []array {
	var all []array
	for range arrays {
		a := array{make([]float32, n+2*margin), 1 + r.IntN(margin-1), n}
		for i := range a.wide {
			a.wide[i] = float32(r.NormFloat64() * 2)
		}
		all = append(all, a)
	}
	return all
}

// sizes are all short lengths and some long ones.
func sizes(r *rand.Rand) []int {
	var s []int
	for n := range 301 {
		s = append(s, n)
	}
	for range 6 {
		s = append(s, 301+r.IntN(5000))
	}
	return append(s, 1<<15, 1<<15+1, 100003)
}

// run calls a kernel at a level over copies of the arrays, two of which may be
// tied, and returns the copies with what lies around them.
func run(k kernel, l cpu.Level, arrays []array, tie *[2]int) (after [][]float32, sums []float64) {
	var in [][]float32
	for _, a := range arrays {
		a.wide = slices.Clone(a.wide)
		after, in = append(after, a.wide), append(in, a.window())
	}
	if tie != nil {
		copy(in[tie[0]], in[tie[1]])
		in[tie[1]] = in[tie[0]]
	}
	with(l, func() { sums = k.call(in) })
	return after, sums
}

// check compares a kernel at every level with the reference, within 1e-5, and
// the levels with each other, to the bit.
func check(t *testing.T, k kernel, arrays []array, tie *[2]int) {
	t.Helper()
	n, scale := arrays[0].n, 1.0
	for _, v := range arrays[0].window() {
		scale += float64(v) * float64(v)
	}
	want, wantSums := run(k, cpu.Generic, arrays, tie)
	var first [][]float32
	var firstSums []float64
	for _, l := range levels(t) {
		got, sums := run(k, l, arrays, tie)
		for i := range got {
			for j, v := range got[i] {
				w := float64(want[i][j])
				if !(math.Abs(float64(v)-w) <= 1e-5*math.Abs(w)+k.near) {
					t.Fatalf("%s at %v, %d elements, tied %v: array %d[%d] is %v, reference %v", k.name, l, n, tie, i, j-arrays[i].at, v, w)
				}
			}
		}
		for i, s := range sums {
			if !(math.Abs(s-wantSums[i]) <= 1e-5*scale || s == wantSums[i]) {
				t.Fatalf("%s at %v, %d elements: sum %d is %v, reference %v", k.name, l, n, i, s, wantSums[i])
			}
		}
		if first == nil {
			first, firstSums = got, sums
		}
		for i := range got {
			if !slices.Equal(got[i], first[i]) {
				t.Fatalf("%s, %d elements: %v gives other bits than %v", k.name, n, l, cpu.AVX2)
			}
		}
		if !slices.Equal(sums, firstSums) {
			t.Fatalf("%s, %d elements: %v adds up to other bits than %v", k.name, n, l, cpu.AVX2)
		}
	}
}

func TestKernels(t *testing.T) {
	levels(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range kernels {
		for _, n := range sizes(r) {
			arrays := inputs(r, k.arrays, n)
			check(t, k, arrays, nil)
			for _, tie := range k.tied {
				check(t, k, arrays, &tie)
			}
		}
	}
}

func TestAddRows(t *testing.T) {
	levels(t)
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n, d := r.IntN(40), 1+r.IntN(200)
		if r.IntN(20) == 0 {
			n, d = 3000, 65 // more than one call of the kernel takes
		}
		arrays := append(inputs(r, 1, d), inputs(r, 1, n*d)...)
		k := kernel{name: fmt.Sprintf("AddRows of %d", n), call: none(func(a [][]float32) { AddRows(a[0], a[1], n) })}
		check(t, k, arrays, nil) // in the order of the rows: like the reference to the bit
	}
}

// exact are the true functions.
var exact = map[string]struct {
	f     func(x float64) float64
	y     func(y, x []float32)
	bound float64 // relative
	near  float64 // or absolute, in units of max(1, |x|)
}{
	"Exp":      {math.Exp, Exp, 2.4e-7, 0},
	"Tanh":     {math.Tanh, Tanh, 5e-7, 0},
	"Sigmoid":  {func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, Sigmoid, 5e-7, 0},
	"Erf":      {math.Erf, Erf, 5e-7, 0},
	"GELU":     {func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }, GELU, 1e-6, 0},
	"GELUTanh": {func(x float64) float64 { return x / (1 + math.Exp(-1.5957691216057308*(x+0.044715*x*x*x))) }, GELUTanh, 1e-6, 2e-7},
	"SiLU":     {func(x float64) float64 { return x / (1 + math.Exp(-x)) }, SiLU, 1e-6, 0},
	"GELU'": {func(x float64) float64 {
		return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}, func(y, x []float32) { slope(y, x, GELUBackward) }, 1e-6, 3e-7},
	"SiLU'": {func(x float64) float64 {
		s, o := 1/(1+math.Exp(-x)), 1/(1+math.Exp(x))
		return s * (1 + x*o)
	}, func(y, x []float32) { slope(y, x, SiLUBackward) }, 1e-6, 3e-7},
}

func slope(y, x []float32, f func(dx, dy, x []float32)) {
	for i := range y {
		y[i] = 1
	}
	f(y, y, x)
}

// dense are numbers over the whole range: a grid where the functions bend, and
// every bit pattern in strides, subnormal numbers among them.
func dense() []float32 {
	var x []float32
	for v := -110.0; v < 110; v += 0.00113 {
		x = append(x, float32(v))
	}
	for b := uint64(0); b < 1<<32; b += 16381 {
		if v := math.Float32frombits(uint32(b)); v-v == 0 {
			x = append(x, v)
		}
	}
	return x
}

// TestAccuracy compares with float64. Below the normal numbers a result may be
// off by the smallest number there is, times a factor of x.
func TestAccuracy(t *testing.T) {
	x := dense()
	y, want := make([]float32, len(x)), make([]float64, len(x))
	for name, e := range exact {
		for i, v := range x {
			want[i] = e.f(float64(v))
		}
		for l := cpu.Generic; l <= cpu.Has; l++ {
			with(l, func() { e.y(y, x) })
			worst, at := 0.0, float32(0)
			for i, v := range x {
				if math.IsNaN(want[i]) { // Inf times 0 in the formula
					continue
				}
				if math.Abs(want[i]) > math.MaxFloat32 && math.IsInf(float64(y[i]), 0) {
					continue
				}
				grain := math.Max(1, math.Abs(float64(v)))
				d := math.Abs(float64(y[i])-want[i]) - 3e-45*grain
				if d <= e.near*grain {
					continue
				}
				if d /= math.Abs(want[i]); !(d <= worst) {
					worst, at = d, v
				}
			}
			if !(worst <= e.bound) {
				t.Errorf("%s, %v: %.3g relative at %v", name, l, worst, at)
			}
			t.Logf("%s, %v: at most %.3g relative", name, l, worst)
		}
	}
}

func TestEnds(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name               string
		below, zero, above float64
	}{
		{"Exp", 0, 1, inf}, {"Tanh", -1, 0, 1}, {"Sigmoid", 0, 0.5, 1}, {"Erf", -1, 0, 1}, {"GELU", 0, 0, inf},
		{"GELUTanh", 0, 0, inf}, {"SiLU", 0, 0, inf}, {"GELU'", 0, 0.5, 1}, {"SiLU'", 0, 0.5, 1},
	} {
		for l := cpu.Generic; l <= cpu.Has; l++ {
			x := []float32{float32(-inf), -1e30, 0, float32(inf), float32(nan)}
			y := make([]float32, len(x))
			with(l, func() { exact[c.name].y(y, x) })
			if float64(y[0]) != c.below || float64(y[1]) != c.below || float64(y[2]) != c.zero || float64(y[3]) != c.above || y[4] == y[4] {
				t.Errorf("%s, %v, of -Inf, -1e30, 0, Inf, NaN is %v", c.name, l, y)
			}
		}
	}
}

func TestNaNStays(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for l := cpu.Generic; l <= cpu.Has; l++ {
		z := make([]float32, 4)
		with(l, func() { Larger(z, []float32{nan, 1, -inf, 2}, []float32{1, nan, -3, inf}) })
		if z[0] == z[0] || z[1] == z[1] || z[2] != -3 || z[3] != inf {
			t.Errorf("%v: the larger of NaN, NaN, -3, Inf is %v", l, z)
		}
		y := make([]float32, 3)
		with(l, func() { Clamp(y, []float32{nan, 0, 9}, 4, 3) })
		if y[0] == y[0] || y[1] != 3 || y[2] != 3 {
			t.Errorf("%v: between bounds that cross: %v", l, y)
		}
		with(l, func() { Clamp(y, []float32{nan, inf, -inf}, -2, 3) })
		if y[0] == y[0] || y[1] != 3 || y[2] != -2 {
			t.Errorf("%v: %v", l, y)
		}
	}
}

// A mask adds -Inf or a large negative number; a row of NaN shows.
func TestSoftmaxMasked(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for l := cpu.Generic; l <= cpu.Has; l++ {
		with(l, func() {
			for _, low := range []float32{-inf, -1e9, -math.MaxFloat32} {
				x := append(slices.Repeat([]float32{low}, 40), 1000, 1000)
				Softmax(x, x)
				if x[0] != 0 || x[39] != 0 || x[40] != 0.5 || x[41] != 0.5 {
					t.Errorf("%v: %v", l, x)
				}
			}
			for _, bad := range []float32{nan, inf} {
				x := []float32{1, 2, bad, 3}
				if Softmax(x, x); x[0] == x[0] || x[3] == x[3] {
					t.Errorf("%v: softmax with %v is %v", l, bad, x)
				}
			}
		})
	}
}

// A parameter without gradients ends with moments of 0, not of subnormal numbers.
func TestAdamWFlushes(t *testing.T) {
	for l := cpu.Generic; l <= cpu.Has; l++ {
		p, g, m, v := make([]float32, 3), make([]float32, 3), []float32{1, -1, 1e-3}, []float32{1, 1, 1e-3}
		with(l, func() {
			for range 3000 {
				AdamW{1, 0.9, 0.95, 1e-3, 1, 1e-8, 1}.Step(p, g, m, v)
			}
		})
		for i := range m {
			if m[i] != 0 || v[i] != 0 || !(math.Abs(float64(p[i])) > 0) {
				t.Errorf("%v: moments %v, %v, parameter %v", l, m[i], v[i], p[i])
			}
		}
	}
}

// Of several slices one gives the length; where another is shorter, the call
// panics before anything is written beyond its end.
func TestShortSlicePanics(t *testing.T) {
	for l := cpu.Generic; l <= cpu.Has; l++ {
		for _, k := range kernels {
			panics := 0
			for short := range k.arrays {
				var a [][]float32
				for i := range k.arrays {
					a = append(a, make([]float32, 80)[:80:80])
					if i == short {
						a[i] = a[i][:79:79]
					}
				}
				func() {
					defer func() {
						if recover() != nil {
							panics++
						}
					}()
					with(l, func() { k.call(a) })
				}()
			}
			if panics != k.arrays-1 {
				t.Errorf("%s, %v: %d panics over %d slices, one of them short", k.name, l, panics, k.arrays)
			}
		}
	}
}

func Benchmark(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	bench := func(name string, n, bytes int, f func()) {
		for l := cpu.Generic; l <= cpu.Has; l++ {
			b.Run(fmt.Sprintf("%s/%v", name, l), func(b *testing.B) {
				with(l, func() {
					for b.Loop() {
						f()
					}
				})
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(float64(n)/ns, "elem/ns")
				b.ReportMetric(float64(n*bytes)/ns, "GB/s")
			})
		}
	}
	windows := func(arrays, n int) (a [][]float32) {
		for _, x := range inputs(r, arrays, n) {
			a = append(a, x.window())
		}
		return a
	}
	const n = 4096
	for _, k := range kernels {
		a := windows(k.arrays, n)
		bench(k.name, n, k.bytes, func() { k.call(a) })
	}
	rows, y := windows(1, 16*n)[0], windows(1, n/4)[0]
	bench("AddRows64", 16*n, 4, func() { AddRows(y, rows, 64) })
	row := windows(2, 64)
	bench("Softmax64", 64, 8, func() { Softmax(row[0], row[1]) })
	big := windows(4, 256*n)
	Clamp(big[3], big[3], 0, 9)
	bench("AdamW1M", 256*n, 32, func() { AdamW{0.7, 0.9, 0.95, 1e-2, 1.3, 1e-8, 0.999}.Step(big[0], big[1], big[2], big[3]) })
}
