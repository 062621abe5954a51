package onnx

import "fmt"

// octets is a tensor of 8-bit numbers that are read less their zero points:
// whole numbers in [-255, 255].
type octets struct {
	data     []uint8
	flip     uint8   // turns int8 into uint8, 128 more
	zero     []int32 // of the unsigned numbers
	n, inner int     // element i has zero[i/inner%n]
}

// octets reads input i, whose zero point is input z: none, one number, or one
// for each index of axis a.
func (c *call) octets(i, z, a int) (*octets, error) {
	x := c.in[i]
	zero, err := c.input(z)
	if err != nil {
		return nil, err
	}
	o := &octets{data: Data[uint8](x), zero: []int32{0}, n: 1, inner: max(x.Len(), 1)}
	switch {
	case len(zero) == 0:
	case len(zero) == 1 || a >= 0 && len(zero) == x.Shape[a]:
		o.zero = convert[int32](zero)
		if o.n = len(zero); o.n > 1 {
			_, _, o.inner = alongAxis(x.Shape, a)
		}
	default:
		return nil, fmt.Errorf("%d zero points do not fit %v", len(zero), x)
	}
	if x.Type == Int8 {
		o.flip = 1 << 7
		for k := range o.zero {
			o.zero[k] += 1 << 7
		}
	}
	return o, nil
}

// octetTypes refuses inputs that are not of 8 bits, and zero points of another
// type than their input.
func (c *call) octetTypes(inputs ...[2]int) error {
	for _, i := range inputs {
		if err := c.types(i[0], Uint8, Int8); err != nil {
			return err
		}
		if err := c.sameType(i[0], i[1]); err != nil {
			return err
		}
	}
	return nil
}

// read writes the elements from number at on.
func (o *octets) read(to []float32, at int) {
	parallel(len(to), 1<<15, func(lo, hi int) { o.readPart(to[lo:hi], at+lo) })
}

func (o *octets) readPart(to []float32, at int) {
	from := o.data[at : at+len(to)]
	if o.inner == 1 {
		k := at % o.n
		for i, v := range from {
			to[i] = float32(int32(v^o.flip) - o.zero[k])
			if k++; k == o.n {
				k = 0
			}
		}
		return
	}
	for len(from) > 0 {
		run := min(len(from), o.inner-at%o.inner)
		o.less(to[:run], from[:run], o.zero[at/o.inner%o.n])
		to, from, at = to[run:], from[run:], at+run
	}
}

func (o *octets) less(to []float32, from []uint8, zero int32) {
	to = to[:len(from)]
	flip := o.flip
	for i, v := range from {
		to[i] = float32(int32(v^flip) - zero)
	}
}

// spread is image.spread; octets with one zero point serve as images.
func (o *octets) spread(to []float32, toRow int, p patch) {
	zero, flip := o.zero[0], o.flip
	for r := range p.rows {
		line := to[r*toRow:][:p.width]
		from := o.data[p.at+r*p.row:][:(p.width-1)*p.step+1]
		if p.step == 1 {
			o.less(line, from, zero)
			continue
		}
		for i := range line {
			line[i] = float32(int32(from[i*p.step]^flip) - zero)
		}
	}
}
