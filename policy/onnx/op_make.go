package onnx

import (
	"fmt"
	"math"
)

func init() {
	register(
		operator{"Constant", 6, 0, 0, asIs, prepareConstant, false},
		operator{"ConstantOfShape", 9, 1, 1, asIs, prepareConstantOfShape, false},
		operator{"Range", 11, 3, 3, half, prepareRange, false},
		operator{"Trilu", 14, 1, 2, asIs, prepareTrilu, false},
		operator{"EyeLike", 9, 1, 1, asIs, prepareEye, false},
		operator{"OneHot", 9, 3, 3, asIs, prepareOneHot, false},
		operator{"NonZero", 9, 1, 1, asIs, prepareNonZero, false},
	)
}

// prepareConstant takes the value from the one of its attributes that is there.
func prepareConstant(c *call) (func() error, error) {
	var t *Tensor
	var err error
	for name, v := range c.attrs {
		switch v := v.(type) {
		case *Tensor:
			t = v
		case float32:
			t, err = New(Float32, []float32{v})
		case int64:
			t, err = New(Int64, []int64{v})
		case []float32:
			t, err = New(Float32, v, len(v))
		case []int64:
			t, err = New(Int64, v, len(v))
		case string:
			t, err = NewStrings([]string{v})
		case []string:
			t, err = NewStrings(v, len(v))
		default:
			return nil, fmt.Errorf("the attribute %q is not supported", name)
		}
	}
	if t == nil || err != nil {
		return nil, fmt.Errorf("it has no value")
	}
	if t.Type == String {
		return func() error { return c.gives(c.result[0], t.text) }, c.outStrings(0, t.Shape...)
	}
	return func() error { copy(c.result[0].data, t.data); return nil }, c.out(0, t.Type, t.Shape...)
}

func prepareConstantOfShape(c *call) (func() error, error) {
	shape, err := c.input(0)
	if err != nil {
		return nil, err
	}
	value := attribute(c, "value", &Tensor{Type: Float32, data: alignedBytes(4)})
	if value.Len() != 1 {
		return nil, fmt.Errorf("the value is %v, not one number", value)
	}
	return func() error { return fillWith(c.result[0], value) }, c.out(0, value.Type, clampInts(shape)...)
}

func prepareRange(c *call) (func() error, error) {
	if err := c.sameType(0, 1, 2); err != nil {
		return nil, err
	}
	if c.in[0].Type == Int64 { // exact beyond 2^53
		return integerRange(c)
	}
	var v [3]float64
	for i := range v {
		var err error
		if v[i], err = c.in[i].float(); err != nil {
			return nil, err
		}
	}
	n := math.Ceil((v[1] - v[0]) / v[2])
	if math.IsNaN(n) || n > maxVolume {
		return nil, fmt.Errorf("a range from %g to %g in steps of %g is too long", v[0], v[1], v[2])
	}
	return func() error {
		wide := &Tensor{Type: Float64, data: alignedBytes(8 * c.result[0].Len())}
		for i := range Data[float64](wide) {
			Data[float64](wide)[i] = v[0] + float64(i)*v[2]
		}
		return castInto(c.result[0], wide)
	}, c.out(0, c.in[0].Type, max(0, int(n)))
}

func integerRange(c *call) (func() error, error) {
	var v [3]int
	for i := range v {
		x, err := c.input(i)
		if err != nil {
			return nil, err
		}
		if len(x) != 1 {
			return nil, fmt.Errorf("input %d is not one number", i)
		}
		v[i] = clampInt(x[0])
	}
	start, end, step := v[0], v[1], v[2]
	n := 0
	switch {
	case step == 0:
		return nil, fmt.Errorf("the step is 0")
	case step > 0 && end > start:
		n = (end-start-1)/step + 1
	case step < 0 && end < start:
		n = (start-end-1)/-step + 1
	}
	return func() error {
		for i := range Data[int64](c.result[0]) {
			Data[int64](c.result[0])[i] = int64(start + i*step)
		}
		return nil
	}, c.out(0, Int64, n)
}

