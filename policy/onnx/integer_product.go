package onnx

import (
	"slices"

	"arfm/policy/nn/cpu"
	"arfm/policy/nn/gemm"
)

// Products of 8-bit numbers run in float32, which is exact as long as all sums
// are whole numbers of at most 2^24, so they are cut along k into parts for
// which that holds; the parts add up in int32, where the operators' results
// wrap around.
const (
	exactFloat = 1 << 24
	maxOctet   = 255
)

// tileFloats is how many numbers of an operand and of the result are kept as
// float32 at a time.
const tileFloats = 1 << 19

// factor says how an 8-bit operand of a product lies: as several matrices of
// (lanes, depth) where byLane is set, else (depth, lanes). Sums run over depth.
type factor struct {
	matrices, lanes, depth int
	byLane                 bool
	right                  bool // of the product; on the left, lanes are rows
	plain                  bool // never packed
}

// part is columns (rows) k0 to k1 of matrix m.
func (f *factor) part(w []float32, m, k0, k1 int) gemm.Matrix {
	w = w[m*f.lanes*f.depth : (m+1)*f.lanes*f.depth]
	if f.byLane {
		return matrix(w[min(k0, len(w)):], f.depth, f.right)
	}
	return matrix(w[k0*f.lanes:], f.lanes, !f.right)
}

// exactCuts is where sums over depth are cut: no lane of a part may exceed
// exactFloat, whatever it is multiplied with. Steps of 16 stay below that even
// with all numbers at their ends, up to k = 256.
func (f *factor) exactCuts(w []float32) []int {
	sums := make([]float32, f.matrices*f.lanes)
	cuts := []int{0}
	for k := 0; k < f.depth; k += 16 {
		full, end := false, min(k+16, f.depth)
		for l := range sums {
			sums[l] += f.size(w, l, k, end)
			full = full || sums[l] > exactFloat/maxOctet
		}
		if !full {
			continue
		}
		cuts = append(cuts, k)
		for l := range sums {
			sums[l] = f.size(w, l, k, end)
		}
	}
	return append(cuts, f.depth)
}

// size adds up the absolute values of elements k0 to k1 of a lane.
func (f *factor) size(w []float32, l, k0, k1 int) (sum float32) {
	at, step := l*f.depth+k0, 1
	if !f.byLane {
		at, step = l/f.lanes*f.lanes*f.depth+k0*f.lanes+l%f.lanes, f.lanes
	}
	for range k1 - k0 {
		sum += max(w[at], -w[at])
		at += step
	}
	return sum
}

// exactParts is an operand cut into parts.
type exactParts struct {
	cuts     []int
	matrices []gemm.Matrix // the parts of each matrix
}

// cut makes parts of numbers that are there already.
func (f *factor) cut(w []float32) exactParts {
	p := exactParts{cuts: f.exactCuts(w)}
	for m := range f.matrices {
		for i, k0 := range p.cuts[:len(p.cuts)-1] {
			p.matrices = append(p.matrices, f.part(w, m, k0, p.cuts[i+1]))
		}
	}
	return p
}

// of gives the parts of matrix m: what is summed and the operand.
func (p *exactParts) of(m int, visit func(k0, k1 int, x gemm.Matrix)) {
	n := len(p.cuts) - 1
	for i := range n {
		visit(p.cuts[i], p.cuts[i+1], p.matrices[m*n+i])
	}
}

// parts cuts input i less its zero points, input z along axis a. Constants are
// packed once; else memory is lent until done is called.
func (c *call) parts(i, z, a int, f factor) (p exactParts, done func(), err error) {
	x, err := c.octets(i, z, a)
	if err != nil {
		return p, nil, err
	}
	if !c.isFixed(i) || c.has(z) && !c.isFixed(z) || cpu.Has == cpu.Generic {
		w, done, err := scratch[float32](c, len(x.data))
		if err != nil {
			return p, nil, err
		}
		x.read(w, 0)
		return f.cut(w), done, nil
	}
	if c.packs.of != c.in[i] || c.packs.layout != f.right {
		w := make([]float32, len(x.data))
		x.read(w, 0)
		c.packs = packs{of: c.in[i], layout: f.right, exact: f.cut(w)}
		if !f.plain {
			c.packs.exact.pack(f)
		}
	}
	return c.packs.exact, func() {}, nil
}

// pack puts all parts into the order in which the kernels read them.
func (p *exactParts) pack(f factor) {
	n := len(p.cuts) - 1
	for i, x := range p.matrices {
		k, to := p.cuts[i%n+1]-p.cuts[i%n], new(gemm.Packed)
		if f.right {
			to.Right(x.Trans, k, f.lanes, x.Data, x.Ld)
		} else {
			to.Left(x.Trans, f.lanes, k, x.Data, x.Ld)
		}
		p.matrices[i] = gemm.Matrix{Packed: to}
	}
}

