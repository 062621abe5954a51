package nn

import "math"

// NormEps is added to the variance in every layer normalisation.
const NormEps = 1e-5

// LayerNorm normalises each of the n rows of x (n, d) to mean 0 and variance 1
// (Ba et al., arXiv 1607.06450, without the affine map): xhat (n, d), which may
// be x itself, and the reciprocal standard deviations rstd (n).
func LayerNorm(xhat, rstd, x []float32, n, d int) {
	for i := 0; i < n; i++ {
		row, out := x[i*d:(i+1)*d], xhat[i*d:(i+1)*d]
		mean := sum(row) / float32(d)
		var v0, v1, v2, v3 float32
		j := 0
		for ; j+4 <= len(row); j += 4 {
			r := row[j : j+4 : j+4]
			a, b, c, e := r[0]-mean, r[1]-mean, r[2]-mean, r[3]-mean
			v0 += a * a
			v1 += b * b
			v2 += c * c
			v3 += e * e
		}
		for ; j < len(row); j++ {
			a := row[j] - mean
			v0 += a * a
		}
		r := float32(1 / math.Sqrt(float64((v0+v1)+(v2+v3))/float64(d)+NormEps))
		rstd[i] = r
		for j, v := range row {
			out[j] = (v - mean) * r
		}
	}
}

// LayerNormBackward adds to dx (n, d) the gradient through LayerNorm of
// dxhat (n, d), given what the forward pass left.
func LayerNormBackward(dx, dxhat, xhat, rstd []float32, n, d int) {
	for i := 0; i < n; i++ {
		g, h, out := dxhat[i*d:(i+1)*d], xhat[i*d:(i+1)*d], dx[i*d:(i+1)*d]
		m, p := sum(g)/float32(d), dot(g, h)/float32(d)
		r := rstd[i]
		for j, v := range g {
			out[j] += r * (v - m - h[j]*p)
		}
	}
}

// Affine computes y = xhat * gain + bias for n rows, gain and bias (d).
func Affine(y, xhat, gain, bias []float32, n int) {
	d := len(gain)
	bias = bias[:d]
	for i := 0; i < n; i++ {
		yr, hr := y[i*d:(i+1)*d], xhat[i*d:(i+1)*d]
		for j, g := range gain {
			yr[j] = hr[j]*g + bias[j]
		}
	}
}

// AffineBackward adds to dgain and dbias (d) and sets dxhat = dy * gain, which
// may be dy itself.
func AffineBackward(dxhat, dgain, dbias, dy, xhat, gain []float32, n int) {
	d := len(gain)
	dgain, dbias = dgain[:d], dbias[:d]
	for i := 0; i < n; i++ {
		out, dr, hr := dxhat[i*d:(i+1)*d], dy[i*d:(i+1)*d], xhat[i*d:(i+1)*d]
		for j, g := range gain {
			v := dr[j]
			dgain[j] += v * hr[j]
			dbias[j] += v
			out[j] = v * g
		}
	}
}

// Modulate is adaLN's affine map: y = xhat * (1 + scale) + shift for t rows,
// shift and scale (d) (Peebles and Xie, arXiv 2212.09748).
func Modulate(y, xhat, shift, scale []float32, t int) {
	d := len(scale)
	shift = shift[:d]
	for i := 0; i < t; i++ {
		yr, hr := y[i*d:(i+1)*d], xhat[i*d:(i+1)*d]
		for j, s := range scale {
			yr[j] = hr[j]*(1+s) + shift[j]
		}
	}
}

// ModulateBackward adds to dshift and dscale (d) and sets dxhat = dy * (1 +
// scale), which may be dy itself.
func ModulateBackward(dxhat, dshift, dscale, dy, xhat, scale []float32, t int) {
	d := len(scale)
	dshift, dscale = dshift[:d], dscale[:d]
	for i := 0; i < t; i++ {
		out, dr, hr := dxhat[i*d:(i+1)*d], dy[i*d:(i+1)*d], xhat[i*d:(i+1)*d]
		for j, s := range scale {
			v := dr[j]
			dscale[j] += v * hr[j]
			dshift[j] += v
			out[j] = v * (1 + s)
		}
	}
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
