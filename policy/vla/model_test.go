package vla

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/policy/flow"
)

// item returns item i of b as a batch of one.
func item(c Config, b *Batch, i int) *Batch {
	rows := c.Horizon * c.ActionDim
	one := &Batch{B: 1, State: b.State[i*c.StateDim : (i+1)*c.StateDim],
		Noisy: b.Noisy[i*rows : (i+1)*rows], Tau: b.Tau[i : i+1]}
	if t := c.Condition; t != nil {
		one.Told = b.Told[i*t.Size : (i+1)*t.Size]
	}
	if c.Text != nil {
		k := c.Text.Tokens * c.Text.Width
		one.Text = b.Text[i*k : (i+1)*k]
	} else {
		one.Words = b.Words[i*c.MaxWords : (i+1)*c.MaxWords]
	}
	for j, cam := range c.Cameras {
		if c.Vision != nil {
			k := c.Vision.Tokens * c.Vision.Width
			one.Features = append(one.Features, b.Features[j][i*k:(i+1)*k])
			continue
		}
		k := cam.Height * cam.Width * channels
		one.Images = append(one.Images, b.Images[j][i*k:(i+1)*k])
	}
	return one
}

func clone(b *Batch) *Batch {
	x := *b
	x.Noisy = slices.Clone(b.Noisy)
	return &x
}

// TestSampleIsVelocityAndEuler: the cached path gives what Velocity and
// flow.Euler give, on workspaces for training and not, at three step counts; also
// with longer chunks, which fold.
func TestSampleIsVelocityAndEuler(t *testing.T) {
	for name, c := range encoderConfigs() {
		t.Run(name, func(t *testing.T) { sampleIsEuler(t, c) })
		c.Horizon, c.Steps = 32, 100
		t.Run(name+", folded", func(t *testing.T) { sampleIsEuler(t, c) })
	}
}

func sampleIsEuler(t *testing.T, c Config) {
	m, b := testModel(t, c, 1), testBatch(c, 3, 1)
	train, infer := m.NewWorkspaceN(3, true, 2), m.NewWorkspaceN(3, false, 2)
	for _, steps := range []int{4, 7, 3} {
		want := clone(b)
		flow.Euler(func(v, x []float32, tau float32) {
			at := clone(b)
			copy(at.Noisy, x)
			at.Tau = []float32{tau, tau, tau}
			m.Velocity(train, at, v)
		}, want.Noisy, make([]float32, len(b.Noisy)), steps)
		for _, ws := range []*Workspace{train, infer} {
			got := clone(b)
			m.Sample(ws, got, steps)
			closeTo(t, "sample", got.Noisy, want.Noisy, 1e-5)
		}
	}
}

// TestReset: an inference workspace takes the weights as fixed until Reset; a
// training workspace never does.
func TestReset(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	train, infer := m.NewWorkspaceN(1, true, 1), m.NewWorkspaceN(1, false, 1)
	sample := func(ws *Workspace) []float32 {
		x := clone(b)
		m.Sample(ws, x, 4)
		return x.Noisy
	}
	before := sample(train)
	sample(infer)
	v := m.Params.View("expert.b.0.ada.bias")
	for i := range v {
		v[i] += 0.5
	}
	infer.Reset()
	after := sample(infer)
	if slices.Equal(before, after) {
		t.Fatal("the time modulation has no influence")
	}
	if !slices.Equal(sample(train), after) {
		t.Error("a training workspace sampled with old modulations")
	}
}

// TestBatchInvariance: an item's velocity does not depend on its neighbours.
func TestBatchInvariance(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 5, 1)
	ws := m.NewWorkspaceN(5, false, 2)
	all, one := make([]float32, len(b.Noisy)), make([]float32, c.Horizon*c.ActionDim)
	m.Velocity(ws, b, all)
	for i := range b.B {
		m.Velocity(ws, item(c, b, i), one)
		closeTo(t, "velocity", one, all[i*len(one):(i+1)*len(one)], 1e-5)
	}
}

// TestWorkers: any number of workers gives the same gradient but for rounding,
// the same number the same bits, whatever the gradient held before.
func TestWorkers(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 5, 1)
	r := randoms(len(b.Noisy), 1)
	grad := func(ws *Workspace, onto []float32) []float32 {
		out := make([]float32, len(b.Noisy))
		m.Velocity(ws, b, out)
		m.Backward(ws, b, r, onto)
		return onto
	}
	zeros := func() []float32 { return make([]float32, len(m.Params.Data)) }
	nans := func() []float32 { return slices.Repeat([]float32{float32(math.NaN())}, len(m.Params.Data)) }
	one := grad(m.NewWorkspaceN(5, true, 1), zeros())
	for _, workers := range []int{2, 3, 8} {
		ws := m.NewWorkspaceN(8, true, workers)
		got := grad(ws, zeros())
		closeTo(t, "gradient", got, one, 1e-5)
		for range 3 {
			if !slices.Equal(got, grad(ws, nans())) {
				t.Fatalf("%d workers: two runs differ", workers)
			}
		}
		if !slices.Equal(got, grad(m.NewWorkspaceN(8, true, workers), zeros())) {
			t.Errorf("%d workers: a fresh workspace differs", workers)
		}
	}
}

