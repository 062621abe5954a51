package onnx

import (
	"fmt"
	"math"

	"arfm/policy/nn/vec"
)

func init() {
	register(
		operator{"Relu", 6, 1, 1, half, prepareClip, false},
		operator{"Clip", 6, 1, 3, half, prepareClip, false},
		operator{"LeakyRelu", 6, 1, 1, half, prepareActivation, false},
		operator{"Elu", 6, 1, 1, half, prepareActivation, false},
		operator{"Selu", 6, 1, 1, half, prepareActivation, false},
		operator{"Celu", 12, 1, 1, half, prepareActivation, false},
		operator{"HardSigmoid", 6, 1, 1, half, prepareActivation, false},
		operator{"ThresholdedRelu", 10, 1, 1, half, prepareActivation, false},
		operator{"Shrink", 9, 1, 1, half, prepareActivation, false},
		operator{"Swish", 24, 1, 1, half, prepareActivation, false},
		operator{"Gelu", 20, 1, 1, half, prepareActivation, false},
		operator{"Softmax", 6, 1, 1, only32, prepareSoftmax, false},
		operator{"LogSoftmax", 6, 1, 1, only32, prepareSoftmax, false},
		operator{"Hardmax", 6, 1, 1, only32, prepareSoftmax, false},
	)
}

// prepareActivation is an activation with parameters.
func prepareActivation(c *call) (func() error, error) {
	par := func(name string, missing float64) float64 { return float64(c.float(name, float32(missing))) }
	return mapFloats(c, c.activation(c.op, par), c.vectorActivation(par))
}

// vectorActivation is the same on vectors, nil for some.
func (c *call) vectorActivation(par func(name string, missing float64) float64) func(y, x []float32) {
	switch c.op {
	case "Gelu":
		if c.string("approximate", "none") == "tanh" {
			return vec.GELUTanh
		}
		return vec.GELU
	case "HardSigmoid":
		a, b := float32(par("alpha", 0.2)), float32(par("beta", 0.5))
		return func(y, x []float32) { vec.ClampLine(y, x, a, b, 0, 1) }
	case "Swish":
		a := float32(par("alpha", 1))
		if a == 1 {
			return vec.SiLU
		}
		return func(y, x []float32) {
			vec.Scale(y, x, a)
			vec.Sigmoid(y, y)
			vec.Mul(y, y, x)
		}
	}
	return nil
}

// activation is the function of that name; par reads a parameter.
func (c *call) activation(name string, par func(name string, missing float64) float64) func(float64) float64 {
	alpha := func(missing float64) float64 { return par("alpha", missing) }
	switch name {
	case "LeakyRelu":
		a := alpha(0.01)
		return func(x float64) float64 { return max(x, 0) + a*min(x, 0) }
	case "Elu":
		a := alpha(1)
		return func(x float64) float64 { return max(x, 0) + a*math.Expm1(min(x, 0)) }
	case "Selu":
		a, g := alpha(1.67326319217681884765625), par("gamma", 1.05070102214813232421875)
		return func(x float64) float64 { return g * (max(x, 0) + a*math.Expm1(min(x, 0))) }
	case "Celu":
		a := alpha(1)
		return func(x float64) float64 { return max(x, 0) + a*math.Expm1(min(x, 0)/a) }
	case "HardSigmoid":
		a, b := alpha(0.2), par("beta", 0.5)
		return func(x float64) float64 { return min(max(a*x+b, 0), 1) }
	case "ThresholdedRelu":
		a := alpha(1)
		return func(x float64) float64 {
			if x > a {
				return x
			}
			return 0
		}
	case "Shrink":
		bias, lambda := par("bias", 0), par("lambd", 0.5)
		return func(x float64) float64 {
			switch {
			case x < -lambda:
				return x + bias
			case x > lambda:
				return x - bias
			}
			return 0
		}
	case "Swish":
		a := alpha(1)
		return func(x float64) float64 { return x * sigmoid(a*x) }
	}
	if c.string("approximate", "none") == "tanh" {
		return func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}
	}
	return func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
}

