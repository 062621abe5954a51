package critic

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/finetune/optim"
	"arfm/policy/nn"
)

// TestMLPGradient compares the gradient of <out, r> with finite differences,
// along it and along every bias and some weights.
func TestMLPGradient(t *testing.T) {
	const n, in, width = 5, 3, 7
	rng := rand.New(rand.NewPCG(1, 1))
	p := nn.NewParams(mlpLayout("v", in, width))
	initialise(p, rng)
	for i := range p.Data {
		p.Data[i] += float32(0.2 * rng.NormFloat64())
	}
	g := p.Like(make([]float32, len(p.Data)))
	m := newMLP("v", p, g, n)
	x, r := make([]float32, n*in), make([]float32, n)
	for _, v := range [][]float32{x, r} {
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
	}
	loss := func() (sum float64) {
		for i, y := range m.forward(x, n) {
			sum += float64(y) * float64(r[i])
		}
		return sum
	}
	for i := range g.Data {
		g.Data[i] = float32(math.NaN()) // it is set, not added to
	}
	loss()
	m.backward(r, n)
	for i := range p.Data {
		keep := p.Data[i]
		p.Data[i] = keep + 1e-2
		up := loss()
		p.Data[i] = keep - 1e-2
		down := loss()
		p.Data[i] = keep
		if d := (up - down) / 2e-2; !(math.Abs(d-float64(g.Data[i])) <= 2e-3*(1+math.Abs(d))) {
			t.Errorf("gradient %d is %v, differences give %v", i, g.Data[i], d)
		}
	}
}

// chain is a world of two places. At each an action, one of five between -1 and
// 1, was taken; what follows the first place, and its reward, is the second,
// where the episode ends.
type chain struct{}

const (
	gamma   = 0.8
	actions = 5
)

func action(k int) float64 { return float64(k%actions)/2 - 1 }
func last(k int) float64   { return 1 + action(k) } // reward at the second place

func (chain) Sizes() (int, int) { return 2, 1 }
func (chain) Known() (known []int) {
	for k := range 2 * actions {
		known = append(known, k)
	}
	return known
}
func (chain) Observe(dst []float32, k int) {
	clear(dst)
	dst[k/actions] = 1
}
func (chain) Actions(dst []float32, k int) { dst[0] = float32(action(k)) }
func (chain) Follow(k int) Transition {
	if k < actions {
		return Transition{Reward: float32(-action(k)), Next: actions, Discount: gamma}
	}
	return Transition{Reward: float32(last(k))}
}

func small() Options {
	o := DefaultOptions()
	o.Width, o.Batch, o.Rate, o.Polyak = 32, 32, 3e-3, 0.02
	return o
}

func newCritic(t *testing.T, o Options) *Critic {
	t.Helper()
	c, err := New(o, chain{}, rand.New(rand.NewPCG(3, 3)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectile solves sum |tau - 1(x < e)| (x - e) = 0 by bisection.
func expectile(x []float64, tau float64) float64 {
	lo, hi := slices.Min(x), slices.Max(x)
	for range 60 {
		mid, sum := (lo+hi)/2, 0.0
		for _, v := range x {
			if v < mid {
				sum += (1 - tau) * (v - mid)
			} else {
				sum += tau * (v - mid)
			}
		}
		if sum > 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// TestChain: values end where implicit Q-learning has its fixed point, which
// this world has in closed form.
func TestChain(t *testing.T) {
	o := small()
	o.Expectile = 0.8
	c := newCritic(t, o)
	rng := rand.New(rand.NewPCG(5, 5))
	for range 4000 {
		if err := c.Update(rng); err != nil {
			t.Fatal(err)
		}
	}
	var q [2][]float64
	for k := range actions {
		q[1] = append(q[1], last(k))
	}
	v1 := expectile(q[1], o.Expectile)
	for k := range actions {
		q[0] = append(q[0], -action(k)+gamma*v1)
	}
	v := [2]float64{expectile(q[0], o.Expectile), v1}
	got := make([]float32, 2*actions)
	c.Advantage(got, chain{}.Known())
	for k, a := range got {
		if want := q[k/actions][k%actions] - v[k/actions]; math.Abs(float64(a)-want) > 0.08 {
			t.Errorf("place %d, action %v: advantage %.3f, in closed form %.3f", k/actions, action(k), a, want)
		}
	}
	if f := c.Figures(); math.Abs(f["v_mean"]-(v[0]+v[1])/2) > 0.15 || f["q_loss"] > 0.02 || f["v_loss"] <= 0 {
		t.Errorf("figures %v, mean value in closed form %v", f, (v[0]+v[1])/2)
	}
}

// TestResume: a critic that gets another's vectors goes on as that one does, to
// the bit.
func TestResume(t *testing.T) {
	whole, begun := newCritic(t, small()), newCritic(t, small())
	a, b := rand.NewPCG(7, 7), rand.NewPCG(7, 7)
	update := func(c *Critic, src *rand.PCG, n int) {
		for range n {
			if err := c.Update(rand.New(src)); err != nil {
				t.Fatal(err)
			}
		}
	}
	update(whole, a, 50)
	update(begun, b, 20)
	o := small()
	again, err := New(o, chain{}, rand.New(rand.NewPCG(9, 9))) // other weights at first
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range begun.Vectors() {
		if copy(again.Vectors()[name], v) != len(v) {
			t.Errorf("vector %s does not fit", name)
		}
	}
	again.Resume(20)
	update(again, b, 30)
	for name, v := range whole.Vectors() {
		if !slices.Equal(v, again.Vectors()[name]) {
			t.Errorf("vector %s is another", name)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"expectile": func(o *Options) { o.Expectile = 1 }, "discount": func(o *Options) { o.Discount = 1 },
		"width": func(o *Options) { o.Width = 0 }, "rate": func(o *Options) { o.Rate = math.NaN() }, "batch": func(o *Options) { o.Batch = -1 },
		"target": func(o *Options) { o.Polyak = 2 }, "warm-up": func(o *Options) { o.WarmUp = -1 },
	} {
		o := DefaultOptions()
		change(&o)
		if _, err := New(o, chain{}, rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("a bad %s was accepted", name)
		}
	}
	if _, err := New(DefaultOptions(), unknown{}, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("data without rewards were accepted")
	}
}

type unknown struct{ chain }

func (unknown) Known() []int { return nil }

type infinite struct{ chain }

func (infinite) Follow(int) Transition { return Transition{Reward: float32(math.Inf(1))} }

func TestNotFinite(t *testing.T) {
	c, err := New(small(), infinite{}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Update(rand.New(rand.NewPCG(1, 1))); !errors.Is(err, optim.ErrNotFinite) {
		t.Errorf("an infinite reward gives %v", err)
	}
}

// BenchmarkUpdate is an update at the default size, of 60 numbers of observation
// and a chunk of 16 actions of 7.
func BenchmarkUpdate(b *testing.B) {
	c, err := New(DefaultOptions(), wide{}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Update(rng); err != nil {
			b.Fatal(err)
		}
	}
}

type wide struct{}

func (wide) Sizes() (int, int)            { return 60, 112 }
func (wide) Known() []int                 { return []int{0, 1, 2} }
func (wide) Observe(dst []float32, k int) { dst[0] = float32(k) }
func (wide) Actions(dst []float32, k int) { dst[k] = 1 }
func (wide) Follow(k int) Transition      { return Transition{Reward: 1, Next: k, Discount: 0.9} }
