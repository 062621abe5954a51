package nn

import (
	"math"

	"arfm/policy/nn/vec"
)

// NormEps is added to the variance in every layer normalisation.
const NormEps = 1e-5

// LayerNorm normalises each of the n rows of x (n, d) to mean 0 and variance 1
// (Ba et al., arXiv 1607.06450, without the affine map): xhat (n, d), which may
// be x itself, and the reciprocal standard deviations rstd (n).
func LayerNorm(xhat, rstd, x []float32, n, d int) {
	for i := range n {
		row := x[i*d : (i+1)*d]
		var mean float32
		mean, rstd[i] = rowMoments(row)
		vec.Normalize(xhat[i*d:(i+1)*d], row, mean, rstd[i])
	}
}

// LayerNormAffine is LayerNorm followed by Affine, y (n, d), for where nothing is
// kept for a backward pass.
func LayerNormAffine(y, x, gain, bias []float32, n int) {
	d := len(gain)
	for i := range n {
		row := x[i*d : (i+1)*d]
		mean, rstd := rowMoments(row)
		vec.NormalizeAffine(y[i*d:(i+1)*d], row, gain, bias, mean, rstd)
	}
}

// rowMoments returns the mean of a row and the reciprocal of its standard deviation.
func rowMoments(row []float32) (mean, rstd float32) {
	d := len(row)
	mean = vec.Sum(row) / float32(d)
	return mean, float32(1 / math.Sqrt(float64(vec.Deviations(row, mean))/float64(d)+NormEps))
}

// LayerNormBackward adds to dx (n, d) the gradient through LayerNorm of
// dxhat (n, d), given what the forward pass left.
func LayerNormBackward(dx, dxhat, xhat, rstd []float32, n, d int) {
	for i := range n {
		vec.NormalizeBackward(dx[i*d:(i+1)*d], dxhat[i*d:(i+1)*d], xhat[i*d:(i+1)*d], rstd[i])
	}
}

// Affine computes y = xhat * gain + bias for n rows, gain and bias (d).
func Affine(y, xhat, gain, bias []float32, n int) { affine(y, xhat, gain, bias, n, 0) }

// AffineBackward adds to dgain and dbias (d) and sets dxhat = dy * gain, which
// may be dy itself.
func AffineBackward(dxhat, dgain, dbias, dy, xhat, gain []float32, n int) {
	affineBackward(dxhat, dgain, dbias, dy, xhat, gain, n, 0)
}

// Modulate is adaLN's affine map: y = xhat * (1 + scale) + shift for t rows,
// shift and scale (d) (Peebles and Xie, arXiv 2212.09748).
func Modulate(y, xhat, shift, scale []float32, t int) { affine(y, xhat, scale, shift, t, 1) }

// ModulateBackward adds to dshift and dscale (d) and sets dxhat = dy * (1 +
// scale), which may be dy itself.
func ModulateBackward(dxhat, dshift, dscale, dy, xhat, scale []float32, t int) {
	affineBackward(dxhat, dscale, dshift, dy, xhat, scale, t, 1)
}

func affine(y, x, gain, bias []float32, n int, one float32) {
	d := len(gain)
	for i := range n {
		vec.Affine(y[i*d:(i+1)*d], x[i*d:(i+1)*d], gain, bias, one)
	}
}

func affineBackward(dx, dgain, dbias, dy, x, gain []float32, n int, one float32) {
	d := len(gain)
	for i := range n {
		vec.AffineBackward(dx[i*d:(i+1)*d], dgain, dbias, dy[i*d:(i+1)*d], x[i*d:(i+1)*d], gain, one)
	}
}
