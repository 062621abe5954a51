// Package resize scales pictures with the triangle filter, as image libraries
// have it: a sample counts for an output by how near their centres are, within
// the distance of two outputs where the picture shrinks, so that every sample
// counts and nothing aliases, and of two samples where it grows, which is
// bilinear interpolation. All of it is integers: the results are the same bits
// on every machine, with its AVX2 kernels and without.
package resize

import "slices"

const (
	unity = 1 << 16 // what the weights of an output add up to
	lanes = 8       // weights of an output come in such groups
)

// Side says what becomes of one direction of a picture: Outputs cover
// Size/Divisor samples, of which there are as many, rounded up. At half a
// picture's width the last sample of colour may lie outside of it by half. All
// are positive.
type Side struct{ Size, Divisor, Outputs int }

// Samples is how many there are along the side.
func (s Side) Samples() int { return (s.Size + s.Divisor - 1) / s.Divisor }

// Raster is a picture in memory: the bytes of pixel (x, y) start at
// Pix[y*Stride+x*Step].
type Raster struct {
	Pix          []uint8
	Stride, Step int
}

// axis is of which samples the outputs along a side are made. Output i has those
// from first[i] on, with weights from i*width on, of which count[i] are not 0.
type axis struct {
	first, count []int
	weights      []uint32
	width        int // a multiple of lanes
}

func newAxis(s Side) *axis {
	// Distances are in 1/(2 divisor outputs) samples, which makes them whole.
	m := s.Divisor * s.Outputs
	reach := 2 * max(s.Size, m)
	a := &axis{width: (reach/m + lanes) / lanes * lanes} // reach/m whole distances fit between two ends
	a.first, a.count = make([]int, s.Outputs), make([]int, s.Outputs)
	a.weights = make([]uint32, s.Outputs*a.width)
	var shares []int
	for i := range s.Outputs {
		centre := (2*i + 1) * s.Size
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
		for x := first; x < s.Samples() && share(x) > 0; x++ {
			shares = append(shares, share(x))
			sum += share(x)
		}
		upTo, before := 0, 0
		for k, v := range shares { // differences of rounded sums add up to unity
			upTo += v
			rounded := (upTo*unity + sum/2) / sum
			a.weights[i*a.width+k], before = uint32(rounded-before), rounded
		}
		a.first[i], a.count[i] = first, len(shares)
	}
	return a
}

// Resizer scales pictures; it keeps the weights and buffers of those before. The
// zero value is ready. It is not for concurrent use.
type Resizer struct {
	axes map[Side]*axis
	row  []uint32
}

// maxAxes bounds what is kept for pictures that change their size.
const maxAxes = 32

func (r *Resizer) axis(s Side) *axis {
	a := r.axes[s]
	if a == nil {
		if r.axes == nil || len(r.axes) == maxAxes {
			r.axes = map[Side]*axis{}
		}
		a = newAxis(s)
		r.axes[s] = a
	}
	return a
}

// Resize scales some bytes of each pixel of p, those at the places at, and puts
// them into every third byte of dst, that of the first from dst[0] on.
func (r *Resizer) Resize(dst []uint8, p Raster, across, down Side, at ...int) {
	h, v := r.axis(across), r.axis(down)
	n := (across.Samples()-1)*p.Step + slices.Max(at) + 1
	if need := n + h.width*p.Step; len(r.row) < need {
		r.row = make([]uint32, need) // samples behind the last have the weight 0
	}
	for i := range down.Outputs {
		weigh(r.row[:n], p.Pix[v.first[i]*p.Stride:], p.Stride, v.weights[i*v.width:][:v.count[i]])
		for k, place := range at {
			combine(dst[3*i*across.Outputs+k:], r.row[place:], p.Step, h)
		}
	}
}

// weigh adds rows of bytes by weights, into 256ths.
func weigh(dst []uint32, src []uint8, stride int, weights []uint32) {
	for x := weighKernel(dst, src, stride, weights); x < len(dst); x++ {
		sum, at := uint32(0x80), x
		for _, w := range weights {
			sum += uint32(src[at]) * w
			at += stride
		}
		dst[x] = sum >> 8
	}
}

// combine fills every third byte of dst with the outputs along a row of 256ths,
// of which every step-th counts.
func combine(dst []uint8, row []uint32, step int, a *axis) {
	if step == 1 && combineKernel(dst, row, a) {
		return
	}
	for i, first := range a.first {
		sum := uint32(1 << 23)
		weights := a.weights[i*a.width:][:a.count[i]]
		if step == 1 {
			samples := row[first:][:len(weights)]
			for k, w := range weights {
				sum += samples[k] * w
			}
		} else {
			x := first * step
			for _, w := range weights {
				sum += row[x] * w
				x += step
			}
		}
		dst[3*i] = uint8(sum >> 24)
	}
}
