package objective

import (
	"cmp"
	"flag"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

var _ = register(Definition{"arfm", "weighed by advantage, with a strength that is solved for in each batch", func(fs *flag.FlagSet) Objective {
	o, d := &ARFM{}, RelativeAlpha()
	fs.StringVar((*string)(&o.Scale), "scale", string(Relative), "units in which alpha is solved for: relative (one --lambda fits every network and reward), paper")
	fs.StringVar((*string)(&o.Spread), "spread", string(Batch), "how alpha follows from x: batch (the batch's own effective sample size is B e^-x, whatever its outliers, within alpha's bounds), gaussian (sqrt(x) / s_R, the paper's)")
	fs.Float64Var(&o.Options.Lambda, "lambda", d.Lambda, "weight of the advantage signal against gradient variance; more of it gives a greater alpha (the paper has 5e-4, with --scale paper)")
	fs.Float64Var(&o.Options.Min, "alpha-min", d.Min, "least alpha")
	fs.Float64Var(&o.Options.Max, "alpha-max", d.Max, "greatest alpha")
	fs.IntVar(&o.Options.Iterations, "iterations", d.Iterations, "bisections when solving for alpha")
	o.Options.Tolerance = d.Tolerance
	return o
}})

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

// Spread says how ARFM's alpha follows from the solution x, by which the effective
// sample size is to be B e^-x.
type Spread string

// Spreads.
const (
	// Gaussian has alpha = sqrt(x) / s_R, as for advantages of a normal
	// distribution. Successes and failures have two peaks, and far more of such a
	// batch counts; in one with an advantage far out that one takes all the weight.
	Gaussian Spread = "gaussian"
	// Batch has the alpha at which that is the size of the batch in hand.
	Batch Spread = "batch"
)

// ARFM is adaptive reinforced flow matching (arXiv 2509.04063):
// w = softmax(alpha R*), where alpha is solved anew for every batch from the
// spread of its losses and advantages; see SolveAlpha. The mean advantage of
// the batch is removed first, so that a constant added to all changes nothing.
type ARFM struct {
	Options AlphaOptions
	Scale   Scale
	Spread  Spread

	last Solution
}

// Name returns "arfm".
func (*ARFM) Name() string { return "arfm" }

// Needs returns that rewards are needed.
func (*ARFM) Needs() Needs { return Needs{Rewards: true} }

// Validate returns what is out of range, or nil.
func (o *ARFM) Validate() error {
	if o.Scale != Paper && o.Scale != Relative {
		return fmt.Errorf("scale %q is unknown; use %q or %q", o.Scale, Paper, Relative)
	}
	if o.Spread != Gaussian && o.Spread != Batch {
		return fmt.Errorf("spread %q is unknown; use %q or %q", o.Spread, Gaussian, Batch)
	}
	return o.Options.Validate()
}

// Loss returns sum_i w_i l_i; the weights are constants in the gradient.
func (o *ARFM) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	r := make([]float64, in.Advantage.Shape().TotalSize())
	weights, err = Weigh("arfm", in.L, in.Advantage, func(l, adv, w []float32) (err error) {
		o.last, err = o.weigh(w, l, adv, r)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
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
	if o.Spread == Batch && rms > 0 {
		solved := s.Bound // x itself may be bounded
		s.Alpha, s.Bound = FitAlpha(r, float64(len(r))*math.Exp(-s.X), o.Options)
		s.Bound = cmp.Or(s.Bound, solved)
	}
	softmax(w, r, s.Alpha)
	return s, nil
}

// Measure reports alpha, on which bound it lies unless that leaves no choice, x
// and the residual of F.
func (o *ARFM) Measure(m *Metrics) {
	m.Alpha, m.X, m.Residual = o.last.Alpha, o.last.X, o.last.Residual
	if o.Options.Min < o.Options.Max {
		m.Bound = o.last.Bound
	}
}
