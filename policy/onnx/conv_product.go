package onnx

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"arfm/policy/nn/gemm"
)

// run multiplies the kernel (cout, cin k..) with the image laid out as columns
// (cin k.., out..), group by group of each image. The columns are never built:
// they are windows of the image with its padding.
func (v *convolution) run(c *call, y, x, k, bias []float32) error {
	depth := v.cin * product(v.kernel)
	l, err := v.frame()
	if err != nil {
		return err
	}
	l.columns()
	weights := c.packed(1, v.groups, func(g int, p *gemm.Packed) {
		p.Left(false, v.cout, depth, k[g*v.cout*depth:(g+1)*v.cout*depth], depth)
	})
	p := gemm.Product{M: v.cout, K: depth, Alpha: 1, LdC: product(v.out), Clip: v.clip, Low: v.low, High: v.high}
	one := func(job int, padded []float32, multiply func(*gemm.Product), cores bool) {
		q, g := p, job%v.groups
		q.A = gemm.Matrix{Data: k[g*v.cout*depth : (g+1)*v.cout*depth], Ld: max(depth, 1)}
		if weights != nil {
			q.A = gemm.Matrix{Packed: &weights[g]}
		}
		if bias != nil {
			q.RowBias = bias[g*v.cout : (g+1)*v.cout]
		}
		image := x[job*v.cin*product(v.in) : (job+1)*v.cin*product(v.in)]
		l.multiply(&q, y[job*v.cout*p.LdC:(job+1)*v.cout*p.LdC], image, padded, multiply, cores)
	}
	jobs, cores := v.batch*v.groups, runtime.GOMAXPROCS(0)
	size := 0
	if l.copied {
		size = v.cin * l.channel
	}
	alone := jobs < cores || jobs == 1
	buffers := 1
	if !alone {
		buffers = cores
	}
	padded, done, err := scratch[float32](c, size*buffers)
	if err != nil {
		return err
	}
	defer done()
	if alone { // the cores share each product
		for job := range jobs {
			one(job, padded, multiply, true)
		}
		return nil
	}
	var worker atomic.Int32
	parallel(jobs, 1+gemmGrain/(1+p.M*p.LdC*depth), func(lo, hi int) {
		own := padded[int(worker.Add(1)-1)*size:][:size]
		for job := lo; job < hi; job++ {
			one(job, own, (*gemm.Product).Run, false)
		}
	})
	return nil
}

// frame is how the image of a convolution lies in memory while its columns are
// read: with its padding, and, where the stride of the last axis is s, with
// every s-th number of a row side by side, so that what a place of the kernel
// meets along a row of the output is one run.
type frame struct {
	*convolution
	copied  bool // else the image serves as it is
	size    []int
	row     []int // numbers from one index of an axis to the next, but the last axis
	phase   int   // numbers of one phase of a row
	channel int   // numbers of a channel
	offsets []int // of the columns' rows
}

func (v *convolution) frame() (*frame, error) {
	rank := len(v.in)
	last := rank - 1
	l := &frame{convolution: v, size: make([]int, rank), row: make([]int, rank)}
	l.copied = v.stride[last] > 1
	for i := range v.in {
		l.size[i] = max(0, (v.out[i]-1)*v.stride[i]+v.span(i))
		l.copied = l.copied || v.begin[i] > 0 || l.size[i] > v.in[i]
	}
	if !l.copied {
		l.size = v.in
	}
	s := v.stride[last]
	l.phase = (l.size[last] + s - 1) / s
	if !l.copied {
		s = 1
	}
	if n, err := volume(append([]int{v.cin, s, l.phase}, l.size[:last]...)); err != nil || n < 0 {
		return nil, fmt.Errorf("an image of %v with its padding: %w", l.size, err)
	}
	l.channel = s * l.phase
	for i := last - 1; i >= 0; i-- {
		l.row[i] = l.channel
		l.channel *= l.size[i]
	}
	return l, nil
}

// columns finds where the places of the kernel are, channel by channel.
func (l *frame) columns() {
	kernel, last := product(l.kernel), len(l.in)-1
	l.offsets = make([]int, l.cin*kernel)
	place := make([]int, last+1)
	for k := range kernel {
		at := place[last] * l.dilation[last]
		at = at%l.stride[last]*l.phase + at/l.stride[last]
		for i := range last {
			at += place[i] * l.dilation[i] * l.row[i]
		}
		for ch := range l.cin {
			l.offsets[ch*kernel+k] = ch*l.channel + at
		}
		step(place, l.kernel)
	}
}

// step counts place up within the sizes, the last axis fastest.
func step(place, size []int) {
	for i := len(place) - 1; i >= 0; i-- {
		if place[i]++; place[i] < size[i] {
			return
		}
		place[i] = 0
	}
}

// multiply computes y (cout, out..) of one image: a product for each index of
// the axes before the last two.
func (l *frame) multiply(p *gemm.Product, y, image, padded []float32, multiply func(*gemm.Product), cores bool) {
	if l.pointwise() {
		p.N, p.C = p.LdC, y
		p.B = gemm.Matrix{Data: image, Ld: max(p.N, 1)}
		multiply(p)
		return
	}
	if l.copied {
		grain := l.cin
		if cores {
			grain = 1 + (1<<15)/(1+l.channel)
		}
		in := product(l.in)
		parallel(l.cin, grain, func(lo, hi int) {
			for ch := lo; ch < hi; ch++ {
				l.pad(padded[ch*l.channel:(ch+1)*l.channel], image[ch*in:(ch+1)*in])
			}
		})
		image = padded
	}
	last := len(l.in) - 1
	outer := max(0, last-1)
	columns := gemm.Columns{Offsets: l.offsets, Width: l.out[last]}
	p.N = product(l.out[outer:])
	if last > 0 {
		columns.Step = l.stride[last-1] * l.row[last-1]
	}
	p.B = gemm.Matrix{Columns: &columns}
	place := make([]int, outer)
	for i := range product(l.out[:outer]) {
		at := 0
		for a, o := range place {
			at += o * l.stride[a] * l.row[a]
		}
		columns.Image, p.C = image[at:], y[i*p.N:]
		multiply(p)
		step(place, l.out[:outer])
	}
}

// pad writes one channel into its frame.
func (l *frame) pad(to, image []float32) {
	last := len(l.in) - 1
	s, n := l.stride[last], l.in[last]
	place := make([]int, last)
	for row := range product(l.size[:last]) {
		line := to[row*s*l.phase : (row+1)*s*l.phase]
		at, inside := 0, true
		for i, o := range place {
			o -= l.begin[i]
			inside = inside && o >= 0 && o < l.in[i]
			at = at*l.in[i] + o
		}
		step(place, l.size[:last])
		if !inside {
			clear(line)
			continue
		}
		from := image[at*n : (at+1)*n]
		for phase := range s {
			spread(line[phase*l.phase:(phase+1)*l.phase], from, phase-l.begin[last], s)
		}
	}
}

// spread sets to[i] = from[shift + i*s], and 0 where there is none.
func spread(to, from []float32, shift, s int) {
	lo := 0
	if shift < 0 {
		lo = min((s-1-shift)/s, len(to))
	}
	hi := lo
	if last := len(from) - 1 - shift; last >= 0 {
		hi = max(lo, min(last/s+1, len(to)))
	}
	clear(to[:lo])
	clear(to[hi:])
	if s == 1 {
		copy(to[lo:hi], from[lo+shift:])
		return
	}
	for i := lo; i < hi; i++ {
		to[i] = from[i*s+shift]
	}
}
