package onnx

import (
	"fmt"
)

func init() {
	register(
		operator{"Shape", 6, 1, 1, asIs, prepareShape, false},
		operator{"Size", 6, 1, 1, asIs, prepareShape, false},
		viewOf("Reshape", 5, 1, 2, prepareReshape),
		viewOf("Flatten", 6, 1, 1, prepareFlatten),
		viewOf("Squeeze", 6, 1, 2, prepareSqueeze),
		viewOf("Unsqueeze", 6, 1, 2, prepareUnsqueeze),
		operator{"Transpose", 6, 1, 1, asIs, prepareTranspose, false},
		operator{"Expand", 8, 2, 2, asIs, prepareExpand, false},
		operator{"Tile", 6, 2, 2, asIs, prepareTile, false},
		operator{"DepthToSpace", 6, 1, 1, asIs, prepareBlocks, false},
		operator{"SpaceToDepth", 6, 1, 1, asIs, prepareBlocks, false},
	)
}

// prepareShape gives the shape, a part of it, or the number of elements.
func prepareShape(c *call) (func() error, error) {
	shape := c.in[0].Shape
	if c.op == "Size" {
		return func() error { Data[int64](c.result[0])[0] = int64(c.in[0].Len()); return nil }, c.out(0, Int64)
	}
	rank := len(shape)
	bound := func(name string, missing int) int {
		v := c.int(name, missing)
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	start, end := bound("start", 0), bound("end", rank)
	part := shape[start:max(start, end)]
	return func() error {
		copy(Data[int64](c.result[0]), convert[int64](part))
		return nil
	}, c.out(0, Int64, len(part))
}

// reshaped declares the first input's elements under another shape.
func reshaped(c *call, shape []int) (func() error, error) {
	n, err := volume(shape)
	if err != nil {
		return nil, err
	}
	if n != c.in[0].Len() {
		return nil, fmt.Errorf("%v cannot be shaped to %v", c.in[0], shape)
	}
	return func() error { return nil }, c.out(0, c.in[0].Type, shape...)
}

func prepareReshape(c *call) (func() error, error) {
	want, err := c.input(1)
	if err != nil {
		return nil, err
	}
	x, shape, open := c.in[0], clampInts(want), -1
	for i, d := range shape {
		switch {
		case d == 0 && c.int("allowzero", 0) == 0:
			if i >= len(x.Shape) {
				return nil, fmt.Errorf("the shape %v copies a dimension that %v has not", want, x)
			}
			shape[i] = x.Shape[i]
		case d == -1 && open < 0:
			open = i
		case d < 0:
			return nil, fmt.Errorf("%v is not a shape", want)
		}
	}
	if open >= 0 {
		shape[open] = 1
		rest, err := volume(shape)
		if err != nil {
			return nil, err
		}
		if rest == 0 {
			shape[open] = 0
		} else {
			shape[open] = x.Len() / rest
		}
	}
	return reshaped(c, shape)
}

func prepareFlatten(c *call) (func() error, error) {
	x := c.in[0]
	a := c.int("axis", 1)
	if a < 0 {
		a += len(x.Shape)
	}
	if a < 0 || a > len(x.Shape) {
		return nil, fmt.Errorf("axis %d is out of range", a)
	}
	return reshaped(c, []int{product(x.Shape[:a]), product(x.Shape[a:])})
}

func prepareSqueeze(c *call) (func() error, error) {
	x := c.in[0]
	axes, err := c.axesAt(1, 13)
	if err != nil {
		return nil, err
	}
	set, err := axisSet(axes, len(x.Shape))
	if err != nil {
		return nil, err
	}
	var shape []int
	for i, d := range x.Shape {
		if set[i] && d != 1 {
			return nil, fmt.Errorf("axis %d of %v cannot be squeezed", i, x)
		}
		if !set[i] && (d != 1 || len(axes) > 0) {
			shape = append(shape, d)
		}
	}
	return reshaped(c, shape)
}

func prepareUnsqueeze(c *call) (func() error, error) {
	x := c.in[0]
	axes, err := c.axesAt(1, 13)
	if err != nil {
		return nil, err
	}
	rank := len(x.Shape) + len(axes)
	if rank > maxRank {
		return nil, fmt.Errorf("%d dimensions are too many", rank)
	}
	set, err := axisSet(axes, rank)
	if err != nil {
		return nil, err
	}
	shape, from := make([]int, rank), x.Shape
	for i := range shape {
		if set[i] {
			shape[i] = 1
		} else {
			shape[i], from = from[0], from[1:]
		}
	}
	return reshaped(c, shape)
}

func prepareTranspose(c *call) (func() error, error) {
	x := c.in[0]
	perm := clampInts(c.ints("perm"))
	if len(perm) == 0 {
		for i := range x.Shape {
			perm = append(perm, len(x.Shape)-1-i)
		}
	}
	if len(perm) != len(x.Shape) {
		return nil, fmt.Errorf("the permutation %v does not fit %v", perm, x)
	}
	seen := make([]bool, len(perm))
	shape, from := make([]int, len(perm)), make([]int, len(perm))
	own := strides(x.Shape)
	for i, p := range perm {
		if p < 0 || p >= len(perm) || seen[p] {
			return nil, fmt.Errorf("%v is not a permutation", perm)
		}
		seen[p] = true
		shape[i], from[i] = x.Shape[p], own[p]
	}
	return strided(c, shape, from, 0), c.out(0, x.Type, shape...)
}

// strided copies the first input to the output, read from offset with strides
// of its own.
func strided(c *call, shape, from []int, offset int) func() error {
	return bySize(c.in[0].Type, stridedOf[uint8], stridedOf[uint16], stridedOf[uint32], stridedOf[uint64])(c, shape, from, offset)
}

func stridedOf[T number](c *call, shape, from []int, offset int) func() error {
	return func() error {
		copyStrided(Data[T](c.result[0]), Data[T](c.in[0]), shape, from, offset)
		return nil
	}
}

func copyStrided[T number](dst, src []T, shape, from []int, offset int) {
	walkRows(shape, [][]int{from}, func(at int, f []int, n int, step []int) {
		d, j := dst[at:at+n], offset+f[0]
		switch step[0] {
		case 0:
			v := src[j]
			for i := range d {
				d[i] = v
			}
		case 1:
			copy(d, src[j:j+n])
		default:
			for i := range d {
				d[i] = src[j]
				j += step[0]
			}
		}
	})
}

func prepareExpand(c *call) (func() error, error) {
	want, err := c.input(1)
	if err != nil {
		return nil, err
	}
	x := c.in[0]
	if _, err := volume(clampInts(want)); err != nil {
		return nil, err
	}
	shape, err := broadcastShape(x.Shape, clampInts(want))
	if err != nil {
		return nil, err
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	return strided(c, shape, stretch(x.Shape, shape), 0), nil
}

// prepareTile repeats the input: each axis is walked as (repeats, size).
func prepareTile(c *call) (func() error, error) {
	repeats, err := c.input(1)
	if err != nil {
		return nil, err
	}
	x := c.in[0]
	if len(repeats) != len(x.Shape) {
		return nil, fmt.Errorf("%d repeats for %v", len(repeats), x)
	}
	own := strides(x.Shape)
	var split, from, shape []int
	for i, d := range x.Shape {
		r := clampInt(repeats[i])
		if r < 0 || r > 0 && d > maxVolume/r {
			return nil, fmt.Errorf("%v cannot be repeated %v times", x, repeats)
		}
		split, from, shape = append(split, r, d), append(from, 0, own[i]), append(shape, r*d)
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	return strided(c, split, from, 0), nil
}

// prepareBlocks moves blocks of pixels between the channels and the image.
func prepareBlocks(c *call) (func() error, error) {
	x, b := c.in[0], c.int("blocksize", 0)
	if len(x.Shape) != 4 || b <= 0 || b > 1<<20 {
		return nil, fmt.Errorf("%v with blocks of %d is not supported", x, b)
	}
	n, ch, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	if c.op == "SpaceToDepth" {
		if h%b != 0 || w%b != 0 {
			return nil, fmt.Errorf("%v does not divide into blocks of %d", x, b)
		}
		// (n c h/b b w/b b) -> (n b b c h/b w/b)
		s := strides([]int{n, ch, h / b, b, w / b, b})
		split := []int{n, b, b, ch, h / b, w / b}
		return strided(c, split, []int{s[0], s[3], s[5], s[1], s[2], s[4]}, 0), c.out(0, x.Type, n, ch*b*b, h/b, w/b)
	}
	if ch%(b*b) != 0 {
		return nil, fmt.Errorf("%v does not divide into blocks of %d", x, b)
	}
	ch /= b * b
	split := []int{n, ch, h, b, w, b}
	s := strides([]int{n, b, b, ch, h, w})
	from := []int{s[0], s[3], s[4], s[1], s[5], s[2]}
	if c.string("mode", "DCR") == "CRD" {
		s = strides([]int{n, ch, b, b, h, w})
		from = []int{s[0], s[1], s[4], s[2], s[5], s[3]}
	}
	return strided(c, split, from, 0), c.out(0, x.Type, n, ch, h*b, w*b)
}
