// Package similarity says how alike two camera pictures are: by their pixels
// (MSE), by structure (SSIM) and by the corners that they share (ORB). Its
// figures are those of scikit-image and OpenCV.
package similarity

import (
	"arfm/policy"
)

// Gray is a picture in shades of grey.
type Gray struct {
	Width, Height int
	Pix           []uint8 // (Height, Width)
}

// Set makes g the grey picture of an RGB one, with ITU-R BT.601's weights in
// 15-bit integers as OpenCV's COLOR_RGB2GRAY has them. It reuses g's storage.
func (g *Gray) Set(im *policy.Image) {
	g.resize(im.Width, im.Height)
	for i := range g.Pix {
		p := im.Pix[3*i : 3*i+3]
		g.Pix[i] = uint8((9798*uint32(p[0]) + 19235*uint32(p[1]) + 3735*uint32(p[2]) + 1<<14) >> 15)
	}
}

// resize gives g a size; its pixels are whatever they are.
func (g *Gray) resize(width, height int) {
	g.Width, g.Height = width, height
	if n := width * height; cap(g.Pix) < n {
		g.Pix = make([]uint8, n)
	} else {
		g.Pix = g.Pix[:n]
	}
}

// MSE is the mean squared difference of two rows of bytes of the same length,
// in squared grey levels; 0 if there are none.
func MSE(a, b []uint8) float64 {
	if len(a) == 0 {
		return 0
	}
	sum := int64(0)
	for i, x := range a {
		d := int64(x) - int64(b[i])
		sum += d * d
	}
	return float64(sum) / float64(len(a))
}
