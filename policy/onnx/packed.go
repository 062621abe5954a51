package onnx

import (
	"runtime"
	"sync/atomic"

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
	exact    exactParts
}

// isFixed says that input i is the same in every run.
func (c *call) isFixed(i int) bool { return i < len(c.fixed) && c.fixed[i] }

// packed gives the n matrices of input i, which fill packs on the first run and
// when another of two layouts is asked for. There are none where the input is
// not a constant.
func (c *call) packed(i, n int, layout bool, fill func(k int, p *gemm.Packed)) []gemm.Packed {
	if !c.isFixed(i) || cpu.Has == cpu.Generic {
		return nil
	}
	if c.packs.of != c.in[i] || c.packs.layout != layout {
		c.packs = packs{of: c.in[i], layout: layout, matrices: make([]gemm.Packed, n)}
		for k := range c.packs.matrices {
			fill(k, &c.packs.matrices[k])
		}
	}
	return c.packs.matrices
}

// jobs does n jobs of so many multiplications each: on all cores, each with room
// numbers of memory, or, where they are fewer than the cores, one after another
// with products that the cores share.
func (c *call) jobs(n, room, work int, do func(job int, memory []float32, multiply func(*gemm.Product))) error {
	buffers := runtime.GOMAXPROCS(0)
	if n < buffers || n == 1 {
		buffers = 1
	}
	memory, done, err := scratch[float32](c, room*buffers)
	if err != nil {
		return err
	}
	defer done()
	if buffers == 1 {
		for job := range n {
			do(job, memory, multiply)
		}
		return nil
	}
	var worker atomic.Int32
	parallel(n, 1+gemmGrain/(1+work), func(lo, hi int) {
		own := memory[int(worker.Add(1)-1)*room:][:room]
		for job := lo; job < hi; job++ {
			do(job, own, (*gemm.Product).Run)
		}
	})
	return nil
}

// multiply computes a product on as many cores as pay.
func multiply(p *gemm.Product) {
	work := float64(p.M) * float64(p.N) * float64(p.K)
	p.Parallel(int(min(float64(runtime.GOMAXPROCS(0)), 1+work/gemmGrain)))
}
