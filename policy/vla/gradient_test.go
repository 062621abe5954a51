package vla

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// testConfig has every part: a state of two fields, language, two cameras of
// different size, one of which is no multiple of the patch.
func testConfig() Config {
	return Config{
		D: 16, Layers: 2, Heads: 2, Horizon: 4, ActionDim: 3, StateDim: 5, StateFields: []int{2, 3},
		Cameras: []Camera{{"front", 8, 12}, {"wrist", 7, 4}},
		Patch:   4, VisionD: 8, VisionLayers: 2, VisionHeads: 2,
		Language: true, Vocab: 11, MaxWords: 3, Steps: 5,
	}
}

// encoderConfigs are the ways to make context tokens: with and without those of
// the state's fields, with built-in encoders and with backbones.
func encoderConfigs() map[string]Config {
	fields, whole, features := testConfig(), testConfig(), testConfig()
	whole.StateFields = nil
	sum := strings.Repeat("0", 64)
	features.Vision = &Backbone{SHA256: sum, Tokens: 3, Width: 5}
	features.Text = &Backbone{SHA256: sum, Tokenizer: sum, Tokens: 4, Width: 7}
	asked, predicted, backbones := testConfig(), testConfig(), features
	asked.Condition = &Condition{Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}
	predicted.Condition = &Condition{Size: 2, Predicted: true, None: []float32{9, 9}}
	backbones.Condition = &Condition{Size: 2, Predicted: true}
	return map[string]Config{
		"fields": fields, "whole state alone": whole, "backbones": features,
		"asked": asked, "predicted": predicted, "predicted behind backbones": backbones,
	}
}

// testModel has random weights everywhere: with adaLN-zero's own start most
// gradients are 0.
func testModel(t testing.TB, c Config, seed uint64) *Model {
	t.Helper()
	m, err := New(c, seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, s := range c.layout() {
		v := m.Params.View(s.Name)
		switch tensorKind(s) {
		case "zero":
			for i := range v {
				v[i] = float32(0.3 * rng.NormFloat64())
			}
		case "gain":
			for i := range v {
				v[i] += float32(0.3 * rng.NormFloat64())
			}
		}
	}
	return m
}

func testBatch(c Config, n int, seed uint64) *Batch {
	rng := rand.New(rand.NewPCG(seed, 2))
	b := c.NewBatch(n)
	for i := range b.State {
		b.State[i] = float32(rng.NormFloat64())
	}
	for i := range b.Noisy {
		b.Noisy[i] = float32(rng.NormFloat64())
	}
	for i := range b.Tau {
		b.Tau[i] = rng.Float32()
	}
	if t := c.Condition; t != nil {
		b.Told = make([]float32, n*t.Size)
		for i := range b.Told {
			b.Told[i] = float32(rng.NormFloat64())
		}
	}
	for i := range b.Words {
		b.Words[i] = int32(rng.IntN(c.Vocab+1)) - 1
	}
	for _, img := range b.Images {
		for i := range img {
			img[i] = uint8(rng.IntN(256))
		}
	}
	for _, x := range append(b.Features, b.Text) {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	return b
}

// predictions is how many numbers a head predicts for n items.
func (c Config) predictions(n int) int {
	if c.Condition == nil || !c.Condition.Predicted {
		return 0
	}
	return n * c.Condition.Size
}

func randoms(n int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 3))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func inner(x, y []float32) float64 {
	s := 0.0
	for i := range x {
		s += float64(x[i]) * float64(y[i])
	}
	return s
}

// TestFiniteDifferences compares the gradient of <out, r> by every named tensor
// with central differences along the gradient itself (its length), along a
// random direction, and along single elements.
func TestFiniteDifferences(t *testing.T) {
	for name, c := range encoderConfigs() {
		t.Run(name, func(t *testing.T) { finiteDifferences(t, c) })
	}
}

func finiteDifferences(t *testing.T, c Config) {
	m, b := testModel(t, c, 1), testBatch(c, 3, 1)
	ws := m.NewWorkspaceN(3, true, 2)
	out := make([]float32, len(b.Noisy))
	r := randoms(len(out), 1)
	predicted := make([]float32, c.predictions(3))
	rp := randoms(len(predicted), 2)
	loss := func() float64 {
		m.Predict(ws, b, out, predicted)
		return inner(out, r) + inner(predicted, rp)
	}
	loss()
	grad := make([]float32, len(m.Params.Data))
	m.PredictBackward(ws, b, r, rp, grad)
	g := m.Params.Like(grad)
	rng := rand.New(rand.NewPCG(5, 5))
	for _, name := range m.Params.Names() {
		v, gv := m.Params.View(name), g.View(name)
		length := math.Sqrt(inner(gv, gv))
		if length == 0 {
			t.Errorf("%s: no gradient", name)
			continue
		}
		keep := append([]float32(nil), v...)
		along := func(dir []float32, eps float64) float64 {
			shift := func(h float64) float64 {
				for i := range v {
					v[i] = keep[i] + float32(h*float64(dir[i]))
				}
				return loss()
			}
			// Richardson's step removes the error in eps^2.
			d1 := (shift(eps) - shift(-eps)) / (2 * eps)
			d2 := (shift(2*eps) - shift(-2*eps)) / (4 * eps)
			copy(v, keep)
			return (4*d1 - d2) / 3
		}
		check := func(what string, dir []float32) {
			size := math.Sqrt(inner(dir, dir))
			want := inner(gv, dir)
			// A float32 network's noise does not shrink with the gradient.
			if got := along(dir, 5e-3/size); math.Abs(got-want) > 2e-3*max(length, 0.5)*size {
				t.Errorf("%s %s: finite difference %.5g, gradient %.5g (length %.3g)", name, what, got, want, length)
			}
		}
		check("along its gradient", gv)
		check("along a random direction", randoms(len(v), rng.Uint64()))
		for range 2 {
			dir := make([]float32, len(v))
			dir[rng.IntN(len(v))] = 1
			check("element", dir)
		}
	}
}