// prepareTrilu keeps the upper or lower triangle of matrices.
func prepareTrilu(c *call) (func() error, error) {
	x, upper := c.in[0], c.int("upper", 1) != 0
	k, err := c.input(1)
	if err != nil {
		return nil, err
	}
	shift := 0
	if len(k) > 0 {
		shift = clampInt(k[0])
	}
	rank := len(x.Shape)
	if rank < 2 {
		return nil, fmt.Errorf("%v is no matrix", x)
	}
	return func() error {
		size, rows, cols := x.Type.Size(), x.Shape[rank-2], x.Shape[rank-1]
		clear(c.result[0].data)
		for r := range product(x.Shape[:rank-1]) {
			i := r % rows
			lo, hi := 0, min(max(i+shift+1, 0), cols)
			if upper {
				lo, hi = min(max(i+shift, 0), cols), cols
			}
			copy(c.result[0].data[(r*cols+lo)*size:(r*cols+hi)*size], x.data[(r*cols+lo)*size:])
		}
		return nil
	}, c.out(0, x.Type, x.Shape...)
}

func prepareEye(c *call) (func() error, error) {
	x := c.in[0]
	if len(x.Shape) != 2 {
		return nil, fmt.Errorf("%v is no matrix", x)
	}
	kind := Type(c.int("dtype", int(x.Type)))
	k := c.int("k", 0)
	return func() error {
		y := c.result[0]
		clear(y.data)
		one := alignedBytes(8)
		if err := castInto(&Tensor{Type: kind, Shape: []int{1}, data: one[:kind.Size()]}, &Tensor{Type: Uint8, data: []byte{1}}); err != nil {
			return err
		}
		for i := range x.Shape[0] {
			if j := i + k; j >= 0 && j < x.Shape[1] {
				copy(y.data[(i*x.Shape[1]+j)*kind.Size():], one[:kind.Size()])
			}
		}
		return nil
	}, c.out(0, kind, x.Shape...)
}

// prepareOneHot: indices below zero count from the end, those out of range give
// no hot element.
func prepareOneHot(c *call) (func() error, error) {
	d, err := c.in[1].float()
	if err != nil {
		return nil, err
	}
	index, values := c.in[0], c.in[2]
	if !(d >= 0 && d <= maxVolume) || values.Len() != 2 {
		return nil, fmt.Errorf("a depth of %g with values %v is not supported", d, values)
	}
	depth := int(d)
	a, err := axis(attribute(c, "axis", int64(-1)), len(index.Shape)+1)
	if err != nil {
		return nil, err
	}
	shape := append(append(append([]int{}, index.Shape[:a]...), depth), index.Shape[a:]...)
	return func() error {
		at, size := toFloat64(index), values.Type.Size()
		inner := product(index.Shape[a:])
		y := c.result[0]
		if err := fillWith(y, values); err != nil {
			return err
		}
		for i, v := range at {
			if v < 0 {
				v += d
			}
			if v < 0 || v >= d || v != v {
				continue
			}
			to := (i/inner*depth+int(v))*inner + i%inner
			copy(y.data[to*size:(to+1)*size], values.data[size:])
		}
		return nil
	}, c.out(0, values.Type, shape...)
}

// prepareNonZero lists the indices of the elements that are not zero, an axis
// per row.
func prepareNonZero(c *call) (func() error, error) {
	x := c.in[0]
	if x.data == nil {
		return nil, errNoData
	}
	var found []int
	for i, v := range toFloat64(x) {
		if v != 0 {
			found = append(found, i)
		}
	}
	return func() error {
		y, s := Data[int64](c.result[0]), strides(x.Shape)
		for k, d := range x.Shape {
			for j, i := range found {
				y[k*len(found)+j] = int64(i / s[k] % d)
			}
		}
		return nil
	}, c.out(0, Int64, len(x.Shape), len(found))
}
