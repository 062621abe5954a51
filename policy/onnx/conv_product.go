package onnx

import (
	"fmt"
	"slices"

	"arfm/policy/nn/gemm"
	"arfm/policy/nn/vec"
)

// run multiplies the kernel (cout, cin k..) with the image laid out as columns
// (cin k.., out..), group by group of each image. The columns are never built:
// they are windows of the image with its padding.
func (v *convolution) run(c *call) error {
	l, err := v.frame(false)
	if err != nil {
		return err
	}
	l.weights(c, Data[float32](c.in[1]))
	x, y, bias, add := Data[float32](c.in[0]), Data[float32](c.result[0]), c.floatsAt(2), c.floatsAt(3)
	if add != nil && !slices.Equal(c.in[3].Shape, c.result[0].Shape) {
		stretchTo(y, c.result[0].Shape, c.in[3])
		add = y
	}
	in, out := v.cin*product(v.in), v.cout*product(v.out)
	return c.jobs(v.batch*v.groups, l.room(), out*len(l.offsets), func(job int, memory []float32, multiply func(*gemm.Product)) {
		g, image := job%v.groups, x[job*in:(job+1)*in]
		p := gemm.Product{Alpha: 1, A: l.kernels[g], Clip: v.clip, Low: v.low, High: v.high, C: y[job*out : (job+1)*out]}
		if bias != nil {
			p.RowBias = bias[g*v.cout : (g+1)*v.cout]
		}
		if add != nil {
			p.Beta, p.D = 1, add[job*out:(job+1)*out]
		}
		if l.copied {
			image = l.pads(memory, plainImage(image), 0)
			memory = memory[len(image):]
		}
		l.multiply(p, 0, len(l.offsets), image, memory, multiply)
	})
}

// frame is how the image of a convolution lies in memory while its columns are
// read: with its padding, and, where the stride of the last axis is s, with
// every s-th number of a row side by side, so that what a place of the kernel
// meets along a row of the output is one run. Along an axis where the kernel has
// one place it holds only what that meets.
type frame struct {
	*convolution
	copied  bool  // else the image serves as it is
	size    []int // indices along an axis
	thin    []int // of the image, from one index to the next
	hop     []int // indices from one place of the output to the next
	row     []int // numbers from one index of an axis to the next, but the last axis
	phases  int   // of a row
	phase   int   // numbers of one of these
	channel int   // numbers of a channel
	offsets []int // of the columns' rows

	outer  int  // axes before the last two: a product for each of their places
	plane  int  // places of the others
	across bool // the product is transposed: few places would waste vectors

	kernels []gemm.Matrix // of the groups, the operand that is no image
}

