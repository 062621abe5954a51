package onnx

import (
	"fmt"
	"slices"
)

func init() {
	register(
		operator{"ArgMax", 6, 1, 1, half, prepareArg, false},
		operator{"ArgMin", 6, 1, 1, half, prepareArg, false},
		operator{"CumSum", 11, 2, 2, half, prepareCum, false},
		operator{"CumProd", 26, 2, 2, half, prepareCum, false},
		operator{"TopK", 6, 1, 2, half, prepareTopK, false},
	)
}

func prepareArg(c *call) (func() error, error) {
	x := c.in[0]
	a, err := axis(attribute(c, "axis", int64(0)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(x.Shape)
	shape[a] = 1
	if c.int("keepdims", 1) == 0 {
		shape = slices.Delete(shape, a, a+1)
	}
	if x.Shape[a] == 0 {
		return nil, fmt.Errorf("the axis to choose from is empty")
	}
	sign := 1.0
	if c.op == "ArgMin" {
		sign = -1
	}
	last := c.int("select_last_index", 0) != 0
	return func() error {
		v, y := toFloat64(x), Data[int64](c.result[0])
		outer, n, inner := alongAxis(x.Shape, a)
		for o := range outer {
			for i := range inner {
				best := 0
				for k := range n {
					d := sign * (v[(o*n+k)*inner+i] - v[(o*n+best)*inner+i])
					if d > 0 || d == 0 && last {
						best = k
					}
				}
				y[o*inner+i] = int64(best)
			}
		}
		return nil
	}, c.out(0, Int64, shape...)
}

func prepareCum(c *call) (func() error, error) {
	x := c.in[0]
	at, err := c.input(1)
	if err != nil {
		return nil, err
	}
	if len(at) != 1 {
		return nil, fmt.Errorf("the axis is not one number")
	}
	a, err := axis(at[0], len(x.Shape))
	if err != nil {
		return nil, err
	}
	if err := c.out(0, x.Type, x.Shape...); err != nil {
		return nil, err
	}
	switch x.Type {
	case Float32:
		return cumulate[float32](c, a), nil
	case Float64:
		return cumulate[float64](c, a), nil
	case Int32:
		return cumulate[int32](c, a), nil
	case Int64:
		return cumulate[int64](c, a), nil
	}
	return nil, fmt.Errorf("%v is not supported here", x.Type)
}

func cumulate[T number](c *call, a int) func() error {
	exclusive, reverse := c.int("exclusive", 0) != 0, c.int("reverse", 0) != 0
	return func() error {
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		outer, n, inner := alongAxis(c.in[0].Shape, a)
		for r := range outer * inner {
			acc := T(0)
			if c.op == "CumProd" {
				acc = 1
			}
			for k := range n {
				if reverse {
					k = n - 1 - k
				}
				i := (r/inner*n+k)*inner + r%inner
				before := acc
				if c.op == "CumProd" {
					acc *= x[i]
				} else {
					acc += x[i]
				}
				y[i] = acc
				if exclusive {
					y[i] = before
				}
			}
		}
		return nil
	}
}

// prepareTopK chooses the k largest or smallest along an axis; equal elements
// come in the order of their indices. k is an attribute before opset 10.
func prepareTopK(c *call) (func() error, error) {
	x := c.in[0]
	k := c.int("k", -1)
	if c.version >= 10 {
		v, err := c.input(1)
		if err != nil {
			return nil, err
		}
		if len(v) != 1 {
			return nil, fmt.Errorf("k is not one number")
		}
		k = clampInt(v[0])
	}
	a, err := axis(attribute(c, "axis", int64(-1)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	if k < 0 || k > x.Shape[a] {
		return nil, fmt.Errorf("%d of %d elements cannot be chosen", k, x.Shape[a])
	}
	shape := slices.Clone(x.Shape)
	shape[a] = k
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	if err := c.out(1, Int64, shape...); err != nil {
		return nil, err
	}
	switch x.Type {
	case Float32:
		return topK[float32](c, a, k), nil
	case Float64:
		return topK[float64](c, a, k), nil
	case Int32:
		return topK[int32](c, a, k), nil
	case Int64:
		return topK[int64](c, a, k), nil
	case Uint8:
		return topK[uint8](c, a, k), nil
	case Uint64:
		return topK[uint64](c, a, k), nil
	}
	return nil, fmt.Errorf("%v is not supported here", x.Type)
}

func topK[T number](c *call, a, k int) func() error {
	largest := c.int("largest", 1) != 0
	return func() error {
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		var index []int64
		if c.wants(1) {
			index = Data[int64](c.result[1])
		}
		outer, n, inner := alongAxis(c.in[0].Shape, a)
		order := make([]int, n)
		for r := range outer * inner {
			base := r/inner*n*inner + r%inner
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(i, j int) int {
				u, v := x[base+i*inner], x[base+j*inner]
				if u == v {
					return 0
				}
				if u > v == largest {
					return -1
				}
				return 1
			})
			for i, at := range order[:k] {
				to := (r/inner*k+i)*inner + r%inner
				y[to] = x[base+at*inner]
				if index != nil {
					index[to] = int64(at)
				}
			}
		}
		return nil
	}
}
