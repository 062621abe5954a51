package objective

import "gorgonia.org/gorgonia"

// BC is behaviour cloning: every sample has the weight 1/B.
type BC struct{}

// Name returns "bc".
func (BC) Name() string { return "bc" }

// Loss returns mean l.
func (BC) Loss(l, adv *gorgonia.Node) (loss, weights *gorgonia.Node, err error) {
	weights, err = Weigh("bc", l, adv, func(l, _, w []float32) error {
		for i := range w {
			w[i] = float32(1 / float64(len(w)))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, l)
	return loss, weights, err
}
