package similarity

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Parameters of ORB, with the meaning that they have in OpenCV.
type Parameters struct {
	Features      int     // most keypoints of a picture (nfeatures); ties may make them mostTied times as many
	Scale         float32 // of a level of the pyramid to the next (scaleFactor)
	Levels        int     // of the pyramid (nlevels)
	EdgeThreshold int     // pixels at the border of each level that have no keypoint
	FASTThreshold int     // grey levels by which a corner differs from its surroundings
}

// Defaults fit pictures of 96x96 to 224x224. OpenCV's own (500, 1.2, 8, 31, 20)
// leave the middle third of 96x96 pixels, and none of the smaller levels: there
// a simulated arm's wrist camera has 9 corners with those and about a hundred with these,
// and the matches with a sub-goal's picture tell time to it less well.
func Defaults() Parameters {
	return Parameters{Features: 150, Scale: 1.2, Levels: 4, EdgeThreshold: 8, FASTThreshold: 7}
}

// Validate returns what cannot be used, or nil.
func (p *Parameters) Validate() error {
	switch {
	case p.Features < 1 || p.Features > 1<<16:
		return fmt.Errorf("ORB with %d features; use 1 to %d", p.Features, 1<<16)
	case !(p.Scale > 1 && p.Scale <= 4):
		return fmt.Errorf("ORB with a scale of %v; it must lie in (1, 4]", p.Scale)
	case p.Levels < 1 || p.Levels > 32:
		return fmt.Errorf("ORB with %d levels; use 1 to 32", p.Levels)
	case p.EdgeThreshold < 0 || p.EdgeThreshold > 1024:
		return fmt.Errorf("ORB with an edge threshold of %d; use 0 to 1024", p.EdgeThreshold)
	case p.FASTThreshold < 1 || p.FASTThreshold > 255:
		return fmt.Errorf("ORB with a FAST threshold of %d; use 1 to 255", p.FASTThreshold)
	}
	return nil
}

// The patch that orientation and descriptor are taken from, and Harris' block.
const (
	halfPatch   = 15 // of 31 pixels
	reach       = 22 // halfPatch*sqrt(2), rounded up: of the patch when it is turned
	harrisBlock = 7
	harrisK     = 0.04
)

// Keypoint is a corner of a picture.
type Keypoint struct {
	X, Y     float32 // pixels of the picture
	Octave   int     // level of the pyramid
	Angle    float32 // degrees, from x towards y
	Response float32 // of Harris' detector
}

// ORB finds corners and describes them (Rublee, Rabaud, Konolige, Bradski 2011):
// FAST-9 corners on a pyramid of scales, ranked by Harris' response, turned by
// the centroid of their patch's intensity, described by rotated BRIEF. It is
// for one goroutine at a time.
type ORB struct {
	p       Parameters
	rowEnd  [halfPatch + 1]int // of the circular patch, by row
	levels  []level
	cols    []bilinear
	rows    []bilinear
	found   []corner
	tmp     []float32
	points  []Keypoint
	of      []Descriptor
	perRank []int
}

// NewORB returns an ORB with the given parameters.
func NewORB(p Parameters) (*ORB, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	o := &ORB{p: p, levels: make([]level, p.Levels)}
	for i := range o.levels {
		o.levels[i].scale = float32(math.Pow(float64(p.Scale), float64(i)))
	}
	o.patch()
	return o, nil
}

// patch sets the ends of the rows of a circle that is symmetric about its
// diagonals.
func (o *ORB) patch() {
	low := int(math.Ceil(halfPatch * math.Sqrt2 / 2))
	for v := 0; v <= low; v++ {
		o.rowEnd[v] = int(math.RoundToEven(math.Sqrt(float64(halfPatch*halfPatch - v*v))))
	}
	for v, u := halfPatch, 0; v >= low; v-- {
		for o.rowEnd[u] == o.rowEnd[u+1] {
			u++
		}
		o.rowEnd[v] = u
		u++
	}
}

// quotas says how many keypoints each level may have: each as many fewer as its
// sides are shorter, and the last what is left.
func (o *ORB) quotas() []int {
	factor := float32(1 / float64(o.p.Scale))
	want := float32(float32(o.p.Features)*(1-factor)) / (1 - float32(math.Pow(float64(factor), float64(o.p.Levels))))
	out, sum := o.perRank[:0], 0
	for range o.p.Levels - 1 {
		n := int(math.RoundToEven(float64(want)))
		out = append(out, n)
		sum += n
		want *= factor
	}
	o.perRank = append(out, max(o.p.Features-sum, 0))
	return o.perRank
}

// errEmpty says that there is no picture.
var errEmpty = errors.New("ORB was given a picture without pixels")

// Describe returns the keypoints of a picture, in the order of levels, rows and
// columns, and their descriptors. Both are valid until the next call.
func (o *ORB) Describe(g *Gray) ([]Keypoint, []Descriptor, error) {
	if g.Width < 1 || g.Height < 1 || len(g.Pix) != g.Width*g.Height {
		return nil, nil, errEmpty
	}
	o.points, o.of = o.points[:0], o.of[:0]
	for i, quota := range o.quotas() {
		l := &o.levels[i]
		if !o.make(i, g) {
			break // nor are there keypoints on smaller ones
		}
		first := len(o.points)
		o.detect(l, i, quota)
		if len(o.points) == first {
			continue
		}
		o.tmp = l.blur(o.tmp)
		for k := first; k < len(o.points); k++ {
			p := &o.points[k]
			x, y := int(p.X), int(p.Y)
			p.Angle = o.angle(l, x, y)
			o.of = append(o.of, l.describe(x, y, p.Angle))
			p.X, p.Y = p.X*l.scale, p.Y*l.scale
		}
	}
	return o.points, o.of, nil
}

