// Package optim holds the optimiser of arfm: AdamW on flat vectors with a
// global-norm clip, a warm-up and cosine schedule, and an optional running
// average of the weights. Each step reads and writes every vector once.
package optim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"

	"arfm/policy/nn/vec"
)

// ErrNotFinite says that a gradient holds NaN or an infinity; nothing was
// changed.
var ErrNotFinite = errors.New("the gradient is not finite")

// Schedule is a learning rate over steps: a linear warm-up to Peak, then a
// half cosine down to Floor at step Total.
type Schedule struct {
	Peak   float64 `json:"peak"`
	Floor  float64 `json:"floor"`
	WarmUp int64   `json:"warm_up"`
	Total  int64   `json:"total"`
}

// At returns the learning rate of step, which counts from 1.
func (s Schedule) At(step int64) float64 {
	if step <= s.WarmUp {
		return s.Peak * float64(step) / float64(s.WarmUp)
	}
	if step >= s.Total {
		return s.Floor
	}
	done := float64(step-s.WarmUp) / float64(s.Total-s.WarmUp)
	return s.Floor + (s.Peak-s.Floor)*0.5*(1+math.Cos(math.Pi*done))
}

// Config is what AdamW needs to know.
type Config struct {
	Schedule Schedule `json:"schedule"`
	Beta1    float64  `json:"beta1"`
	Beta2    float64  `json:"beta2"`
	Eps      float64  `json:"eps"`
	Decay    float64  `json:"decay"` // decoupled, per unit of learning rate
	Clip     float64  `json:"clip"`  // greatest L2 norm of the gradient, 0 for none
	EMA      float64  `json:"ema"`   // decay of the averaged weights, 0 for none
}

// Defaults returns the published settings (ARFM, appendix; those of pi0): beta
// (0.9, 0.95), eps 1e-8, decay 1e-10, clip 10, with a warm-up of one twentieth
// of the run, at most 1000 steps, and a cosine to a tenth of the peak.
func Defaults(peak float64, total int64) Config {
	return Config{
		Schedule: Schedule{Peak: peak, Floor: peak / 10, WarmUp: min(total/20, 1000), Total: total},
		Beta1:    0.9, Beta2: 0.95, Eps: 1e-8, Decay: 1e-10, Clip: 10,
	}
}

// Validate returns what is out of range, or nil.
func (c Config) Validate() error {
	in := func(name string, v, low, high float64) error {
		if !(v >= low && v <= high) {
			return fmt.Errorf("optimiser setting %s is %v; it must lie in [%g, %g]", name, v, low, high)
		}
		return nil
	}
	return cmp.Or(
		in("learning rate", c.Schedule.Peak, 0, 1e3), in("learning rate floor", c.Schedule.Floor, 0, 1e3),
		in("warm-up", float64(c.Schedule.WarmUp), 0, 1e12), in("steps", float64(c.Schedule.Total), 0, 1e12),
		in("beta1", c.Beta1, 0, 1-1e-9), in("beta2", c.Beta2, 0, 1-1e-9), in("eps", c.Eps, 1e-30, 1),
		in("decay", c.Decay, 0, 1), in("clip", c.Clip, 0, 1e30), in("ema", c.EMA, 0, 1-1e-9))
}

// AdamW is the optimiser and its state: all of it is exported so that it can
// be saved and restored. The same inputs give the same bits whatever the
// number of Workers.
type AdamW struct {
	Config  Config
	Step    int64     // updates done
	M, V    []float32 // (P) moments of the gradient
	Average []float32 // (P) averaged weights; nil unless Config.EMA > 0
	Workers int       // goroutines of an update; 0 or 1 for none

	partial []float64 // one sum of squares per block
}

// New returns an optimiser for params (P), at step 0.
func New(c Config, params []float32) (*AdamW, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	a := &AdamW{Config: c, M: make([]float32, len(params)), V: make([]float32, len(params))}
	if c.EMA > 0 {
		a.Average = append([]float32(nil), params...)
	}
	return a, nil
}

// Info is what an update did.
type Info struct {
	LearningRate float64
	GradNorm     float64 // L2 norm before the clip
}

// block is the unit in which squares are summed: fixed, so that the order of
// the additions does not depend on the number of workers.
const block = 1 << 14

// Update takes one step on params (P) along grad (P). Loshchilov & Hutter, "Decoupled Weight Decay Regularization", alg. 2:
//
//	m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
//	p = p - lr (m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps) + decay p)
//
// With EMA e, average = e average + (1-e) p, where e starts lower, as
// min(e, (1+t)/(10+t)), so that the first weights are forgotten. Moments below
// 1e-30 count as 0.
// It returns ErrNotFinite, and changes nothing, when grad is not finite.
func (a *AdamW) Update(params, grad []float32) (Info, error) {
	if len(params) != len(a.M) || len(grad) != len(a.M) {
		return Info{}, fmt.Errorf("optimiser for %d parameters got %d parameters and %d gradients", len(a.M), len(params), len(grad))
	}
	norm := a.norm(grad)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return Info{GradNorm: norm}, fmt.Errorf("step %d: %w; lower the learning rate or look for bad actions in the data", a.Step+1, ErrNotFinite)
	}
	a.Step++
	c, t := a.Config, float64(a.Step)
	lr := c.Schedule.At(a.Step)
	scale := 1.0
	if c.Clip > 0 && norm > c.Clip {
		scale = c.Clip / norm
	}
	k := vec.AdamW{
		Scale: float32(scale), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2),
		Rate: float32(lr / (1 - math.Pow(c.Beta1, t))), Root: float32(1 / math.Sqrt(1-math.Pow(c.Beta2, t))),
		Eps: float32(c.Eps), Keep: float32(1 - lr*c.Decay),
	}
	move := float32(1 - min(c.EMA, (1+t)/(10+t)))
	a.parallel(len(params), func(lo, hi int) {
		for ; lo < hi; lo += block { // so that the average finds params in the cache
			end := min(lo+block, hi)
			k.Step(params[lo:end], grad[lo:end], a.M[lo:end], a.V[lo:end])
			if a.Average != nil {
				vec.Lerp(a.Average[lo:end], params[lo:end], move)
			}
		}
	})
	return Info{LearningRate: lr, GradNorm: norm}, nil
}

// Weights returns what a checkpoint should hold: the average where there is
// one, else params.
func (a *AdamW) Weights(params []float32) []float32 {
	if a.Average != nil {
		return a.Average
	}
	return params
}

// norm returns the L2 norm of g, summed in float64 block by block.
func (a *AdamW) norm(g []float32) float64 {
	n := (len(g) + block - 1) / block
	if cap(a.partial) < n {
		a.partial = make([]float64, n)
	}
	partial := a.partial[:n]
	a.parallel(len(g), func(lo, hi int) {
		for b := lo; b < hi; b += block {
			partial[b/block] = vec.SumSquares(g[b:min(b+block, hi)])
		}
	})
	var sum float64
	for _, s := range partial {
		sum += s
	}
	return math.Sqrt(sum)
}

// parallel calls f on ranges that cover [0, n) and start at multiples of block.
func (a *AdamW) parallel(n int, f func(lo, hi int)) {
	blocks := (n + block - 1) / block
	workers := max(1, min(a.Workers, blocks))
	if workers == 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		lo, hi := w*blocks/workers*block, min((w+1)*blocks/workers*block, n)
		wg.Go(func() { f(lo, hi) })
	}
	wg.Wait()
}
