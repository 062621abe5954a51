package objective

import (
	"flag"

	"gorgonia.org/gorgonia"
)

var _ = register(Definition{"bc", "all chunks alike", func(*flag.FlagSet) Objective { return BC{} }})

// BC is behaviour cloning: every sample has the weight 1/B.
type BC struct{}

// Name returns "bc".
func (BC) Name() string { return "bc" }

// Needs returns that nothing is needed.
func (BC) Needs() Needs { return Needs{} }

// Loss returns mean l.
func (BC) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	weights, err = Weigh("bc", in.L, in.Advantage, func(l, _, w []float32) error {
		for i := range w {
			w[i] = float32(1 / float64(len(w)))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
	return loss, weights, err
}