// addWhole adds x to y, or sets y where x is the first part.
func addWhole(y []int32, x []float32, first bool) {
	y = y[:len(x)]
	if first {
		for i, v := range x {
			y[i] = int32(v)
		}
		return
	}
	for i, v := range x {
		y[i] += int32(v)
	}
}

// integers multiplies 8-bit inputs a and b, each a number of an input and of
// its zero point.
func (p *matmul) integers(c *call, z []int32, a, b [2]int) error {
	x, err := c.octets(a[0], a[1], len(c.in[a[0]].Shape)-2)
	if err != nil {
		return err
	}
	f := factor{matrices: max(1, c.in[b[0]].Len()/max(p.k*p.n, 1)), lanes: p.n, depth: p.k, right: true}
	w, done, err := c.parts(b[0], b[1], len(c.in[b[0]].Shape)-1, f)
	if err != nil {
		return err
	}
	defer done()
	pairs := p.pairs()
	rows := min(p.m, 1+tileFloats/(p.k+p.n+1))
	return c.jobs(len(pairs), rows*(p.k+p.n), p.m*p.n*p.k, func(job int, memory []float32, multiply func(*gemm.Product)) {
		at := pairs[job]
		for i := 0; i < p.m; i += rows {
			m := min(rows, p.m-i)
			left, sums := memory[:m*p.k], memory[rows*p.k:][:m*p.n]
			x.read(left, at.a+i*p.k)
			to := z[at.c+i*p.n:][:m*p.n]
			w.of(at.b/max(p.k*p.n, 1), func(k0, k1 int, right gemm.Matrix) {
				multiply(&gemm.Product{M: m, N: p.n, K: k1 - k0, Alpha: 1, A: matrix(left[min(k0, len(left)):], p.k, false), B: right, C: sums, LdC: p.n})
				addWhole(to, sums, k0 == 0)
			})
		}
	})
}

// integers convolves 8-bit image x with kernel k, each a number of an input and
// of its zero point, tile by tile of y along the first spatial axis.
func (v *convolution) integers(c *call, y []int32, x, k [2]int) error {
	image, err := c.octets(x[0], x[1], -1)
	if err != nil {
		return err
	}
	tile, rows, err := v.tile()
	if err != nil {
		return err
	}
	f := factor{matrices: v.groups, lanes: v.cout, depth: len(tile.offsets), byLane: true, right: tile.across, plain: tile.depthwise()}
	w, done, err := c.parts(k[0], k[1], 0, f)
	if err != nil {
		return err
	}
	defer done()
	tiles := (v.out[0] + rows - 1) / rows
	places := product(v.out[1:])
	in, out := v.cin*product(v.in), product(v.out)
	sums := v.cout * rows * places
	return c.jobs(v.batch*v.groups*tiles, tile.room()+sums, sums*len(tile.offsets), func(job int, memory []float32, multiply func(*gemm.Product)) {
		job, lo := job/tiles, job%tiles*rows
		l := tile.moved(lo, min(lo+rows, v.out[0]))
		n := product(l.out)
		sums, memory := memory[:v.cout*n], memory[v.cout*n:]
		padded := l.pads(memory, image, job*in)
		w.of(job%v.groups, func(k0, k1 int, kernel gemm.Matrix) {
			l.multiply(gemm.Product{Alpha: 1, A: kernel, C: sums}, k0, k1, padded, memory[len(padded):], multiply)
			parallel(v.cout, 1+(1<<15)/(1+n), func(from, to int) {
				for ch := from; ch < to; ch++ {
					addWhole(y[(job*v.cout+ch)*out+lo*places:][:n], sums[ch*n:(ch+1)*n], k0 == 0)
				}
			})
		})
	})
}

// tile gives the frame of a part of the output of so many rows, few enough for
// tileFloats where that is possible.
func (v *convolution) tile() (l *frame, rows int, err error) {
	if l, err = v.frame(true); err != nil {
		return nil, 0, err
	}
	whole := v.cin*l.channel + v.cout*product(v.out)
	rows = max(1, v.out[0]/(1+whole/tileFloats))
	if rows == v.out[0] {
		return l, rows, nil
	}
	part := *v
	part.window = v.part(0, rows)
	l, err = part.frame(true)
	return l, rows, err
}

// part is the window of places lo to hi along the first axis of the output.
func (w *window) part(lo, hi int) *window {
	p := *w
	p.out, p.begin = slices.Clone(w.out), slices.Clone(w.begin)
	p.out[0] = hi - lo
	p.begin[0] -= lo * w.stride[0]
	return &p
}

// moved is the frame of places lo to hi along the first axis, of which there
// may be fewer than in l.
func (l *frame) moved(lo, hi int) *frame {
	m, v := *l, *l.convolution
	v.window = v.part(lo, hi)
	m.convolution = &v
	m.plane = product(v.out[l.outer:])
	return &m
}
