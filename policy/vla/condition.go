package vla

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// Condition is what the velocity field is told beside the observation, K
// numbers: the return that a chunk is to reach, or that it is to be a good one.
// An MLP makes one embedding (D) of them that is added to every action token.
// As its last layer starts at 0, a policy that gets a condition starts as it was.
// In the context a new token would take attention from the others even if it were 0.
type Condition struct {
	Size int       `json:"size"`          // K
	Ask  []float32 `json:"ask,omitempty"` // (K) what a running policy asks for
	// Predicted says that it asks for what a head predicts from the context, in
	// place of Ask: attention with one learned query, then an MLP.
	Predicted bool `json:"predicted,omitempty"`
	// None, (K), stands for "not told". With it the velocity can be guided away
	// from what it is then (Ho and Salimans, arXiv 2207.12598).
	None []float32 `json:"none,omitempty"`
}

const maxCondition = 16 // numbers

func (t *Condition) validate() error {
	switch {
	case t == nil:
		return nil
	case t.Size < 1 || t.Size > maxCondition:
		return fmt.Errorf("%w: a condition of %d numbers, it must have 1 to %d", ErrConfig, t.Size, maxCondition)
	case t.Predicted && len(t.Ask) != 0 || !t.Predicted && len(t.Ask) != t.Size:
		return fmt.Errorf("%w: of a condition of %d numbers %d are asked for, predicted %v; it must be all or a prediction", ErrConfig, t.Size, len(t.Ask), t.Predicted)
	case len(t.None) != 0 && len(t.None) != t.Size:
		return fmt.Errorf("%w: %d numbers stand for no condition of %d", ErrConfig, len(t.None), t.Size)
	}
	for _, v := range slices.Concat(t.Ask, t.None) {
		if !(math.Abs(float64(v)) <= 1e6) {
			return fmt.Errorf("%w: a number of the condition is %v, it must lie in [-1e6, 1e6]", ErrConfig, v)
		}
	}
	return nil
}

// Guidable says whether Batch.Guide means anything.
func (t *Condition) Guidable() bool { return t != nil && len(t.None) > 0 }

// WithCondition returns the model with a condition, drawn from seed; all else is
// as it is, and so is the velocity. One with this very condition is returned
// itself. The error, for a model that has another, wraps ErrConfig.
func (m *Model) WithCondition(t *Condition, seed uint64) (*Model, error) {
	have := m.Config.Condition
	switch {
	case reflect.DeepEqual(have, t):
		return m, nil
	case have != nil:
		return nil, fmt.Errorf("%w: the weights have learned under another condition", ErrConfig)
	}
	c := m.Config
	c.Condition = t
	with, err := New(c, seed)
	if err != nil {
		return nil, err
	}
	for _, name := range m.Params.Names() {
		copy(with.Params.View(name), m.Params.View(name))
	}
	return with, nil
}

// conditionLayout lists the tensors of the condition.
func (c Config) conditionLayout(add adder) {
	t := c.Condition
	if t == nil {
		return
	}
	add.linear("condition.l1", t.Size, c.D)
	add.linear(conditionLast, c.D, c.D)
	if t.Predicted {
		add("condition.head.query", c.D)
		add.linear("condition.head.l1", c.D, c.D)
		add.linear("condition.head.l2", c.D, t.Size)
	}
}

// conditionLast names the layer that starts at 0.
const conditionLast = "condition.l2"

// conditionWeights are the views of the condition's tensors.
type conditionWeights struct {
	l1, l2       linear
	query        []float32 // (D)
	head1, head2 linear
}

func (c Config) bindCondition(small *nn.Params, lin func(string) linear) (w conditionWeights) {
	if c.Condition == nil {
		return w
	}
	w.l1, w.l2 = lin("condition.l1"), lin(conditionLast)
	if c.Condition.Predicted {
		w.query, w.head1, w.head2 = small.View("condition.head.query"), lin("condition.head.l1"), lin("condition.head.l2")
	}
	return w
}

// conditionActs are the activations of the condition.
type conditionActs struct {
	x          []float32 // (n, K) what is told
	h, a, y    []float32 // (n, D), the last is added to every action token
	none       []float32 // (n, D) such a y without a condition
	velocity   []float32 // (n H, A) of none
	q, pooled  []float32 // (n, D)
	p          []float32 // (n, T)
	hh, ha     []float32 // (n, D)
	prediction []float32 // (n, K)

	dy, dh      []float32 // (n, D)
	dprediction []float32 // (n, K)
	dhh, dq     []float32 // (n, D)
	dk, dv      []float32 // (n T, D)
	dp          []float32 // (T)
}

func newConditionActs(c *Config, n int, train bool) (a conditionActs) {
	if c.Condition == nil {
		return a
	}
	f := func(k int) []float32 { return make([]float32, n*k) }
	d, t, k := c.D, c.ContextTokens(), c.Condition.Size
	a = conditionActs{x: f(k), h: f(d), a: f(d), y: f(d)}
	if c.Condition.Guidable() {
		a.none, a.velocity = f(d), f(c.Horizon*c.ActionDim)
	}
	if train {
		a.dy, a.dh = f(d), f(d)
	}
	if c.Condition.Predicted {
		a.q, a.pooled, a.p, a.hh, a.ha, a.prediction = f(d), f(d), f(t), f(d), f(d), f(k)
		if train {
			a.dprediction, a.dhh, a.dq, a.dk, a.dv, a.dp = f(k), f(d), f(d), f(t*d), f(t*d), make([]float32, t)
		}
	}
	return a
}

