package onnx

import (
	"fmt"
	"math"
	"sync"
	"unsafe"
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

// scales finds, for an element of x, its scale: one for all, one for each index
// of the axis, or one for each block along it. So many elements in a row have
// the same.
func (c *call) scales(x, scale *Tensor) (index func(i int) int, row int, err error) {
	if scale.Len() == 1 && len(scale.Shape) <= 1 {
		return func(int) int { return 0 }, max(x.Len(), 1), nil
	}
	a, err := axis(attribute(c, "axis", int64(1)), len(x.Shape))
	if err != nil {
		return nil, 0, err
	}
	_, n, inner := alongAxis(x.Shape, a)
	if len(scale.Shape) == 1 {
		if scale.Len() != n {
			return nil, 0, fmt.Errorf("%d scales do not fit axis %d of %v", scale.Len(), a, x)
		}
		return func(i int) int { return i / inner % n }, inner, nil
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
		return nil, 0, fmt.Errorf("scales %v do not fit %v in blocks of %d", scale, x, block)
	}
	blocks := scale.Shape[a]
	return func(i int) int { return (i/inner/n*blocks+i/inner%n/block)*inner + i%inner }, 1, nil
}

// zeroPoints reads the zero points of n scales.
func (c *call) zeroPoints(i, n int) ([]int32, error) {
	if !c.has(i) {
		return make([]int32, n), nil
	}
	if c.in[i].Len() != n {
		return nil, fmt.Errorf("zero points %v do not fit %d scales", c.in[i], n)
	}
	zero := &Tensor{Type: Int32, data: alignedBytes(4 * n)}
	if err := castInto(zero, c.in[i]); err != nil {
		return nil, err
	}
	return Data[int32](zero), nil
}

// quantum is what values are quantized to.
type quantum interface{ uint8 | int8 | uint16 | int16 }

// rangeOf a type, to which quantization saturates.
func rangeOf[T quantum]() (lo, hi int32) {
	var zero T
	bits := 8 * unsafe.Sizeof(zero)
	if lo = -1 << (bits - 1); zero-1 > zero {
		lo = 0
	}
	return lo, lo + 1<<bits - 1
}

func prepareQuantize(c *call) (func() error, error) {
	kind := Type(c.int("output_dtype", int(Uint8)))
	if kind == 0 {
		kind = Uint8
	}
	if c.has(2) {
		kind = c.in[2].Type
	}
	if err := c.out(0, kind, c.in[0].Shape...); err != nil {
		return nil, err
	}
	switch kind {
	case Uint8:
		return prepareQuantizeTo[uint8](c)
	case Int8:
		return prepareQuantizeTo[int8](c)
	case Uint16:
		return prepareQuantizeTo[uint16](c)
	case Int16:
		return prepareQuantizeTo[int16](c)
	}
	return nil, fmt.Errorf("%v is not supported here", kind)
}

func prepareQuantizeTo[T quantum](c *call) (func() error, error) {
	x, scale := c.in[0], c.in[1]
	if x.Type != Float32 && x.Type != Int32 || scale.Type != Float32 {
		return nil, fmt.Errorf("%v with scales %v is not supported", x, scale)
	}
	index, row, err := c.scales(x, scale)
	if err != nil {
		return nil, err
	}
	return func() error {
		zero, err := c.zeroPoints(2, scale.Len())
		if err != nil {
			return err
		}
		s, y := Data[float32](scale), Data[T](c.result[0])
		for at := 0; at < len(y); at += row {
			k := index(at)
			if to := y[at : at+row]; x.Type == Int32 {
				quantize(to, Data[int32](x)[at:], s[k], zero[k])
			} else {
				quantize(to, Data[float32](x)[at:], s[k], zero[k])
			}
		}
		return nil
	}, nil
}

// roundBits added to a number of at most 2^22 leaves no bits for a fraction:
// the sum is rounded, ties to even.
const roundBits = 3 << 22

// quantize divides by the scale, rounds to even, adds the zero point and bounds
// the result. NaN becomes the smallest.
func quantize[T quantum, S float32 | int32](y []T, x []S, scale float32, zero int32) {
	least, most := rangeOf[T]()
	lo, hi := float32(least-zero), float32(most-zero)
	shift := zero - int32(math.Float32bits(roundBits))
	x = x[:len(y)]
	parallel(len(y), 1<<14, func(from, to int) {
		y := y[from:to]
		for i, v := range x[from:to] {
			q := float32(v) / scale
			if !(q >= lo) {
				q = lo
			}
			if q > hi {
				q = hi
			}
			y[i] = T(int32(math.Float32bits(q+roundBits)) + shift)
		}
	})
}

func prepareDequantize(c *call) (func() error, error) {
	x, scale := c.in[0], c.in[1]
	if scale.Type != Float32 || c.has(2) && c.in[2].Type != x.Type {
		return nil, fmt.Errorf("%v with scales %v is not supported", x, scale)
	}
	if err := c.out(0, Float32, x.Shape...); err != nil {
		return nil, err
	}
	switch x.Type {
	case Uint8:
		return prepareDequantizeFrom[uint8](c)
	case Int8:
		return prepareDequantizeFrom[int8](c)
	case Uint16:
		return prepareDequantizeFrom[uint16](c)
	case Int16:
		return prepareDequantizeFrom[int16](c)
	case Int32:
		return prepareDequantizeFrom[int32](c)
	}
	return nil, fmt.Errorf("%v is not supported here", x.Type)
}

func prepareDequantizeFrom[T quantum | int32](c *call) (func() error, error) {
	x, scale := c.in[0], c.in[1]
	index, row, err := c.scales(x, scale)
	if err != nil {
		return nil, err
	}
	return func() error {
		zero, err := c.zeroPoints(2, scale.Len())
		if err != nil {
			return err
		}
		s, v, y := Data[float32](scale), Data[T](x), Data[float32](c.result[0])
		for at := 0; at < len(y); at += row {
			k := index(at)
			dequantize(y[at:at+row], v[at:at+row], s[k], int64(zero[k]))
		}
		return nil
	}, nil
}

func dequantize[T quantum | int32](y []float32, x []T, scale float32, zero int64) {
	parallel(len(y), 1<<14, func(from, to int) {
		y := y[from:to]
		for i, v := range x[from:to] {
			y[i] = float32(int64(v)-zero) * scale
		}
	})
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
		x, y := Data[float32](c.in[0]), Data[uint8](c.result[0])
		lo, hi := extremes(x)
		lo, hi = min(lo, 0), max(hi, 0)
		scale, zero := (hi-lo)/255, int32(0)
		if scale > 0 {
			zero = int32(math.RoundToEven(min(max(float64(-lo/scale), 0), 255)))
			quantize(y, x, scale, zero)
		} else {
			clear(y)
		}
		Data[float32](c.result[1])[0], Data[uint8](c.result[2])[0] = scale, uint8(zero)
		return nil
	}, c.out(0, Uint8, c.in[0].Shape...)
}

