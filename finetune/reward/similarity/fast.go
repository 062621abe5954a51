package similarity

// The circle of 16 pixels of FAST (Rosten and Drummond 2006), clockwise from
// below the centre.
var circle = [16][2]int{{0, 3}, {1, 3}, {2, 2}, {3, 1}, {3, 0}, {3, -1}, {2, -2}, {1, -3}, {0, -3}, {-1, -3}, {-2, -2}, {-3, -1}, {-3, 0}, {-3, 1}, {-2, 2}, {-1, 3}}

// fastArc is how many pixels of the circle in a row must be brighter, or darker.
const fastArc = 9

// corner is a place in a picture and how much of a corner it is.
type corner struct {
	x, y  int
	score int
}

// corners appends the FAST-9 corners of a padded level that lie at least margin
// pixels inside it, row by row: those whose score exceeds that of all eight
// neighbours. The score is the largest threshold at which the place would still
// be a corner.
func (l *level) corners(dst []corner, threshold, margin int) []corner {
	margin = max(margin, 3)
	if l.width <= 2*margin || l.height <= 2*margin {
		return dst
	}
	var offset [16]int
	for i, c := range circle {
		offset[i] = c[1]*l.stride + c[0]
	}
	// Scores are needed one pixel around the part that is searched; FAST itself
	// has none nearer than 3 to the border.
	x0, x1 := max(margin-1, 3), min(l.width-margin, l.width-4)
	y0, y1 := max(margin-1, 3), min(l.height-margin, l.height-4)
	l.scores = grow(l.scores, l.width*l.height)
	for y := y0; y <= y1; y++ {
		row := l.at(0, y)
		for x := x0; x <= x1; x++ {
			if s := fastScore(l.pix, row+x, &offset, threshold); s > 0 {
				l.scores[y*l.width+x] = uint8(s)
			}
		}
	}
	for y := margin; y < l.height-margin; y++ {
		for x := margin; x < l.width-margin; x++ {
			at := y*l.width + x
			s := l.scores[at]
			if s == 0 {
				continue
			}
			up, same, down := l.scores[at-l.width-1:][:3], l.scores[at-1:][:3], l.scores[at+l.width-1:][:3]
			if s > up[0] && s > up[1] && s > up[2] && s > same[0] && s > same[2] && s > down[0] && s > down[1] && s > down[2] {
				dst = append(dst, corner{x, y, int(s)})
			}
		}
	}
	return dst
}

// fastScore returns the score of the pixel at, or 0 where it is no corner at
// the threshold.
func fastScore(pix []uint8, at int, offset *[16]int, threshold int) int {
	v := int(pix[at])
	// Of nine in a row at least one lies at either end of each diameter.
	lo, hi := v-threshold, v+threshold
	maybe := 3
	for i := 0; i < 8 && maybe != 0; i += 2 {
		a, b := int(pix[at+offset[i]]), int(pix[at+offset[i+8]])
		now := 0
		if a > hi || b > hi {
			now |= 1
		}
		if a < lo || b < lo {
			now |= 2
		}
		maybe &= now
	}
	if maybe == 0 {
		return 0
	}
	var d [16 + fastArc]int
	bright, dark := uint32(0), uint32(0)
	for i := range 16 {
		p := int(pix[at+offset[i]])
		d[i] = p - v
		if p > hi {
			bright |= 1 << i
		} else if p < lo {
			dark |= 1 << i
		}
	}
	if !nineInARow(bright) && !nineInARow(dark) {
		return 0
	}
	copy(d[16:], d[:fastArc])
	best := threshold
	for i := 0; i < 16; i += 2 { // the arcs that begin at i and at i+1 share eight pixels
		low, high := d[i+1], d[i+1]
		for _, x := range d[i+2 : i+fastArc] {
			low, high = min(low, x), max(high, x)
		}
		a, b := d[i], d[i+fastArc]
		best = max(best, min(low, max(a, b)), -max(high, min(a, b)))
	}
	return best - 1
}

// nineInARow says whether nine neighbours on the circle are set.
func nineInARow(circle uint32) bool {
	circle |= circle << 16
	two := circle & (circle >> 1)
	four := two & (two >> 2)
	eight := four & (four >> 4)
	return eight&(circle>>8) != 0
}
