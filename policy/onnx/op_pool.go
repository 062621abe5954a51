package onnx

import (
	"fmt"
	"math"
	"slices"

	"arfm/policy/nn/vec"
)

func init() {
	register(
		operator{"MaxPool", 6, 1, 1, asIs, preparePool, false},
		operator{"AveragePool", 6, 1, 1, only32, preparePool, false},
		operator{"LpPool", 6, 1, 1, only32, preparePool, false},
		operator{"GlobalMaxPool", 6, 1, 1, only32, prepareGlobalPool, false},
		operator{"GlobalAveragePool", 6, 1, 1, only32, prepareGlobalPool, false},
		operator{"GlobalLpPool", 6, 1, 1, only32, prepareGlobalPool, false},
	)
}

func preparePool(c *call) (func() error, error) {
	x := c.in[0]
	kernel := clampInts(c.ints("kernel_shape"))
	if len(x.Shape) < 3 || len(kernel) != len(x.Shape)-2 {
		return nil, fmt.Errorf("a kernel of %v does not fit %v", kernel, x)
	}
	w, err := c.windowOf(x.Shape[2:], kernel)
	if err != nil {
		return nil, err
	}
	if err := w.slide(c.string("auto_pad", "NOTSET"), c.int("ceil_mode", 0) != 0); err != nil {
		return nil, err
	}
	shape := append([]int{x.Shape[0], x.Shape[1]}, w.out...)
	cost := slices.Clone(shape)
	for i, k := range kernel {
		cost = append(cost, min(k, w.in[i]))
	}
	if err := c.costs(cost...); err != nil {
		return nil, err
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	if c.op == "MaxPool" {
		if err := c.out(1, Int64, shape...); err != nil {
			return nil, err
		}
		switch x.Type {
		case Float32:
			if len(w.in) == 2 && !c.wants(1) {
				return func() error { w.maxImages(Data[float32](c.result[0]), Data[float32](x)); return nil }, nil
			}
			return maxPool(c, w, func(v float32) float32 { return v }), nil
		case Float64:
			return maxPool(c, w, func(v float64) float64 { return v }), nil
		case Int8:
			return maxPool(c, w, func(v int8) int8 { return v }), nil
		case Uint8:
			return maxPool(c, w, func(v uint8) uint8 { return v }), nil
		case Float16:
			return maxPool(c, w, FromFloat16), nil
		case BFloat16:
			return maxPool(c, w, fromBFloat16), nil
		}
	}
	if x.Type != Float32 {
		return nil, fmt.Errorf("%v is not supported here", x.Type)
	}
	return sumPool(c, w), nil
}

// windows are some places of the output: place first+i sees the elements
// under[end[i-1]:end[i]] of the image.
type windows struct {
	first int
	under []int
	end   []int
}

// elements lists what place i sees.
func (s *windows) elements(i int) []int {
	from := 0
	if i > 0 {
		from = s.end[i-1]
	}
	return s.under[from:s.end[i]]
}

// enough is when a list of windows is handed over.
const enough = 1 << 15

// visitWindows calls visit with the places of the output, some at a time.
func (w *window) visitWindows(visit func(*windows)) {
	place := make([]int, len(w.out))
	own := strides(w.in)
	s := &windows{}
	var gather func(a, at int)
	gather = func(a, at int) {
		if a == len(w.in) {
			s.under = append(s.under, at)
			return
		}
		base := place[a]*w.stride[a] - w.begin[a]
		lo, hi := w.meets(a, base, w.in[a])
		for k := lo; k < hi; k++ {
			gather(a+1, at+(base+k*w.dilation[a])*own[a])
		}
	}
	total := product(w.out)
	for o := range total {
		gather(0, 0)
		s.end = append(s.end, len(s.under))
		if len(s.under) > enough || len(s.end) > enough || o == total-1 {
			visit(s)
			s.first, s.under, s.end = o+1, s.under[:0], s.end[:0]
		}
		for i := len(place) - 1; i >= 0; i-- {
			if place[i]++; place[i] < w.out[i] {
				break
			}
			place[i] = 0
		}
	}
}

// meets gives the places k of the kernel along an axis, lo to hi, for which
// base + k*dilation lies in 0..n: a kernel over much padding costs nothing.
func (w *window) meets(a, base, n int) (lo, hi int) {
	d := w.dilation[a]
	if base < 0 {
		lo = min((d-1-base)/d, w.kernel[a])
	}
	if base < n {
		hi = min((n-1-base)/d+1, w.kernel[a])
	}
	return lo, max(lo, hi)
}

// planes calls f for every plane, a channel of an image, on all cores.
func (s *windows) planes(n int, f func(p int)) {
	parallel(n, 1+enough/(1+len(s.under)), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			f(p)
		}
	})
}

