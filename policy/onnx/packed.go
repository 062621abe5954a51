package onnx

import (
	"runtime"

	"arfm/policy/nn/cpu"
	"arfm/policy/nn/gemm"
)

// gemmGrain is the number of multiplications below which a second core does not
// pay.
const gemmGrain = 1 << 17

// packs is what a node keeps of an input that is the same in every run: its
// matrices in the order in which the kernels read them.
type packs struct {
	of       *Tensor
	layout   bool
	matrices []gemm.Packed
}

// packed gives the n matrices of input i, which fill packs on the first run and
// when another of two layouts is asked for. There are none where the input is
// not a constant.
func (c *call) packed(i, n int, layout bool, fill func(k int, p *gemm.Packed)) []gemm.Packed {
	if i >= len(c.fixed) || !c.fixed[i] || cpu.Has == cpu.Generic {
		return nil
	}
	if c.packs.of != c.in[i] || c.packs.layout != layout {
		c.packs = packs{c.in[i], layout, make([]gemm.Packed, n)}
		for k := range c.packs.matrices {
			fill(k, &c.packs.matrices[k])
		}
	}
	return c.packs.matrices
}

// multiply computes a product on as many cores as pay.
func multiply(p *gemm.Product) {
	work := float64(p.M) * float64(p.N) * float64(p.K)
	p.Parallel(int(min(float64(runtime.GOMAXPROCS(0)), 1+work/gemmGrain)))
}
