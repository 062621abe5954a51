package objective

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
)

const testB, testH, testA = 16, 4, 3

func newARFM(scale Scale, lambda float64) *ARFM {
	o := DefaultAlpha()
	o.Lambda = lambda
	return &ARFM{Options: o, Scale: scale, Spread: Gaussian}
}

// byBatch is newARFM as arfm train has it by default: alpha is fitted to the batch.
func byBatch(lambda float64) *ARFM {
	o := newARFM(Relative, lambda)
	o.Spread = Batch
	return o
}

// newStep compiles obj on a fresh field and fills one random batch in which
// the last two samples are padded.
func newStep(t testing.TB, obj Objective) (*Step, *mlp) {
	t.Helper()
	field := newMLP(testH*testA, 32, testB, 7)
	s, err := Compile(field, obj, testB, testH, testA)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	rng := rand.New(rand.NewPCG(5, 6))
	for _, x := range [][]float32{field.x, s.Target, s.Advantage} {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	for i := range field.tau {
		field.tau[i] = rng.Float32()
	}
	for i := range s.Mask {
		s.Mask[i] = 1
	}
	for h := 1; h < testH; h++ {
		s.Mask[(testB-1)*testH+h], s.Mask[(testB-2)*testH+h] = 0, float32(h%2)
	}
	return s, field
}

func run(t testing.TB, s *Step) Metrics {
	t.Helper()
	m, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGraphGradient compares the graph with the same computation by hand: the
// masked losses, and Backward of dL/dv = w 2 (v - u) mask / (n A).
func TestGraphGradient(t *testing.T) {
	for _, obj := range []Objective{BC{}, RWR{Beta: 0.7}, newARFM(Paper, 5e-4), newARFM(Relative, 0.5), byBatch(5)} {
		s, field := newStep(t, obj)
		run(t, s)
		m := run(t, s) // twice: the machine is reset between
		v, dv := make([]float32, len(s.Target)), make([]float32, len(s.Target))
		field.Velocity(v)
		loss := 0.0
		for i := range testB {
			var n, sum float64
			for h := range testH {
				n += float64(s.Mask[i*testH+h]) * testA
			}
			for j := range testH * testA {
				at := i*testH*testA + j
				share := float64(s.Mask[at/testA]) / n
				d := float64(v[at] - s.Target[at])
				sum += share * d * d
				dv[at] = float32(float64(s.Weights()[i]) * 2 * d * share)
			}
			if math.Abs(sum-float64(s.Losses()[i])) > 1e-5*(1+sum) {
				t.Errorf("%s: l[%d] = %v, by hand %v", obj.Name(), i, s.Losses()[i], sum)
			}
			loss += float64(s.Weights()[i]) * sum
		}
		if math.Abs(loss-m.Loss) > 1e-5*loss {
			t.Errorf("%s: loss %v, by hand %v", obj.Name(), m.Loss, loss)
		}
		want, norm := make([]float32, len(s.Grad)), 0.0
		field.Backward(dv, want)
		for _, g := range want {
			norm += float64(g) * float64(g)
		}
		for i := range want {
			if math.Abs(float64(want[i]-s.Grad[i])) > 1e-6*math.Sqrt(norm) {
				t.Fatalf("%s: gradient %d is %v, by hand %v", obj.Name(), i, s.Grad[i], want[i])
			}
		}
	}
}

// TestGradientByDifferences holds the weights (they are constants in the
// gradient) and compares a directional derivative with finite differences.
func TestGradientByDifferences(t *testing.T) {
	for _, obj := range []*ARFM{newARFM(Relative, 0.5), byBatch(5)} {
		gradientByDifferences(t, obj)
	}
}

func gradientByDifferences(t *testing.T, obj *ARFM) {
	s, field := newStep(t, obj)
	run(t, s)
	w := slices.Clone(s.Weights())
	grad := slices.Clone(s.Grad)
	norm, along := 0.0, 0.0
	for _, g := range grad {
		norm += float64(g) * float64(g)
	}
	norm = math.Sqrt(norm)
	params, start := field.Params(), slices.Clone(field.Params())
	at := func(eps float64) float64 {
		for i := range params {
			params[i] = start[i] + float32(eps*float64(grad[i])/norm)
		}
		run(t, s)
		loss := 0.0
		for i, l := range s.Losses() {
			loss += float64(w[i]) * float64(l)
		}
		return loss
	}
	along = (at(1e-2) - at(-1e-2)) / 2e-2
	if math.Abs(along-norm) > 1e-2*norm {
		t.Errorf("%s: derivative along the gradient is %v, the gradient's norm %v", obj.Spread, along, norm)
	}
}

func TestEqualAdvantagesAreExactlyBC(t *testing.T) {
	for _, c := range []float32{0, 0.1, -3e7} {
		bc, _ := newStep(t, BC{})
		want := run(t, bc)
		for _, obj := range []Objective{RWR{Beta: 2}, newARFM(Paper, 5e-4), newARFM(Relative, 0.5), byBatch(5)} {
			s, _ := newStep(t, obj)
			for i := range s.Advantage {
				s.Advantage[i] = c
			}
			got := run(t, s)
			if got.Loss != want.Loss || !slices.Equal(s.Weights(), bc.Weights()) || !slices.Equal(s.Grad, bc.Grad) {
				t.Errorf("%s with advantages %v: loss %v, bc %v", obj.Name(), c, got.Loss, want.Loss)
			}
			if math.Abs(got.ESS-testB) > 1e-3 {
				t.Errorf("%s: effective sample size %v of %d", obj.Name(), got.ESS, testB)
			}
		}
	}
}

func TestConstantsInAdvantagesChangeNothing(t *testing.T) {
	for _, obj := range []Objective{RWR{Beta: 2}, newARFM(Paper, 5e-4), newARFM(Relative, 0.5), byBatch(5)} {
		s, _ := newStep(t, obj)
		for i := range s.Advantage { // multiples of 1/1024: adding 8 is exact
			s.Advantage[i] = float32(math.Round(float64(s.Advantage[i])*1024) / 1024)
		}
		before := run(t, s)
		weights := slices.Clone(s.Weights())
		for i := range s.Advantage {
			s.Advantage[i] += 8
		}
		after := run(t, s)
		for i, w := range s.Weights() {
			if math.Abs(float64(w-weights[i])) > 1e-7 {
				t.Errorf("%s: weight %d moves from %v to %v", obj.Name(), i, weights[i], w)
			}
		}
		if math.Abs(before.Alpha-after.Alpha) > 1e-12*before.Alpha {
			t.Errorf("%s: alpha moves from %v to %v", obj.Name(), before.Alpha, after.Alpha)
		}
		if obj.Name() == "arfm" && weights[0] == weights[1] {
			t.Error("arfm: the weights do not depend on the advantages")
		}
	}
}

func TestRelativeHasNoUnits(t *testing.T) {
	for _, o := range []*ARFM{newARFM(Relative, 0.5), byBatch(5)} {
		l, adv := []float32{1, 2, 4, 8}, []float32{-1, 0.5, 2, -1.5}
		r, w1, w2 := make([]float64, 4), make([]float32, 4), make([]float32, 4)
		s1, err := o.weigh(w1, l, adv, r)
		if err != nil {
			t.Fatal(err)
		}
		for i := range l {
			l[i] *= 1.0 / 1024
			adv[i] *= 64
		}
		s2, err := o.weigh(w2, l, adv, r)
		if err != nil || s1 != s2 || s1.Bound != 0 || !slices.Equal(w1, w2) {
			t.Errorf("%s: other units give %+v and %v instead of %+v and %v (%v)", o.Spread, s2, w2, s1, w1, err)
		}
	}
}

func TestNotFinite(t *testing.T) {
	s, _ := newStep(t, newARFM(Paper, 5e-4))
	s.Advantage[3] = float32(math.NaN())
	if _, err := s.Run(); !errors.Is(err, ErrNotFinite) {
		t.Errorf("an advantage of NaN gives %v", err)
	}
	for _, obj := range []Objective{BC{}, newARFM(Paper, 5e-4), byBatch(5)} {
		s, field := newStep(t, obj)
		field.x[0] = float32(math.Inf(1))
		if _, err := s.Run(); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: an infinite input gives %v", obj.Name(), err)
		}
	}
}

func TestPaddedSampleCountsNothing(t *testing.T) {
	s, _ := newStep(t, BC{})
	clear(s.Mask[:testH])
	run(t, s)
	if s.Losses()[0] != 0 {
		t.Errorf("a chunk of padding has loss %v", s.Losses()[0])
	}
}

func TestCompileRefuses(t *testing.T) {
	field := newMLP(2, 4, 1, 1)
	for _, obj := range []Objective{RWR{Beta: -1}, &ARFM{Options: DefaultAlpha(), Scale: "loud", Spread: Batch}, &ARFM{Options: DefaultAlpha(), Scale: Paper, Spread: "wide"}, &ARFM{Scale: Paper, Spread: Gaussian}} {
		if _, err := Compile(field, obj, 1, 1, 2); err == nil {
			t.Errorf("%#v was accepted", obj)
		}
	}
	if _, err := Compile(field, BC{}, 0, 1, 2); err == nil {
		t.Error("a batch of 0 was accepted")
	}
}

// exponential is an objective of Gorgonia's own operators, in which the
// gradient flows through everything: the mean of exp(l).
type exponential struct{}

func (exponential) Name() string { return "exp" }
func (exponential) Needs() Needs { return Needs{} }
func (exponential) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	weights, err = gorgonia.Exp(in.L)
	if err != nil {
		return nil, nil, err
	}
	loss, err = gorgonia.Mean(weights)
	return loss, weights, err
}