func maxPool[T number, V float32 | float64 | int8 | uint8](c *call, w *window, value func(T) V) func() error {
	return func() error {
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		var index []int64
		if c.wants(1) {
			index = Data[int64](c.result[1])
		}
		in, out := product(w.in), product(w.out)
		planes := c.in[0].Shape[0] * c.in[0].Shape[1]
		number := func(at int) int { return at }
		if c.int("storage_order", 0) != 0 {
			number = func(at int) int { return columnMajor(at, w.in) }
		}
		w.visitWindows(func(s *windows) {
			s.planes(planes, func(p int) {
				image := x[p*in : (p+1)*in]
				for i := range s.end {
					o, at := p*out+s.first+i, largest(image, s.elements(i), value)
					if at < 0 {
						y[o], at = lowest[T](c.in[0].Type), 0
					} else {
						y[o] = image[at]
					}
					if index != nil {
						index[o] = int64(p*in + number(at))
					}
				}
			})
		})
		return nil
	}
}

// largest finds the largest of some elements, -1 of none.
func largest[T number, V float32 | float64 | int8 | uint8](image []T, under []int, value func(T) V) int {
	if len(under) == 0 {
		return -1
	}
	best := under[0]
	top := value(image[best])
	for _, at := range under[1:] {
		if v := value(image[at]); v > top {
			best, top = at, v
		}
	}
	return best
}

// maxImages is MaxPool of images, without indices: the largest of each column
// that a row of the output sees, then along the row.
func (w *window) maxImages(y, x []float32) {
	in, out := product(w.in), product(w.out)
	least := lowest[float32](Float32)
	parallel(len(y)/max(out, 1), 1+enough/(1+out*product(w.kernel)), func(from, to int) {
		crest, spare := make([]float32, w.in[1]), make([]float32, w.in[1])
		for p := from; p < to; p++ {
			image, plane := x[p*in:(p+1)*in], y[p*out:(p+1)*out]
			for i := range plane {
				plane[i] = least
			}
			for oy := range w.out[0] {
				base := oy*w.stride[0] - w.begin[0]
				lo, hi := w.meets(0, base, w.in[0])
				for ky := lo; ky < hi; ky++ {
					iy := base + ky*w.dilation[0]
					line := image[iy*w.in[1] : (iy+1)*w.in[1]]
					if ky == lo {
						copy(crest, line)
					} else {
						vec.Larger(crest, crest, line)
					}
				}
				if lo < hi {
					w.raise(plane[oy*w.out[1]:(oy+1)*w.out[1]], crest, spare)
				}
			}
		}
	})
}

// shortStride is how far apart windows are at most for which it pays to compute
// those between them too, in whole vectors.
const shortStride = 4

// raise lifts a row of the output to what a row of the image, which has as much
// room to spare, shows it.
func (w *window) raise(row, image, spare []float32) {
	s, reach := w.stride[1], (w.out[1]-1)*w.stride[1]
	shift := func(kx int) int { return kx*w.dilation[1] - w.begin[1] }
	first, last := w.meets(1, reach-w.begin[1], w.in[1]+reach)
	from, to := 0, 0 // the windows that lie in the image wholly
	if s > 1 && s <= shortStride && first < last {
		from, _ = w.inside(1, shift(first))
		_, to = w.inside(1, shift(last-1))
		to = max(from, to)
	}
	if from < to {
		spare = spare[:(to-1-from)*s+1]
		copy(spare, image[from*s+shift(first):])
		for kx := first + 1; kx < last; kx++ {
			vec.Larger(spare, spare, image[from*s+shift(kx):])
		}
		for o := from; o < to; o++ {
			row[o] = spare[(o-from)*s]
		}
	}
	for kx := first; kx < last; kx++ {
		lo, hi := w.inside(1, shift(kx))
		if s == 1 && lo < hi {
			vec.Larger(row[lo:hi], row[lo:hi], image[lo+shift(kx):])
			continue
		}
		for _, part := range [2][2]int{{lo, min(hi, from)}, {max(lo, to), hi}} {
			for o := part[0]; o < part[1]; o++ {
				row[o] = max(row[o], image[o*s+shift(kx)])
			}
		}
	}
}

