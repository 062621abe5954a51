package demonstration

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestShares(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	n := map[Quality]int{}
	o := Options{Episodes: 1, Shares: Shares{1, 1, 2}}
	if err := o.Validate(); err != nil || o.Quality != Mixed || o.PerBag != 25 {
		t.Fatalf("%+v: %v", o, err)
	}
	for range 10000 {
		n[o.Draw(rng)]++
	}
	if math.Abs(float64(n[Failing])-5000) > 200 || math.Abs(float64(n[Expert])-2500) > 200 {
		t.Errorf("%v", n)
	}
	if o.Quality = Sloppy; o.Draw(rng) != Sloppy {
		t.Error("a quality that is asked for is not given")
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no episodes":       {},
		"negative episodes": {Episodes: -1},
		"episodes in a bag": {Episodes: 1, PerBag: -1},
		"quality":           {Episodes: 1, Quality: "good"},
		"negative share":    {Episodes: 1, Shares: Shares{1, -1, 1}},
		"NaN share":         {Episodes: 1, Shares: Shares{1, math.NaN(), 1}},
		"infinite share":    {Episodes: 1, Shares: Shares{1, math.Inf(1), 1}},
	} {
		if err := o.Validate(); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			t.Log(err)
		}
	}
	if (Shares{}).Validate() == nil {
		t.Error("shares that are all 0 are taken")
	}
}

func TestMinimumJerk(t *testing.T) {
	if MinimumJerk(-1) != 0 || MinimumJerk(0.5) != 0.5 || MinimumJerk(2) != 1 {
		t.Error("the profile does not go from 0 by 1/2 to 1")
	}
	const steps = 1000
	peak := 0.0
	for i := range steps {
		v := steps * (MinimumJerk(float64(i+1)/steps) - MinimumJerk(float64(i)/steps))
		if v < 0 {
			t.Fatalf("it goes back at %d", i)
		}
		peak = max(peak, v)
	}
	if math.Abs(peak-MinimumJerkPeak) > 1e-5 {
		t.Errorf("its peak speed is %g times the mean", peak)
	}
	if n := Duration(1, 0.5, 20, 3); n != 75 {
		t.Errorf("1 m at 0.5 m/s takes %d periods of 1/20 s", n)
	}
	if n := Duration(0, 0.5, 20, 3); n != 3 {
		t.Errorf("no way takes %d periods, want 3", n)
	}
}