// pool is the head's attention over the context of n items.
func (c *Config) pool(n int) nn.Heads {
	return nn.Heads{B: n, Tq: 1, Tk: c.ContextTokens(), N: 1, D: c.D, LdQ: c.D, LdK: c.D, LdV: c.D}
}

// tell computes what is added to the action tokens, once the context is there:
// of b.Told, or else of what a running policy asks for. The head's predictions
// go into predicted (B, K), which may be nil.
func (w *worker) tell(c *Config, p *weights, b *Batch, predicted []float32) {
	t, a, n := c.Condition, &w.condition, w.n
	if t == nil {
		return
	}
	if t.Predicted {
		for i := range n {
			copy(a.q[i*c.D:(i+1)*c.D], p.condition.query)
		}
		c.pool(n).Attention(a.pooled, a.p, a.q, w.ctx, w.ctx)
		p.condition.head1.forward(a.hh, a.pooled, n)
		vec.SiLU(a.ha[:n*c.D], a.hh[:n*c.D])
		p.condition.head2.forward(a.prediction, a.ha, n)
		if predicted != nil {
			copy(predicted[w.lo*t.Size:], a.prediction[:n*t.Size])
		}
	}
	switch {
	case b.Told != nil:
		copy(a.x, b.Told[w.lo*t.Size:(w.lo+n)*t.Size])
	case t.Predicted:
		copy(a.x, a.prediction[:n*t.Size])
	default:
		a.repeat(t.Ask, n)
	}
	a.embed(a.y, p, n, c.D)
}

// untell computes what is added where nothing is told.
func (w *worker) untell(c *Config, p *weights) {
	w.condition.repeat(c.Condition.None, w.n)
	w.condition.embed(w.condition.none, p, w.n, c.D)
}

func (a *conditionActs) repeat(x []float32, n int) {
	for i := range n {
		copy(a.x[i*len(x):], x)
	}
}

// embed computes y (n, D) of x.
func (a *conditionActs) embed(y []float32, p *weights, n, d int) {
	p.condition.l1.forward(a.h, a.x, n)
	vec.SiLU(a.a[:n*d], a.h[:n*d])
	p.condition.l2.forward(y, a.a, n)
}

// heed adds a condition's embedding y (n, D) to the action tokens.
func (w *worker) heed(c *Config, y []float32) {
	if c.Condition == nil {
		return
	}
	for i, d := 0, c.D; i < w.n*c.Horizon; i++ {
		row := w.x[i*d : (i+1)*d]
		vec.Add(row, row, y[i/c.Horizon*d:][:d])
	}
}

// guide moves a told velocity v (n H, A) at x away from the untold one.
func (w *worker) guide(v, x []float32) {
	a := &w.condition
	w.velocityAt(a.velocity, x, a.none)
	for i := range v {
		v[i] += w.hand.guide * (v[i] - a.velocity[i])
	}
}

// heedBackward takes dx, the gradient of the action tokens, into that of the
// condition's embedding.
func (w *worker) heedBackward(c *Config, p, g *weights, dx []float32) {
	if c.Condition == nil {
		return
	}
	a, n, d := &w.condition, w.n, c.D
	clear(a.dy[:n*d])
	for i := range n {
		vec.AddRows(a.dy[i*d:(i+1)*d], dx[i*c.Horizon*d:], c.Horizon)
	}
	w.backward(&p.condition.l2, &g.condition.l2, a.dh, a.dy, a.a, n, 0)
	vec.SiLUBackward(a.dh[:n*d], a.dh[:n*d], a.h[:n*d])
	w.backward(&p.condition.l1, &g.condition.l1, nil, a.dh, a.x, n, 0)
}

// predictBackward takes the gradient of the predictions, (B, K), nil for 0, into
// the head's weights and dctx.
func (w *worker) predictBackward(c *Config, p, g *weights, dPredicted []float32) {
	t := c.Condition
	if t == nil || !t.Predicted {
		return
	}
	a, n, d := &w.condition, w.n, c.D
	clear(a.dprediction)
	if dPredicted != nil {
		copy(a.dprediction, dPredicted[w.lo*t.Size:(w.lo+n)*t.Size])
	}
	w.backward(&p.condition.head2, &g.condition.head2, a.dhh, a.dprediction, a.ha, n, 0)
	vec.SiLUBackward(a.dhh[:n*d], a.dhh[:n*d], a.hh[:n*d])
	w.backward(&p.condition.head1, &g.condition.head1, w.dy, a.dhh, a.pooled, n, 0)
	c.pool(n).AttentionBackward(a.dq, a.dk, a.dv, a.dp, w.dy, a.p, a.q, w.ctx, w.ctx)
	vec.AddRows(g.condition.query, a.dq, n)
	ctx := n * c.ContextTokens() * d
	vec.Add(w.dctx[:ctx], w.dctx[:ctx], a.dk[:ctx])
	vec.Add(w.dctx[:ctx], w.dctx[:ctx], a.dv[:ctx])
}