func TestSampleAllocatesNothing(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	for _, workers := range []int{1, 2, 3} {
		ws := m.NewWorkspaceN(1, false, workers)
		if n := testing.AllocsPerRun(20, func() { m.Sample(ws, b, c.Steps) }); n != 0 {
			t.Errorf("%d workers: %v allocations", workers, n)
		}
	}
}

// TestInputsMatter: each input changes the velocity, an empty instruction is
// valid, and the order of words counts.
func TestInputsMatter(t *testing.T) {
	c := testConfig()
	m := testModel(t, c, 1)
	ws := m.NewWorkspaceN(1, false, 1)
	velocity := func(change func(*Batch)) []float32 {
		b := testBatch(c, 1, 1)
		copy(b.Words, Words("put block", c.Vocab, c.MaxWords))
		change(b)
		out := make([]float32, len(b.Noisy))
		m.Velocity(ws, b, out)
		return out
	}
	base := velocity(func(*Batch) {})
	for name, change := range map[string]func(*Batch){
		"state":             func(b *Batch) { b.State[4]++ },
		"first field":       func(b *Batch) { b.State[0]++ },
		"first camera":      func(b *Batch) { b.Images[0][len(b.Images[0])-1] ^= 128 },
		"second camera":     func(b *Batch) { b.Images[1][0] ^= 128 },
		"tau":               func(b *Batch) { b.Tau[0] /= 2 },
		"noise":             func(b *Batch) { b.Noisy[0]++ },
		"order of words":    func(b *Batch) { b.Words[0], b.Words[1] = b.Words[1], b.Words[0] },
		"empty instruction": func(b *Batch) { copy(b.Words, Words("", c.Vocab, c.MaxWords)) },
	} {
		got := velocity(change)
		if slices.Equal(got, base) {
			t.Errorf("%s makes no difference", name)
		}
		for _, v := range got {
			if v != v {
				t.Errorf("%s gives NaN", name)
			}
		}
	}
}

func TestNew(t *testing.T) {
	c := testConfig()
	a, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	same, _ := New(c, 1)
	other, _ := New(c, 2)
	if !slices.Equal(a.Params.Data, same.Params.Data) || slices.Equal(a.Params.Data, other.Params.Data) {
		t.Error("the seed does not decide the weights")
	}
	// adaLN-zero: every block starts as the identity, the velocity as 0.
	b := testBatch(c, 2, 1)
	out := make([]float32, len(b.Noisy))
	a.Velocity(a.NewWorkspace(2, false), b, out)
	if slices.ContainsFunc(out, func(v float32) bool { return v != 0 }) {
		t.Error("the velocity does not start at 0")
	}
	d := a.Clone()
	d.Params.Data[0]++
	if d.Params.Data[0] == a.Params.Data[0] {
		t.Error("a clone shares weights")
	}
}

// TestStateTokensStartAsLoudAsWords: the root mean square of what an encoder of
// the state makes of normalised numbers, few or many, beside the words' 0.5.
func TestStateTokensStartAsLoudAsWords(t *testing.T) {
	for _, preset := range Presets[:2] {
		for _, fields := range [][]int{{1}, {7}, {64}, {5, 2}} {
			c, err := Preset(preset)
			if err != nil {
				t.Fatal(err)
			}
			const n = 32
			for _, k := range fields {
				c.StateDim += k
			}
			if c.ActionDim = 2; len(fields) > 1 {
				c.StateFields = fields
			}
			m, err := New(c, 1)
			if err != nil {
				t.Fatal(err)
			}
			b, ws, rng := testBatch(c, n, 1), m.NewWorkspaceN(n, false, 1), rand.New(rand.NewPCG(1, 4))
			for i := range b.State {
				b.State[i] = float32(2*rng.Float64() - 1)
			}
			m.Velocity(ws, b, make([]float32, len(b.Noisy)))
			y := ws.workers[0].state.y // of the last token
			if rms := math.Sqrt(inner(y, y) / float64(len(y))); !(rms > 0.25 && rms < 1) {
				t.Errorf("%s, fields of %v numbers: %.3g", preset, fields, rms)
			}
		}
	}
}

