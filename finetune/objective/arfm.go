package objective

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// Scale says in which units ARFM solves for alpha.
type Scale string

// Scales.
const (
	// Paper takes losses and advantages as they are. With l averaged over
	// (h, d) a small network then has alpha on its lower bound.
	Paper Scale = "paper"
	// Relative takes l / mean l and advantages in units of their standard
	// deviation, so that one lambda means the same for every network, reward
	// and stage of training.
	Relative Scale = "relative"
)

// ARFM is adaptive reinforced flow matching (arXiv 2509.04063):
// w = softmax(alpha R*), where alpha is solved anew for every batch from the
// spread of its losses and advantages; see SolveAlpha. The mean advantage of
// the batch is removed first, so that a constant added to all changes nothing.
type ARFM struct {
	Options AlphaOptions
	Scale   Scale

	last Solution
}

// Name returns "arfm".
func (*ARFM) Name() string { return "arfm" }

// Validate returns what is out of range, or nil.
func (o *ARFM) Validate() error {
	if o.Scale != Paper && o.Scale != Relative {
		return fmt.Errorf("scale %q is unknown; use %q or %q", o.Scale, Paper, Relative)
	}
	return o.Options.Validate()
}

// Loss returns sum_i w_i l_i; the weights are constants in the gradient.
func (o *ARFM) Loss(l, adv *gorgonia.Node) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	r := make([]float64, adv.Shape().TotalSize())
	weights, err = Weigh("arfm", l, adv, func(l, adv, w []float32) (err error) {
		o.last, err = o.weigh(w, l, adv, r)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, l)
	return loss, weights, err
}

// weigh fills the weights w of a batch with losses l and advantages adv, all
// (B); r (B) is scratch.
func (o *ARFM) weigh(w, l, adv []float32, r []float64) (Solution, error) {
	mean, variance := moments(l)
	if math.IsNaN(variance) || math.IsInf(variance, 0) {
		return Solution{}, fmt.Errorf("the losses of a batch are %w; lower the learning rate or look for bad actions in the data", ErrNotFinite)
	}
	rms, err := centre(r, adv)
	if err != nil {
		return Solution{}, err
	}
	if o.Scale == Relative {
		if mean > 0 {
			variance /= mean * mean
		}
		if rms > 0 {
			for i := range r {
				r[i] /= rms
			}
			rms = 1
		}
	}
	s := SolveAlpha(rms, variance, o.Options)
	softmax(w, r, s.Alpha)
	return s, nil
}

// Measure reports alpha, x and the residual of F.
func (o *ARFM) Measure(m *Metrics) {
	m.Alpha, m.X, m.Residual = o.last.Alpha, o.last.X, o.last.Residual
}