// frame is for an image that may serve as it is, or that is copied.
func (v *convolution) frame(copied bool) (*frame, error) {
	rank := len(v.in)
	last := rank - 1
	l := &frame{convolution: v, size: make([]int, rank), thin: make([]int, rank), hop: slices.Clone(v.stride), row: make([]int, rank)}
	l.copied = copied || v.stride[last] > 1
	for i := range v.in {
		l.size[i], l.thin[i] = max(0, (v.out[i]-1)*v.stride[i]+v.span(i)), 1
		l.copied = l.copied || v.begin[i] > 0 || l.size[i] > v.in[i]
	}
	if !l.copied {
		l.size = v.in
	}
	for i, k := range v.kernel {
		if l.copied && k == 1 {
			l.size[i], l.thin[i], l.hop[i] = v.out[i], v.stride[i], 1
		}
	}
	l.outer = max(0, last-1)
	l.plane = product(v.out[l.outer:])
	l.across = l.plane <= fewPlaces && vectorsFor(l.plane)*v.cout*8 > vectorsFor(v.cout)*l.plane*9
	l.phases = l.hop[last]
	l.phase = (l.size[last] + l.phases - 1) / l.phases
	if n, err := volume(append([]int{v.cin, l.phases, l.phase}, l.size[:last]...)); err != nil || n < 0 {
		return nil, fmt.Errorf("an image of %v with its padding: %w", l.size, err)
	}
	l.channel = l.phases * l.phase
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
		at = at%l.phases*l.phase + at/l.phases
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
func (l *frame) weights(c *call, k []float32) {
	depth := len(l.offsets)
	of := func(g int) []float32 { return k[g*l.cout*depth : (g+1)*l.cout*depth] }
	l.kernels = make([]gemm.Matrix, l.groups)
	if l.depthwise() {
		for g := range l.kernels {
			l.kernels[g].Data = of(g)
		}
		return
	}
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
// transposed or padded result.
func (l *frame) room() int {
	n := 0
	if l.copied {
		n = l.cin * l.channel
	}
	switch {
	case l.depthwise():
		n += max(depthwiseFloats, l.out[len(l.out)-1])
	case l.across:
		n += l.cout * l.plane
	}
	return n
}

// multiply computes p.C (cout, out..) of an image in its frame, from rows k0 to
// k1 of its columns, which p.A is multiplied with.
func (l *frame) multiply(p gemm.Product, k0, k1 int, image, memory []float32, multiply func(*gemm.Product)) {
	y, add := p.C, p.D
	last := len(l.in) - 1
	p.K = k1 - k0
	columns := gemm.Columns{Offsets: l.offsets[k0:k1], Width: l.out[last]}
	if last > 0 {
		columns.Step = l.hop[last-1] * l.row[last-1]
	}
	place := make([]int, l.outer)
	for i := range product(l.out[:l.outer]) {
		p.C = y[i*l.plane:]
		if add != nil {
			p.D = add[i*l.plane:]
		}
		at := 0
		for a, o := range place {
			at += o * l.hop[a] * l.row[a]
		}
		columns.Image = image[at:]
		step(place, l.out[:l.outer])
		if l.depthwise() {
			l.sum(&p, &columns, p.C[:l.plane], memory)
			continue
		}
		operand := gemm.Matrix{Columns: &columns}
		if l.channel == l.plane && l.outer == 0 && product(l.kernel) == 1 { // the image is its own columns
			operand = matrix(image[k0*l.channel:], l.plane, l.across)
		}
		l.one(p, operand, memory, multiply)
	}
}

// one computes one plane.
func (l *frame) one(p gemm.Product, image gemm.Matrix, memory []float32, multiply func(*gemm.Product)) {
	y, n := p.C, product(l.out)
	p.M, p.N, p.B, p.LdC, p.LdD = l.cout, l.plane, image, n, n
	if !l.across {
		multiply(&p)
		return
	}
	if p.D != nil {
		swap(memory, l.cout, p.D, n, l.plane, l.cout)
	}
	p.M, p.N, p.A, p.B = p.N, p.M, p.B, p.A
	p.C, p.LdC, p.D, p.ColumnBias, p.RowBias = memory, l.cout, nil, p.RowBias, nil
	multiply(&p)
	swap(y, n, memory, l.cout, l.cout, l.plane)
}

// swap writes a matrix of rows and columns that lies transposed in from, a few
// rows at a time, which the nearest cache holds.
func swap(to []float32, toRow int, from []float32, fromRow, rows, columns int) {
	const few = 16
	for lo := 0; lo < rows; lo += few {
		n := min(few, rows-lo)
		for j := range columns {
			for i, v := range from[j*fromRow+lo:][:n] {
				to[(lo+i)*toRow+j] = v
			}
		}
	}
}

// depthwise says that each channel has a kernel of its own.
func (l *frame) depthwise() bool { return l.cin == 1 && l.cout == 1 }

// depthwiseFloats is how many sums are kept at a time: they stay in the nearest
// cache while the kernel's places pass.
const depthwiseFloats = 1 << 12

// sum adds up the rows of a channel's columns, as far as the kernel p.A says.
// Where the rows of the image lie close together they are taken in one go,
// with what is between them.
func (l *frame) sum(p *gemm.Product, columns *gemm.Columns, y, memory []float32) {
	width, start := columns.Width, float32(0)
	if p.RowBias != nil {
		start = p.RowBias[0]
	}
	few := 1
	if columns.Step < 2*width {
		few = max(1, depthwiseFloats/max(columns.Step, 1))
	}
	for at, row := 0, 0; at < len(y); row += few {
		few = min(few, (len(y)-at)/width)
		sums := memory[:(few-1)*columns.Step+width]
		for i := range sums {
			sums[i] = start
		}
		for k, o := range columns.Offsets {
			vec.Axpy(sums, p.A.Data[k], columns.Image[o+row*columns.Step:][:len(sums)])
		}
		for i := range few {
			copy(y[at:at+width], sums[i*columns.Step:])
			at += width
		}
	}
	if p.Clip {
		vec.Clamp(y, y, p.Low, p.High)
	}
}
