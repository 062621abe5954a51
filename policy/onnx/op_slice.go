package onnx

import (
	"fmt"
	"math"
	"slices"
)

func init() {
	register(
		operator{"Concat", 6, 1, many, asIs, prepareConcat, false},
		operator{"Split", 6, 1, 2, asIs, prepareSplit, false},
		operator{"Slice", 6, 1, 5, asIs, prepareSlice, false},
		operator{"Pad", 6, 1, 4, asIs, preparePad, false},
		operator{"ReverseSequence", 10, 2, 2, asIs, prepareReverse, false},
	)
}

func prepareConcat(c *call) (func() error, error) {
	first := c.in[0]
	a, err := axis(attribute(c, "axis", int64(1)), len(first.Shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(first.Shape)
	shape[a] = 0
	for i, t := range c.in {
		if t == nil || t.Type != first.Type || len(t.Shape) != len(shape) {
			return nil, fmt.Errorf("input %d does not fit the first", i)
		}
		for k, d := range t.Shape {
			if k != a && d != shape[k] {
				return nil, fmt.Errorf("%v does not fit %v along axis %d", t, first, a)
			}
		}
		shape[a] += t.Shape[a]
	}
	return func() error {
		size := first.Type.Size()
		outer, n, inner := alongAxis(shape, a)
		at, row := 0, n*inner*size
		for _, t := range c.in {
			part := t.Shape[a] * inner * size
			for o := range outer {
				copy(c.result[0].data[o*row+at:o*row+at+part], t.data[o*part:(o+1)*part])
			}
			at += part
		}
		return nil
	}, c.out(0, first.Type, shape...)
}

// prepareSplit cuts along an axis: into given parts, by attribute before opset
// 13, or evenly, where the last part may be smaller from opset 18 on.
func prepareSplit(c *call) (func() error, error) {
	x := c.in[0]
	a, err := axis(attribute(c, "axis", int64(0)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	given := c.ints("split")
	if c.version >= 13 {
		if given, err = c.input(1); err != nil {
			return nil, err
		}
	}
	n, parts := x.Shape[a], clampInts(given)
	if !c.has(1) && len(given) == 0 {
		size := (n + len(c.result) - 1) / len(c.result)
		if c.version < 18 && n%len(c.result) != 0 {
			return nil, fmt.Errorf("%d does not divide into %d parts", n, len(c.result))
		}
		for i := range c.result {
			parts = append(parts, max(0, min(size, n-i*size)))
		}
	}
	sum := 0
	for _, p := range parts {
		if p < 0 || p > n {
			return nil, fmt.Errorf("a part of %d of %d cannot be cut", p, n)
		}
		sum += p
	}
	if len(parts) != len(c.result) || sum != n {
		return nil, fmt.Errorf("the parts %v of %d do not fit %d outputs", parts, n, len(c.result))
	}
	for i, p := range parts {
		shape := slices.Clone(x.Shape)
		shape[a] = p
		if err := c.out(i, x.Type, shape...); err != nil {
			return nil, err
		}
	}
	return func() error {
		size := x.Type.Size()
		outer, n, inner := alongAxis(x.Shape, a)
		at, row := 0, n*inner*size
		for i, p := range parts {
			part := p * inner * size
			for o := range outer {
				copy(c.result[i].data[o*part:(o+1)*part], x.data[o*row+at:])
			}
			at += part
		}
		return nil
	}, nil
}

// prepareSlice: starts, ends and axes are attributes before opset 10.
func prepareSlice(c *call) (func() error, error) {
	var v [4][]int64
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		if c.version < 10 {
			v[i] = c.ints(name)
			continue
		}
		var err error
		if v[i], err = c.input(i + 1); err != nil {
			return nil, err
		}
	}
	x := c.in[0]
	starts, ends, axes, steps := v[0], v[1], v[2], v[3]
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, fmt.Errorf("%d starts, %d ends, %d axes and %d steps do not fit together", len(starts), len(ends), len(axes), len(steps))
	}
	if _, err := axisSet(axes, len(x.Shape)); err != nil {
		return nil, err
	}
	shape, from, offset := slices.Clone(x.Shape), strides(x.Shape), 0
	for i, a := range axes {
		k, _ := axis(a, len(shape))
		step := 1
		if steps != nil {
			step = clampInt(steps[i])
		}
		if step == 0 {
			return nil, fmt.Errorf("a step is 0")
		}
		start, n := sliceRange(clampInt(starts[i]), clampInt(ends[i]), step, shape[k])
		offset += start * from[k]
		shape[k] = n
		if n > 1 {
			from[k] *= step
		}
	}
	return strided(c, shape, from, offset), c.out(0, x.Type, shape...)
}

// sliceRange gives the first index and the number of a slice of n elements, as
// Python counts them.
func sliceRange(start, end, step, n int) (first, count int) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		if end <= start {
			return 0, 0
		}
		return start, (end-start-1)/step + 1
	}
	start, end = min(max(start, -1), n-1), min(max(end, -1), n-1)
	if start <= end {
		return 0, 0
	}
	return start, (start-end-1)/-step + 1
}

