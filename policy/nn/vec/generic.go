package vec

import (
	"math"

	"arfm/policy/nn/cpu"
	"arfm/policy/nn/vec/coef"
)

// apply is y = f(x), element by element.
func apply(y, x []float32, f func(float32) float32) {
	for i, v := range x {
		y[i] = f(v)
	}
}

// backward is dx = dy f'(x).
func backward(dx, dy, x []float32, slope func(float32) float32, kernel func(dx, dy, x []float32)) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	if cpu.Has != cpu.Generic {
		kernel(dx, dy, x)
		return
	}
	for i, v := range x {
		dx[i] = dy[i] * slope(v)
	}
}

// expParts reduces x + lo to n ln 2 + r and gives e^r - 1.
func expParts(x, lo float32) (n, em1 float32) {
	n = float32(x*coef.Log2E+coef.Magic) - coef.Magic
	r := x - n*coef.Ln2Hi - n*coef.Ln2Lo + lo
	c := &coef.Exp
	return n, r + r*r*(c[0]+r*(c[1]+r*(c[2]+r*(c[3]+r*c[4]))))
}

// power is 2^n for n of a float32's exponents, -127 giving 0.
func power(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

func exp(x float32) float32 { return expOf(bound(x, coef.ExpLow, coef.ExpHigh), 0) }

// expOf is e^(x + lo), for x as package coef bounds it.
func expOf(x, lo float32) float32 {
	if x != x {
		return x
	}
	n, em1 := expParts(x, lo)
	k := int32(n) // in two factors: n may be beyond a float's exponents
	return (1 + em1) * power(k>>1) * power(k-k>>1)
}

// bound cuts x to [low, high], NaN stays.
func bound(x, low, high float32) float32 { return min(max(x, low), high) }

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func copysign(x, sign float32) float32 {
	return math.Float32frombits(math.Float32bits(x) | math.Float32bits(sign)&(1<<31))
}

// tail is for t = |x|, cut, e^(-t^2/2) and Phi(-t).
func tail(x float32) (t, e, p float32) {
	t = min(abs(x), coef.TailLimit)
	square := float64(t) * float64(t) * -0.5 // exact
	hi := float32(square)
	e = expOf(hi, float32(square-float64(hi)))
	v := coef.TailShift / (t + coef.TailShift)
	c := &coef.Tail
	p = c[0] + v*(c[1]+v*(c[2]+v*(c[3]+v*(c[4]+v*(c[5]+v*(c[6]+v*(c[7]+v*c[8])))))))
	return t, e, v * p * e
}

func gelu(x float32) float32 {
	t, _, p := tail(x)
	return max(x, 0) - t*p
}

func geluSlope(x float32) float32 {
	t, e, p := tail(x)
	w := t*coef.InvSqrt2Pi*e - p
	if math.Signbit(float64(x)) {
		return -w
	}
	return 1 + w
}

func erf(x float32) float32 {
	if abs(x) < coef.ErfLimit {
		c, y := &coef.Erf, x*x
		return x * (c[0] + y*(c[1]+y*(c[2]+y*(c[3]+y*(c[4]+y*c[5])))))
	}
	_, _, p := tail(x * math.Sqrt2)
	return copysign(1-2*p, x)
}

func tanh(x float32) float32 {
	if x != x {
		return x
	}
	n, em1 := expParts(2*min(abs(x), coef.TanhLimit), 0)
	s := power(int32(n))
	e := em1*s + (s - 1)
	return copysign(e/(e+2), x)
}

func sigmoid(x float32) float32 {
	e := expOf(max(-abs(x), coef.ExpLow), 0)
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func silu(x float32) float32 { return sigmoid(x) * max(x, -coef.SwishLimit) }

func siluSlope(x float32) float32 {
	s := sigmoid(x)
	return s * (1 + bound(x, -coef.SwishLimit, coef.SwishLimit)*(1-s))
}

func geluTanh(x float32) float32 {
	return sigmoid(x*(coef.GeluTanh1+coef.GeluTanh3*x*x)) * max(x, -coef.SwishLimit)
}

func flush(x float32) float32 {
	if abs(x) < coef.Flush {
		return 0
	}
	return x
}

// sum adds in four lanes, in a fixed order.
func sum(x []float32) float32 {
	var a, b, c, d float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		r := x[i : i+4 : i+4]
		a += r[0]
		b += r[1]
		c += r[2]
		d += r[3]
	}
	for ; i < len(x); i++ {
		a += x[i]
	}
	return (a + b) + (c + d)
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var a, b, c, d float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		r, s := x[i:i+4:i+4], y[i:i+4:i+4]
		a += r[0] * s[0]
		b += r[1] * s[1]
		c += r[2] * s[2]
		d += r[3] * s[3]
	}
	for ; i < len(x); i++ {
		a += x[i] * y[i]
	}
	return (a + b) + (c + d)
}

// deviations adds the squares of x - mean.
func deviations(x []float32, mean float32) float32 {
	var s [4]float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		r := x[i : i+4 : i+4]
		a, b, c, d := r[0]-mean, r[1]-mean, r[2]-mean, r[3]-mean
		s[0] += a * a
		s[1] += b * b
		s[2] += c * c
		s[3] += d * d
	}
	for ; i < len(x); i++ {
		a := x[i] - mean
		s[0] += a * a
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func sumSquares(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0]) * float64(x[0])
		s1 += float64(x[1]) * float64(x[1])
		s2 += float64(x[2]) * float64(x[2])
		s3 += float64(x[3]) * float64(x[3])
	}
	for _, e := range x {
		s0 += float64(e) * float64(e)
	}
	return (s0 + s1) + (s2 + s3)
}

func largest(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

func expSum(y, x []float32, shift float32) float32 {
	for i, v := range x {
		y[i] = expOf(max(v-shift, coef.ExpLow), 0)
	}
	return sum(y)
}
