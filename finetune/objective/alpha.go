package objective

import (
	"fmt"
	"math"
	"slices"
)

// AlphaOptions are the settings of the adaptive strength alpha.
type AlphaOptions struct {
	Lambda     float64 `json:"lambda"` // weight of the signal against the variance
	Min        float64 `json:"min"`    // bounds of alpha
	Max        float64 `json:"max"`
	Iterations int     `json:"iterations"` // bisections M
	Tolerance  float64 `json:"tolerance"`  // in x, at which bisection stops early
}

// DefaultAlpha returns the settings of the ARFM paper: lambda 5e-4, alpha in
// [0.01, 5], 20 iterations, tolerance 1e-5.
func DefaultAlpha() AlphaOptions {
	return AlphaOptions{Lambda: 5e-4, Min: 0.01, Max: 5, Iterations: 20, Tolerance: 1e-5}
}

// RelativeAlpha returns DefaultAlpha with lambda 200, for the scale Relative.
// Per-sample losses vary by about 1.4 times their mean; x is then near 1.5, so that
// about a fifth of a batch counts. The paper's lambda would put alpha on its lower
// bound.
func RelativeAlpha() AlphaOptions {
	o := DefaultAlpha()
	o.Lambda = 200
	return o
}

// Validate returns what is out of range, or nil.
func (o AlphaOptions) Validate() error {
	switch {
	case !(o.Lambda >= 0 && o.Lambda <= 1e9):
		return fmt.Errorf("lambda is %v; it must lie in [0, 1e9]", o.Lambda)
	case !(o.Min >= 0 && o.Min <= o.Max && o.Max <= 1e6):
		return fmt.Errorf("alpha is bounded by [%v, %v]; the bounds must rise and lie in [0, 1e6]", o.Min, o.Max)
	case o.Iterations < 1 || o.Iterations > 10000:
		return fmt.Errorf("alpha is solved in %d iterations; use 1 to 10000", o.Iterations)
	case !(o.Tolerance >= 0):
		return fmt.Errorf("alpha is solved to a tolerance of %v; it must not be negative", o.Tolerance)
	}
	return nil
}

// Solution is the strength alpha of one batch and how it was found.
type Solution struct {
	Alpha    float64
	X        float64 // alpha^2 s_R^2; effective sample size is about B e^-X
	Residual float64 // F(X): zero inside the bounds
	Bound    int     // -1 on the lower bound, 1 on the upper, 0 between
}

// maxExponent keeps math.Exp finite: F stays increasing, and finite, whatever
// the advantages are.
const maxExponent = 600

func guardedExp(e float64) float64 { return math.Exp(min(e, maxExponent)) }

// stationarity is F of the paper as a function of z = sqrt(x) = alpha s_R:
//
//	F = 4 z e^(2 z^2) - 2 z e^(z^2) - c,   c = lambda s_R / s_L^2
//
// It is increasing, for dF/dz >= 2 at every z >= 0.
func stationarity(z, c float64) float64 {
	x := z * z
	return 4*z*guardedExp(2*x) - 2*z*guardedExp(x) - c
}

// slope is dF/dz.
func slope(z float64) float64 {
	x := z * z
	return (4+16*x)*guardedExp(2*x) - (2+4*x)*guardedExp(x)
}

// SolveAlpha returns the alpha in [Min, Max] that minimises
//
//	J(alpha) = sL2 (e^(2x) - e^x) - lambda alpha sR^2,   x = alpha^2 sR^2
//
// (ARFM, arXiv 2509.04063: variance of the weighted loss against its signal),
// where sR is the root mean square of the advantages and sL2 the variance of
// the per-sample losses. Where dJ/dalpha does not change its sign between the
// bounds, the nearer bound is the minimum. sR = 0 gives Min (every alpha has
// the same weights then) and sL2 = 0 gives Max.
//
// The paper's bisection on x in [Min^2 sR^2, Max^2 sR^2] stops after M = 20
// halvings at a width of 25 sR^2 / 2^20, which near the lower bound is a quarter
// of x itself; safeguarded Newton steps from there bring alpha to 1e-12.
func SolveAlpha(sR, sL2 float64, o AlphaOptions) Solution {
	at := func(alpha float64, bound int, c float64) Solution {
		z := alpha * sR
		return Solution{Alpha: alpha, X: z * z, Residual: stationarity(z, c), Bound: bound}
	}
	if sR == 0 {
		return Solution{Alpha: o.Min, Bound: -1}
	}
	c := o.Lambda * sR / sL2
	switch {
	case sL2 == 0 || c > math.Exp(maxExponent):
		return Solution{Alpha: o.Max, X: o.Max * sR * o.Max * sR, Bound: 1}
	case stationarity(o.Min*sR, c) >= 0:
		return at(o.Min, -1, c)
	case stationarity(o.Max*sR, c) <= 0:
		return at(o.Max, 1, c)
	}
	lo, hi := o.Min*o.Min*sR*sR, min(o.Max*o.Max*sR*sR, furthest(c))
	for i := 0; i < o.Iterations && hi-lo > o.Tolerance; i++ {
		if mid := 0.5 * (lo + hi); stationarity(math.Sqrt(mid), c) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return at(polish(math.Sqrt(lo), math.Sqrt(hi), c)/sR, 0, c)
}

// furthest is a bound of x at the root of stationarity: where z >= 1, F >= 2 e^(2x) - c.
// Without it the exponent's guard would lie between wide bounds of alpha, and
// beyond that Newton's steps are tiny.
func furthest(c float64) float64 { return max(1, 0.5*math.Log(c/2)) }

// polish finds the root of stationarity in [lo, hi] by Newton's method, and
// halves the bracket wherever a step would leave it.
func polish(lo, hi, c float64) float64 {
	z := 0.5 * (lo + hi)
	for range 2000 {
		f := stationarity(z, c)
		if f < 0 {
			lo = z
		} else {
			hi = z
		}
		next := z - f/slope(z)
		if !(next > lo && next < hi) {
			next = 0.5 * (lo + hi)
		}
		if math.Abs(next-z) <= 1e-14*z {
			return next
		}
		z = next
	}
	return z
}

// FitAlpha returns the alpha in [Min, Max] at which the weights softmax(alpha r)
// have the given effective sample size, (sum w)^2 / sum w^2, or the nearer bound
// (-1, 1) where there is none between. The size falls as alpha grows.
func FitAlpha(r []float64, size float64, o AlphaOptions) (alpha float64, bound int) {
	lo, hi := o.Min, o.Max
	switch {
	case effectiveSize(r, lo) <= size:
		return lo, -1
	case effectiveSize(r, hi) >= size:
		return hi, 1
	}
	for range 60 {
		if mid := 0.5 * (lo + hi); effectiveSize(r, mid) > size {
			lo = mid
		} else {
			hi = mid
		}
	}
	return 0.5 * (lo + hi), 0
}

// effectiveSize is that of the weights softmax(alpha r).
func effectiveSize(r []float64, alpha float64) float64 {
	most := slices.Max(r)
	var sum, squares float64
	for _, v := range r {
		w := math.Exp(alpha * (v - most))
		sum += w
		squares += w * w
	}
	return sum * sum / squares
}
