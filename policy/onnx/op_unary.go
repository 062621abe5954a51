package onnx

import (
	"fmt"
	"math"

	"arfm/policy/nn/vec"
)

func init() {
	for name := range mathFunctions {
		register(operator{name, 6, 1, 1, half, prepareMath, false})
	}
	for _, name := range []string{"Abs", "Neg", "Sign"} {
		register(operator{name, 6, 1, 1, half, prepareSigned, false})
	}
	for _, name := range []string{"Not", "BitwiseNot"} {
		register(operator{name, 1, 1, 1, asIs, prepareNot, false})
	}
	for _, name := range []string{"IsNaN", "IsInf"} {
		register(operator{name, 9, 1, 1, half, prepareIs, false})
	}
	for _, name := range []string{"Identity", "Dropout"} {
		register(viewOf(name, 6, 1, 3, prepareIdentity))
	}
}

// mathFunctions are those that map a float element by element.
var mathFunctions = map[string]func(float64) float64{
	"Acos": math.Acos, "Acosh": math.Acosh, "Asin": math.Asin, "Asinh": math.Asinh, "Atan": math.Atan, "Atanh": math.Atanh,
	"Ceil": math.Ceil, "Cos": math.Cos, "Cosh": math.Cosh, "Erf": math.Erf, "Exp": math.Exp, "Floor": math.Floor,
	"Log": math.Log, "Round": math.RoundToEven, "Sin": math.Sin, "Sinh": math.Sinh, "Sqrt": math.Sqrt,
	"Tan": math.Tan, "Tanh": math.Tanh,
	"Reciprocal": func(x float64) float64 { return 1 / x },
	"Sigmoid":    sigmoid,
	"Softsign":   func(x float64) float64 { return x / (1 + math.Abs(x)) },
	"Softplus":   softplus,
	"Mish":       func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	"HardSwish":  func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) },
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

// vectors are those of them for which there are vector instructions.
var vectors = map[string]func(y, x []float32){
	"Erf": vec.Erf, "Exp": vec.Exp, "Sigmoid": vec.Sigmoid, "Sqrt": vec.Sqrt, "Tanh": vec.Tanh,
	"HardSwish": func(y, x []float32) {
		vec.ClampLine(y, x, 1.0/6, 0.5, 0, 1)
		vec.Mul(y, y, x)
	},
}

func prepareMath(c *call) (func() error, error) {
	return mapFloats(c, mathFunctions[c.op], vectors[c.op])
}

// mapFloats applies f to every element of the first input; fast, where it is
// not nil, does so for float32, to an output that is not the input.
func mapFloats(c *call, f func(float64) float64, fast func(y, x []float32)) (func() error, error) {
	if err := c.types(0, Float32, Float64); err != nil {
		return nil, err
	}
	x := c.in[0]
	return func() error {
		if x.Type == Float64 {
			dst := Data[float64](c.result[0])
			for i, v := range Data[float64](x) {
				dst[i] = f(v)
			}
			return nil
		}
		src, dst := Data[float32](x), Data[float32](c.result[0])
		if fast != nil {
			parallel(len(src), 1<<14, func(lo, hi int) { inPieces(dst[lo:hi], src[lo:hi], fast) })
			return nil
		}
		parallel(len(src), 1<<13, func(lo, hi int) {
			for i, v := range src[lo:hi] {
				dst[lo+i] = float32(f(float64(v)))
			}
		})
		return nil
	}, c.out(0, x.Type, x.Shape...)
}

// inPieces calls f on pieces that stay in the first cache between its passes.
func inPieces(y, x []float32, f func(y, x []float32)) {
	const piece = 1 << 11
	for ; len(x) > piece; x, y = x[piece:], y[piece:] {
		f(y[:piece], x[:piece])
	}
	f(y, x)
}

