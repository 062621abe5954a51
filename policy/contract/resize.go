package contract

import (
	"encoding/binary"
	"slices"
)

// The triangle filter, as image libraries know it for reducing: a sample counts
// for an output by how near their centres are, within the distance of two
// outputs where the picture shrinks, so that every sample counts and nothing
// aliases, and of two samples where it grows, which is bilinear interpolation.
// All of it is integers: the results are the same bits everywhere.

const unity = 1 << 16 // what the weights of an output add up to

// axis says of which samples the outputs along one direction are made.
type axis struct{ outputs []taps }

// taps are the weights of the samples from first on.
type taps struct {
	first   int
	weights []uint32
}

// axisKey is what an axis is made of: outputs cover size/divisor samples, of
// which there are as many, rounded up: at half a picture's width the last sample
// of colour may lie outside of it by half.
type axisKey struct{ size, divisor, outputs int }

func (k axisKey) samples() int { return (k.size + k.divisor - 1) / k.divisor }

func newAxis(k axisKey) *axis {
	// Distances are in 1/(2 divisor outputs) samples, which makes them whole.
	m := k.divisor * k.outputs
	reach := 2 * max(k.size, m)
	a := &axis{make([]taps, k.outputs)}
	var shares []int
	for i := range a.outputs {
		centre := (2*i + 1) * k.size
		share := func(x int) int {
			d := (2*x+1)*m - centre
			return reach - max(d, -d)
		}
		first := max((centre-reach)/(2*m)-1, 0)
		for share(first) <= 0 {
			first++
		}
		shares = shares[:0]
		sum := 0
		for x := first; x < k.samples() && share(x) > 0; x++ {
			shares = append(shares, share(x))
			sum += share(x)
		}
		w := make([]uint32, len(shares))
		upTo, before := 0, 0
		for t, s := range shares { // differences of rounded sums add up to unity
			upTo += s
			rounded := (upTo*unity + sum/2) / sum
			w[t], before = uint32(rounded-before), rounded
		}
		a.outputs[i] = taps{first, w}
	}
	return a
}

// raster is a picture in memory: the samples of pixel (x, y) start at
// pix[y*stride+x*step].
type raster struct {
	pix          []uint8
	stride, step int
}

// resizer scales pictures; it keeps the axes and buffers of those before.
type resizer struct {
	axes map[axisKey]*axis
	row  []uint32
}

// maxAxes bounds what is kept for pictures that change their size.
const maxAxes = 32

func (r *resizer) axis(k axisKey) *axis {
	a := r.axes[k]
	if a == nil {
		if r.axes == nil || len(r.axes) == maxAxes {
			r.axes = map[axisKey]*axis{}
		}
		a = newAxis(k)
		r.axes[k] = a
	}
	return a
}

// resize scales some samples of each pixel of p, those at the places at, and
// puts them into every third byte of dst, that of the first from dst[0] on.
func (r *resizer) resize(dst []uint8, p raster, across, down axisKey, at ...int) {
	h, v := r.axis(across), r.axis(down)
	r.row = grow(r.row, (across.samples()-1)*p.step+slices.Max(at)+1)
	for i, t := range v.outputs {
		weigh(r.row, p.pix[t.first*p.stride:], p.stride, t.weights)
		for k, place := range at {
			combine(dst[3*i*across.outputs+k:], r.row[place:], p.step, h)
		}
	}
}

// weigh adds rows of bytes by weights, into 256ths. One multiplication serves two
// bytes, which lie 32 bits apart: with weights that add up to unity, a sum has 24.
func weigh(dst []uint32, src []uint8, stride int, weights []uint32) {
	const (
		two  = 0x000000ff_000000ff
		half = 0x00000080_00000080
	)
	x := 0
	for ; x+8 <= len(dst); x += 8 {
		var a, b, c, d uint64 = half, half, half, half
		at := x
		for _, weight := range weights {
			v, w := binary.LittleEndian.Uint64(src[at:]), uint64(weight)
			a += (v & two) * w
			b += (v >> 8 & two) * w
			c += (v >> 16 & two) * w
			d += (v >> 24 & two) * w
			at += stride
		}
		out := dst[x : x+8 : x+8]
		out[0], out[4] = uint32(a)>>8, uint32(a>>40)
		out[1], out[5] = uint32(b)>>8, uint32(b>>40)
		out[2], out[6] = uint32(c)>>8, uint32(c>>40)
		out[3], out[7] = uint32(d)>>8, uint32(d>>40)
	}
	for ; x < len(dst); x++ {
		sum := uint32(0x80)
		for t, weight := range weights {
			sum += uint32(src[t*stride+x]) * weight
		}
		dst[x] = sum >> 8
	}
}

// combine fills every third byte of dst with the outputs along a row of 256ths,
// of which every step-th counts.
func combine(dst []uint8, row []uint32, step int, a *axis) {
	for i := range a.outputs {
		t := &a.outputs[i]
		sum := uint64(1 << 23)
		if step == 1 {
			samples := row[t.first:][:len(t.weights)]
			for k, w := range t.weights {
				sum += uint64(samples[k]) * uint64(w)
			}
		} else {
			x := t.first * step
			for _, w := range t.weights {
				sum += uint64(row[x]) * uint64(w)
				x += step
			}
		}
		dst[3*i] = uint8(sum >> 24)
	}
}
