package onnx

import (
	"runtime"
	"slices"
	"sync/atomic"

	"arfm/policy/nn"
)

// run multiplies the kernel (cout, cin k..) with the image laid out as columns
// (cin k.., out..), tile by tile of the output's rows, so that a tile's columns
// stay in the cache.
func (v *convolution) run(c *call, y, x, k, bias []float32) error {
	if v.pointwise() {
		v.multiply(y, x, k, bias)
		return nil
	}
	out, depth := product(v.out), v.cin*product(v.kernel)
	if out == 0 || depth == 0 {
		clear(y)
		for i := range len(y) / max(out, 1) {
			v.finish(y[i*out:(i+1)*out], bias, i%(v.groups*v.cout))
		}
		return nil
	}
	perRow := out / v.out[0]
	rows := min(max(1, tileFloats/depth/perRow), v.out[0])
	tiles := (v.out[0] + rows - 1) / rows
	jobs, cores := v.batch*v.groups*tiles, runtime.GOMAXPROCS(0)
	size := depth * rows * perRow
	buffers, done, err := scratch[float32](c, size*min(cores, jobs))
	if err != nil {
		return err
	}
	defer done()
	if jobs < cores { // the cores share each tile
		for job := range jobs {
			t := v.tile(job, tiles, rows)
			parallel(v.cin, 1+(1<<14)/(1+size/v.cin), func(lo, hi int) { unfold(&t.window, buffers, t.image(v, x), lo, hi) })
			parallel(v.cout, 1+gemmGrain/(1+size), func(lo, hi int) { t.multiply(v, y, buffers, k, bias, lo, hi) })
		}
		return nil
	}
	var worker atomic.Int32
	parallel(jobs, 1, func(lo, hi int) {
		columns := buffers[int(worker.Add(1)-1)*size:][:size]
		for job := lo; job < hi; job++ {
			t := v.tile(job, tiles, rows)
			unfold(&t.window, columns, t.image(v, x), 0, v.cin)
			t.multiply(v, y, columns, k, bias, 0, v.cout)
		}
	})
	return nil
}

// tileFloats is how many numbers of columns a tile has: half of a usual
// second-level cache.
const tileFloats = 1 << 17

// tile is some rows of the output of one group of one image.
type tile struct {
	window     // as if the image were cut for these rows
	index  int // of image and group
	group  int
	at, n  int // where in the output, and how many elements
}

func (v *convolution) tile(job, tiles, rows int) *tile {
	t := &tile{window: *v.window, index: job / tiles}
	t.group = t.index % v.groups
	first := job % tiles * rows
	t.out, t.begin = slices.Clone(v.out), slices.Clone(v.begin)
	t.out[0] = min(rows, v.out[0]-first)
	t.begin[0] -= first * v.stride[0]
	perRow := product(v.out[1:])
	t.at, t.n = first*perRow, t.out[0]*perRow
	return t
}

func (t *tile) image(v *convolution, x []float32) []float32 {
	in := v.cin * product(v.in)
	return x[t.index*in : (t.index+1)*in]
}

// multiply computes channels lo to hi of the tile.
func (t *tile) multiply(v *convolution, y, columns, k, bias []float32, lo, hi int) {
	out, depth := product(v.out), v.cin*product(v.kernel)
	to := y[(t.index*v.cout+lo)*out+t.at:]
	weights := k[(t.group*v.cout+lo)*depth:]
	nn.Gemm(false, false, hi-lo, t.n, depth, 1, weights, depth, columns, t.n, 0, to, out)
	for ch := range hi - lo {
		v.finish(to[ch*out:ch*out+t.n], bias, t.group*v.cout+lo+ch)
	}
}

// finish adds a channel's bias and, where that is joined, clips.
func (v *convolution) finish(y, bias []float32, ch int) {
	b := float32(0)
	if bias != nil {
		b = bias[ch]
	}
	switch {
	case v.clip:
		low, high := v.low, v.high
		for i, x := range y {
			y[i] = min(max(x+b, low), high)
		}
	case bias != nil:
		for i := range y {
			y[i] += b
		}
	}
}

// multiply is run for an image that is its own columns.
func (v *convolution) multiply(y, x, k, bias []float32) {
	n := product(v.in)
	for b := range v.batch * v.groups {
		g := b % v.groups
		to, image, weights := y[b*v.cout*n:(b+1)*v.cout*n], x[b*v.cin*n:(b+1)*v.cin*n], k[g*v.cout*v.cin:(g+1)*v.cout*v.cin]
		if v.cin == 0 {
			clear(to)
		} else {
			gemmRows(false, false, v.cout, n, v.cin, weights, image, to, nil)
		}
		for ch := range v.cout {
			v.finish(to[ch*n:(ch+1)*n], bias, g*v.cout+ch)
		}
	}
}