// TestTraining: a few plain gradient steps from the real start lower the loss.
func TestTraining(t *testing.T) {
	c := testConfig()
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := testBatch(c, 4, 1)
	target := randoms(len(b.Noisy), 7)
	ws := m.NewWorkspaceN(4, true, 2)
	out, d, grad := make([]float32, len(target)), make([]float32, len(target)), make([]float32, len(m.Params.Data))
	var first, last float64
	for step := range 300 {
		m.Velocity(ws, b, out)
		for i := range d {
			d[i] = (out[i] - target[i]) / float32(len(d))
		}
		last = inner(d, d) * float64(len(d))
		if step == 0 {
			first = last
		}
		m.Backward(ws, b, d, grad)
		for i, g := range grad {
			m.Params.Data[i] -= 0.5 * g
		}
	}
	if !(last < 0.2*first) {
		t.Errorf("loss %.3g at the start, %.3g after 300 steps", first, last)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, name := range Presets {
		c, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		c.ActionDim, c.StateDim, c.StateFields, c.Cameras = 7, 7, []int{6, 1}, []Camera{{"wrist", 96, 96}}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		data, _ := json.Marshal(c)
		var back Config
		if err := json.Unmarshal(data, &back); err != nil || back.ContextTokens() != 3+c.MaxWords+36 || back.D != c.D {
			t.Errorf("%s does not survive JSON: %s", name, data)
		}
	}
	if _, err := Preset("huge"); !errors.Is(err, ErrConfig) {
		t.Errorf("unknown preset: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"zero":               func(c *Config) { *c = Config{} },
		"negative layers":    func(c *Config) { c.Layers = -1 },
		"heads":              func(c *Config) { c.Heads = 3 },
		"odd width":          func(c *Config) { c.D, c.Heads = 15, 3 },
		"vision heads":       func(c *Config) { c.VisionHeads = 3 },
		"no patch":           func(c *Config) { c.Patch = 0 },
		"too many tokens":    func(c *Config) { c.Cameras[0] = Camera{"front", 1024, 1024} },
		"image too large":    func(c *Config) { c.Cameras[0], c.Patch = Camera{"front", 4096, 4096}, 256 },
		"too much attention": func(c *Config) { c.Cameras[0], c.VisionHeads = Camera{"front", 240, 240}, 8 },
		"too many weights":   func(c *Config) { c.D, c.Layers, c.Heads = 4096, 64, 64 },
		"no context":         func(c *Config) { c.StateDim, c.StateFields, c.Cameras, c.Language = 0, nil, nil, false },
		"no actions":         func(c *Config) { c.ActionDim = 0 },
		"endless vocabulary": func(c *Config) { c.Vocab = 1 << 30 },
		"no steps":           func(c *Config) { c.Steps = 0 },
		"fields too short":   func(c *Config) { c.StateFields = []int{2, 2} },
		"empty field":        func(c *Config) { c.StateFields = []int{0, 5} },
		"negative field":     func(c *Config) { c.StateFields = []int{-1, 6} },
		"endless field":      func(c *Config) { c.StateFields = []int{math.MaxInt, math.MaxInt, 7} },
		"fields of nothing":  func(c *Config) { c.StateDim = 0 },
		"too many fields":    func(c *Config) { c.StateDim, c.StateFields = 65, slices.Repeat([]int{1}, 65) },
	} {
		c := testConfig()
		c.Cameras = slices.Clone(c.Cameras)
		change(&c)
		if _, err := New(c, 1); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWords(t *testing.T) {
	// FNV-1a of "a" is 0xe40c292c.
	if got := Words("A", 1000, 2); !slices.Equal(got, []int32{0xe40c292c % 1000, -1}) {
		t.Errorf("one word: %v", got)
	}
	a, b := Words("Put the RED block, in the bowl!", 4096, 8), Words("put the red  block in the bowl", 4096, 8)
	if !slices.Equal(a, b) || a[6] < 0 || a[7] != -1 || a[1] != a[5] {
		t.Errorf("%v and %v", a, b)
	}
	if got := Words(" ...", 10, 3); !slices.Equal(got, []int32{-1, -1, -1}) {
		t.Errorf("no word: %v", got)
	}
	if got := Words("a b c", 10, 2); len(got) != 2 || got[1] < 0 {
		t.Errorf("cut off: %v", got)
	}
	if got := Words("\xff\xfeÄ", 10, 1); got[0] < 0 || got[0] != Words("ä", 10, 1)[0] {
		t.Errorf("broken UTF-8: %v", got)
	}
}

func TestShapeBugsPanic(t *testing.T) {
	c := testConfig()
	m, other := testModel(t, c, 1), testModel(t, c, 2)
	ws := m.NewWorkspaceN(2, false, 1)
	out := make([]float32, 2*c.Horizon*c.ActionDim)
	for name, f := range map[string]func(){
		"batch too large":        func() { m.Velocity(ws, testBatch(c, 3, 1), out) },
		"word out of range":      func() { b := testBatch(c, 1, 1); b.Words[0] = 99; m.Velocity(ws, b, out) },
		"missing image":          func() { b := testBatch(c, 1, 1); b.Images = b.Images[:1]; m.Velocity(ws, b, out) },
		"another model":          func() { other.Velocity(ws, testBatch(c, 1, 1), out) },
		"backward for inference": func() { m.Backward(ws, testBatch(c, 1, 1), out, make([]float32, len(m.Params.Data))) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
