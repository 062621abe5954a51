package nn

import "math"

// The normal distribution function and density are tabled as cubics on cells
// of width 1/cellsPerUnit over [-cdfRange, cdfRange], by Hermite interpolation
// of values and derivatives computed in float64; the cubic is off by at most
// h^4/384 max|f””| < 1e-9, below float32's own rounding.
const (
	cellsPerUnit = 64
	cdfRange     = 6
	cells        = 2 * cdfRange * cellsPerUnit
)

type cubic struct{ a, b, c, d float32 }

var cdfTable, pdfTable = makeTables()

func makeTables() (cdf, pdf [cells]cubic) {
	phi := func(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
	bigPhi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	dphi := func(x float64) float64 { return -x * phi(x) }
	h := 1.0 / cellsPerUnit
	hermite := func(f, df func(float64) float64, x float64) cubic {
		y0, y1, m0, m1 := f(x), f(x+h), h*df(x), h*df(x+h)
		return cubic{float32(y0), float32(m0), float32(3*(y1-y0) - 2*m0 - m1), float32(2*(y0-y1) + m0 + m1)}
	}
	for i := range cells {
		x := float64(i)*h - cdfRange
		cdf[i], pdf[i] = hermite(bigPhi, phi, x), hermite(phi, dphi, x)
	}
	return cdf, pdf
}

// GELU computes y = x Phi(x) = x/2 (1 + erf(x/sqrt 2)), the exact form
// (Hendrycks and Gimpel, arXiv 1606.08415), with an absolute error below 1e-6.
// y may be x.
func GELU(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		t := (v + cdfRange) * cellsPerUnit
		if t >= 0 && t < cells {
			k := int(t)
			t -= float32(k)
			p := &cdfTable[k]
			y[i] = v * (p.a + t*(p.b+t*(p.c+t*p.d)))
			continue
		}
		if v < 0 {
			v = 0
		}
		y[i] = v // NaN stays NaN
	}
}

// GELUBackward sets dx = dy (Phi(x) + x phi(x)); dx may be dy.
func GELUBackward(dx, dy, x []float32) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		t := (v + cdfRange) * cellsPerUnit
		if t >= 0 && t < cells {
			k := int(t)
			t -= float32(k)
			p, q := &cdfTable[k], &pdfTable[k]
			dx[i] = dy[i] * (p.a + t*(p.b+t*(p.c+t*p.d)) + v*(q.a+t*(q.b+t*(q.c+t*q.d))))
			continue
		}
		if v < 0 {
			dx[i] = 0
		} else if v > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = v // NaN
		}
	}
}

// SiLU computes y = x / (1 + exp(-x)); y may be x.
func SiLU(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = v / (1 + Exp(-v))
	}
}

// SiLUBackward sets dx = dy s (1 + x (1-s)) with s the sigmoid of x; dx may be dy.
func SiLUBackward(dx, dy, x []float32) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		s := 1 / (1 + Exp(-v))
		dx[i] = dy[i] * s * (1 + v*(1-s))
	}
}

// Exp is e^x in float32, to about one unit in the last place: range reduction
// by ln 2 in two parts, a degree-6 Taylor polynomial on [-ln2/2, ln2/2]. Below
// -87.3 it is 0, above 88.7 +Inf.
func Exp(x float32) float32 {
	const (
		log2e = 1.4426950408889634
		ln2hi = 0.693359375
		ln2lo = -2.12194440e-4
		magic = 3 << 22 // adding it rounds a float32 to an integer
	)
	if !(x >= -87.3) {
		if x != x {
			return x
		}
		return 0
	}
	if x > 88.7 {
		return float32(math.Inf(1))
	}
	n := float32(x*log2e+magic) - magic
	r := x - n*ln2hi - n*ln2lo
	p := 1 + r*(1+r*(0.5+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))
	// 2^n by its exponent bits, in two halves so that n = 128 does not overflow.
	k := int32(n)
	h := k >> 1
	return p * math.Float32frombits(uint32(h+127)<<23) * math.Float32frombits(uint32(k-h+127)<<23)
}

// Softmax replaces each of the n rows of x (n, d) by its softmax.
func Softmax(x []float32, n, d int) {
	for i := 0; i < n; i++ {
		row := x[i*d : (i+1)*d]
		top := row[0]
		for _, v := range row {
			top = max(top, v)
		}
		var total float32
		for j, v := range row {
			e := Exp(v - top)
			row[j] = e
			total += e
		}
		r := 1 / total
		for j := range row {
			row[j] *= r
		}
	}
}

// SoftmaxBackward replaces dp (n, d) by the gradient of the logits:
// p (dp - sum p dp).
func SoftmaxBackward(dp, p []float32, n, d int) {
	for i := 0; i < n; i++ {
		g, q := dp[i*d:(i+1)*d], p[i*d:(i+1)*d]
		s := dot(g, q)
		for j, v := range q {
			g[j] = v * (g[j] - s)
		}
	}
}
