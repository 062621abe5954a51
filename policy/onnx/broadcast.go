package onnx

import (
	"fmt"
	"slices"
)

// broadcastShape is the shape that all of the shapes stretch to.
func broadcastShape(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			at := rank - len(s) + i
			switch {
			case out[at] == 1:
				out[at] = d
			case d != 1 && d != out[at]:
				return nil, fmt.Errorf("the shapes %v do not fit together", shapes)
			}
		}
	}
	return out, nil
}

// stretch gives the strides with which an array of shape reads as one of shape
// out: 0 along stretched axes.
func stretch(shape, out []int) []int {
	own := strides(shape)
	s := make([]int, len(out))
	for i, d := range shape {
		if d != 1 {
			s[len(out)-len(shape)+i] = own[i]
		}
	}
	return s
}

// walkRows visits an array of shape out row by row along its last axis, after
// joining axes that all operands walk alike. visit gets the row's first element
// of the output and of each operand, the row's length, and the operands' steps
// along it.
func walkRows(out []int, operand [][]int, visit func(at int, from []int, n int, step []int)) {
	shape, strides := joinAxes(out, operand)
	last := len(shape) - 1
	n := shape[last]
	step := make([]int, len(operand))
	for k := range operand {
		step[k] = strides[k][last]
	}
	rows := product(shape[:last])
	if n == 0 || rows == 0 {
		return
	}
	from := make([]int, len(operand))
	index := make([]int, last)
	for r := 0; ; r++ {
		visit(r*n, from, n, step)
		if r == rows-1 {
			return
		}
		for i := last - 1; ; i-- {
			index[i]++
			for k := range from {
				from[k] += strides[k][i]
			}
			if index[i] < shape[i] {
				break
			}
			for k := range from {
				from[k] -= strides[k][i] * shape[i]
			}
			index[i] = 0
		}
	}
}

// joinAxes merges neighbouring axes across which every operand's stride fits.
func joinAxes(out []int, operand [][]int) ([]int, [][]int) {
	shape := []int{1}
	strides := make([][]int, len(operand))
	for k := range strides {
		strides[k] = []int{0}
	}
	for i, d := range out {
		if d == 1 {
			continue
		}
		last := len(shape) - 1
		join := shape[last] == 1
		if !join {
			join = true
			for k, s := range operand {
				join = join && strides[k][last] == s[i]*d
			}
		}
		if join {
			shape[last] *= d
		} else {
			shape = append(shape, d)
			last++
		}
		for k, s := range operand {
			if join {
				strides[k][last] = s[i]
			} else {
				strides[k] = append(strides[k], s[i])
			}
		}
	}
	return shape, strides
}

// combine computes dst = f(a, b) over the broadcast shape.
func combine[T, U number](dst []U, out []int, a []T, as []int, b []T, bs []int, f func(T, T) U) {
	walkRows(out, [][]int{stretch(as, out), stretch(bs, out)}, func(at int, from []int, n int, step []int) {
		d := dst[at : at+n]
		i, j := from[0], from[1]
		switch {
		case step[0] == 1 && step[1] == 1:
			x, y := a[i:i+n], b[j:j+n]
			for k := range d {
				d[k] = f(x[k], y[k])
			}
		case step[1] == 0 && step[0] == 1:
			x, y := a[i:i+n], b[j]
			for k := range d {
				d[k] = f(x[k], y)
			}
		default:
			for k := range d {
				d[k] = f(a[i], b[j])
				i += step[0]
				j += step[1]
			}
		}
	})
}

// stretches refuses input i, where there is one, unless it stretches to shape.
func (c *call) stretches(i int, shape []int) error {
	if !c.has(i) {
		return nil
	}
	if s, err := broadcastShape(c.in[i].Shape, shape); err != nil || !slices.Equal(s, shape) {
		return fmt.Errorf("%v does not stretch to %v", c.in[i], shape)
	}
	return nil
}

// stretchTo writes x as an array of that shape.
func stretchTo(y []float32, shape []int, x *Tensor) {
	v := Data[float32](x)
	combine(y, shape, v, x.Shape, v, x.Shape, func(p, _ float32) float32 { return p })
}
