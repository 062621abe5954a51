package objective

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// line is a Predictor of three parameters: the velocity is theta0 + theta2 x
// everywhere in a sample, the prediction theta1 x + theta2.
type line struct {
	theta []float32
	x     []float32 // (B)
}

func (f *line) Params() []float32 { return f.theta }
func (f *line) Velocity(out []float32) {
	for i := range out {
		out[i] = f.theta[0] + f.theta[2]*f.x[i*len(f.x)/len(out)]
	}
}
func (f *line) Predict(out, predicted []float32) {
	f.Velocity(out)
	for i := range predicted {
		predicted[i] = f.theta[1]*f.x[i] + f.theta[2]
	}
}
func (f *line) Backward(dOut, grad []float32) { f.PredictBackward(dOut, nil, grad) }
func (f *line) PredictBackward(dOut, dPredicted, grad []float32) {
	clear(grad)
	for i, d := range dOut {
		grad[0] += d
		grad[2] += d * f.x[i*len(f.x)/len(dOut)]
	}
	for i, d := range dPredicted {
		grad[1] += d * f.x[i]
		grad[2] += d
	}
}

func toldStep(t *testing.T, obj Objective) (*Step, *line) {
	t.Helper()
	const b, h, a = 8, 2, 3
	rng := rand.New(rand.NewPCG(1, 2))
	field := &line{theta: []float32{0.3, -0.5, 0.2}, x: make([]float32, b)}
	s, err := Compile(field, obj, b, h, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, x := range [][]float32{field.x, s.Target, s.Told} {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	for i := range s.Mask {
		s.Mask[i] = 1
	}
	return s, field
}

// TestReinBoTGradient compares loss and gradient with those written by hand, in
// float64, and the gradient with finite differences: where all returns are known,
// and where some or all are not, which the head then does not learn from.
func TestReinBoTGradient(t *testing.T) {
	for _, unknown := range [][]int{{}, {1, 4, 5}, {0, 1, 2, 3, 4, 5, 6, 7}} {
		reinbotGradient(t, unknown)
	}
}

func reinbotGradient(t *testing.T, unknown []int) {
	o := &ReinBoT{Expectile: 0.8, HeadWeight: 0.7}
	s, f := toldStep(t, o)
	for _, i := range unknown {
		s.Told[i], s.Known[i] = 0, 0
	}
	run(t, s)
	m := run(t, s) // twice: the machine is reset between
	byHand := func() float64 {
		loss := 0.0
		for i, g := range s.Told {
			if s.Known[i] == 0 {
				continue
			}
			d := float64(g - (f.theta[1]*f.x[i] + f.theta[2]))
			weight := o.Expectile
			if d < 0 {
				weight = 1 - o.Expectile
			}
			loss += o.HeadWeight * weight * d * d / float64(8-len(unknown))
		}
		for i, u := range s.Target {
			d := float64(f.theta[0] + f.theta[2]*f.x[i/6] - u)
			loss += d * d / 48
		}
		return loss
	}
	if want := byHand(); math.Abs(m.Loss-want) > 1e-6*want {
		t.Errorf("loss %v, by hand %v", m.Loss, want)
	}
	if below := m.Figures["below_prediction"]; (below <= 0 || below >= 1) && len(unknown) < 8 || math.Abs(m.Figures["expectile_loss"]*o.HeadWeight+m.LossMean-m.Loss) > 1e-6 {
		t.Errorf("figures %v of loss %v", m.Figures, m.Loss)
	}
	grad := slices.Clone(s.Grad)
	for i := range f.theta {
		keep := f.theta[i]
		f.theta[i] = keep + 1e-2
		up := byHand()
		f.theta[i] = keep - 1e-2
		down := byHand()
		f.theta[i] = keep
		if d := (up - down) / 2e-2; math.Abs(d-float64(grad[i])) > 1e-2*(0.1+math.Abs(d)) {
			t.Errorf("gradient %d is %v, differences give %v", i, grad[i], d)
		}
	}
}

// TestExpectile: the head ends at the expectile of what it is told, which for
// 0.9 lies where 9 times the excess above weighs as much as that below.
func TestExpectile(t *testing.T) {
	o := &ReinBoT{Expectile: 0.9, HeadWeight: 1}
	s, f := toldStep(t, o)
	clear(f.x) // the prediction is theta2
	for range 4000 {
		run(t, s)
		f.theta[2] -= 0.05 * s.Grad[2]
	}
	above, below := 0.0, 0.0
	for _, g := range s.Told {
		d := float64(g - f.theta[2])
		above, below = above+max(d, 0), below+max(-d, 0)
	}
	if above == 0 || math.Abs(9*above-below) > 1e-3*below {
		t.Errorf("9 times the excess above is %v, below %v", 9*above, below)
	}
}

func TestReinBoTTells(t *testing.T) {
	o := &ReinBoT{}
	if err := o.Prepare(Chunks{Standard: []float64{-0.25, 0.25, math.NaN(), 1e9}}); err != nil {
		t.Fatal(err)
	}
	for chunk, want := range []float32{-0.25, 0.25, 0, maxTold} {
		var told [1]float32
		if o.Tell(told[:], chunk, nil); told[0] != want {
			t.Errorf("of chunk %d the policy is told %v, want %v", chunk, told[0], want)
		}
	}
	if o.Prepare(Chunks{}) == nil {
		t.Error("no returns were accepted")
	}
}

// TestRECAPLabels: those above the quantile of their group, and of equal
// advantages all or none. Where all are equal none is good, nor bad: a task whose
// demonstrations all fail has no good ones.
func TestRECAPLabels(t *testing.T) {
	for name, c := range map[string]struct {
		adv  []float64
		good int // the last ones; -1: the policy is told nothing
	}{
		"ten":            {[]float64{-5, -4, -3, -2, -1, 0, 1, 2, 3, 4}, 3},
		"most succeed":   {[]float64{-6, -6, -6, -6, 4, 4, 4, 4, 4, 4}, 6},
		"few succeed":    {[]float64{-2, -2, -2, -2, -2, -2, -2, -2, 8, 8}, 2},
		"all alike":      {make([]float64, 10), -1},
		"one":            {[]float64{0}, -1},
		"some in middle": {[]float64{-3, -3, -3, 0, 0, 0, 0, 0, 4, 5}, 2},
	} {
		chunks := Chunks{Returns: make([]float64, len(c.adv)+2), Advantages: append(slices.Clone(c.adv), 0, 100), Groups: make([]string, len(c.adv)+2)}
		chunks.Returns[len(c.adv)] = math.NaN()
		chunks.Groups[len(c.adv)+1] = "another"
		o := &RECAP{Share: 0.3}
		if err := o.Prepare(chunks); err != nil {
			t.Fatal(err)
		}
		for i := range c.adv {
			var told [2]float32
			o.Tell(told[:], i, rand.New(rand.NewPCG(1, 1)))
			want := [2]float32{0, 1}
			if c.good < 0 {
				want = [2]float32{}
			} else if i >= len(c.adv)-c.good {
				want = [2]float32{1, 0}
			}
			if told != want {
				t.Errorf("%s: of chunk %d, advantage %v, the policy is told %v, want %v", name, i, c.adv[i], told, want)
			}
		}
		var told [2]float32
		if o.Tell(told[:], len(c.adv), rand.New(rand.NewPCG(1, 1))); told != [2]float32{} {
			t.Errorf("%s: of a chunk without reward the policy is told %v", name, told)
		}
	}
}

func TestRECAPDropout(t *testing.T) {
	o := &RECAP{Share: 0.5, Dropout: 0.3}
	if err := o.Prepare(Chunks{Returns: make([]float64, 2), Advantages: []float64{-1, 1}, Groups: make([]string, 2)}); err != nil {
		t.Fatal(err)
	}
	rng, hidden := rand.New(rand.NewPCG(3, 4)), 0
	for i := range 10000 {
		var told [2]float32
		if o.Tell(told[:], i%2, rng); told == [2]float32{} {
			hidden++
		}
	}
	if hidden < 2800 || hidden > 3200 {
		t.Errorf("%d of 10000 chunks are not told of, want 3000", hidden)
	}
}

func TestRECAPLoss(t *testing.T) {
	o := &RECAP{Share: 0.3, Dropout: 0.3}
	s, _ := toldStep(t, o)
	clear(s.Told)
	s.Told[0], s.Told[3], s.Told[4] = 1, 1, 1 // good, bad, good, and five of unknown
	m := run(t, s)
	if m.Figures["good"] != 0.25 || m.Figures["told"] != 0.375 || math.Abs(m.Loss-m.LossMean) > 1e-6 {
		t.Errorf("figures %v, loss %v of mean %v", m.Figures, m.Loss, m.LossMean)
	}
}

// mute has a condition and tells nothing.
type mute struct{ BC }

func (mute) Needs() Needs { return (&RECAP{}).Needs() }

// TestPredictorNeeded: a network without predictions is refused.
func TestPredictorNeeded(t *testing.T) {
	if _, err := Compile(nothing{make([]float32, 3)}, &ReinBoT{Expectile: 0.9, HeadWeight: 1}, 2, 1, 1); err == nil {
		t.Error("a field that predicts nothing was accepted")
	}
	if _, err := Compile(nothing{make([]float32, 3)}, mute{}, 2, 1, 1); err == nil {
		t.Error("an objective that tells nothing was accepted")
	}
}

func TestToldRefused(t *testing.T) {
	for _, o := range []Options{{"return-expectile": "1"}, {"return-weight": "0"}, {"good-share": "0"}, {"told-dropout": "1"}, {"return-expectile": "NaN"}} {
		_, err1 := New("reinbot", o)
		_, err2 := New("recap", o)
		if err1 == nil && err2 == nil {
			t.Errorf("%v was accepted", o)
		}
	}
}
