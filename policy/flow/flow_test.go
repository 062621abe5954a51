package flow

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
)

func TestPathEndsAndVelocity(t *testing.T) {
	action, noise := []float32{1, -2, 3}, []float32{0.5, 4, -1}
	x, u := make([]float32, 3), make([]float32, 3)
	Interpolate(x, action, noise, 0)
	if !slices.Equal(x, noise) {
		t.Errorf("tau = 0 gives %v, not the noise", x)
	}
	Interpolate(x, action, noise, 1)
	if !slices.Equal(x, action) {
		t.Errorf("tau = 1 gives %v, not the action", x)
	}
	Target(u, action, noise)
	a, b := make([]float32, 3), make([]float32, 3)
	Interpolate(a, action, noise, 0.25)
	Interpolate(b, action, noise, 0.75)
	for i := range u {
		if got := (b[i] - a[i]) / 0.5; math.Abs(float64(got-u[i])) > 1e-6 {
			t.Errorf("slope %v of the path, target %v", got, u[i])
		}
	}
}

// A constant velocity field is integrated exactly, whatever the steps.
func TestEulerConstantVelocityIsExact(t *testing.T) {
	action, noise := []float32{1, -2, 3}, []float32{0.5, 4, -1}
	u, v := make([]float32, 3), make([]float32, 3)
	Target(u, action, noise)
	for _, n := range []int{1, 2, 8, 64} { // powers of two: no rounding in dt
		x := slices.Clone(noise)
		Euler(func(v, _ []float32, _ float32) { copy(v, u) }, x, v, n)
		if !slices.Equal(x, action) {
			t.Errorf("%d steps: %v, want %v", n, x, action)
		}
	}
}

func TestEulerTimes(t *testing.T) {
	var taus []float32
	x, v := []float32{0}, []float32{0}
	Euler(func(v, _ []float32, tau float32) { taus = append(taus, tau); v[0] = tau }, x, v, 4)
	if want := []float32{0, 0.25, 0.5, 0.75}; !slices.Equal(taus, want) {
		t.Errorf("field evaluated at %v, want %v", taus, want)
	}
	if want := float32(0+0.25+0.5+0.75) / 4; x[0] != want {
		t.Errorf("x = %v, want %v", x[0], want)
	}
}

func TestSamplers(t *testing.T) {
	const n = 200000
	// E t of Beta(1.5, 1) is 0.6, its variance 1.5/(2.5^2 3.5).
	for _, c := range []struct {
		name           string
		mean, variance float64
	}{
		{"uniform", 0.5, 1.0 / 12},
		{"beta", 1 - (0.001 + 0.999*0.6), 0.999 * 0.999 * 1.5 / (2.5 * 2.5 * 3.5)},
	} {
		draw, err := SamplerByName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		r := NewStream(1, c.name)
		var sum, sq float64
		for range n {
			tau := float64(draw(r.Rand))
			if tau < 0 || tau >= 1 {
				t.Fatalf("%s: tau = %v", c.name, tau)
			}
			sum += tau
			sq += tau * tau
		}
		mean := sum / n
		if variance := sq/n - mean*mean; math.Abs(mean-c.mean) > 3e-3 || math.Abs(variance-c.variance) > 2e-3 {
			t.Errorf("%s: mean %v, variance %v; want %v, %v", c.name, mean, variance, c.mean, c.variance)
		}
	}
	if _, err := SamplerByName("logit"); err == nil {
		t.Error("an unknown sampler was accepted")
	}
}

func TestStreams(t *testing.T) {
	s := NewStreams(7)
	if a, b := s.Get("noise").Uint64(), s.Get("tau").Uint64(); a == b {
		t.Error("two names give one stream")
	}
	if NewStream(7, "noise").Uint64() == NewStream(8, "noise").Uint64() {
		t.Error("two seeds give one stream")
	}
	s.Get("noise").Normal(make([]float32, 5))
	saved, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := s.Get("noise").NormFloat64()
	wantNew := s.Get("later").Uint64()
	var r Streams
	if err := json.Unmarshal(saved, &r); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Names(), []string{"noise", "tau"}) {
		t.Errorf("restored %v", r.Names())
	}
	if got := r.Get("noise").NormFloat64(); got != want {
		t.Errorf("restored stream gives %v, want %v", got, want)
	}
	if got := r.Get("later").Uint64(); got != wantNew {
		t.Error("a stream started after restoring differs")
	}
	for _, bad := range []string{`{}`, `{"seed":"AAAAAAAAAAA=","streams":{"a":"AAAA"}}`, `[]`} {
		before := r.Get("noise")
		if err := json.Unmarshal([]byte(bad), &r); !errors.Is(err, ErrStreams) {
			t.Errorf("%s: error %v", bad, err)
		}
		if r.Get("noise") != before {
			t.Errorf("%s changed the set", bad)
		}
	}
}
