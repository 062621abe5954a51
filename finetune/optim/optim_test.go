package optim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// reference is AdamW as it is printed, in float64 and one parameter at a time.
type reference struct {
	c       Config
	t       int
	m, v, p []float64
	ema     []float64
}

func (r *reference) step(g []float32) {
	r.t++
	sum := 0.0
	for _, x := range g {
		sum += float64(x) * float64(x)
	}
	scale := 1.0
	if norm := math.Sqrt(sum); norm > r.c.Clip {
		scale = r.c.Clip / norm
	}
	lr := r.c.Schedule.At(int64(r.t))
	for i := range r.p {
		gi := float64(g[i]) * scale
		r.m[i] = r.c.Beta1*r.m[i] + (1-r.c.Beta1)*gi
		r.v[i] = r.c.Beta2*r.v[i] + (1-r.c.Beta2)*gi*gi
		mh := r.m[i] / (1 - math.Pow(r.c.Beta1, float64(r.t)))
		vh := r.v[i] / (1 - math.Pow(r.c.Beta2, float64(r.t)))
		r.p[i] -= lr * (mh/(math.Sqrt(vh)+r.c.Eps) + r.c.Decay*r.p[i])
		e := math.Min(r.c.EMA, float64(1+r.t)/float64(10+r.t))
		r.ema[i] = e*r.ema[i] + (1-e)*r.p[i]
	}
}

func TestAdamWAgainstReference(t *testing.T) {
	const n = 3*block + 17
	rng := rand.New(rand.NewPCG(1, 2))
	params := make([]float32, n)
	for i := range params {
		params[i] = float32(rng.NormFloat64())
	}
	c := Defaults(1e-2, 60)
	c.Decay, c.Clip, c.EMA = 0.1, 200, 0.9
	ref := &reference{c: c, m: make([]float64, n), v: make([]float64, n), p: make([]float64, n), ema: make([]float64, n)}
	for i, p := range params {
		ref.p[i], ref.ema[i] = float64(p), float64(p)
	}
	a, err := New(c, params)
	if err != nil {
		t.Fatal(err)
	}
	grad := make([]float32, n)
	clipped := 0
	for step := range 60 {
		for i := range grad {
			grad[i] = float32(rng.NormFloat64() * (0.5 + float64(step%7)*0.3))
		}
		ref.step(grad)
		info, err := a.Update(params, grad)
		if err != nil {
			t.Fatal(err)
		}
		if info.GradNorm > c.Clip {
			clipped++
		}
	}
	if clipped == 0 || clipped == 60 {
		t.Fatalf("%d of 60 steps were clipped; the test needs both kinds", clipped)
	}
	for i := range params {
		if d := math.Abs(float64(params[i]) - ref.p[i]); d > 2e-5 {
			t.Fatalf("parameter %d is %v, reference %v", i, params[i], ref.p[i])
		}
		if d := math.Abs(float64(a.Average[i]) - ref.ema[i]); d > 2e-5 {
			t.Fatalf("average %d is %v, reference %v", i, a.Average[i], ref.ema[i])
		}
	}
}

func TestWorkersGiveTheSameBits(t *testing.T) {
	run := func(workers int) []float32 {
		rng := rand.New(rand.NewPCG(3, 4))
		params := make([]float32, 5*block+3)
		grad := make([]float32, len(params))
		a, err := New(Defaults(1e-3, 10), params)
		if err != nil {
			t.Fatal(err)
		}
		a.Workers = workers
		for range 10 {
			for i := range grad {
				grad[i] = float32(rng.NormFloat64())
			}
			if _, err := a.Update(params, grad); err != nil {
				t.Fatal(err)
			}
		}
		return params
	}
	one := run(1)
	for _, w := range []int{2, 3, 64} {
		if !slices.Equal(one, run(w)) {
			t.Errorf("%d workers give other bits than one", w)
		}
	}
}

func TestNotFiniteChangesNothing(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		params := []float32{1, 2}
		a, err := New(Defaults(1e-3, 10), params)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Update(params, []float32{0, bad}); !errors.Is(err, ErrNotFinite) {
			t.Errorf("a gradient of %v gives %v", bad, err)
		}
		if a.Step != 0 || params[0] != 1 || params[1] != 2 || a.M[0] != 0 {
			t.Errorf("a gradient of %v changed the state", bad)
		}
	}
}

func TestSchedule(t *testing.T) {
	s := Schedule{Peak: 1, Floor: 0.1, WarmUp: 10, Total: 110}
	for _, c := range []struct {
		step int64
		want float64
	}{{1, 0.1}, {10, 1}, {60, 0.55}, {110, 0.1}, {500, 0.1}} {
		if got := s.At(c.step); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("At(%d) = %v, want %v", c.step, got, c.want)
		}
	}
	if got := (Schedule{Peak: 1, Total: 2}).At(1); math.Abs(got-0.5) > 1e-12 {
		t.Errorf("without warm-up At(1) of 2 = %v, want 0.5", got)
	}
}

func TestValidate(t *testing.T) {
	bad := Defaults(1e-3, 10)
	bad.Beta2 = 1
	if _, err := New(bad, nil); err == nil {
		t.Error("beta2 = 1 was accepted")
	}
	bad = Defaults(math.NaN(), 10)
	if _, err := New(bad, nil); err == nil {
		t.Error("a learning rate of NaN was accepted")
	}
}

func BenchmarkUpdate10M(b *testing.B) {
	params, grad := make([]float32, 10_000_000), make([]float32, 10_000_000)
	a, err := New(Defaults(1e-3, 10), params)
	if err != nil {
		b.Fatal(err)
	}
	a.Workers = 2
	for b.Loop() {
		if _, err := a.Update(params, grad); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleAdamW() {
	params := []float32{3, -2}
	a, _ := New(Defaults(0.1, 200), params)
	for range 200 {
		grad := []float32{2 * params[0], 2 * params[1]} // of the sum of squares
		if _, err := a.Update(params, grad); err != nil {
			panic(err)
		}
	}
	fmt.Println(math.Abs(float64(params[0])) < 0.05, math.Abs(float64(params[1])) < 0.05)
	// Output: true true
}
