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
// The window is symmetric, so pixels are added in pairs before they are
// weighted; products are rounded before they are added, so that machines with
// fused multiply-add give the same bits.
func (s *SSIM) moments(g *Gray) {
	w := s.width
	inner := w - 2*ssimRadius
	a, b, c := s.a[:w], s.b[:w], s.c[:w]
	for y := range s.height - 2*ssimRadius {
		row := func(k int) (pix, ref []uint8) { return g.Pix[(y+k)*w:][:w], s.ref.Pix[(y+k)*w:][:w] }
		pix, ref := row(ssimRadius)
		weight := s.kernel[ssimRadius]
		for x := range w {
			p, r := int(pix[x]), int(ref[x])
			a[x], b[x], c[x] = weight*float64(p), weight*float64(p*p), weight*float64(p*r)
		}
		for k := range ssimRadius {
			pix, ref := row(k)
			pix2, ref2 := row(ssimWindow - 1 - k)
			weight := s.kernel[k]
			for x := range w {
				p, r, p2, r2 := int(pix[x]), int(ref[x]), int(pix2[x]), int(ref2[x])
				a[x] += float64(weight * float64(p+p2))
				b[x] += float64(weight * float64(p*p+p2*p2))
				c[x] += float64(weight * float64(p*r+p2*r2))
			}
		}
		at := y * inner
		s.across(s.mean[at:at+inner], a)
		s.across(s.sq[at:at+inner], b)
		s.across(s.mix[at:at+inner], c)
	}
}

// across folds a row with the window.
func (s *SSIM) across(dst, row []float64) {
	k0, k1, k2, k3, k4, k5 := s.kernel[5], s.kernel[4], s.kernel[3], s.kernel[2], s.kernel[1], s.kernel[0]
	for x := range dst {
		r := row[x : x+ssimWindow : x+ssimWindow]
		dst[x] = float64(k0*r[5]) + float64(k1*(r[4]+r[6])) + float64(k2*(r[3]+r[7])) +
			float64(k3*(r[2]+r[8])) + float64(k4*(r[1]+r[9])) + float64(k5*(r[0]+r[10]))
	}
}
