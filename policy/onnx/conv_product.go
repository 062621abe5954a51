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
	l, err := v.frame()
	if err != nil {
		return err
	}
	l.weights(c, k, bias)
	jobs, cores := v.batch*v.groups, runtime.GOMAXPROCS(0)
	buffers := cores
	if jobs < cores || jobs == 1 {
		buffers = 1
	}
	memory, done, err := scratch[float32](c, l.room()*buffers)
	if err != nil {
		return err
	}
	defer done()
	in, out := v.cin*product(v.in), v.cout*product(v.out)
	one := func(job int, memory []float32, multiply func(*gemm.Product)) {
		l.multiply(job%v.groups, y[job*out:(job+1)*out], x[job*in:(job+1)*in], memory, multiply)
	}
	if buffers == 1 { // the cores share each product
		for job := range jobs {
			one(job, memory, multiply)
		}
		return nil
	}
	var worker atomic.Int32
	parallel(jobs, 1+gemmGrain/(1+out*v.cin*product(v.kernel)), func(lo, hi int) {
		own := memory[int(worker.Add(1)-1)*l.room():][:l.room()]
		for job := lo; job < hi; job++ {
			one(job, own, (*gemm.Product).Run)
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

	outer  int  // axes before the last two: a product for each of their places
	plane  int  // places of the others
	across bool // the product is transposed: few places would waste vectors

	kernels []gemm.Matrix // of the groups, the operand that is no image
	bias    []float32
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
	l.outer = max(0, last-1)
	l.plane = product(v.out[l.outer:])
	l.across = l.plane <= fewPlaces && vectorsFor(l.plane)*v.cout*8 > vectorsFor(v.cout)*l.plane*9
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
	l.columns()
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

// fewPlaces is how many places of the output count as few.
const fewPlaces = 128

// vectorsFor is how many of the widest vectors hold n numbers.
func vectorsFor(n int) int { return (n + 15) / 16 }

// weights finds the groups' kernels, packed where they are constant.
func (l *frame) weights(c *call, k, bias []float32) {
	depth := len(l.offsets)
	of := func(g int) []float32 { return k[g*l.cout*depth : (g+1)*l.cout*depth] }
	l.kernels, l.bias = make([]gemm.Matrix, l.groups), bias
	packed := c.packed(1, l.groups, l.across, func(g int, p *gemm.Packed) {
		if l.across {
			p.Right(true, depth, l.cout, of(g), depth)
		} else {
			p.Left(false, l.cout, depth, of(g), depth)
		}
	})
	for g := range l.kernels {
		if packed != nil {
			l.kernels[g].Packed = &packed[g]
		} else {
			l.kernels[g] = matrix(of(g), depth, l.across)
		}
	}
}

// room is the memory that one product needs, for the frame and for a
// transposed result.
func (l *frame) room() int {
	n := 0
	if l.copied {
		n = l.cin * l.channel
	}
	if l.across {
		n += l.cout * l.plane
	}
	return n
}

// multiply computes y (cout, out..) of one image.
func (l *frame) multiply(g int, y, image, memory []float32, multiply func(*gemm.Product)) {
	if l.copied {
		image, memory = l.pads(memory, image), memory[l.cin*l.channel:]
	}
	last := len(l.in) - 1
	columns := gemm.Columns{Offsets: l.offsets, Width: l.out[last]}
	if last > 0 {
		columns.Step = l.stride[last-1] * l.row[last-1]
	}
	place := make([]int, l.outer)
	for i := range product(l.out[:l.outer]) {
		at := 0
		for a, o := range place {
			at += o * l.stride[a] * l.row[a]
		}
		columns.Image = image[at:]
		operand := gemm.Matrix{Columns: &columns}
		if l.pointwise() && l.outer == 0 {
			operand = matrix(image, l.plane, l.across)
		}
		l.one(g, y[i*l.plane:], operand, memory, multiply)
		step(place, l.out[:l.outer])
	}
}

// one computes one plane of y.
func (l *frame) one(g int, y []float32, image gemm.Matrix, memory []float32, multiply func(*gemm.Product)) {
	p := gemm.Product{
		M: l.cout, N: l.plane, K: len(l.offsets), Alpha: 1, A: l.kernels[g], B: image,
		C: y, LdC: product(l.out), Clip: l.clip, Low: l.low, High: l.high,
	}
	var bias []float32
	if l.bias != nil {
		bias = l.bias[g*l.cout : (g+1)*l.cout]
	}
	if !l.across {
		p.RowBias = bias
		multiply(&p)
		return
	}
	p.M, p.N, p.A, p.B = p.N, p.M, p.B, p.A
	p.C, p.LdC, p.ColumnBias = memory, l.cout, bias
	multiply(&p)
	n := product(l.out)
	for ch := range l.cout {
		row := y[ch*n:][:l.plane]
		for i := range row {
			row[i] = memory[i*l.cout+ch]
		}
	}
}

// pads writes the image with its padding.
func (l *frame) pads(to, image []float32) []float32 {
	in := product(l.in)
	parallel(l.cin, 1+(1<<15)/(1+l.channel), func(lo, hi int) {
		for ch := lo; ch < hi; ch++ {
			l.pad(to[ch*l.channel:(ch+1)*l.channel], image[ch*in:(ch+1)*in])
		}
	})
	return to[:l.cin*l.channel]
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
	to = to[lo:hi]
	if len(to) == 0 {
		return
	}
	from = from[lo*s+shift:]
	switch s {
	case 1:
		copy(to, from)
	case 2:
		from = from[: 2*len(to)-1 : 2*len(to)-1]
		for i := range to {
			to[i] = from[2*i]
		}
	default:
		for i := range to {
			to[i] = from[i*s]
		}
	}
}
