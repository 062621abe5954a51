package objective

import (
	"flag"
	"fmt"

	"gorgonia.org/gorgonia"
)

var _ = register(Definition{"rwr", "weighed by advantage, with a fixed strength", func(fs *flag.FlagSet) Objective {
	o := &RWR{}
	fs.Float64Var(&o.Beta, "beta", 1, "strength of the weights, per unit of advantage")
	return o
}})

// RWR is reward-weighted regression with a fixed strength:
// w = softmax(Beta R*) over the batch (Peters & Schaal 2007).
type RWR struct {
	Beta float64 // per unit of advantage
}

// Name returns "rwr".
func (RWR) Name() string { return "rwr" }

// Needs returns that rewards are needed.
func (RWR) Needs() Needs { return Needs{Rewards: true} }

// Validate returns what is out of range, or nil.
func (o RWR) Validate() error {
	if !(o.Beta >= 0 && o.Beta <= 1e6) {
		return fmt.Errorf("rwr has beta %v; it must lie in [0, 1e6]", o.Beta)
	}
	return nil
}

// Loss returns sum_i w_i l_i.
func (o RWR) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	r := make([]float64, in.Advantage.Shape().TotalSize())
	weights, err = Weigh("rwr", in.L, in.Advantage, func(_, adv, w []float32) error {
		if _, err := centre(r, adv); err != nil {
			return err
		}
		softmax(w, r, o.Beta)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
	return loss, weights, err
}

// Measure reports Beta as the strength.
func (o RWR) Measure(m *Metrics) { m.Alpha = o.Beta }
