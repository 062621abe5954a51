package similarity

import "math"

// level is one picture of a scale pyramid with a margin of mirrored pixels
// around it, so that patches near its border can be read.
type level struct {
	width, height int
	pad, stride   int
	pix           []uint8 // (height+2*pad, stride)
	blurred       []uint8 // the same with all but the margin smoothed, as OpenCV has it
	scores        []uint8 // of FAST, (height, width)
	scale         float32 // of level 0 to this
}

// at is where pixel (x, y) lies in pix.
func (l *level) at(x, y int) int { return (y+l.pad)*l.stride + x + l.pad }

// grow returns n zeros, in the storage of b where it suffices.
func grow(b []uint8, n int) []uint8 {
	if cap(b) < n {
		return make([]uint8, n)
	}
	b = b[:n]
	clear(b)
	return b
}

func (l *level) resize(width, height, pad int) {
	l.width, l.height, l.pad, l.stride = width, height, pad, width+2*pad
	n := l.stride * (height + 2*pad)
	if cap(l.pix) < n {
		l.pix, l.blurred = make([]uint8, n), make([]uint8, n)
	}
	l.pix, l.blurred = l.pix[:n], l.blurred[:n]
}

// mirror returns the place in [0, n) that a place outside shows: the border
// itself is not repeated (OpenCV's BORDER_REFLECT_101).
func mirror(i, n int) int {
	if n == 1 {
		return 0
	}
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		} else {
			i = 2*(n-1) - i
		}
	}
	return i
}

// frame fills the margin of a picture of the level's layout.
func (l *level) frame(pix []uint8) {
	for y := range l.height {
		row := pix[(y+l.pad)*l.stride:][:l.stride]
		for x := 1; x <= l.pad; x++ {
			row[l.pad-x] = row[l.pad+mirror(-x, l.width)]
			row[l.pad+l.width-1+x] = row[l.pad+mirror(l.width-1+x, l.width)]
		}
	}
	for y := 1; y <= l.pad; y++ {
		for _, to := range []int{-y, l.height - 1 + y} {
			copy(pix[(to+l.pad)*l.stride:][:l.stride], pix[(mirror(to, l.height)+l.pad)*l.stride:][:l.stride])
		}
	}
}

// bilinear is how one output pixel is made of two input pixels: 8-bit weights
// 256-w and w.
type bilinear struct {
	at, next, w int
}

// bilinears returns the weights for n pixels of m, with the pixels' centres at
// halves.
func bilinears(dst []bilinear, n, m int) []bilinear {
	scale := 1 / (float64(n) / float64(m))
	dst = dst[:0]
	for i := range n {
		x := float64((float64(i)+0.5)*scale) - 0.5
		at := int(math.Floor(x))
		b := bilinear{at, at + 1, int(math.RoundToEven((x - math.Floor(x)) * 256))}
		if b.at < 0 {
			b = bilinear{0, 0, 0}
		}
		if b.next > m-1 {
			b = bilinear{m - 1, m - 1, 0}
		}
		dst = append(dst, b)
	}
	return dst
}

// shrink fills the level with a smaller copy of src: bilinear, in 8-bit fixed
// point (OpenCV's INTER_LINEAR_EXACT).
func (l *level) shrink(src *level, cols, rows []bilinear) {
	for y := range l.height {
		r := rows[y]
		top, bottom := src.pix[src.at(0, r.at):], src.pix[src.at(0, r.next):]
		dst := l.pix[l.at(0, y):][:l.width]
		for x := range dst {
			c := cols[x]
			a := int(top[c.at])*(256-c.w) + int(top[c.next])*c.w
			b := int(bottom[c.at])*(256-c.w) + int(bottom[c.next])*c.w
			dst[x] = uint8((a*(256-r.w) + b*r.w + 1<<15) >> 16)
		}
	}
	l.frame(l.pix)
}

// blurKernel is a Gaussian of 2 pixels over 7, normalised: the centre, and 1 to
// 3 pixels from it.
var blurKernel = gaussian7()

func gaussian7() (k [4]float32) {
	var w [4]float64
	sum := -1.0
	for i := range w {
		w[i] = math.Exp(-float64(i*i) / 8)
		sum += 2 * w[i]
	}
	for i := range w {
		k[i] = float32(w[i] / sum)
	}
	return k
}

// blur fills blurred; tmp is storage, returned for the next use. Products are
// rounded before they are added, so that every machine gives the same bits.
func (l *level) blur(tmp []float32) []float32 {
	w := l.width
	n := w * (l.height + 6)
	if cap(tmp) < n {
		tmp = make([]float32, n)
	}
	tmp = tmp[:n]
	k0, k1, k2, k3 := blurKernel[0], blurKernel[1], blurKernel[2], blurKernel[3]
	for y := range l.height + 6 {
		row := l.pix[l.at(-3, y-3):][:w+6]
		out := tmp[y*w:][:w]
		for x := range out {
			p := row[x : x+7 : x+7]
			out[x] = float32(k0*float32(p[3])) + float32(k1*float32(int(p[2])+int(p[4]))) +
				float32(k2*float32(int(p[1])+int(p[5]))) + float32(k3*float32(int(p[0])+int(p[6])))
		}
	}
	copy(l.blurred, l.pix)
	for y := range l.height {
		dst := l.blurred[l.at(0, y):][:w]
		r0, r1, r2, r3 := tmp[y*w:][:w], tmp[(y+1)*w:][:w], tmp[(y+2)*w:][:w], tmp[(y+3)*w:][:w]
		r4, r5, r6 := tmp[(y+4)*w:][:w], tmp[(y+5)*w:][:w], tmp[(y+6)*w:][:w]
		for x := range dst {
			sum := float32(k0*r3[x]) + float32(k1*(r2[x]+r4[x])) + float32(k2*(r1[x]+r5[x])) + float32(k3*(r0[x]+r6[x]))
			dst[x] = uint8(min(round(sum), 255))
		}
	}
	return tmp
}
