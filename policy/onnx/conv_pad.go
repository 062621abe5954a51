package onnx

// image is what frames are copied from.
type image interface {
	// spread writes a patch, whose rows then lie toRow numbers apart.
	spread(to []float32, toRow int, p patch)
}

// patch is rows of width numbers of an image: the first number at at, then each
// step from the one before, and rows row apart.
type patch struct{ at, row, step, rows, width int }

// pads writes the image that begins at from with its padding.
func (l *frame) pads(to []float32, x image, from int) []float32 {
	in := product(l.in)
	parallel(l.cin, 1+(1<<15)/(1+l.channel), func(lo, hi int) {
		for ch := lo; ch < hi; ch++ {
			l.pad(to[ch*l.channel:(ch+1)*l.channel], x, from+ch*in)
		}
	})
	return to[:l.cin*l.channel]
}

// pad writes one channel into its frame.
func (l *frame) pad(to []float32, x image, from int) {
	clear(to)
	last := len(l.in) - 1
	n, pitch := l.in[last], l.phases*l.phase
	planes, height, lo, hi := []int(nil), 1, 0, 1
	if last > 0 {
		planes, height = l.size[:last-1], l.size[last-1]
		lo, hi = reach(height, l.in[last-1], -l.begin[last-1], l.thin[last-1])
	}
	place := make([]int, len(planes))
	for i := range product(planes) {
		at, inside := 0, lo < hi
		for a, o := range place {
			o = o*l.thin[a] - l.begin[a]
			inside = inside && o >= 0 && o < l.in[a]
			at = at*l.in[a] + o
		}
		step(place, planes)
		if !inside {
			continue
		}
		p := patch{rows: hi - lo, step: l.stride[last]}
		if last > 0 {
			at = at*l.in[last-1] + lo*l.thin[last-1] - l.begin[last-1]
			p.row = n * l.thin[last-1]
		}
		for phase := range l.phases {
			shift := phase - l.begin[last]
			first, end := reach(l.phase, n, shift, p.step)
			if p.width = end - first; p.width > 0 {
				p.at = from + at*n + first*p.step + shift
				x.spread(to[(i*height+lo)*pitch+phase*l.phase+first:], pitch, p)
			}
		}
	}
}

// reach gives the places lo to hi of n whose number place*s + shift lies in an
// axis of size.
func reach(n, size, shift, s int) (lo, hi int) {
	if shift < 0 {
		lo = min((s-1-shift)/s, n)
	}
	if last := size - 1 - shift; last >= 0 {
		hi = min(last/s+1, n)
	}
	return lo, max(lo, hi)
}

type plainImage []float32

func (x plainImage) spread(to []float32, toRow int, p patch) {
	for r := range p.rows {
		line := to[r*toRow:][:p.width]
		from := x[p.at+r*p.row:][:(p.width-1)*p.step+1]
		switch p.step {
		case 1:
			copy(line, from)
		case 2:
			for i := range line {
				line[i] = from[2*i]
			}
		default:
			for i := range line {
				line[i] = from[i*p.step]
			}
		}
	}
}
