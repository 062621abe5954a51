// Package objective holds the fine-tuning objectives, one file each, and the
// training step that runs them.
//
// An objective is a Gorgonia expression: from the per-sample losses l and the
// advantages it builds a scalar loss, and Compile differentiates it together
// with the velocity field. To add another one, write a file that implements
// Objective, with Gorgonia's own operators where gradients shall flow and with
// Weigh where the weights are constants in the gradient, and registers it:
// training, command line, checkpoint and policy read what it declares.
package objective

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"

	"arfm/finetune/critic"
	"arfm/policy/vla"
)

// ErrNotFinite says that a loss or an advantage is NaN or infinite.
var ErrNotFinite = errors.New("not finite")

// Objective builds a loss and declares what it takes to do so.
type Objective interface {
	Name() string
	Needs() Needs
	// Loss returns the loss, a scalar, and the weights of the samples, (B),
	// which are reported.
	Loss(in Inputs) (loss, weights *gorgonia.Node, err error)
}

// Inputs are the nodes that a loss is made of, float32.
type Inputs struct {
	L         *gorgonia.Node // (B) flow matching loss of each sample, in squared normalised actions
	Advantage *gorgonia.Node // (B) of its chunk
	Known     *gorgonia.Node // (B) 1 where a reward of its chunk is known, 0 elsewhere
	// With a condition of K numbers:
	Told      *gorgonia.Node // (B*K) what the policy is told
	Predicted *gorgonia.Node // (B*K) what its head predicts; nil without one
}

// Needs is what an objective asks of whoever trains, beside the losses. The zero
// value asks for nothing.
type Needs struct {
	Rewards bool // it tells chunks apart by their rewards: without any it makes no sense
	// Condition is what the policy is told beside the observation, in training
	// by the objective, which is a Teller then, and where it runs as the
	// condition says. It goes into the checkpoint.
	Condition *vla.Condition
	// Critic is to be trained on the same chunks; the advantages are its own then.
	Critic  *critic.Options
	Returns bool // they are standardised; their moments go into the checkpoint's statistics
}

// Teller is an objective with a condition.
type Teller interface {
	// Prepare sees the chunks of the training split before the first step.
	Prepare(Chunks) error
	// Tell fills dst (K) with what the policy is told of a chunk.
	Tell(dst []float32, chunk int, r *rand.Rand)
}

// Chunks is what is known of the N chunks of the training split.
type Chunks struct {
	Returns    []float64 // (N) return-to-go in the reward's unit; NaN where no reward is known
	Advantages []float64 // (N) 0 where no reward is known
	Groups     []string  // (N) name of those that a chunk is compared with
	// Standard is (N) returns in standard deviations from the mean of their kind of
	// reward, by the moments in the checkpoint that training started from if it has
	// them; NaN where no reward is known, and nil without Needs.Returns.
	Standard []float64
}

// Measurer is an Objective that has figures of its own; Measure adds those of
// the last run.
type Measurer interface {
	Measure(m *Metrics)
}

// Metrics are the figures of one step.
type Metrics struct {
	Loss      float64 `json:"loss"`
	LossMean  float64 `json:"l_mean"` // of the per-sample losses
	LossStd   float64 `json:"l_std"`
	Alpha     float64 `json:"alpha"`           // strength of the weights; 0 for bc
	X         float64 `json:"x"`               // alpha^2 s_R^2
	Residual  float64 `json:"residual"`        // of the equation for X, before alpha's bounds
	Bound     int     `json:"bound,omitempty"` // where alpha was solved for: -1 it lies on its lower bound, 1 on its upper
	WeightMin float64 `json:"w_min"`
	WeightMax float64 `json:"w_max"`
	ESS       float64 `json:"ess"`     // effective sample size 1 / sum w^2
	Entropy   float64 `json:"entropy"` // -sum w log w, nats
	// Figures are the objective's own, by name.
	Figures map[string]float64 `json:"figures,omitempty"`
}

// PredictedESS is the effective sample size that ARFM solves for in a batch of B,
// B e^-X; less than the 1 of a single chunk there is not.
func (m *Metrics) PredictedESS(batch int) float64 { return max(1, float64(batch)*math.Exp(-m.X)) }

func (m *Metrics) fill(loss float64, l, w []float32) {
	*m = Metrics{Loss: loss, WeightMin: math.Inf(1), WeightMax: math.Inf(-1)}
	var variance float64
	m.LossMean, variance = moments(l)
	m.LossStd = math.Sqrt(variance)
	squares := 0.0
	for _, w32 := range w {
		w := float64(w32)
		m.WeightMin, m.WeightMax = min(m.WeightMin, w), max(m.WeightMax, w)
		squares += w * w
		if w > 0 {
			m.Entropy -= w * math.Log(w)
		}
	}
	if squares > 0 {
		m.ESS = 1 / squares
	}
}

// moments returns the mean and the population variance of x, in float64.
func moments(x []float32) (mean, variance float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += float64(v) / n
	}
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d / n
	}
	return mean, variance
}

// weighted returns sum_i w_i l_i.
func weighted(w, l *gorgonia.Node) (*gorgonia.Node, error) {
	product, err := gorgonia.HadamardProd(w, l)
	if err != nil {
		return nil, err
	}
	return gorgonia.Sum(product)
}

// uniform returns weights of 1/B.
func uniform(name string, in Inputs) (*gorgonia.Node, error) {
	return Weigh(name, in.L, in.Advantage, func(_, _, w []float32) error {
		for i := range w {
			w[i] = float32(1 / float64(len(w)))
		}
		return nil
	})
}

// centre writes adv minus its mean into r and returns the root mean square of
// the result. Equal advantages give exact zeros.
func centre(r []float64, adv []float32) (rms float64, err error) {
	n, first, mean := float64(len(adv)), float64(adv[0]), 0.0
	for _, a := range adv {
		mean += (float64(a) - first) / n
	}
	for i, a := range adv {
		r[i] = float64(a) - first - mean
		rms += r[i] * r[i] / n
	}
	if math.IsNaN(rms) || math.IsInf(rms, 0) {
		return 0, fmt.Errorf("the advantages of a batch are %w; check the rewards", ErrNotFinite)
	}
	return math.Sqrt(rms), nil
}

// softmax writes softmax(beta r) into w. Where all of r are equal every weight
// is the float32 nearest to 1/B, exactly as in bc.
func softmax(w []float32, r []float64, beta float64) {
	top := math.Inf(-1)
	for _, v := range r {
		top = max(top, beta*v)
	}
	sum := 0.0
	for _, v := range r {
		sum += math.Exp(beta*v - top)
	}
	for i, v := range r {
		w[i] = float32(math.Exp(beta*v-top) / sum)
	}
}
