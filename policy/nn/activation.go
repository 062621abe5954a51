package nn

import "arfm/policy/nn/vec"

// Softmax replaces each of the n rows of x (n, d) by its softmax.
func Softmax(x []float32, n, d int) {
	for i := range n {
		row := x[i*d : (i+1)*d]
		vec.Softmax(row, row)
	}
}

// SoftmaxBackward replaces dp (n, d) by the gradient of the logits:
// p (dp - sum p dp).
func SoftmaxBackward(dp, p []float32, n, d int) {
	for i := range n {
		vec.SoftmaxBackward(dp[i*d:(i+1)*d], p[i*d:(i+1)*d])
	}
}
