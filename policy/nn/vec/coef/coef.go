// Package coef holds the polynomials behind policy/nn/vec, for its Go code and
// for the generator of its assembly. All are minimax fits of the project's own,
// by Remez's exchange in float64, rounded to float32; the tests of policy/nn/vec
// bound the error of what is computed with them.
package coef

// Exponential: with n = round(x log2 e) and r = x - n ln 2, |r| <= ln2/2,
//
//	e^r - 1 = r + r^2 q(r), relative error 1.4e-8.
const (
	Log2E = 1.4426950408889634
	Ln2Hi = 0.693359375 // 10 bits, so that n Ln2Hi is exact
	Ln2Lo = -2.12194440e-4
	Magic = 3 << 22 // adding it rounds a float32 to an integer
	// At ExpLow n is -254, half of which makes a factor of exactly 0; below
	// -104 the result is 0 in any case.
	ExpLow  = -176
	ExpHigh = 89 // above 88.73 the result is +Inf
)

// Exp are the coefficients of q, lowest power first.
var Exp = [...]float32{0.49999997, 0.166665435, 0.0416672006, 0.00836651865, 0.00138825213}

// Normal distribution: for t >= 0 and v = TailShift / (t + TailShift),
//
//	Phi(-t) = e^(-t^2/2) v p(v), relative error 5.3e-8 for t <= 14.6,
//
// beyond which Phi(-t) is no float32.
const (
	TailShift = 3
	TailLimit = 18.76 // t is cut here: n is -254 and the exponential 0
)

// Tail are the coefficients of p, lowest power first.
var Tail = [...]float32{
	0.132956743, 0.133540839, 0.112678804, 0.118837565, -0.0507117696,
	0.214935899, -0.267631441, 0.127771601, -0.0223782342,
}

// ErfLimit bounds where erf(x) = x p(x^2) is taken, relative error 1.2e-8;
// beyond, it comes from the normal distribution.
const ErfLimit = 0.9

// Erf are the coefficients of p, lowest power first.
var Erf = [...]float32{1.12837911, -0.376125246, 0.112821408, -0.0267789084, 0.00501196273, -0.000609036011}

const (
	InvSqrt2Pi = 0.3989422804014327 // the normal density at 0
	TanhLimit  = 10                 // beyond, tanh rounds to 1
	SwishLimit = 200                // beyond, the sigmoid is 0 or 1
	Flush      = 1e-30              // below, a moment of AdamW counts as 0
	// GELU's approximation by tanh is x sigmoid(x (GeluTanh1 + GeluTanh3 x^2)):
	// twice sqrt(2/pi), and that times 0.044715.
	GeluTanh1 = 1.5957691216057308
	GeluTanh3 = 0.07135481282700425
)
