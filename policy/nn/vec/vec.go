// Package vec holds the element-wise kernels and reductions of the policy over
// flat float32 vectors: on x86-64 in assembly for AVX2 with FMA and for AVX-512
// (package cpu chooses), elsewhere and as the reference in plain Go. Both
// compute exponentials, the normal distribution, erf and tanh by the same
// approximations, those of package coef.
//
// Nothing here allocates, starts a goroutine or keeps state. The same call on
// the same data gives the same bits; AVX2 and AVX-512 give the same as each
// other, as their sums run over the same number of partial sums. All slices of
// a call have the length of the one that its comment names; a shorter one
// panics. A slice that is written may be one that is read, but the two must not
// overlap otherwise.
package vec

import (
	"math"

	"arfm/policy/nn/cpu"
)

//go:generate go run ./asm

// Exp sets y = e^x, within 2 units in the last place down to the smallest
// subnormal numbers.
func Exp(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, exp)
		return
	}
	expKernel(y, x)
}

// Tanh sets y = tanh x, within 5e-7 relative.
func Tanh(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, tanh)
		return
	}
	tanhKernel(y, x)
}

// Sigmoid sets y = 1 / (1 + e^-x), within 5e-7 relative.
func Sigmoid(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, sigmoid)
		return
	}
	sigmoidKernel(y, x)
}

// Erf sets y = erf x, within 5e-7 relative.
func Erf(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, erf)
		return
	}
	erfKernel(y, x)
}

// GELU sets y = x Phi(x) with the normal distribution function Phi: x/2 (1 +
// erf(x/sqrt 2)), the exact form (Hendrycks and Gimpel, arXiv 1606.08415).
func GELU(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, gelu)
		return
	}
	geluKernel(y, x)
}

// GELUTanh is the approximation x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
// of the same paper.
func GELUTanh(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, geluTanh)
		return
	}
	geluTanhKernel(y, x)
}

// SiLU sets y = x / (1 + e^-x).
func SiLU(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, silu)
		return
	}
	siluKernel(y, x)
}

// GELUBackward sets dx = dy (Phi(x) + x phi(x)) with the normal density phi.
func GELUBackward(dx, dy, x []float32) { backward(dx, dy, x, geluSlope, geluSlopeKernel) }

// SiLUBackward sets dx = dy s (1 + x (1 - s)) with s the sigmoid of x.
func SiLUBackward(dx, dy, x []float32) { backward(dx, dy, x, siluSlope, siluSlopeKernel) }

// Sqrt sets y to the square root of x.
func Sqrt(y, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		apply(y, x, func(v float32) float32 { return float32(math.Sqrt(float64(v))) })
		return
	}
	sqrtKernel(y, x)
}

// Scale sets y = a x.
func Scale(y, x []float32, a float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = a * v
		}
		return
	}
	scaleKernel(y, x, a)
}

// Line sets y = a x + b.
func Line(y, x []float32, a, b float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = a*v + b
		}
		return
	}
	lineKernel(y, x, a, b)
}

// Clamp sets y = min(max(x, low), high); NaN stays.
func Clamp(y, x []float32, low, high float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = bound(v, low, high)
		}
		return
	}
	clampKernel(y, x, low, high)
}

// ClampLine sets y = min(max(a x + b, low), high); NaN stays.
func ClampLine(y, x []float32, a, b, low, high float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] = bound(a*v+b, low, high)
		}
		return
	}
	clampLineKernel(y, x, a, b, low, high)
}

// Add sets z = x + y.
func Add(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] = v + y[i]
		}
		return
	}
	addKernel(z, x, y)
}

// Sub sets z = x - y.
func Sub(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] = v - y[i]
		}
		return
	}
	subKernel(z, x, y)
}

// Mul sets z = x y, element by element.
func Mul(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] = v * y[i]
		}
		return
	}
	mulKernel(z, x, y)
}

// Div sets z = x / y, element by element.
func Div(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] = v / y[i]
		}
		return
	}
	divKernel(z, x, y)
}

// Larger sets z = max(x, y), element by element; NaN of either stays.
func Larger(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] = max(v, y[i])
		}
		return
	}
	largerKernel(z, x, y)
}

// Axpy adds a x to y.
func Axpy(y []float32, a float32, x []float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] += a * v
		}
		return
	}
	axpyKernel(y, x, a)
}

// Lerp moves y by the share a of its way to x.
func Lerp(y, x []float32, a float32) {
	y = y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			y[i] += a * (v - y[i])
		}
		return
	}
	lerpKernel(y, x, a)
}

// MulAdd adds x y to z, element by element.
func MulAdd(z, x, y []float32) {
	z, y = z[:len(x)], y[:len(x)]
	if cpu.Has == cpu.Generic {
		for i, v := range x {
			z[i] += v * y[i]
		}
		return
	}
	mulAddKernel(z, x, y)
}
