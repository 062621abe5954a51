package onnx

import (
	"fmt"
	"slices"
)

func init() {
	register(
		operator{"Gather", 6, 2, 2, asIs, prepareGather, false},
		operator{"GatherElements", 11, 2, 2, asIs, prepareGatherElements, false},
		operator{"GatherND", 11, 2, 2, asIs, prepareGatherND, false},
		operator{"ScatterElements", 11, 3, 3, asIs, prepareScatterElements, false},
		operator{"Scatter", 9, 3, 3, asIs, prepareScatterElements, false},
		operator{"ScatterND", 11, 3, 3, asIs, prepareScatterND, false},
		operator{"Compress", 9, 2, 2, asIs, prepareCompress, false},
	)
}

// indices reads input i as indices into n elements.
func (c *call) indices(i, n int) ([]int, error) {
	v, err := c.input(i)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(v))
	for k, x := range v {
		if out[k], err = axis(x, n); err != nil {
			return nil, fmt.Errorf("index %d is out of range for %d elements", x, n)
		}
	}
	return out, nil
}

func (c *call) integers(i int) error { return c.types(i, Int32, Int64) }

func prepareGather(c *call) (func() error, error) {
	if err := c.integers(1); err != nil {
		return nil, err
	}
	x := c.in[0]
	a, err := axis(attribute(c, "axis", int64(0)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Concat(x.Shape[:a], c.in[1].Shape, x.Shape[a+1:])
	return func() error {
		index, err := c.indices(1, x.Shape[a])
		if err != nil {
			return err
		}
		take(c.result[0], x, x.Shape, a, index)
		return nil
	}, c.out(0, x.Type, shape...)
}

// take copies the parts of x, seen in this shape, that lie at index along axis a.
func take(dst, x *Tensor, shape []int, a int, index []int) {
	outer, n, inner := alongAxis(shape, a)
	part := inner * x.Type.Size()
	for o := range outer {
		for k, i := range index {
			to := (o*len(index) + k) * part
			copy(dst.data[to:to+part], x.data[(o*n+i)*part:])
		}
	}
}

// elementAt walks index tensors of GatherElements and ScatterElements: visit
// gets the position in the index tensor and in the data.
func elementAt(index []int, shape, data []int, a int, visit func(i, at int)) {
	own := strides(data)
	own[a] = 0
	walkRows(shape, [][]int{own}, func(i int, from []int, n int, step []int) {
		s := strides(data)[a]
		for k := range n {
			visit(i+k, from[0]+k*step[0]+index[i+k]*s)
		}
	})
}

// elementwise checks that the index tensor lies within the data, along all axes
// but a.
func (c *call) elementwise() (int, error) {
	if err := c.integers(1); err != nil {
		return 0, err
	}
	x, index := c.in[0], c.in[1]
	a, err := axis(attribute(c, "axis", int64(0)), len(x.Shape))
	if err != nil {
		return 0, err
	}
	ok := len(index.Shape) == len(x.Shape)
	for k := 0; ok && k < len(x.Shape); k++ {
		ok = k == a || index.Shape[k] <= x.Shape[k]
	}
	if !ok {
		return 0, fmt.Errorf("indices %v do not fit %v", index, x)
	}
	return a, nil
}

func prepareGatherElements(c *call) (func() error, error) {
	a, err := c.elementwise()
	if err != nil {
		return nil, err
	}
	return func() error {
		index, err := c.indices(1, c.in[0].Shape[a])
		if err != nil {
			return err
		}
		size := c.in[0].Type.Size()
		elementAt(index, c.in[1].Shape, c.in[0].Shape, a, func(i, at int) {
			copy(c.result[0].data[i*size:(i+1)*size], c.in[0].data[at*size:])
		})
		return nil
	}, c.out(0, c.in[0].Type, c.in[1].Shape...)
}

func prepareScatterElements(c *call) (func() error, error) {
	a, err := c.elementwise()
	if err != nil {
		return nil, err
	}
	if !slices.Equal(c.in[1].Shape, c.in[2].Shape) || c.in[2].Type != c.in[0].Type {
		return nil, fmt.Errorf("updates %v do not fit indices %v", c.in[2], c.in[1])
	}
	merge, err := c.merge()
	if err != nil {
		return nil, err
	}
	return func() error {
		index, err := c.indices(1, c.in[0].Shape[a])
		if err != nil {
			return err
		}
		copy(c.result[0].data, c.in[0].data)
		elementAt(index, c.in[1].Shape, c.in[0].Shape, a, func(i, at int) { merge(at, i, 1) })
		return nil
	}, c.out(0, c.in[0].Type, c.in[0].Shape...)
}

// merge gives what puts n elements of the updates into the result, as the
// attribute reduction says.
func (c *call) merge() (func(at, from, n int), error) {
	reduction := c.string("reduction", "none")
	if reduction == "none" {
		size := c.in[0].Type.Size()
		return func(at, from, n int) {
			copy(c.result[0].data[at*size:(at+n)*size], c.in[2].data[from*size:])
		}, nil
	}
	op := map[string]string{"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}[reduction]
	switch {
	case op == "":
	case c.in[0].Type == Float32:
		return mergeWith[float32](c, floatArith[float32](op, false)), nil
	case c.in[0].Type == Float64:
		return mergeWith[float64](c, floatArith[float64](op, false)), nil
	case c.in[0].Type == Int64:
		return mergeWith[int64](c, intArith[int64](op, false)), nil
	case c.in[0].Type == Int32:
		return mergeWith[int32](c, intArith[int32](op, false)), nil
	}
	return nil, fmt.Errorf("the reduction %q of %v is not supported", reduction, c.in[0].Type)
}

func mergeWith[T number](c *call, f func(a, b T) T) func(at, from, n int) {
	return func(at, from, n int) {
		dst, src := Data[T](c.result[0])[at:at+n], Data[T](c.in[2])[from:from+n]
		for i, v := range src {
			dst[i] = f(dst[i], v)
		}
	}
}

// tuples reads the last axis of input 1 as indices into the axes of dims and
// calls visit with the number of each tuple and the element that it leads to.
func (c *call) tuples(dims, steps []int, visit func(i, at int)) error {
	v, err := c.input(1)
	if err != nil {
		return err
	}
	k := len(dims)
	for i := 0; i < product(c.in[1].Shape[:len(c.in[1].Shape)-1]); i++ {
		at := 0
		for j, x := range v[i*k : (i+1)*k] {
			a, err := axis(x, dims[j])
			if err != nil {
				return fmt.Errorf("index %d is out of range for %d elements", x, dims[j])
			}
			at += a * steps[j]
		}
		visit(i, at)
	}
	return nil
}

func prepareGatherND(c *call) (func() error, error) {
	if err := c.integers(1); err != nil {
		return nil, err
	}
	x, index, batch := c.in[0], c.in[1], c.int("batch_dims", 0)
	rank := len(index.Shape)
	if rank == 0 || batch < 0 || batch >= rank || batch > len(x.Shape) || index.Shape[rank-1] > len(x.Shape)-batch ||
		!slices.Equal(x.Shape[:batch], index.Shape[:batch]) {
		return nil, fmt.Errorf("indices %v do not fit %v", index, x)
	}
	k := index.Shape[rank-1]
	rest := x.Shape[batch+k:]
	shape := slices.Concat(index.Shape[:rank-1], rest)
	return func() error {
		part, all := product(rest)*x.Type.Size(), strides(x.Shape)
		groups := product(x.Shape[:batch])
		perGroup, size := 0, 0
		if groups > 0 {
			perGroup = product(index.Shape[:rank-1]) / groups
			size = x.Len() / groups
		}
		return c.tuples(x.Shape[batch:batch+k], all[batch:batch+k], func(i, at int) {
			from := (i/perGroup*size + at) * x.Type.Size()
			copy(c.result[0].data[i*part:(i+1)*part], x.data[from:])
		})
	}, c.out(0, x.Type, shape...)
}

func prepareScatterND(c *call) (func() error, error) {
	if err := c.integers(1); err != nil {
		return nil, err
	}
	x, index, updates := c.in[0], c.in[1], c.in[2]
	rank := len(index.Shape)
	if rank == 0 || index.Shape[rank-1] > len(x.Shape) {
		return nil, fmt.Errorf("indices %v do not fit %v", index, x)
	}
	k := index.Shape[rank-1]
	rest := x.Shape[k:]
	if updates.Type != x.Type || !slices.Equal(updates.Shape, slices.Concat(index.Shape[:rank-1], rest)) {
		return nil, fmt.Errorf("updates %v do not fit indices %v into %v", updates, index, x)
	}
	merge, err := c.merge()
	if err != nil {
		return nil, err
	}
	return func() error {
		copy(c.result[0].data, x.data)
		part := product(rest)
		return c.tuples(x.Shape[:k], strides(x.Shape)[:k], func(i, at int) { merge(at, i*part, part) })
	}, c.out(0, x.Type, x.Shape...)
}

// prepareCompress keeps the slices along an axis whose condition is true; with
// no axis, of the flattened input.
func prepareCompress(c *call) (func() error, error) {
	if err := c.types(1, Bool); err != nil {
		return nil, err
	}
	cond, err := c.input(1)
	if err != nil {
		return nil, err
	}
	x := c.in[0]
	shape, a := []int{x.Len()}, 0
	if at, ok := c.attrs["axis"].(int64); ok {
		shape = x.Shape
		if a, err = axis(at, len(shape)); err != nil {
			return nil, err
		}
	}
	var kept []int
	for i, v := range cond[:min(len(cond), shape[a])] {
		if v != 0 {
			kept = append(kept, i)
		}
	}
	result := slices.Clone(shape)
	result[a] = len(kept)
	return func() error {
		take(c.result[0], x, shape, a, kept)
		return nil
	}, c.out(0, x.Type, result...)
}
