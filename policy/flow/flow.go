// Package flow is rectified-flow matching (Lipman et al., arXiv 2210.02747; Liu
// et al., arXiv 2209.03003): the straight path from noise to an action chunk,
// the velocity a network is trained to give, the flow times to train at, and
// the integration that samples.
//
// The time direction, here and everywhere: tau = 0 is noise, tau = 1 is the
// action. A^tau = tau A + (1-tau) eps, its velocity is u = A - eps, and a sample
// is integrated upward from 0 to 1.
package flow

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Interpolate sets dst = tau action + (1-tau) noise, the point of the path at
// flow time tau. The slices are of one length; dst may be either of the others.
func Interpolate(dst, action, noise []float32, tau float32) {
	for i := range dst {
		dst[i] = tau*action[i] + (1-tau)*noise[i]
	}
}

// Target sets dst = action - noise, the velocity along the path: the same at
// every tau.
func Target(dst, action, noise []float32) {
	for i := range dst {
		dst[i] = action[i] - noise[i]
	}
}

// Field writes the velocity at x and flow time tau into v, as long as x.
type Field func(v, x []float32, tau float32)

// Euler integrates x in place from tau = 0 to 1 by n equal steps, evaluating
// the field at 0, 1/n, ..., (n-1)/n. v, as long as x, is scratch.
func Euler(field Field, x, v []float32, n int) {
	dt := 1 / float32(n)
	for s := range n {
		field(v, x, float32(s)/float32(n))
		for i := range x {
			x[i] += dt * v[i]
		}
	}
}

// Sampler draws a flow time in [0, 1) to train at.
type Sampler func(*rand.Rand) float32

// Uniform draws tau from U[0, 1).
func Uniform(r *rand.Rand) float32 { return r.Float32() }

// Beta draws t from Beta(1.5, 1) and returns 1 - (0.001 + 0.999 t), which puts
// more weight near the noise (Black et al., arXiv 2410.24164, in this package's
// time direction). As Beta(a, 1) has the distribution function t^a, it takes
// one uniform number and a power.
func Beta(r *rand.Rand) float32 {
	t := math.Pow(r.Float64(), 1/1.5)
	return float32(1 - (0.001 + 0.999*t))
}

// SamplerByName returns the sampler of a configuration's name: uniform or beta.
func SamplerByName(name string) (Sampler, error) {
	switch name {
	case "uniform":
		return Uniform, nil
	case "beta":
		return Beta, nil
	}
	return nil, fmt.Errorf("flow: no sampler of flow times %q, use uniform or beta", name)
}
