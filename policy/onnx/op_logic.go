package onnx

import "fmt"

func init() {
	for _, name := range []string{"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"} {
		register(operator{name, 7, 2, 2, half, prepareCompare, false})
	}
	for _, name := range []string{"And", "Or", "Xor"} {
		register(operator{name, 7, 2, 2, asIs, prepareLogic, false})
	}
	for _, name := range []string{"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"} {
		register(operator{name, 11, 2, 2, asIs, prepareBits, false})
	}
	register(operator{"Where", 9, 3, 3, asIs, prepareWhere, false})
}

func prepareCompare(c *call) (func() error, error) {
	if err := c.sameType(0, 1); err != nil {
		return nil, err
	}
	shape, err := broadcastShape(c.in[0].Shape, c.in[1].Shape)
	if err != nil {
		return nil, err
	}
	if err := c.out(0, Bool, shape...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		return compare[float32](c), nil
	case Float64:
		return compare[float64](c), nil
	case Int8:
		return compare[int8](c), nil
	case Int16:
		return compare[int16](c), nil
	case Int32:
		return compare[int32](c), nil
	case Int64:
		return compare[int64](c), nil
	case Uint8, Bool:
		return compare[uint8](c), nil
	case Uint16:
		return compare[uint16](c), nil
	case Uint32:
		return compare[uint32](c), nil
	case Uint64:
		return compare[uint64](c), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

func compare[T number](c *call) func() error {
	f := map[string]func(a, b T) bool{
		"Equal":          func(a, b T) bool { return a == b },
		"Less":           func(a, b T) bool { return a < b },
		"Greater":        func(a, b T) bool { return a > b },
		"LessOrEqual":    func(a, b T) bool { return a <= b },
		"GreaterOrEqual": func(a, b T) bool { return a >= b },
	}[c.op]
	return func() error {
		combine(Data[uint8](c.result[0]), c.result[0].Shape, Data[T](c.in[0]), c.in[0].Shape, Data[T](c.in[1]), c.in[1].Shape,
			func(a, b T) uint8 { return bit(f(a, b)) })
		return nil
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func prepareLogic(c *call) (func() error, error) {
	for i := range 2 {
		if err := c.types(i, Bool); err != nil {
			return nil, err
		}
	}
	return bitwise[uint8](c, map[string]func(a, b uint8) uint8{
		"And": func(a, b uint8) uint8 { return a & b },
		"Or":  func(a, b uint8) uint8 { return a | b },
		"Xor": func(a, b uint8) uint8 { return a ^ b },
	}[c.op])
}

func prepareBits(c *call) (func() error, error) {
	if err := c.sameType(0, 1); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Int8, Uint8:
		return bitwise(c, bitTable[uint8](c))
	case Int16, Uint16:
		return bitwise(c, bitTable[uint16](c))
	case Int32, Uint32:
		return bitwise(c, bitTable[uint32](c))
	case Int64, Uint64:
		return bitwise(c, bitTable[uint64](c))
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

func bitTable[T uint8 | uint16 | uint32 | uint64](c *call) func(a, b T) T {
	switch {
	case c.op == "BitwiseAnd":
		return func(a, b T) T { return a & b }
	case c.op == "BitwiseOr":
		return func(a, b T) T { return a | b }
	case c.op == "BitwiseXor":
		return func(a, b T) T { return a ^ b }
	case c.string("direction", "") == "LEFT":
		return func(a, b T) T { return a << b }
	}
	return func(a, b T) T { return a >> b }
}

func bitwise[T number](c *call, f func(a, b T) T) (func() error, error) {
	shape, err := broadcastShape(c.in[0].Shape, c.in[1].Shape)
	if err != nil {
		return nil, err
	}
	return func() error {
		combine(Data[T](c.result[0]), shape, Data[T](c.in[0]), c.in[0].Shape, Data[T](c.in[1]), c.in[1].Shape, f)
		return nil
	}, c.out(0, c.in[0].Type, shape...)
}

func prepareWhere(c *call) (func() error, error) {
	if err := c.types(0, Bool); err != nil {
		return nil, err
	}
	if err := c.sameType(1, 2); err != nil {
		return nil, err
	}
	shape, err := broadcastShape(c.in[0].Shape, c.in[1].Shape, c.in[2].Shape)
	if err != nil {
		return nil, err
	}
	return bySize(c.in[1].Type, where[uint8], where[uint16], where[uint32], where[uint64])(c), c.out(0, c.in[1].Type, shape...)
}

func where[T number](c *call) func() error {
	return func() error {
		out := c.result[0].Shape
		cond, x, y, dst := Data[uint8](c.in[0]), Data[T](c.in[1]), Data[T](c.in[2]), Data[T](c.result[0])
		operand := [][]int{stretch(c.in[0].Shape, out), stretch(c.in[1].Shape, out), stretch(c.in[2].Shape, out)}
		walkRows(out, operand, func(at int, from []int, n int, step []int) {
			for k := range n {
				if cond[from[0]+k*step[0]] != 0 {
					dst[at+k] = x[from[1]+k*step[1]]
				} else {
					dst[at+k] = y[from[2]+k*step[2]]
				}
			}
		})
		return nil
	}
}

// bySize picks the variant for a type's size: operators that only move elements
// care for nothing else.
func bySize[F any](t Type, f1, f2, f4, f8 F) F {
	switch t.Size() {
	case 1:
		return f1
	case 2:
		return f2
	case 4:
		return f4
	}
	return f8
}