// lowest is what a window over padding only gives.
func lowest[T number](t Type) T {
	switch t {
	case Float16:
		v := 0xfc00
		return T(v)
	case BFloat16:
		v := 0xff80
		return T(v)
	}
	return extreme[T](false)
}

// columnMajor numbers an element of an image with the first axis fastest.
func columnMajor(at int, shape []int) int {
	own := strides(shape)
	n, to := 1, 0
	for i, d := range shape {
		to += at / own[i] % d * n
		n *= d
	}
	return to
}

// sumPool is AveragePool and LpPool.
func sumPool(c *call, w *window) func() error {
	p := float64(c.int("p", 2))
	average := c.op == "AveragePool"
	whole := average && c.int("count_include_pad", 0) != 0
	return func() error {
		x, y := Data[float32](c.in[0]), Data[float32](c.result[0])
		in, out := product(w.in), product(w.out)
		planes := c.in[0].Shape[0] * c.in[0].Shape[1]
		covered := w.covered()
		w.visitWindows(func(s *windows) {
			s.planes(planes, func(q int) {
				image := x[q*in : (q+1)*in]
				for i := range s.end {
					under, o := s.elements(i), s.first+i
					count := len(under)
					if whole {
						count = covered(o)
					}
					y[q*out+o] = poolSum(image, under, count, average, p)
				}
			})
		})
		return nil
	}
}

// poolSum is the mean of elements, over count, or their p-norm.
func poolSum(image []float32, under []int, count int, average bool, p float64) float32 {
	sum := 0.0
	for _, at := range under {
		if average {
			sum += float64(image[at])
		} else {
			sum += math.Pow(math.Abs(float64(image[at])), p)
		}
	}
	switch {
	case !average:
		sum = math.Pow(sum, 1/p)
	case count > 0:
		sum /= float64(count)
	}
	return float32(sum)
}

// covered counts the kernel's places that lie on the image or its padding; in
// the last window that ceil_mode adds, some lie beyond.
func (w *window) covered() func(o int) int {
	own := strides(w.out)
	return func(o int) int {
		count := 1
		for i := range w.out {
			start := o/own[i]%w.out[i]*w.stride[i] - w.begin[i]
			n := (w.in[i] + w.end[i] - 1 - start) / w.dilation[i]
			count *= min(n+1, w.kernel[i])
		}
		return count
	}
}

func prepareGlobalPool(c *call) (func() error, error) {
	x := c.in[0]
	if len(x.Shape) < 2 || x.Type != Float32 {
		return nil, fmt.Errorf("%v is not supported here", x)
	}
	shape := []int{x.Shape[0], x.Shape[1]}
	for range x.Shape[2:] {
		shape = append(shape, 1)
	}
	p := float64(c.int("p", 2))
	return func() error {
		src, n := Data[float32](x), product(x.Shape[2:])
		for i := range Data[float32](c.result[0]) {
			plane, y := src[i*n:(i+1)*n], &Data[float32](c.result[0])[i]
			switch c.op {
			case "GlobalAveragePool":
				*y = vec.Sum(plane) / float32(n)
			case "GlobalMaxPool":
				*y = lowest[float32](Float32)
				for _, v := range plane {
					*y = max(*y, v)
				}
			default:
				sum := 0.0
				for _, v := range plane {
					sum += math.Pow(math.Abs(float64(v)), p)
				}
				*y = float32(math.Pow(sum, 1/p))
			}
		}
		return nil
	}, c.out(0, Float32, shape...)
}
