package onnx

import (
	"fmt"
	"math"
	"slices"
)

func init() {
	for name := range reductions {
		register(operator{name, 6, 1, 2, half, prepareReduce, false})
	}
}

// reduction folds elements in float64, starting from start; finish gets the
// result and the number of elements.
type reduction struct {
	start  float64
	add    func(acc, v float64) float64
	finish func(acc float64, n int) float64
}

func plus(acc, v float64) float64      { return acc + v }
func same(acc float64, _ int) float64  { return acc }
func square(acc, v float64) float64    { return acc + v*v }
func ln(acc float64, _ int) float64    { return math.Log(acc) }
func root(acc float64, _ int) float64  { return math.Sqrt(acc) }
func mean(acc float64, n int) float64  { return acc / float64(n) }
func larger(acc, v float64) float64    { return max(acc, v) }
func smaller(acc, v float64) float64   { return min(acc, v) }
func magnitude(acc, v float64) float64 { return acc + math.Abs(v) }

var reductions = map[string]reduction{
	"ReduceSum":       {0, plus, same},
	"ReduceMean":      {0, plus, mean},
	"ReduceMax":       {math.Inf(-1), larger, same},
	"ReduceMin":       {math.Inf(1), smaller, same},
	"ReduceProd":      {1, func(acc, v float64) float64 { return acc * v }, same},
	"ReduceL1":        {0, magnitude, same},
	"ReduceL2":        {0, square, root},
	"ReduceSumSquare": {0, square, same},
	"ReduceLogSum":    {0, plus, ln},
	// Log of the sum of exponentials, relative to the largest element: see reduce.
	"ReduceLogSumExp": {0, func(acc, v float64) float64 { return acc + math.Exp(v) }, ln},
}

// exactly folds those reductions of integers that stay integers, where float64
// would round.
var exactly = map[string]struct {
	start int64
	add   func(acc, v int64) int64
}{
	"ReduceSum":       {0, func(acc, v int64) int64 { return acc + v }},
	"ReduceProd":      {1, func(acc, v int64) int64 { return acc * v }},
	"ReduceMax":       {math.MinInt64, func(acc, v int64) int64 { return max(acc, v) }},
	"ReduceMin":       {math.MaxInt64, func(acc, v int64) int64 { return min(acc, v) }},
	"ReduceL1":        {0, func(acc, v int64) int64 { return acc + max(v, -v) }},
	"ReduceSumSquare": {0, func(acc, v int64) int64 { return acc + v*v }},
}

// axesInput is the opset from which the axes are an input.
func axesInput(op string) int64 {
	if op == "ReduceSum" {
		return 13
	}
	return 18
}