// prepareClip bounds the elements, below by 0 for Relu. The bounds are
// attributes before opset 11, inputs after.
func prepareClip(c *call) (func() error, error) {
	if err := c.out(0, c.in[0].Type, c.in[0].Shape...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		return clip[float32](c), nil
	case Float64:
		return clip[float64](c), nil
	case Int8:
		return clip[int8](c), nil
	case Int16:
		return clip[int16](c), nil
	case Int32:
		return clip[int32](c), nil
	case Int64:
		return clip[int64](c), nil
	case Uint8:
		return clip[uint8](c), nil
	case Uint32:
		return clip[uint32](c), nil
	case Uint64:
		return clip[uint64](c), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

func clip[T number](c *call) func() error {
	bound := func(i int, name string, missing T) (T, error) {
		if c.op == "Relu" {
			if i == 1 {
				return 0, nil
			}
			return missing, nil
		}
		if c.version < 11 {
			if v, ok := c.attrs[name].(float32); ok {
				return T(v), nil
			}
			return missing, nil
		}
		if !c.has(i) {
			return missing, nil
		}
		if c.in[i].Type != c.in[0].Type || c.in[i].Len() != 1 {
			return 0, fmt.Errorf("the bound %v does not fit %v", c.in[i], c.in[0])
		}
		return Data[T](c.in[i])[0], nil
	}
	return func() error {
		lo, err := bound(1, "min", extreme[T](false))
		if err != nil {
			return err
		}
		hi, err := bound(2, "max", extreme[T](true))
		if err != nil {
			return err
		}
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		parallel(len(x), 1<<14, func(from, to int) {
			if f, ok := any(x).([]float32); ok {
				vec.Clamp(any(y).([]float32)[from:to], f[from:to], float32(lo), float32(hi))
				return
			}
			for i, v := range x[from:to] {
				y[from+i] = min(max(v, lo), hi)
			}
		})
		return nil
	}
}

// prepareSoftmax normalises along an axis; before opset 13 along all axes from
// it on, taken as one.
func prepareSoftmax(c *call) (func() error, error) {
	if err := c.types(0, Float32); err != nil {
		return nil, err
	}
	x := c.in[0]
	rank, missing := len(x.Shape), int64(-1)
	if c.version < 13 {
		missing = 1
	}
	at := attribute(c, "axis", missing)
	a := 0
	if rank > 0 && !(c.version < 13 && at == int64(rank)) {
		var err error
		if a, err = axis(at, rank); err != nil {
			return nil, err
		}
	} else {
		a = rank
	}
	outer, n, inner := product(x.Shape[:a]), 1, 1
	if a < rank {
		n, inner = x.Shape[a], product(x.Shape[a+1:])
	}
	if c.version < 13 {
		n, inner = n*inner, 1
	}
	row := map[string]func(x, y []float32, step int){"Softmax": softmaxRow, "LogSoftmax": logSoftmaxRow, "Hardmax": hardmaxRow}[c.op]
	return func() error {
		src, dst := Data[float32](x), Data[float32](c.result[0])
		if n == 0 {
			return nil
		}
		parallel(outer*inner, 1+(1<<13)/n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				from := r/inner*n*inner + r%inner
				to := from + (n-1)*inner + 1
				row(src[from:to], dst[from:to], inner)
			}
		})
		return nil
	}, c.out(0, Float32, x.Shape...)
}

func rowMax(x []float32, step int) float32 {
	top := x[0]
	for i := step; i < len(x); i += step {
		top = max(top, x[i])
	}
	return top
}

func softmaxRow(x, y []float32, step int) {
	if step == 1 {
		vec.Softmax(y, x)
		return
	}
	top, sum := rowMax(x, step), float32(0)
	for i := 0; i < len(x); i += step {
		e := float32(math.Exp(float64(x[i] - top)))
		y[i] = e
		sum += e
	}
	scale := 1 / sum
	for i := 0; i < len(x); i += step {
		y[i] *= scale
	}
}

func logSoftmaxRow(x, y []float32, step int) {
	if step == 1 {
		top := vec.Max(x)
		sum := vec.ExpSum(y, x, top)
		vec.Normalize(y, x, top+float32(math.Log(float64(sum))), 1)
		return
	}
	top, sum := rowMax(x, step), 0.0
	for i := 0; i < len(x); i += step {
		sum += math.Exp(float64(x[i] - top))
	}
	shift := top + float32(math.Log(sum))
	for i := 0; i < len(x); i += step {
		y[i] = x[i] - shift
	}
}

func hardmaxRow(x, y []float32, step int) {
	best := 0
	for i := 0; i < len(x); i += step {
		y[i] = 0
		if x[i] > x[best] {
			best = i
		}
	}
	y[best] = 1
}