// make fills level i, and says whether any keypoint can lie in it.
func (o *ORB) make(i int, g *Gray) bool {
	l := &o.levels[i]
	side := func(n int) int { return int(math.RoundToEven(float64(float32(n) / l.scale))) }
	width, height := side(g.Width), side(g.Height)
	if m := 2 * max(o.p.EdgeThreshold, 3); width <= m || height <= m {
		return false
	}
	l.resize(width, height, max(o.p.EdgeThreshold, reach, harrisBlock/2)+1)
	if i == 0 {
		for y := range height {
			copy(l.pix[l.at(0, y):], g.Pix[y*width:][:width])
		}
		l.frame(l.pix)
		return true
	}
	src := &o.levels[i-1]
	o.cols, o.rows = bilinears(o.cols, width, src.width), bilinears(o.rows, height, src.height)
	l.shrink(src, o.cols, o.rows)
	return true
}

// mostTied bounds the keypoints of a level, in quotas: a picture of a regular
// pattern has thousands of corners that tie, and matching is quadratic in them.
const mostTied = 4

// detect appends the keypoints of a level, with positions in its pixels: of the
// FAST corners twice the quota with the highest scores, of these the quota with
// the highest response of Harris' detector. Corners that tie with the last stay,
// of keypoints up to mostTied quotas in their order.
func (o *ORB) detect(l *level, octave, quota int) {
	o.found = l.corners(o.found[:0], o.p.FASTThreshold, o.p.EdgeThreshold)
	o.found = best(o.found, 2*quota, len(o.found), func(c corner) float32 { return float32(c.score) })
	first := len(o.points)
	for _, c := range o.found {
		o.points = append(o.points, Keypoint{X: float32(c.x), Y: float32(c.y), Octave: octave, Response: l.harris(c.x, c.y)})
	}
	kept := best(o.points[first:], quota, mostTied*quota, func(k Keypoint) float32 { return k.Response })
	o.points = o.points[:first+len(kept)]
}

// best keeps the n items with the highest values, and those that are as good as
// the last of them, the first of these up to most items in all, in their order.
func best[T any](items []T, n, most int, value func(T) float32) []T {
	if len(items) <= n || n < 1 {
		return items[:min(n, len(items))]
	}
	values := make([]float32, len(items))
	for i, x := range items {
		values[i] = value(x)
	}
	slices.Sort(values)
	least := values[len(values)-n]
	better := len(values) - sort.Search(len(values), func(i int) bool { return values[i] > least })
	tied := most - better
	return slices.DeleteFunc(items, func(x T) bool {
		v := value(x)
		if v == least {
			tied--
		}
		return v < least || v == least && tied < 0
	})
}

// harris returns the response of Harris' corner detector in the block around a
// pixel, with Sobel's derivatives.
func (l *level) harris(x, y int) float32 {
	const scale = float32(1.0 / (4 * harrisBlock * 255.0))
	const r = harrisBlock / 2
	a, b, c := 0, 0, 0
	for dy := -r; dy <= r; dy++ {
		at := l.at(x-r, y+dy)
		up, row, down := l.pix[at-l.stride-1:], l.pix[at-1:], l.pix[at+l.stride-1:]
		for k := 1; k <= harrisBlock; k++ {
			ul, ur, dl, dr := int(up[k-1]), int(up[k+1]), int(down[k-1]), int(down[k+1])
			ix := 2*(int(row[k+1])-int(row[k-1])) + ur - ul + dr - dl
			iy := 2*(int(down[k])-int(up[k])) + dl - ul + dr - ur
			a += ix * ix
			b += iy * iy
			c += ix * iy
		}
	}
	fa, fb, fc := float32(a), float32(b), float32(c)
	trace := fa + fb
	det := float32(fa*fb) - float32(fc*fc)
	return (det - float32(float32(harrisK*trace)*trace)) * (scale * scale * scale * scale)
}

// angle returns the direction, in degrees, from a pixel to the centroid of the
// intensity in the circular patch around it.
func (o *ORB) angle(l *level, x, y int) float32 {
	at := l.at(x, y)
	m01, m10 := 0, 0
	for u := -halfPatch; u <= halfPatch; u++ {
		m10 += u * int(l.pix[at+u])
	}
	for v := 1; v <= halfPatch; v++ {
		end, sum := o.rowEnd[v], 0
		below, above := l.pix[at+v*l.stride-end:][:2*end+1], l.pix[at-v*l.stride-end:][:2*end+1]
		for u := range below {
			p, m := int(below[u]), int(above[u])
			sum += p - m
			m10 += (u - end) * (p + m)
		}
		m01 += v * sum
	}
	return atan2(float32(m01), float32(m10))
}

// atan2 returns an angle in degrees, in [0, 360), by the polynomial that OpenCV's
// fastAtan2 takes: off by up to 0.3 degrees, but the tests of BRIEF are turned
// by it, and so equal OpenCV's.
func atan2(y, x float32) float32 {
	const (
		degrees = float32(180 / math.Pi)
		p1      = 0.9997878412794807 * degrees
		p3      = -0.3258083974640975 * degrees
		p5      = 0.1555786518463281 * degrees
		p7      = -0.04432655554792128 * degrees
		tiny    = float32(0x1p-52)
	)
	ax, ay := max(x, -x), max(y, -y)
	c := min(ax, ay) / (max(ax, ay) + tiny)
	c2 := float32(c * c)
	a := float32(float32(float32(float32(float32(float32(p7*c2)+p5)*c2)+p3)*c2)+p1) * c
	if ax < ay {
		a = 90 - a
	}
	if x < 0 {
		a = 180 - a
	}
	if y < 0 {
		a = 360 - a
	}
	return a
}
