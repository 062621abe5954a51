package onnx

import (
	"fmt"
	"math"
)

func init() {
	register(
		operator{"Cast", 6, 1, 1, asIs, prepareCast, false},
		operator{"CastLike", 15, 2, 2, asIs, prepareCast, false},
		operator{"BitCast", 26, 1, 1, asIs, prepareBitCast, false},
	)
}

func prepareCast(c *call) (func() error, error) {
	to := Type(c.int("to", 0))
	if c.op == "CastLike" {
		to = c.in[1].Type
	}
	return func() error { return castInto(c.result[0], c.in[0]) }, c.out(0, to, c.in[0].Shape...)
}

func prepareBitCast(c *call) (func() error, error) {
	to := Type(c.int("to", 0))
	if to.Size() != c.in[0].Type.Size() {
		return nil, fmt.Errorf("%v and %v differ in size", c.in[0].Type, to)
	}
	return func() error { copy(c.result[0].data, c.in[0].data); return nil }, c.out(0, to, c.in[0].Shape...)
}

// refusedCasts says which nodes are to give a type that is not there.
func (p *proto) refusedCasts() (refused []refusal) {
	stated := map[string]Type{} // of values that are not of nodes
	for _, v := range p.inputs {
		stated[v.Name] = v.Type
	}
	for i := range p.initializers {
		stated[p.initializers[i].name] = p.initializers[i].kind
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		to, known := Type(0), true
		switch {
		case n.domain != "":
			continue
		case n.op == "Cast" || n.op == "BitCast":
			to = Type(n.int("to"))
		case n.op == "CastLike" && len(n.inputs) > 1:
			to, known = stated[n.inputs[1]]
			known = known && to != 0 && to != String // which refusedTexts refuses
		default:
			continue
		}
		if known && to.Size() == 0 {
			refused = append(refused, p.refuse(i, fmt.Sprintf("it is to give %v, which is not supported here", to)))
		}
	}
	return refused
}

// castInto converts src element by element to the type of dst.
func castInto(dst, src *Tensor) error {
	if dst.Type == src.Type {
		copy(dst.data, src.data)
		return nil
	}
	switch src.Type {
	case Float32:
		return castFrom(dst, Data[float32](src))
	case Float64:
		return castFrom(dst, Data[float64](src))
	case Int8:
		return castFrom(dst, Data[int8](src))
	case Int16:
		return castFrom(dst, Data[int16](src))
	case Int32:
		return castFrom(dst, Data[int32](src))
	case Int64:
		return castFrom(dst, Data[int64](src))
	case Uint8, Bool:
		return castFrom(dst, Data[uint8](src))
	case Uint16:
		return castFrom(dst, Data[uint16](src))
	case Uint32:
		return castFrom(dst, Data[uint32](src))
	case Uint64:
		return castFrom(dst, Data[uint64](src))
	case Float16:
		return castHalf(dst, Data[uint16](src), FromFloat16)
	case BFloat16:
		return castHalf(dst, Data[uint16](src), fromBFloat16)
	}
	return fmt.Errorf("%v is not supported here", src.Type)
}

// castHalf widens half precision, piece by piece where a third type is asked
// for.
func castHalf(dst *Tensor, src []uint16, widen func(uint16) float32) error {
	if dst.Type == Float32 {
		for i, v := range src {
			Data[float32](dst)[i] = widen(v)
		}
		return nil
	}
	var piece [256]float32
	size := dst.Type.Size()
	for at := 0; at < len(src); at += len(piece) {
		n := min(len(piece), len(src)-at)
		for i, v := range src[at : at+n] {
			piece[i] = widen(v)
		}
		part := &Tensor{Type: dst.Type, data: dst.data[at*size : (at+n)*size]}
		if err := castFrom(part, piece[:n]); err != nil {
			return err
		}
	}
	return nil
}

func castFrom[S number](dst *Tensor, src []S) error {
	switch dst.Type {
	case Float32:
		castTo(Data[float32](dst), src)
	case Float64:
		castTo(Data[float64](dst), src)
	case Int8:
		castWhole(Data[int8](dst), src)
	case Int16:
		castWhole(Data[int16](dst), src)
	case Int32:
		castWhole(Data[int32](dst), src)
	case Int64:
		castWhole(Data[int64](dst), src)
	case Uint8:
		castWhole(Data[uint8](dst), src)
	case Uint16:
		castWhole(Data[uint16](dst), src)
	case Uint32:
		castWhole(Data[uint32](dst), src)
	case Uint64:
		if isFloat[S]() {
			castWhole(Data[uint64](dst), src)
		} else {
			castTo(Data[uint64](dst), src)
		}
	case Bool:
		d := Data[uint8](dst)
		for i, v := range src {
			d[i] = bit(v != 0)
		}
	case Float16:
		castHalves(Data[uint16](dst), src, ToFloat16)
	case BFloat16:
		castHalves(Data[uint16](dst), src, toBFloat16)
	default:
		return fmt.Errorf("%v is not supported here", dst.Type)
	}
	return nil
}

func castTo[D, S number](dst []D, src []S) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = D(v)
	}
}

// castWhole truncates floats and keeps the low bits of integers. What Go leaves
// open, floats out of range, becomes the nearest int64 first, NaN zero.
func castWhole[D, S number](dst []D, src []S) {
	if !isFloat[S]() {
		castTo(dst, src)
		return
	}
	for i, v := range src {
		f := float64(v)
		switch {
		case f != f:
			dst[i] = 0
		case f >= math.MaxInt64:
			top := int64(math.MaxInt64)
			dst[i] = D(top)
		case f <= math.MinInt64:
			bottom := int64(math.MinInt64)
			dst[i] = D(bottom)
		default:
			dst[i] = D(int64(f))
		}
	}
}

func isFloat[S number]() bool {
	half := 0.5
	return S(half) != 0
}

func castHalves[S number](dst []uint16, src []S, narrow func(float32) uint16) {
	for i, v := range src {
		dst[i] = narrow(float32(v))
	}
}
