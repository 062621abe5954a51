package similarity

import (
	"fmt"
	"math"
)

// The window of SSIM: a Gaussian of 1.5 pixels, cut off at 3.5 of these.
const (
	ssimSigma  = 1.5
	ssimRadius = 5
	ssimWindow = 2*ssimRadius + 1
	ssimC1     = (0.01 * 255) * (0.01 * 255)
	ssimC2     = (0.03 * 255) * (0.03 * 255)
)

// MinSide is the least side of a picture that SSIM can compare, pixels.
const MinSide = ssimWindow

// SSIM compares grey pictures of one size with a reference by the mean
// structural similarity index (Wang, Bovik, Sheikh, Simoncelli 2004), with a
// Gaussian window of sigma 1.5, population covariances and a data range of 255.
// The mean goes over the places where the whole window lies in the picture.
// That is scikit-image's structural_similarity(gaussian_weights=True,
// sigma=1.5, use_sample_covariance=False, data_range=255).
type SSIM struct {
	width, height int
	kernel        [ssimWindow]float64
	ref           *Gray
	refMean       []float64 // of the windows, (height-10, width-10)
	refVar        []float64
	mean, sq, mix []float64
	a, b, c       []float64 // rows after the vertical pass, (width)
}

// NewSSIM compares pictures of the given size, whose sides must be at least
// MinSide.
func NewSSIM(width, height int) (*SSIM, error) {
	if min(width, height) < MinSide {
		return nil, fmt.Errorf("a picture of %dx%d is smaller than the window of SSIM, %dx%d", width, height, ssimWindow, ssimWindow)
	}
	s := &SSIM{width: width, height: height}
	sum := 0.0
	for i := range s.kernel {
		x := float64(i-ssimRadius) / ssimSigma
		s.kernel[i] = math.Exp(-0.5 * x * x)
		sum += s.kernel[i]
	}
	for i := range s.kernel {
		s.kernel[i] /= sum
	}
	n := (width - 2*ssimRadius) * (height - 2*ssimRadius)
	for _, p := range []*[]float64{&s.refMean, &s.refVar, &s.mean, &s.sq, &s.mix} {
		*p = make([]float64, n)
	}
	for _, p := range []*[]float64{&s.a, &s.b, &s.c} {
		*p = make([]float64, width)
	}
	return s, nil
}

// Against sets the picture that others are compared with; it must stay as it
// is while they are.
func (s *SSIM) Against(ref *Gray) {
	s.ref = ref
	s.moments(ref)
	copy(s.refMean, s.mean)
	for i, m := range s.mean {
		s.refVar[i] = s.sq[i] - float64(m*m)
	}
}

// Of returns the mean structural similarity, in [-1, 1], of a picture and the
// one set by Against.
func (s *SSIM) Of(g *Gray) float64 {
	s.moments(g)
	sum := 0.0
	for i, m := range s.mean {
		r := s.refMean[i]
		product, squares := float64(m*r), float64(m*m)+float64(r*r)
		cov, variances := s.mix[i]-product, s.sq[i]-float64(m*m)+s.refVar[i]
		sum += (2*product + ssimC1) * (2*cov + ssimC2) / ((squares + ssimC1) * (variances + ssimC2))
	}
	return sum / float64(len(s.mean))
}

// moments fills mean, sq and mix with the windows' means of x, x*x and x*ref.
func (s *SSIM) moments(g *Gray) {
	w := s.width
	inner := w - 2*ssimRadius
	for y := range s.height - 2*ssimRadius {
		clear(s.a)
		clear(s.b)
		clear(s.c)
		for k, weight := range s.kernel {
			row, ref := g.Pix[(y+k)*w:][:w], s.ref.Pix[(y+k)*w:][:w]
			a, b, c := s.a[:w], s.b[:w], s.c[:w]
			for x, v := range row {
				p, r := float64(v), float64(ref[x])
				wp := float64(weight * p)
				a[x] += wp
				b[x] += float64(wp * p)
				c[x] += float64(wp * r)
			}
		}
		at := y * inner
		s.across(s.mean[at:at+inner], s.a)
		s.across(s.sq[at:at+inner], s.b)
		s.across(s.mix[at:at+inner], s.c)
	}
}

// across folds a row with the window. The products are rounded before they are
// added, so that machines with fused multiply-add give the same bits.
func (s *SSIM) across(dst, row []float64) {
	k := &s.kernel
	for x := range dst {
		r := row[x : x+ssimWindow]
		sum := float64(k[5] * r[5])
		for i := range ssimRadius { // the window is symmetric
			sum += float64(k[i] * (r[i] + r[ssimWindow-1-i]))
		}
		dst[x] = sum
	}
}
