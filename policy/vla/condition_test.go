package vla

import (
	"errors"
	"math"
	"slices"
	"testing"

	"arfm/policy/flow"
)

// integrate is Sample by the velocity of a training workspace, told with and,
// where guide is not 0, also without.
func integrate(m *Model, b *Batch, guide float32) []float32 {
	c := m.Config
	ws := m.NewWorkspaceN(b.B, true, 1)
	x, told := clone(b), make([]float32, b.B*c.Condition.Size)
	v, u := make([]float32, len(b.Noisy)), make([]float32, len(b.Noisy))
	for i := range b.B {
		copy(told[i*c.Condition.Size:], c.Condition.None)
	}
	for s := range c.Steps {
		for i := range x.Tau {
			x.Tau[i] = float32(s) / float32(c.Steps)
		}
		x.Told = b.Told
		m.Velocity(ws, x, v)
		if guide != 0 {
			x.Told = told
			m.Velocity(ws, x, u)
		}
		for i := range v {
			x.Noisy[i] += (v[i] + guide*(v[i]-u[i])) / float32(c.Steps)
		}
	}
	return x.Noisy
}

// TestSampleAsks: a sample is told what the condition asks for or its head
// predicts, or what the batch says, and is guided by the two velocities.
func TestSampleAsks(t *testing.T) {
	for _, name := range []string{"asked", "predicted"} {
		c := encoderConfigs()[name]
		m, b := testModel(t, c, 6), testBatch(c, 3, 6)
		asked := make([]float32, 3*c.Condition.Size)
		for i := range 3 {
			copy(asked[i*c.Condition.Size:], c.Condition.Ask)
		}
		if c.Condition.Predicted {
			m.Predict(m.NewWorkspaceN(3, true, 2), b, make([]float32, len(b.Noisy)), asked)
		}
		own := slices.Clone(b.Told)
		for what, told := range map[string][]float32{"asks": nil, "is told": own} {
			for _, guide := range []float32{0, 1.5} {
				x := clone(b)
				x.Told, x.Guide = told, guide
				m.Sample(m.NewWorkspaceN(3, false, 2), x, c.Steps)
				ref := clone(b)
				if ref.Told = asked; told != nil {
					ref.Told = told
				}
				closeTo(t, name+" "+what, x.Noisy, integrate(m, ref, guide), 1e-4)
			}
		}
		plain, guided := clone(b), clone(b)
		guided.Guide = 1.5
		m.Sample(m.NewWorkspaceN(3, false, 1), plain, c.Steps)
		m.Sample(m.NewWorkspaceN(3, false, 1), guided, c.Steps)
		if slices.Equal(plain.Noisy, guided.Noisy) {
			t.Errorf("%s: guidance changes nothing", name)
		}
	}
}

// TestTeamAsks: workers that share a chunk give what one gives, and a chunk
// allocates nothing, guided or not.
func TestTeamAsks(t *testing.T) {
	for _, name := range []string{"asked", "predicted"} {
		c := encoderConfigs()[name]
		m, b := testModel(t, c, 7), testBatch(c, 1, 7)
		for _, guide := range []float32{0, 2} {
			one, two := clone(b), clone(b)
			one.Told, two.Told, one.Guide, two.Guide = nil, nil, guide, guide
			ws := m.NewWorkspaceN(1, false, 2)
			m.Sample(m.NewWorkspaceN(1, false, 1), one, c.Steps)
			m.Sample(ws, two, c.Steps)
			closeTo(t, name, two.Noisy, one.Noisy, 1e-5)
			if n := testing.AllocsPerRun(20, func() { m.Sample(ws, two, c.Steps) }); n != 0 {
				t.Errorf("%s, guide %v: %v allocations a chunk", name, guide, n)
			}
		}
	}
}

// TestWithCondition: the velocity of a model that gets a condition is, to the
// bit, what it was, whatever it is told.
func TestWithCondition(t *testing.T) {
	m := testModel(t, testConfig(), 8)
	tell := &Condition{Size: 2, Predicted: true}
	with, err := m.WithCondition(tell, 3)
	if err != nil {
		t.Fatal(err)
	}
	b := testBatch(with.Config, 3, 8)
	got, want := make([]float32, len(b.Noisy)), make([]float32, len(b.Noisy))
	with.Velocity(with.NewWorkspaceN(3, true, 2), b, got)
	m.Velocity(m.NewWorkspaceN(3, true, 2), b, want)
	if !slices.Equal(got, want) {
		t.Error("the velocity is another")
	}
	if m.Config.Condition != nil {
		t.Error("the first model has the condition too")
	}
	if same, err := with.WithCondition(&Condition{Size: 2, Predicted: true}, 4); err != nil || same != with {
		t.Errorf("with the condition it has: %v", err)
	}
	for _, other := range []*Condition{nil, {Size: 1, Predicted: true}} {
		if _, err := with.WithCondition(other, 3); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v in place of another condition gives %v", other, err)
		}
	}
	seeded, err := New(with.Config, 5)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := New(m.Config, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range plain.Params.Names() {
		if !slices.Equal(plain.Params.View(name), seeded.Params.View(name)) {
			t.Errorf("%s starts otherwise with a condition", name)
		}
	}
}

func TestConditionRefused(t *testing.T) {
	big := float32(math.Inf(1))
	for name, bad := range map[string]Condition{
		"no size": {Predicted: true}, "large": {Size: 1 << 20, Predicted: true}, "negative": {Size: -1, Predicted: true},
		"nothing asked": {Size: 1}, "asked too little": {Size: 2, Ask: []float32{1}}, "asked and predicted": {Size: 1, Ask: []float32{1}, Predicted: true},
		"none too long": {Size: 1, Predicted: true, None: []float32{1, 2}}, "infinite": {Size: 1, Ask: []float32{big}},
	} {
		c := testConfig()
		c.Condition = &bad
		if _, err := New(c, 1); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGuideRefused(t *testing.T) {
	for name, c := range encoderConfigs() {
		p := &Policy{model: &Model{Config: c}, batch: &Batch{}, noise: flow.NewStream(1, "noise")}
		if err := p.Guide(1); err != nil || p.batch.Guide != 0 {
			t.Errorf("%s: weight 1 gives %v", name, err)
		}
		if err := p.Guide(2.5); (err == nil) != c.Condition.Guidable() || err == nil && p.batch.Guide != 1.5 || err != nil && !errors.Is(err, ErrGuidance) {
			t.Errorf("%s: weight 2.5 gives %v", name, err)
		}
		if err := p.Guide(math.NaN()); !errors.Is(err, ErrGuidance) {
			t.Errorf("%s: weight NaN gives %v", name, err)
		}
	}
}
