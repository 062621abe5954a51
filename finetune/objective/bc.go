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
	weights, err = uniform("bc", in)
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
	return loss, weights, err
}
