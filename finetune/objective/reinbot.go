package objective

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"

	"arfm/policy/vla"
)

var _ = register(Definition{"reinbot", "all chunks alike; the policy is told the return that a chunk leads to, and asks for a high one when it runs", func(fs *flag.FlagSet) Objective {
	o := &ReinBoT{}
	fs.Float64Var(&o.Expectile, "return-expectile", 0.9, "of the returns seen from a place, the one that the policy asks for when it runs: 0.5 is their mean, towards 1 the best")
	fs.Float64Var(&o.HeadWeight, "return-weight", 1, "weight of the loss of predicting returns, beside that of the actions")
	return o
}})

// ReinBoT conditions the policy on returns (Zhang et al., arXiv 2505.07395): in
// training the policy is told the return-to-go of each chunk, standardised, and
// all chunks weigh alike. A head learns an expectile of the returns from the
// context, by asymmetric least squares (Newey and Powell 1987):
//
//	E = mean |Expectile - 1(g < p)| (g - p)^2, of the chunks with a reward
//
// and predicts the return that a running policy asks for. Loss and E are
// minimised together, as there, so the gradient of E reaches the encoders of
// the context; it does not reach the action expert, which is told g, not p. A
// chunk without any reward is told the mean of those that have one.
type ReinBoT struct {
	Expectile  float64 // in (0, 1)
	HeadWeight float64

	told                    []float32 // (N)
	loss, mean, asked, high float64   // of the last batch
}

// Name returns "reinbot".
func (*ReinBoT) Name() string { return "reinbot" }

// Needs returns rewards, their moments and a condition of one number, which a
// head predicts.
func (*ReinBoT) Needs() Needs {
	return Needs{Rewards: true, Returns: true, Condition: &vla.Condition{Size: 1, Predicted: true}}
}

// Validate returns what is out of range, or nil.
func (o *ReinBoT) Validate() error {
	switch {
	case !(o.Expectile > 0 && o.Expectile < 1):
		return fmt.Errorf("the expectile of returns is %v; it must lie between 0 and 1", o.Expectile)
	case !(o.HeadWeight > 0 && o.HeadWeight <= 1e6):
		return fmt.Errorf("the weight of predicting returns is %v; it must lie in (0, 1e6]", o.HeadWeight)
	}
	return nil
}

// Prepare takes the standardised returns.
func (o *ReinBoT) Prepare(c Chunks) error {
	if c.Standard == nil {
		return errors.New("there are no standardised returns to tell the policy")
	}
	o.told = make([]float32, len(c.Standard))
	for i, z := range c.Standard {
		if !math.IsNaN(z) {
			o.told[i] = float32(max(-maxTold, min(z, maxTold)))
		}
	}
	return nil
}

// maxTold bounds a standardised return: data that training goes on with may
// have others than those that the statistics are of.
const maxTold = 10

// Tell fills dst (1) with the chunk's return, standardised.
func (o *ReinBoT) Tell(dst []float32, chunk int, _ *rand.Rand) { dst[0] = o.told[chunk] }

// Loss returns mean l + HeadWeight E.
func (o *ReinBoT) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	if weights, err = uniform("reinbot", in); err != nil {
		return nil, nil, err
	}
	flow, err := weighted(weights, in.L)
	if err != nil {
		return nil, nil, err
	}
	diff, err := gorgonia.Sub(in.Told, in.Predicted)
	if err != nil {
		return nil, nil, err
	}
	square, err := gorgonia.Square(diff)
	if err != nil {
		return nil, nil, err
	}
	returns, err := Weigh("known returns", in.Told, in.Known, known)
	if err != nil {
		return nil, nil, err
	}
	asymmetry, err := Weigh("expectile", returns, in.Predicted, o.asymmetry)
	if err != nil {
		return nil, nil, err
	}
	head, err := weighted(asymmetry, square)
	if err != nil {
		return nil, nil, err
	}
	loss, err = gorgonia.Add(flow, head)
	return loss, weights, err
}

// known fills g (B) with the returns that the policy is told, and NaN where there
// is none.
func known(told, known, g []float32) error {
	for i := range g {
		if g[i] = told[i]; known[i] == 0 {
			g[i] = float32(math.NaN())
		}
	}
	return nil
}

// asymmetry fills w (B) with the weights of the squares (g - p)^2.
func (o *ReinBoT) asymmetry(returns, predicted, w []float32) error {
	o.loss, o.mean, o.asked, o.high = 0, 0, 0, 0
	n := 0.0
	for _, g := range returns {
		if g == g {
			n++
		}
	}
	clear(w)
	for i, g := range returns {
		if g != g { // NaN
			continue
		}
		d := float64(g) - float64(predicted[i])
		a := o.Expectile
		if d < 0 {
			a = 1 - o.Expectile
			o.high += 1 / n
		}
		w[i] = float32(o.HeadWeight * a / n)
		o.loss += a * d * d / n
		o.mean, o.asked = o.mean+float64(g)/n, o.asked+float64(predicted[i])/n
	}
	return nil
}

// Measure reports E, the means of told and predicted returns, in standard
// deviations, and the share of chunks below their prediction, all of the chunks
// with a reward.
func (o *ReinBoT) Measure(m *Metrics) {
	m.Figures = map[string]float64{"expectile_loss": o.loss, "return_told": o.mean, "return_predicted": o.asked, "below_prediction": o.high}
}
