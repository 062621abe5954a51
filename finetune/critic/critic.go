// Package critic learns how good chunks of actions are by implicit Q-learning
// (Kostrikov, Nair and Levine, "Offline Reinforcement Learning with Implicit
// Q-Learning", arXiv 2110.06169), with a chunk for an action (Li, Zhou and
// Levine, "Reinforcement Learning with Action Chunking", arXiv 2507.07969): a
// value V of observations is an expectile of the two action values Q1 and Q2,
// which in turn are fitted to the rewards of a chunk and V behind it. No action
// is asked for that is not in the data.
package critic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync"

	"arfm/finetune/optim"
	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// Options of a critic.
type Options struct {
	Expectile float64 // of V among the action values, in (0, 1)
	Discount  float64 // of a reward, per frame that it is later
	Width     int     // of the two hidden layers of each network
	Rate      float64 // learning rate
	Batch     int     // chunks of an update
	Polyak    float64 // how far the target networks move towards Q1 and Q2 in an update
	WarmUp    int64   // updates before the policy's first step; then there is one with each
}

// DefaultOptions are the paper's for locomotion, less its number of updates.
func DefaultOptions() Options {
	return Options{Expectile: 0.7, Discount: 0.99, Width: 256, Rate: 3e-4, Batch: 256, Polyak: 0.005, WarmUp: 1000}
}

// Validate returns what is out of range, or nil.
func (o Options) Validate() error {
	in := func(what string, v, lo, hi float64) error {
		if !(v >= lo && v <= hi) {
			return fmt.Errorf("%s is %v; it must lie in [%g, %g]", what, v, lo, hi)
		}
		return nil
	}
	return cmp.Or(
		in("the expectile of values", o.Expectile, 1e-3, 1-1e-3), in("the discount", o.Discount, 0, 1-1e-6),
		in("the width of the critic", float64(o.Width), 1, 4096), in("the learning rate of the critic", o.Rate, 0, 1),
		in("the batch of the critic", float64(o.Batch), 1, 1<<16), in("the step of the target networks", o.Polyak, 0, 1),
		in("the number of updates before the first step", float64(o.WarmUp), 0, 1e9))
}

// Transition is what a chunk of actions led to.
type Transition struct {
	Reward   float32 // discounted sum of its rewards, and of what follows where nothing is left to be valued
	Next     int     // chunk that starts where it ended; any if Discount is 0
	Discount float32 // of the value of Next
}

// Data are the N chunks of a training split. The methods are called by one
// goroutine at a time.
type Data interface {
	// Sizes returns the numbers of an observation, F, and of a chunk, G.
	Sizes() (observation, chunk int)
	// Known lists the chunks whose rewards are known, at least one.
	Known() []int
	// Observe fills dst (F) with what the critic sees where chunk k starts.
	Observe(dst []float32, k int)
	// Actions fills dst (G) with the normalised actions of chunk k.
	Actions(dst []float32, k int)
	// Follow returns what chunk k led to.
	Follow(k int) Transition
}

// Critic is the networks, their optimiser and the buffers of a batch.
type Critic struct {
	o      Options
	data   Data
	params *nn.Params // q1, q2, v
	grad   *nn.Params
	target *nn.Params // of which q1 and q2 are used
	qs     int        // parameters of q1 and q2
	adam   *optim.AdamW

	q, old [2]*mlp // action values, and their targets
	v      *mlp

	known       []int
	seen, acted []float32 // (B, F), (B, F+G)
	next        []float32 // (B, F)
	moves       []Transition
	bound       []float32 // (B) least target action value
	ahead       []float32 // (B) values of next
	dq          [2][]float32
	dv          []float32 // (B)

	vLoss, qLoss, vMean float64 // of the last update
}

// New returns a critic whose weights are drawn from r.
func New(o Options, data Data, r *rand.Rand) (*Critic, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f, g := data.Sizes()
	c := &Critic{o: o, data: data, known: data.Known()}
	if len(c.known) == 0 {
		return nil, fmt.Errorf("no chunk has a reward to learn values from")
	}
	layout := append(mlpLayout("q1", f+g, o.Width), mlpLayout("q2", f+g, o.Width)...)
	c.params = nn.NewParams(append(layout, mlpLayout("v", f, o.Width)...))
	initialise(c.params, r)
	c.grad = c.params.Like(make([]float32, len(c.params.Data)))
	c.target = c.params.Like(append([]float32(nil), c.params.Data...))
	c.qs, _ = c.params.Range("v.0.weight")
	for i, name := range []string{"q1", "q2"} {
		c.q[i] = newMLP(name, c.params, c.grad, o.Batch)
		c.old[i] = newMLP(name, c.target, nil, o.Batch)
		c.dq[i] = make([]float32, o.Batch)
	}
	c.v = newMLP("v", c.params, c.grad, o.Batch)
	b := o.Batch
	c.seen, c.next, c.acted = make([]float32, b*f), make([]float32, b*f), make([]float32, b*(f+g))
	c.moves, c.bound, c.ahead, c.dv = make([]Transition, b), make([]float32, b), make([]float32, b), make([]float32, b)
	var err error
	c.adam, err = optim.New(optim.Config{
		Schedule: optim.Schedule{Peak: o.Rate, Floor: o.Rate, Total: 1}, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
	}, c.params.Data)
	return c, err
}

