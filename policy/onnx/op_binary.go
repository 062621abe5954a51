package onnx

import (
	"fmt"
	"math"
	"slices"

	"arfm/policy/nn/vec"
)

func init() {
	for _, name := range []string{"Add", "Sub", "Mul", "Div"} {
		register(operator{name, 6, 2, 2, half, prepareArith, false})
	}
	for _, name := range []string{"Mod", "Max", "Min", "Sum", "Mean", "PRelu"} {
		least, most := 1, many
		if name == "Mod" || name == "PRelu" {
			least, most = 2, 2
		}
		register(operator{name, 6, least, most, half, prepareArith, false})
	}
	register(operator{"Pow", 6, 2, 2, half, preparePow, false})
}

// prepareArith folds f over two or more inputs of one type.
func prepareArith(c *call) (func() error, error) {
	shapes := make([][]int, len(c.in))
	for i, t := range c.in {
		if t == nil || t.Type != c.in[0].Type {
			return nil, fmt.Errorf("input %d is missing or of another type than the first", i)
		}
		shapes[i] = t.Shape
	}
	if err := c.legacyBroadcast(shapes); err != nil {
		return nil, err
	}
	shape, err := broadcastShape(shapes...)
	if err != nil {
		return nil, err
	}
	if c.op == "PRelu" && !slices.Equal(shape, shapes[0]) {
		return nil, fmt.Errorf("the slope's shape %v does not stretch to %v", shapes[1], shapes[0])
	}
	if err := c.out(0, c.in[0].Type, shape...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		if c.op == "Add" || c.op == "Mul" || c.op == "Sub" || c.op == "Div" {
			return func() error { fastArith(c.op, c.result[0], c.in[0], c.in[1], shapes); return nil }, nil
		}
		return foldArith(c, shapes, floatArith[float32])
	case Float64:
		return foldArith(c, shapes, floatArith[float64])
	case Int8:
		return foldArith(c, shapes, intArith[int8])
	case Int16:
		return foldArith(c, shapes, intArith[int16])
	case Int32:
		return foldArith(c, shapes, intArith[int32])
	case Int64:
		return foldArith(c, shapes, intArith[int64])
	case Uint8:
		return foldArith(c, shapes, intArith[uint8])
	case Uint16:
		return foldArith(c, shapes, intArith[uint16])
	case Uint32:
		return foldArith(c, shapes, intArith[uint32])
	case Uint64:
		return foldArith(c, shapes, intArith[uint64])
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

// legacyBroadcast places the second shape as opset 6 did: at the attribute
// axis, when broadcast is set.
func (c *call) legacyBroadcast(shapes [][]int) error {
	if c.version >= 7 || len(shapes) != 2 || c.int("broadcast", 0) == 0 && c.op != "PRelu" {
		return nil
	}
	if c.op == "PRelu" { // a slope per channel
		for len(shapes[1]) == 1 && len(shapes[1]) < len(shapes[0])-1 {
			shapes[1] = append(slices.Clone(shapes[1]), slices.Repeat([]int{1}, len(shapes[0])-2)...)
		}
		return nil
	}
	at := c.int("axis", len(shapes[0])-len(shapes[1]))
	if at < 0 || at+len(shapes[1]) > len(shapes[0]) {
		return fmt.Errorf("axis %d is out of range", at)
	}
	s := slices.Clone(shapes[1])
	for len(s)+at < len(shapes[0]) {
		s = append(s, 1)
	}
	shapes[1] = s
	return nil
}

func foldArith[T number](c *call, shapes [][]int, table func(op string, fmod bool) func(T, T) T) (func() error, error) {
	f := table(c.op, c.int("fmod", 0) == 1)
	if f == nil {
		return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
	}
	return func() error {
		dst, out := Data[T](c.result[0]), c.result[0].Shape
		if len(c.in) == 1 {
			copy(dst, Data[T](c.in[0]))
			return nil
		}
		combine(dst, out, Data[T](c.in[0]), shapes[0], Data[T](c.in[1]), shapes[1], f)
		for i := 2; i < len(c.in); i++ {
			combine(dst, out, dst, out, Data[T](c.in[i]), shapes[i], f)
		}
		if c.op == "Mean" {
			for i := range dst {
				dst[i] /= T(len(c.in))
			}
		}
		return nil
	}, nil
}

func floatArith[T float32 | float64](op string, fmod bool) func(T, T) T {
	switch op {
	case "Add", "Sum", "Mean":
		return func(a, b T) T { return a + b }
	case "Sub":
		return func(a, b T) T { return a - b }
	case "Mul":
		return func(a, b T) T { return a * b }
	case "Div":
		return func(a, b T) T { return a / b }
	case "Max":
		return func(a, b T) T { return max(a, b) }
	case "Min":
		return func(a, b T) T { return min(a, b) }
	case "Mod":
		if !fmod {
			return func(a, b T) T {
				r := math.Mod(float64(a), float64(b))
				if r != 0 && (r < 0) != (b < 0) {
					r += float64(b)
				}
				return T(r)
			}
		}
		return func(a, b T) T { return T(math.Mod(float64(a), float64(b))) }
	case "PRelu":
		return func(a, b T) T {
			if a < 0 {
				return a * b
			}
			return a
		}
	}
	return nil
}

// intArith is arithmetic on integers; a division by zero gives zero.
func intArith[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](op string, fmod bool) func(T, T) T {
	switch op {
	case "Add", "Sum":
		return func(a, b T) T { return a + b }
	case "Sub":
		return func(a, b T) T { return a - b }
	case "Mul":
		return func(a, b T) T { return a * b }
	case "Div":
		return func(a, b T) T {
			if b == 0 {
				return 0
			}
			return a / b
		}
	case "Max":
		return func(a, b T) T { return max(a, b) }
	case "Min":
		return func(a, b T) T { return min(a, b) }
	case "Mod":
		return func(a, b T) T {
			if b == 0 {
				return 0
			}
			r := a % b
			if !fmod && r != 0 && (r < 0) != (b < 0) {
				r += b
			}
			return r
		}
	case "PRelu":
		return func(a, b T) T {
			if a < 0 {
				return a * b
			}
			return a
		}
	}
	return nil
}

// fastArith is the arithmetic that encoders spend time on, in float32 with the
// loops written out.
func fastArith(op string, out, a, b *Tensor, shapes [][]int) {
	dst, x, y := Data[float32](out), Data[float32](a), Data[float32](b)
	operand := [][]int{stretch(shapes[0], out.Shape), stretch(shapes[1], out.Shape)}
	walkRows(out.Shape, operand, func(at int, from []int, n int, step []int) {
		d, i, j := dst[at:at+n], from[0], from[1]
		if step[0] == 1 && step[1] == 1 {
			parallel(n, 1<<14, func(lo, hi int) { rowArith(op, d[lo:hi], x[i+lo:i+hi], y[j+lo:j+hi]) })
			return
		}
		if step[0] == 1 && step[1] == 0 {
			parallel(n, 1<<14, func(lo, hi int) { scalarArith(op, d[lo:hi], x[i+lo:i+hi], y[j]) })
			return
		}
		if step[0] == 0 && step[1] == 1 {
			parallel(n, 1<<14, func(lo, hi int) { scalarFirst(op, d[lo:hi], x[i], y[j+lo:j+hi]) })
			return
		}
		f := floatArith[float32](op, false)
		for k := range d {
			d[k] = f(x[i], y[j])
			i += step[0]
			j += step[1]
		}
	})
}

func rowArith(op string, d, x, y []float32) {
	switch op {
	case "Add":
		vec.Add(d, x, y)
	case "Sub":
		vec.Sub(d, x, y)
	case "Mul":
		vec.Mul(d, x, y)
	case "Div":
		vec.Div(d, x, y)
	}
}

func scalarArith(op string, d, x []float32, y float32) {
	switch op {
	case "Add":
		vec.Line(d, x, 1, y)
	case "Sub":
		vec.Line(d, x, 1, -y)
	case "Mul":
		vec.Scale(d, x, y)
	case "Div": // not times 1/y, which may be beyond float32
		repeat(y, len(x), func(lo, hi int, piece []float32) { vec.Div(d[lo:hi], x[lo:hi], piece) })
	}
}

func scalarFirst(op string, d []float32, x float32, y []float32) {
	switch op {
	case "Add":
		vec.Line(d, y, 1, x)
	case "Sub":
		vec.Line(d, y, -1, x)
	case "Mul":
		vec.Scale(d, y, x)
	case "Div":
		repeat(x, len(y), func(lo, hi int, piece []float32) { vec.Div(d[lo:hi], piece, y[lo:hi]) })
	}
}

// repeat visits 0..n piece by piece, with as many numbers that are all v.
func repeat(v float32, n int, visit func(lo, hi int, piece []float32)) {
	var piece [256]float32
	for i := range piece[:min(n, len(piece))] {
		piece[i] = v
	}
	for lo := 0; lo < n; lo += len(piece) {
		hi := min(lo+len(piece), n)
		visit(lo, hi, piece[:hi-lo])
	}
}

// preparePow raises the first input, whose type the result has; the exponent
// may be of any type.
func preparePow(c *call) (func() error, error) {
	shapes := [][]int{c.in[0].Shape, c.in[1].Shape}
	if err := c.legacyBroadcast(shapes); err != nil {
		return nil, err
	}
	shape, err := broadcastShape(shapes...)
	if err != nil {
		return nil, err
	}
	if err := c.out(0, c.in[0].Type, shape...); err != nil {
		return nil, err
	}
	return func() error {
		a, b := toFloat64(c.in[0]), toFloat64(c.in[1])
		wide := &Tensor{Type: Float64, Shape: shape, data: alignedBytes(8 * c.result[0].Len())}
		combine(Data[float64](wide), shape, a, shapes[0], b, shapes[1], pow)
		return castInto(c.result[0], wide)
	}, nil
}

func pow(a, b float64) float64 {
	if b == 2 {
		return a * a
	}
	return math.Pow(a, b)
}

// toFloat64 copies any tensor's elements to float64.
func toFloat64(t *Tensor) []float64 {
	w := &Tensor{Type: Float64, Shape: t.Shape, data: alignedBytes(8 * t.Len())}
	if err := castInto(w, t); err != nil {
		panic(err) // every type casts to float64
	}
	return Data[float64](w)
}
