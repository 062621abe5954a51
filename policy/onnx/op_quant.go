package onnx

import (
	"fmt"
	"math"
)

func init() {
	register(
		operator{"QuantizeLinear", 10, 2, 3, half, prepareQuantize, false},
		operator{"DequantizeLinear", 10, 2, 3, half, prepareDequantize, false},
		operator{"DynamicQuantizeLinear", 11, 1, 1, asIs, prepareDynamicQuantize, false},
		operator{"QLinearMatMul", 10, 8, 8, half, prepareQLinearMatMul, false},
		operator{"QLinearConv", 10, 8, 9, asIs, prepareQLinearConv, false},
	)
}

// integerRangeOf a type, as quantization saturates to it.
func integerRangeOf(t Type) (lo, hi float64, ok bool) {
	switch t {
	case Uint8:
		return 0, math.MaxUint8, true
	case Int8:
		return math.MinInt8, math.MaxInt8, true
	case Uint16:
		return 0, math.MaxUint16, true
	case Int16:
		return math.MinInt16, math.MaxInt16, true
	case Int32:
		return math.MinInt32, math.MaxInt32, true
	}
	return 0, 0, false
}

// scaleIndex finds, for an element of x, its scale: one for all, one for each
// index of the axis, or one for each block along it.
func (c *call) scaleIndex(x, scale *Tensor) (func(i int) int, error) {
	if scale.Len() == 1 && len(scale.Shape) <= 1 {
		return func(int) int { return 0 }, nil
	}
	a, err := axis(attribute(c, "axis", int64(1)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	_, n, inner := alongAxis(x.Shape, a)
	if len(scale.Shape) == 1 {
		if scale.Len() != n {
			return nil, fmt.Errorf("%d scales do not fit axis %d of %v", scale.Len(), a, x)
		}
		return func(i int) int { return i / inner % n }, nil
	}
	block := c.int("block_size", 0)
	ok := len(scale.Shape) == len(x.Shape) && block > 0
	for k := 0; ok && k < len(x.Shape); k++ {
		if k == a {
			ok = scale.Shape[a] == (n+block-1)/block
		} else {
			ok = scale.Shape[k] == x.Shape[k]
		}
	}
	if !ok {
		return nil, fmt.Errorf("scales %v do not fit %v in blocks of %d", scale, x, block)
	}
	blocks := scale.Shape[a]
	return func(i int) int { return (i/inner/n*blocks+i/inner%n/block)*inner + i%inner }, nil
}

func (c *call) zeroPoints(i, n int) ([]float64, error) {
	if !c.has(i) {
		return make([]float64, n), nil
	}
	if c.in[i].Len() != n {
		return nil, fmt.Errorf("zero points %v do not fit %d scales", c.in[i], n)
	}
	return toFloat64(c.in[i]), nil
}

func prepareQuantize(c *call) (func() error, error) {
	kind := Type(c.int("output_dtype", int(Uint8)))
	if kind == 0 {
		kind = Uint8
	}
	if c.has(2) {
		kind = c.in[2].Type
	}
	x, scale := c.in[0], c.in[1]
	lo, hi, ok := integerRangeOf(kind)
	if !ok || x.Type != Float32 && x.Type != Int32 || scale.Type != Float32 {
		return nil, fmt.Errorf("from %v to %v is not supported", x.Type, kind)
	}
	index, err := c.scaleIndex(x, scale)
	if err != nil {
		return nil, err
	}
	return func() error {
		zero, err := c.zeroPoints(2, scale.Len())
		if err != nil {
			return err
		}
		s, v := Data[float32](scale), toFloat64(x)
		for i := range v {
			k := index(i)
			v[i] = saturate(float64(float32(v[i])/s[k]), zero[k], lo, hi)
		}
		return castInto(c.result[0], &Tensor{Type: Float64, data: bytesOf(v)})
	}, c.out(0, kind, x.Shape...)
}

// saturate rounds to even, adds the zero point and bounds the result.
func saturate(v, zero, lo, hi float64) float64 {
	return min(max(math.RoundToEven(v)+zero, lo), hi)
}

func prepareDequantize(c *call) (func() error, error) {
	x, scale := c.in[0], c.in[1]
	if _, _, ok := integerRangeOf(x.Type); !ok || scale.Type != Float32 || c.has(2) && c.in[2].Type != x.Type {
		return nil, fmt.Errorf("%v with scales %v is not supported", x, scale)
	}
	index, err := c.scaleIndex(x, scale)
	if err != nil {
		return nil, err
	}
	return func() error {
		zero, err := c.zeroPoints(2, scale.Len())
		if err != nil {
			return err
		}
		s, y := Data[float32](scale), Data[float32](c.result[0])
		for i, v := range toFloat64(x) {
			k := index(i)
			y[i] = float32(v-zero[k]) * s[k]
		}
		return nil
	}, c.out(0, Float32, x.Shape...)
}

// prepareDynamicQuantize chooses scale and zero point from the data's range.
func prepareDynamicQuantize(c *call) (func() error, error) {
	if err := c.types(0, Float32); err != nil {
		return nil, err
	}
	if err := c.out(1, Float32); err != nil {
		return nil, err
	}
	if err := c.out(2, Uint8); err != nil {
		return nil, err
	}
	if len(c.result) != 3 {
		return nil, fmt.Errorf("it has %d outputs, not 3", len(c.result))
	}
	return func() error {
		lo, hi := float32(0), float32(0)
		for _, v := range Data[float32](c.in[0]) {
			lo, hi = min(lo, v), max(hi, v)
		}
		scale := (hi - lo) / 255
		zero := 0.0
		if scale > 0 {
			zero = math.RoundToEven(min(max(float64(-lo/scale), 0), 255))
		}
		Data[float32](c.result[1])[0], Data[uint8](c.result[2])[0] = scale, uint8(zero)
		y := Data[uint8](c.result[0])
		for i, v := range Data[float32](c.in[0]) {
			y[i] = 0
			if scale > 0 {
				y[i] = uint8(saturate(float64(v/scale), zero, 0, 255))
			}
		}
		return nil
	}, c.out(0, Uint8, c.in[0].Shape...)
}

// requantize turns int32 sums into the result: scales of a, b and y are inputs
// 1, 4 and 6, the zero point of y is input 7. column gives the index of a sum's
// scale of b.
func (c *call) requantize(sums []int32, column func(i int) int) error {
	lo, hi, _ := integerRangeOf(c.in[7].Type)
	a, b, y := c.in[1], Data[float32](c.in[4]), c.in[6]
	zero, err := c.in[7].float()
	if err != nil {
		return err
	}
	if a.Len() != 1 || y.Len() != 1 {
		return fmt.Errorf("only one scale per tensor is supported here")
	}
	sa, sy := Data[float32](a)[0], Data[float32](y)[0]
	out := make([]float64, len(sums))
	for i, v := range sums {
		f := float64(sa) * float64(b[column(i)]) / float64(sy)
		out[i] = saturate(float64(v)*f, zero, lo, hi)
	}
	return castInto(c.result[0], &Tensor{Type: Float64, data: bytesOf(out)})
}

// quantized checks the types of a QLinear operator's inputs.
func (c *call) quantized() error {
	for _, i := range []int{0, 2, 3, 5, 7} {
		if err := c.types(i, Uint8, Int8); err != nil {
			return err
		}
	}
	for _, i := range []int{1, 4, 6} {
		if err := c.types(i, Float32); err != nil {
			return err
		}
	}
	return nil
}

func prepareQLinearMatMul(c *call) (func() error, error) {
	if err := c.quantized(); err != nil {
		return nil, err
	}
	p, err := planMatMul(c.in[0].Shape, c.in[3].Shape)
	if err != nil {
		return nil, err
	}
	if s := c.in[4].Len(); s != 1 && s != p.n {
		return nil, fmt.Errorf("%d scales do not fit %d columns", s, p.n)
	}
	return func() error {
		a, err := lessZero(c, 0, 2, len(c.in[0].Shape)-2)
		if err != nil {
			return err
		}
		b, err := lessZero(c, 3, 5, len(c.in[3].Shape)-1)
		if err != nil {
			return err
		}
		sums := make([]int32, c.result[0].Len())
		p.each(func(i, j, k int) { mulMatrix(sums[k:k+p.m*p.n], a[i:i+p.m*p.k], b[j:j+p.k*p.n], p.m, p.n, p.k) })
		return c.requantize(sums, func(i int) int { return i % p.n % c.in[4].Len() })
	}, c.out(0, c.in[7].Type, p.shape...)
}

func prepareQLinearConv(c *call) (func() error, error) {
	if err := c.quantized(); err != nil {
		return nil, err
	}
	v, err := planConv(c, c.in[0], c.in[3])
	if err != nil {
		return nil, err
	}
	channels, place := v.groups*v.cout, product(v.out)
	if s := c.in[4].Len(); s != 1 && s != channels {
		return nil, fmt.Errorf("%d scales do not fit %d channels", s, channels)
	}
	if c.has(8) && (c.in[8].Type != Int32 || c.in[8].Len() != channels) {
		return nil, fmt.Errorf("the bias %v does not fit %d channels", c.in[8], channels)
	}
	return func() error {
		x, err := lessZero(c, 0, 2, -1)
		if err != nil {
			return err
		}
		k, err := lessZero(c, 3, 5, 0)
		if err != nil {
			return err
		}
		sums := make([]int32, c.result[0].Len())
		if err := v.integers(c, sums, x, k); err != nil {
			return err
		}
		if c.has(8) {
			bias := Data[int32](c.in[8])
			for i := range sums {
				sums[i] += bias[i/place%channels]
			}
		}
		return c.requantize(sums, func(i int) int { return i / place % channels % c.in[4].Len() })
	}, c.out(0, c.in[7].Type, v.shape()...)
}