func prepareSigned(c *call) (func() error, error) {
	if err := c.out(0, c.in[0].Type, c.in[0].Shape...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		return signed[float32](c), nil
	case Float64:
		return signed[float64](c), nil
	case Int8:
		return signed[int8](c), nil
	case Int16:
		return signed[int16](c), nil
	case Int32:
		return signed[int32](c), nil
	case Int64:
		return signed[int64](c), nil
	case Uint8:
		return signed[uint8](c), nil
	case Uint16:
		return signed[uint16](c), nil
	case Uint32:
		return signed[uint32](c), nil
	case Uint64:
		return signed[uint64](c), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

func signed[T number](c *call) func() error {
	f := map[string]func(T) T{
		"Abs": func(v T) T {
			if v <= 0 { // -0 too
				return 0 - v
			}
			return v
		},
		"Neg": func(v T) T { return -v },
		"Sign": func(v T) T {
			switch {
			case v > 0:
				return 1
			case v < 0:
				var zero T
				return zero - 1
			}
			return v
		},
	}[c.op]
	return func() error {
		dst := Data[T](c.result[0])
		for i, v := range Data[T](c.in[0]) {
			dst[i] = f(v)
		}
		return nil
	}
}

func prepareNot(c *call) (func() error, error) {
	x := c.in[0]
	mask := byte(0xff)
	if x.Type == Bool {
		mask = 1
	}
	if (c.op == "Not") != (x.Type == Bool) || x.Type.isFloat() {
		return nil, fmt.Errorf("%v is not supported here", x.Type)
	}
	return func() error {
		for i, v := range x.data {
			c.result[0].data[i] = v ^ mask
		}
		return nil
	}, c.out(0, x.Type, x.Shape...)
}

func prepareIs(c *call) (func() error, error) {
	if err := c.types(0, Float32, Float64); err != nil {
		return nil, err
	}
	up, down := c.int("detect_positive", 1) != 0, c.int("detect_negative", 1) != 0
	f := math.IsNaN
	if c.op == "IsInf" {
		f = func(v float64) bool { return up && math.IsInf(v, 1) || down && math.IsInf(v, -1) }
	}
	return func() error {
		dst := Data[uint8](c.result[0])
		if c.in[0].Type == Float32 {
			for i, v := range Data[float32](c.in[0]) {
				dst[i] = bit(f(float64(v)))
			}
			return nil
		}
		for i, v := range Data[float64](c.in[0]) {
			dst[i] = bit(f(v))
		}
		return nil
	}, c.out(0, Bool, c.in[0].Shape...)
}

// prepareIdentity is Identity and, as a trained model runs it, Dropout, whose
// mask keeps everything.
func prepareIdentity(c *call) (func() error, error) {
	x := c.in[0]
	if c.op == "Dropout" && c.has(2) {
		training, err := c.input(2)
		if err != nil {
			return nil, err
		}
		ratio := 0.5
		if c.has(1) {
			if ratio, err = c.in[1].float(); err != nil {
				return nil, err
			}
		}
		if len(training) == 1 && training[0] != 0 && ratio != 0 {
			return nil, fmt.Errorf("training mode is random, which is not supported")
		}
	}
	if err := c.out(0, x.Type, x.Shape...); err != nil {
		return nil, err
	}
	mask := Bool
	if c.version < 10 {
		mask = x.Type
	}
	return func() error {
		if c.wants(1) {
			one := &Tensor{Type: Bool, data: []byte{1}}
			return fillWith(c.result[1], one)
		}
		return nil
	}, c.out(1, mask, x.Shape...)
}

// fillWith sets every element of t to the first of one.
func fillWith(t, one *Tensor) error {
	if t.Len() == 0 {
		return nil
	}
	size := t.Type.Size()
	first := &Tensor{Type: t.Type, data: t.data[:size]}
	if err := castInto(first, &Tensor{Type: one.Type, data: one.data[:one.Type.Size()]}); err != nil {
		return err
	}
	for done := size; done < len(t.data); done *= 2 {
		copy(t.data[done:], t.data[:done])
	}
	return nil
}
