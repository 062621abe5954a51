package vec

import (
	"math"

	"arfm/policy/nn/cpu"
)

// Sum adds x up.
func Sum(x []float32) float32 {
	if cpu.Has == cpu.Generic {
		return sum(x)
	}
	return sumKernel(x)
}

// SumDot is Sum(x) and the inner product of x and y, which are of one length.
func SumDot(x, y []float32) (s, d float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		return sum(x), dot(x, y)
	}
	return sumDotKernel(x, y)
}

// Deviations adds up the squares of x - mean.
func Deviations(x []float32, mean float32) float32 {
	if cpu.Has == cpu.Generic {
		return deviations(x, mean)
	}
	return deviationsKernel(x, mean)
}

// SumSquares adds up the squares of x in float64.
func SumSquares(x []float32) float64 {
	if cpu.Has == cpu.Generic {
		return sumSquares(x)
	}
	return sumSquaresKernel(x)
}

// Max is the largest element of x, -Inf without any; NaN may be passed over.
func Max(x []float32) float32 {
	if cpu.Has == cpu.Generic {
		return largest(x)
	}
	return largestKernel(x)
}

// ExpSum sets y = e^(x - shift), for a shift not below Max(x), and adds y up.
func ExpSum(y, x []float32, shift float32) float32 {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		return expSum(y, x, shift)
	}
	return expSumKernel(y, x, shift)
}

// Softmax sets y = e^x / sum e^x. NaN, +Inf or nothing but -Inf in x make all
// of y NaN.
func Softmax(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		r := 1 / expSum(y, x, largest(x))
		for i := range y {
			y[i] *= r
		}
		return
	}
	softmaxKernel(y, x)
}

// SoftmaxBackward replaces dp by the gradient of the logits, p (dp - p dp).
func SoftmaxBackward(dp, p []float32) {
	dp = dp[:len(p)]
	if cpu.Has == cpu.Generic {
		s := dot(dp, p)
		for i, v := range p {
			dp[i] = v * (dp[i] - s)
		}
		return
	}
	softmaxSlopeKernel(dp, p)
}

// Normalize sets y = (x - mean) r.
func Normalize(y, x []float32, mean, r float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = (v - mean) * r
		}
		return
	}
	normalizeKernel(y, x, mean, r)
}

// NormalizeAffine sets y = (x - mean) r gain + bias.
func NormalizeAffine(y, x, gain, bias []float32, mean, r float32) {
	y, gain, bias = y[:len(x)], gain[:len(x)], bias[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = (v-mean)*r*gain[i] + bias[i]
		}
		return
	}
	normalizeAffineKernel(y, x, gain, bias, mean, r)
}

// NormalizeBackward adds to dx the gradient through a normalisation to mean 0
// and variance 1, dy - mean(dy) - xhat mean(dy xhat), times r.
func NormalizeBackward(dx, dy, xhat []float32, r float32) {
	dx, xhat = dx[:len(dy)], xhat[:len(dy)]
	d := float32(len(dy))
	s, p := SumDot(dy, xhat)
	mean, p := s/d, p/d
	if cpu.Has == cpu.Generic {
		for i, v := range dy {
			dx[i] += r * (v - mean - xhat[i]*p)
		}
		return
	}
	normalizeSlopeKernel(dx, dy, xhat, mean, p, r)
}

// Affine sets y = x (one + gain) + bias, for one = 0 or 1.
func Affine(y, x, gain, bias []float32, one float32) {
	y, gain, bias = y[:len(x)], gain[:len(x)], bias[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = v*(one+gain[i]) + bias[i]
		}
		return
	}
	affineKernel(y, x, gain, bias, one)
}

// AffineBackward adds dy x to dgain and dy to dbias and sets dx = dy (one +
// gain).
func AffineBackward(dx, dgain, dbias, dy, x, gain []float32, one float32) {
	n := len(dy)
	dx, dgain, dbias, x, gain = dx[:n], dgain[:n], dbias[:n], x[:n], gain[:n]
	if cpu.Has == cpu.Generic {
		for i, v := range dy {
			dgain[i] += v * x[i]
			dbias[i] += v
			dx[i] = v * (one + gain[i])
		}
		return
	}
	affineSlopeKernel(dx, dgain, dbias, dy, x, gain, one)
}

// GateBackward adds dx s to dgate and sets ds = dx gate.
func GateBackward(ds, dgate, dx, s, gate []float32) {
	n := len(dx)
	ds, dgate, s, gate = ds[:n], dgate[:n], s[:n], gate[:n]
	if cpu.Has == cpu.Generic {
		for i, v := range dx {
			dgate[i] += v * s[i]
			ds[i] = v * gate[i]
		}
		return
	}
	gateSlopeKernel(ds, dgate, dx, s, gate)
}

// band is how many elements AddRows gives to one call of its kernel.
const band = 1 << 16

// AddRows adds the n rows of x (n, len(y)) to y, from the first on.
func AddRows(y, x []float32, n int) {
	d := len(y)
	x = x[:n*d]
	if cpu.Has == cpu.Generic {
		for ; len(x) > 0; x = x[d:] {
			for i, v := range x[:d] {
				y[i] += v
			}
		}
		return
	}
	for few := 1 + band/max(d, 1); n > 0; n -= few {
		rows := min(n, few)
		addRowsKernel(y, x, rows)
		x = x[rows*d:]
	}
}

// AdamW holds the factors of one step of the optimiser of that name:
//
//	g' = Scale g,  m = Beta1 m + (1 - Beta1) g',  v = Beta2 v + (1 - Beta2) g'^2
//	p = Keep p - Rate m / (Root sqrt(v) + Eps)
//
// Moments below 1e-30 become 0: those of a parameter without a gradient would
// decay to subnormal numbers, where rounding keeps them and processors are slow.
type AdamW struct{ Scale, Beta1, Beta2, Rate, Root, Eps, Keep float32 }

// Step updates p, m and v; all are as long as g.
func (a AdamW) Step(p, g, m, v []float32) {
	p, m, v = p[:len(g)], m[:len(g)], v[:len(g)]
	c1, c2 := 1-a.Beta1, 1-a.Beta2
	if cpu.Has != cpu.Generic {
		adamwKernel(p, g, m, v, a.Scale, a.Beta1, c1, a.Beta2, c2, a.Rate, a.Root, a.Eps, a.Keep)
		return
	}
	for i, gi := range g {
		gi *= a.Scale
		mi := flush(a.Beta1*m[i] + c1*gi)
		vi := flush(a.Beta2*v[i] + c2*gi*gi)
		m[i], v[i] = mi, vi
		p[i] = a.Keep*p[i] - a.Rate*mi/(float32(math.Sqrt(float64(vi)))*a.Root+a.Eps)
	}
}
