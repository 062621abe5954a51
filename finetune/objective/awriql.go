package objective

import (
	"flag"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"arfm/finetune/critic"
)

var _ = register(Definition{"awr-iql", "weighed by the advantage that a critic learns from the rewards", func(fs *flag.FlagSet) Objective {
	o := &AWRIQL{Critic: critic.DefaultOptions()}
	c := &o.Critic
	fs.Float64Var(&o.Temperature, "temperature", 0.3, "advantage, in deviations of the returns, that makes a chunk weigh e times as much")
	fs.Float64Var(&o.Clip, "weight-clip", 100, "how many times as much as one of no advantage a chunk may weigh")
	fs.Float64Var(&c.Expectile, "critic-expectile", c.Expectile, "of the values of what was done at a place, the one that the place is worth: 0.5 is their mean, towards 1 the best")
	fs.Float64Var(&c.Discount, "discount", c.Discount, "what a reward counts one frame later")
	fs.IntVar(&c.Width, "critic-width", c.Width, "of the hidden layers of the critic's networks")
	fs.Float64Var(&c.Rate, "critic-lr", c.Rate, "learning rate of the critic")
	fs.IntVar(&c.Batch, "critic-batch", c.Batch, "chunks of an update of the critic")
	fs.Int64Var(&c.WarmUp, "critic-warm-up", c.WarmUp, "updates of the critic before the first step; then there is one with each")
	return o
}})

// AWRIQL is advantage-weighted regression (Peng et al., arXiv 1910.00177) on the
// advantages of a critic that is trained on the same data by implicit
// Q-learning, as in IQL's policy extraction (Kostrikov et al., arXiv 2110.06169):
//
//	w_i = min(exp(A_i/Temperature), Clip) / sum_k min(exp(A_k/Temperature), Clip)
type AWRIQL struct {
	Temperature float64 // > 0
	Clip        float64 // >= 1
	Critic      critic.Options

	mean, std, clipped float64 // of the advantages of the last batch; share of weights at Clip
}

// Name returns "awr-iql".
func (*AWRIQL) Name() string { return "awr-iql" }

// Needs returns rewards and a critic.
func (o *AWRIQL) Needs() Needs { return Needs{Rewards: true, Critic: &o.Critic} }

// Validate returns what is out of range, or nil.
func (o *AWRIQL) Validate() error {
	switch {
	case !(o.Temperature >= 1e-6 && o.Temperature <= 1e6):
		return fmt.Errorf("the temperature is %v; it must lie in [1e-6, 1e6]", o.Temperature)
	case !(o.Clip >= 1 && o.Clip <= 1e12):
		return fmt.Errorf("weights are clipped at %v; the bound must lie in [1, 1e12]", o.Clip)
	}
	return o.Critic.Validate()
}

// Loss returns sum_i w_i l_i; the weights are constants in the gradient.
func (o *AWRIQL) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	weights, err = Weigh("awr-iql", in.L, in.Advantage, func(_, adv, w []float32) error { return o.weigh(adv, w) })
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
	return loss, weights, err
}

// weigh fills the weights w of a batch with advantages adv, both (B).
func (o *AWRIQL) weigh(adv, w []float32) error {
	mean, variance := moments(adv)
	if math.IsNaN(variance) || math.IsInf(variance, 0) {
		return fmt.Errorf("the critic's advantages are %w; lower its learning rate or check the rewards", ErrNotFinite)
	}
	o.mean, o.std, o.clipped = mean, math.Sqrt(variance), 0
	most, sum := math.Log(o.Clip), 0.0
	// From the greatest exponent on: were all far below 0, no sum would be left.
	top := math.Inf(-1)
	for _, a := range adv {
		top = max(top, min(float64(a)/o.Temperature, most))
	}
	weight := func(a float32) float64 { return math.Exp(min(float64(a)/o.Temperature, most) - top) }
	for _, a := range adv {
		sum += weight(a)
		if float64(a)/o.Temperature > most {
			o.clipped += 1 / float64(len(adv))
		}
	}
	for i, a := range adv {
		w[i] = float32(weight(a) / sum)
	}
	return nil
}

// Measure reports mean and deviation of the batch's advantages and the share of
// weights that were clipped.
func (o *AWRIQL) Measure(m *Metrics) {
	m.Figures = map[string]float64{"advantage_mean": o.mean, "advantage_std": o.std, "clipped": o.clipped}
}