// load takes chunk k as sample i.
func (c *Critic) load(i, k int) {
	f, g := c.data.Sizes()
	c.data.Observe(c.seen[i*f:(i+1)*f], k)
	copy(c.acted[i*(f+g):], c.seen[i*f:(i+1)*f])
	c.data.Actions(c.acted[i*(f+g)+f:(i+1)*(f+g)], k)
}

// Update takes one step on chunks that are drawn with r.
//
//	L_V = mean |Expectile - 1(d < 0)| d^2,  d = min(Q1', Q2')(s, a) - V(s)
//	L_Q = mean (R + gamma^n V(s_n) - Q(s, a))^2, for Q1 and Q2
//
// Q1' and Q2' are the target networks. The error wraps optim.ErrNotFinite.
func (c *Critic) Update(r *rand.Rand) error {
	f, _ := c.data.Sizes()
	n := c.o.Batch
	for i := range n {
		k := c.known[r.IntN(len(c.known))]
		c.load(i, k)
		c.moves[i] = c.data.Follow(k)
		if c.moves[i].Discount > 0 {
			c.data.Observe(c.next[i*f:(i+1)*f], c.moves[i].Next)
		} else {
			clear(c.next[i*f : (i+1)*f])
		}
	}
	c.evaluate(n)
	copy(c.ahead, c.v.forward(c.next, n))
	c.v.forward(c.seen, n)
	c.losses(n)
	both(
		func() { c.q[0].backward(c.dq[0], n) },
		func() { c.q[1].backward(c.dq[1], n) },
		func() { c.v.backward(c.dv, n) },
	)
	if _, err := c.adam.Update(c.params.Data, c.grad.Data); err != nil {
		return fmt.Errorf("the critic: %w", err)
	}
	vec.Lerp(c.target.Data[:c.qs], c.params.Data[:c.qs], float32(c.o.Polyak))
	return nil
}

// evaluate runs the action values and their targets on n loaded samples and
// sets bound.
func (c *Critic) evaluate(n int) {
	both(
		func() { c.q[0].forward(c.acted, n) }, func() { c.q[1].forward(c.acted, n) },
		func() { c.old[0].forward(c.acted, n) }, func() { c.old[1].forward(c.acted, n) },
	)
	for i := range n {
		c.bound[i] = min(c.old[0].out[i], c.old[1].out[i])
	}
}

// losses sets the gradients of both losses by the networks' outputs.
func (c *Critic) losses(n int) {
	c.vLoss, c.qLoss, c.vMean = 0, 0, 0
	each := 1 / float64(n)
	for i := range n {
		d, a := float64(c.bound[i]-c.v.out[i]), c.o.Expectile
		if d < 0 {
			a = 1 - a
		}
		c.vLoss += each * a * d * d
		c.vMean += each * float64(c.v.out[i])
		c.dv[i] = float32(-2 * each * a * d)
		goal := c.moves[i].Reward + c.moves[i].Discount*c.ahead[i]
		for k := range c.q {
			d := float64(c.q[k].out[i] - goal)
			c.qLoss += each * d * d / 2
			c.dq[k][i] = float32(2 * each * d)
		}
	}
}

// both runs functions side by side; none writes what another reads.
func both(f ...func()) {
	var wg sync.WaitGroup
	for _, f := range f {
		wg.Go(f)
	}
	wg.Wait()
}

// Advantage fills dst (len(chunks)) with min(Q1', Q2')(s, a) - V(s), in the
// unit of the rewards.
func (c *Critic) Advantage(dst []float32, chunks []int) {
	for lo := 0; lo < len(chunks); lo += c.o.Batch {
		part := chunks[lo:min(lo+c.o.Batch, len(chunks))]
		for i, k := range part {
			c.load(i, k)
		}
		n := len(part)
		both(func() { c.old[0].forward(c.acted, n) }, func() { c.old[1].forward(c.acted, n) }, func() { c.v.forward(c.seen, n) })
		for i := range part {
			dst[lo+i] = min(c.old[0].out[i], c.old[1].out[i]) - c.v.out[i]
		}
	}
}

// Figures returns the losses of the last update and the mean of V, in units of
// the rewards.
func (c *Critic) Figures() map[string]float64 {
	return map[string]float64{"v_loss": c.vLoss, "q_loss": c.qLoss, "v_mean": c.vMean}
}

// Vectors are all that an update changes, by name, for a training state; what is
// read back goes into them, and Resume says of how many updates it is.
func (c *Critic) Vectors() map[string][]float32 {
	return map[string][]float32{"params": c.params.Data, "target": c.target.Data[:c.qs], "m": c.adam.M, "v": c.adam.V}
}

// Resume goes on after so many updates.
func (c *Critic) Resume(updates int64) { c.adam.Step = updates }
