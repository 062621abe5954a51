package similarity

import (
	"math"
	"math/bits"
)

// Descriptor holds the results of BRIEF's 256 tests; bit i of word w is test
// 64w + i.
type Descriptor [4]uint64

// Distance is the number of bits in which two descriptors differ.
func (d *Descriptor) Distance(e *Descriptor) int {
	return bits.OnesCount64(d[0]^e[0]) + bits.OnesCount64(d[1]^e[1]) + bits.OnesCount64(d[2]^e[2]) + bits.OnesCount64(d[3]^e[3])
}

// describe compares the smoothed pixels of each test of the pattern, turned by
// an angle in degrees, around pixel (x, y).
func (l *level) describe(x, y int, angle float32) (d Descriptor) {
	radians := float64(angle * float32(math.Pi/180))
	cos, sin := float32(math.Cos(radians)), float32(math.Sin(radians))
	centre := l.at(x, y)
	value := func(px, py int8) uint8 {
		fx, fy := float32(px), float32(py)
		u, v := float32(fx*cos)-float32(fy*sin), float32(fx*sin)+float32(fy*cos)
		return l.blurred[centre+round(v)*l.stride+round(u)]
	}
	for i := range pattern {
		t := &pattern[i]
		if value(t[0], t[1]) < value(t[2], t[3]) {
			d[i/64] |= 1 << (i % 64)
		}
	}
	return d
}

// round rounds to the nearest integer, halves to even, a number that is smaller
// than 2^22.
func round(x float32) int {
	const half = 3 << 22 // of float32's digits: what lies behind the point falls away
	return int(float32(x+half) - half)
}

// Matched is the share of shared corners: the number of pairs of descriptors
// that are each the other's nearest, by the smaller number of descriptors. Of
// several that are equally near the first counts. Without descriptors on either
// side it is 0, even of equal pictures.
func Matched(a, b []Descriptor) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	type near struct{ at, distance int }
	ofA := make([]near, len(a))
	for i := range ofA {
		ofA[i].distance = math.MaxInt
	}
	n := 0
	ofB := make([]near, len(b))
	for j := range b {
		ofB[j].distance = math.MaxInt
		for i := range a {
			d := a[i].Distance(&b[j])
			if d < ofB[j].distance {
				ofB[j] = near{i, d}
			}
			if d < ofA[i].distance {
				ofA[i] = near{j, d}
			}
		}
	}
	for i, x := range ofA {
		if ofB[x.at].at == i {
			n++
		}
	}
	return float64(n) / float64(min(len(a), len(b)))
}