// preparePad: amounts and value are attributes before opset 11.
func preparePad(c *call) (func() error, error) {
	x, mode := c.in[0], c.string("mode", "constant")
	pads, axes := c.ints("pads"), []int64(nil)
	if c.version >= 11 {
		var err error
		if pads, err = c.input(1); err != nil {
			return nil, err
		}
		if axes, err = c.input(3); err != nil {
			return nil, err
		}
	}
	if axes == nil {
		for i := range x.Shape {
			axes = append(axes, int64(i))
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	if _, err := axisSet(axes, len(x.Shape)); err != nil {
		return nil, err
	}
	before, shape := make([]int, len(x.Shape)), slices.Clone(x.Shape)
	for i, a := range axes {
		k, _ := axis(a, len(shape))
		before[k] = clampInt(pads[i])
		shape[k] += before[k] + clampInt(pads[i+len(axes)])
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	if product(shape) == 0 {
		return func() error { return nil }, nil
	}
	// source lists, per axis, where each index comes from; -1 is the value.
	source := make([][]int, len(shape))
	for k, d := range shape {
		source[k] = make([]int, d)
		for i := range d {
			at, err := padSource(mode, i-before[k], x.Shape[k])
			if err != nil {
				return nil, err
			}
			source[k][i] = at
		}
	}
	return bySize(x.Type, pad[uint8], pad[uint16], pad[uint32], pad[uint64])(c, source), nil
}

func padSource(mode string, i, n int) (int, error) {
	if i >= 0 && i < n {
		return i, nil
	}
	if mode != "constant" && n == 0 {
		return 0, fmt.Errorf("an empty axis cannot be padded by %s", mode)
	}
	switch mode {
	case "constant":
		return -1, nil
	case "edge":
		return min(max(i, 0), n-1), nil
	case "wrap":
		return ((i % n) + n) % n, nil
	case "reflect":
		if n == 1 {
			return 0, nil
		}
		period := 2 * (n - 1)
		i = ((i % period) + period) % period
		return min(i, period-i), nil
	}
	return 0, fmt.Errorf("the mode %q is not supported", mode)
}

func pad[T number](c *call, source [][]int) func() error {
	return func() error {
		value := &Tensor{Type: Float32, data: alignedBytes(4)}
		Data[float32](value)[0] = c.float("value", 0)
		if c.version >= 11 && c.has(2) {
			if value = c.in[2]; value.Len() < 1 {
				return fmt.Errorf("the value to pad with is empty")
			}
		}
		one := &Tensor{Type: c.in[0].Type, Shape: []int{1}, data: alignedBytes(c.in[0].Type.Size())}
		if err := fillWith(one, value); err != nil {
			return err
		}
		fill, x, y := Data[T](one)[0], Data[T](c.in[0]), Data[T](c.result[0])
		own := strides(c.in[0].Shape)
		var copyAxis func(k, from int, y []T)
		copyAxis = func(k, from int, y []T) {
			if k == len(source) {
				y[0] = fill
				if from >= 0 {
					y[0] = x[from]
				}
				return
			}
			if len(source[k]) == 0 {
				return
			}
			part := len(y) / len(source[k])
			for i, s := range source[k] {
				to := -1
				if s >= 0 && from >= 0 {
					to = from + s*own[k]
				}
				copyAxis(k+1, to, y[i*part:(i+1)*part])
			}
		}
		if len(y) > 0 {
			copyAxis(0, 0, y)
		}
		return nil
	}
}

// prepareReverse turns round the first steps of each sequence of a batch.
func prepareReverse(c *call) (func() error, error) {
	x := c.in[0]
	lengths, err := c.input(1)
	if err != nil {
		return nil, err
	}
	tAxis, bAxis := c.int("time_axis", 0), c.int("batch_axis", 1)
	if len(x.Shape) < 2 || tAxis+bAxis != 1 || tAxis*bAxis != 0 || len(lengths) != x.Shape[bAxis] {
		return nil, fmt.Errorf("sequences of lengths %v do not fit %v", lengths, x)
	}
	for _, l := range lengths {
		if l < 0 || l > int64(x.Shape[tAxis]) || l > math.MaxInt32 {
			return nil, fmt.Errorf("a length of %d is out of range", l)
		}
	}
	return func() error {
		part := product(x.Shape[2:]) * x.Type.Size()
		s := strides(x.Shape[:2])
		for b, l := range lengths {
			for t := range x.Shape[tAxis] {
				from := t
				if t < int(l) {
					from = int(l) - 1 - t
				}
				d := (b*s[bAxis] + t*s[tAxis]) * part
				f := (b*s[bAxis] + from*s[tAxis]) * part
				copy(c.result[0].data[d:d+part], x.data[f:f+part])
			}
		}
		return nil
	}, c.out(0, x.Type, x.Shape...)
}