func TestPlainExpression(t *testing.T) {
	s, field := newStep(t, exponential{})
	m := run(t, s)
	want := 0.0
	for _, l := range s.Losses() {
		want += math.Exp(float64(l)) / testB
	}
	if math.Abs(m.Loss-want) > 1e-4*want {
		t.Errorf("loss %v, want %v", m.Loss, want)
	}
	grad, params := slices.Clone(s.Grad), field.Params()
	at := len(params) - 1 // the last bias
	params[at] += 1e-2
	up := run(t, s).Loss
	params[at] -= 2e-2
	down := run(t, s).Loss
	if d := (up - down) / 2e-2; math.Abs(d-float64(grad[at])) > 1e-2*math.Abs(d) {
		t.Errorf("gradient of the last bias is %v, differences give %v", grad[at], d)
	}
}

// TestStepDoesNotLeak: what a step leaves behind is left by every 2000 of them;
// what pools and finalizers hold for a while is not.
func TestStepDoesNotLeak(t *testing.T) {
	s, _ := newStep(t, newARFM(Relative, 0.5))
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // pools give up what they hold at the second collection
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range 100 {
		run(t, s)
	}
	var grown []int64
	for range 3 {
		before := heap()
		for range 2000 {
			run(t, s)
		}
		left := int64(heap()) - int64(before)
		if left <= 64<<10 {
			return
		}
		grown = append(grown, left)
	}
	t.Errorf("each time, 2000 steps leave bytes behind: %v", grown)
}

// nothing is a field without cost: what is left is the machine's.
type nothing struct{ params []float32 }

func (n nothing) Params() []float32             { return n.params }
func (n nothing) Velocity(out []float32)        {}
func (n nothing) Backward(dOut, grad []float32) {}

// BenchmarkOverhead is what the graph adds to a step of 10 million parameters,
// B 64, H 16, A 7.
func BenchmarkOverhead(b *testing.B) {
	s, err := Compile(nothing{make([]float32, 10_000_000)}, newARFM(Relative, 0.5), 64, 16, 7)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range s.Mask {
		s.Mask[i] = 1
	}
	for i := range s.Target {
		s.Target[i] = float32(i % 17)
	}
	for i := range s.Advantage {
		s.Advantage[i] = float32(i % 5)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