func prepareReduce(c *call) (func() error, error) {
	x := c.in[0]
	axes, err := c.axesAt(1, axesInput(c.op))
	if err != nil {
		return nil, err
	}
	set, err := axisSet(axes, len(x.Shape))
	if err != nil {
		return nil, err
	}
	if len(axes) == 0 && c.int("noop_with_empty_axes", 0) == 0 {
		for i := range set {
			set[i] = true
		}
	}
	keep := c.int("keepdims", 1) != 0
	var shape []int
	for i, d := range x.Shape {
		if !set[i] {
			shape = append(shape, d)
		} else if keep {
			shape = append(shape, 1)
		}
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	return reduceTyped(c, set)
}

func reduceTyped(c *call, set []bool) (func() error, error) {
	switch c.in[0].Type {
	case Float32:
		return reduce[float32](c, set), nil
	case Float64:
		return reduce[float64](c, set), nil
	case Int32:
		return reduceInts[int32](c, set), nil
	case Int64:
		return reduceInts[int64](c, set), nil
	case Int8:
		return reduce[int8](c, set), nil
	case Uint8, Bool:
		return reduce[uint8](c, set), nil
	case Uint32:
		return reduce[uint32](c, set), nil
	case Uint64:
		return reduce[uint64](c, set), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

// reducedStrides walks the output while the input is walked in order: 0 along
// reduced axes.
func reducedStrides(shape []int, set []bool) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if !set[i] {
			s[i] = n
			n *= shape[i]
		}
	}
	return s
}

func reduce[T number](c *call, set []bool) func() error {
	r := reductions[c.op]
	return func() error {
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		count := 1
		for i, d := range c.in[0].Shape {
			if set[i] {
				count *= d
			}
		}
		acc := make([]float64, len(y))
		for i := range acc {
			acc[i] = r.start
		}
		to := reducedStrides(c.in[0].Shape, set)
		var top []float64
		if c.op == "ReduceLogSumExp" {
			top = make([]float64, len(y))
			for i := range top {
				top[i] = math.Inf(-1)
			}
			foldInto(top, x, c.in[0].Shape, to, larger)
			for i := range top {
				if math.IsInf(top[i], 0) {
					top[i] = 0
				}
			}
			sumExp(acc, top, x, c.in[0].Shape, to)
		} else {
			foldInto(acc, x, c.in[0].Shape, to, r.add)
		}
		for i, v := range acc {
			v = r.finish(v, count)
			if top != nil {
				v += top[i]
			}
			if count == 0 && (c.op == "ReduceMax" || c.op == "ReduceMin") {
				y[i] = extreme[T](c.op == "ReduceMin")
				continue
			}
			y[i] = whole[T](v)
		}
		return nil
	}
}

func reduceInts[T int32 | int64](c *call, set []bool) func() error {
	r, ok := exactly[c.op]
	if !ok || slices.Contains(c.in[0].Shape, 0) {
		return reduce[T](c, set)
	}
	return func() error {
		acc := make([]int64, c.result[0].Len())
		for i := range acc {
			acc[i] = r.start
		}
		x := Data[T](c.in[0])
		walkRows(c.in[0].Shape, [][]int{reducedStrides(c.in[0].Shape, set)}, func(at int, from []int, n int, step []int) {
			for i, v := range x[at : at+n] {
				j := from[0] + i*step[0]
				acc[j] = r.add(acc[j], int64(v))
			}
		})
		castTo(Data[T](c.result[0]), acc)
		return nil
	}
}

// whole converts a result to T; NaN and infinities, which only floats have,
// stay.
func whole[T number](v float64) T {
	if isFloat[T]() {
		return T(v)
	}
	var d [1]T
	castWhole(d[:], []float64{v})
	return d[0]
}

// extreme is the largest or smallest value of a type: what a maximum or minimum
// over nothing gives.
func extreme[T number](largest bool) T {
	var zero T
	if isFloat[T]() {
		if largest {
			return T(math.Inf(1))
		}
		return T(math.Inf(-1))
	}
	if minusOne := zero - 1; minusOne > 0 { // unsigned
		if largest {
			return minusOne
		}
		return 0
	}
	top := T(1)
	for next := top*2 + 1; next > top; next = top*2 + 1 {
		top = next
	}
	if largest {
		return top
	}
	return -top - 1
}

// foldInto adds every element of x to the accumulator that to leads to.
func foldInto[T number](acc []float64, x []T, shape, to []int, add func(acc, v float64) float64) {
	walkRows(shape, [][]int{to}, func(at int, from []int, n int, step []int) {
		row := x[at : at+n]
		if step[0] == 0 {
			a := acc[from[0]]
			for _, v := range row {
				a = add(a, float64(v))
			}
			acc[from[0]] = a
			return
		}
		for i, v := range row {
			j := from[0] + i*step[0]
			acc[j] = add(acc[j], float64(v))
		}
	})
}

func sumExp[T number](acc, top []float64, x []T, shape, to []int) {
	walkRows(shape, [][]int{to}, func(at int, from []int, n int, step []int) {
		for i, v := range x[at : at+n] {
			j := from[0] + i*step[0]
			acc[j] += math.Exp(float64(v) - top[j])
		}
	})
}

// alongAxis splits a shape at an axis.
func alongAxis(shape []int, a int) (outer, n, inner int) {
	return product(shape[:a]), shape[a], product(shape[a+1:])
}