// extremes are the smallest and the largest of x; NaN is passed over.
func extremes(x []float32) (lo, hi float32) {
	var lock sync.Mutex
	parallel(len(x), 1<<14, func(from, to int) {
		l, h := float32(0), float32(0)
		for _, v := range x[from:to] {
			if v < l {
				l = v
			}
			if v > h {
				h = v
			}
		}
		lock.Lock()
		defer lock.Unlock()
		lo, hi = min(lo, l), max(hi, h)
	})
	return lo, hi
}

// requantize turns int32 sums into the result: scales of a, b and y are inputs
// 1, 4 and 6, the zero point of y is input 7. So many sums in a row have the
// same of n scales of b; a bias, input 8, has one number for each.
func (c *call) requantize(sums []int32, n, row int) error {
	if c.in[7].Type == Int8 {
		return requantizeTo[int8](c, sums, n, row)
	}
	return requantizeTo[uint8](c, sums, n, row)
}

func requantizeTo[T quantum](c *call, sums []int32, n, row int) error {
	a, b, y := c.in[1], Data[float32](c.in[4]), c.in[6]
	if a.Len() != 1 || y.Len() != 1 || c.in[7].Len() != 1 {
		return fmt.Errorf("only one scale and zero point per tensor is supported here")
	}
	least, most := rangeOf[T]()
	lo, hi, zero := float64(least), float64(most), float64(Data[T](c.in[7])[0])
	factors := make([]float64, n)
	for k := range factors {
		factors[k] = float64(Data[float32](a)[0]) * float64(b[k%len(b)]) / float64(Data[float32](y)[0])
	}
	to := Data[T](c.result[0])
	parallel(len(sums)/row, 1+(1<<14)/row, func(from, end int) {
		for i := from; i < end; i++ {
			f, bias := factors[i%n], int32(0)
			if c.has(8) {
				bias = Data[int32](c.in[8])[i%n]
			}
			y := to[i*row : (i+1)*row]
			for j, v := range sums[i*row : (i+1)*row] {
				q := min(max(math.RoundToEven(float64(v+bias)*f)+zero, lo), hi)
				if q != q {
					q = lo
				}
				y[j] = T(int32(q))
			}
		}
	})
	return nil
}

// quantized checks the types of a QLinear operator's inputs.
func (c *call) quantized() error {
	if err := c.octetTypes([2]int{0, 2}, [2]int{3, 5}, [2]int{7, 7}); err != nil {
		return err
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
		sums, done, err := scratch[int32](c, c.result[0].Len())
		if err != nil {
			return err
		}
		defer done()
		if err := p.integers(c, sums, [2]int{0, 2}, [2]int{3, 5}); err != nil {
			return err
		}
		return c.requantize(sums, p.n, 1)
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
		sums, done, err := scratch[int32](c, c.result[0].Len())
		if err != nil {
			return err
		}
		defer done()
		if err := v.integers(c, sums, [2]int{0, 2}, [2]int{3, 5}); err != nil {
			return err
		}
		return c.requantize(sums, channels, place)
	}, c.out(0, c.in[7].Type, v.shape()...)
}
