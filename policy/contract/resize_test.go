package contract

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"
)

// triangle resizes in float64, straight from the filter's definition.
func triangle(k axisKey, samples []float64) []float64 {
	scale := float64(k.size) / float64(k.divisor*k.outputs)
	radius := max(scale, 1)
	out := make([]float64, k.outputs)
	for i := range out {
		centre, sum := (float64(i)+0.5)*scale, 0.0
		for x, v := range samples {
			w := max(1-math.Abs(float64(x)+0.5-centre)/radius, 0)
			out[i] += w * v
			sum += w
		}
		out[i] /= sum
	}
	return out
}

// TestResizeFilter: random pictures of many sizes come out as the filter in
// float64 says, to the rounding, whatever lies around their samples.
func TestResizeFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r resizer
	for _, tc := range []struct {
		across, down axisKey
		step         int
		at           []int
	}{
		{axisKey{64, 1, 16}, axisKey{48, 1, 16}, 1, []int{0}},
		{axisKey{61, 1, 16}, axisKey{47, 1, 13}, 3, []int{2, 1, 0}},
		{axisKey{61, 2, 16}, axisKey{47, 2, 13}, 1, []int{0}},
		{axisKey{7, 4, 9}, axisKey{5, 1, 5}, 4, []int{0, 1, 2}},
		{axisKey{1, 1, 3}, axisKey{1, 2, 2}, 2, []int{1}},
		{axisKey{30, 1, 40}, axisKey{200, 1, 3}, 1, []int{0}},
		{axisKey{700, 1, 1}, axisKey{2, 1, 9}, 1, []int{0}},
		{axisKey{16, 1, 16}, axisKey{9, 1, 9}, 1, []int{0}},
	} {
		w, h := tc.across.samples(), tc.down.samples()
		stride := w*tc.step + 3
		pix := make([]uint8, (h-1)*stride+(w-1)*tc.step+1+max(tc.at[0], tc.at[len(tc.at)-1])) // none to spare
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
		dst := make([]uint8, 3*tc.across.outputs*tc.down.outputs)
		r.resize(dst, raster{pix, stride, tc.step}, tc.across, tc.down, tc.at...)
		for k, at := range tc.at {
			half := make([][]float64, h) // resized along rows
			for y := range half {
				row := make([]float64, w)
				for x := range row {
					row[x] = float64(pix[y*stride+x*tc.step+at])
				}
				half[y] = triangle(tc.across, row)
			}
			for x := range tc.across.outputs {
				column := make([]float64, h)
				for y := range column {
					column[y] = half[y][x]
				}
				for y, want := range triangle(tc.down, column) {
					if got := float64(dst[3*(y*tc.across.outputs+x)+k]); math.Abs(got-want) > 0.51 {
						t.Fatalf("%v: sample %d at (%d, %d) is %v, want %.3f", tc, at, x, y, got, want)
					}
				}
			}
		}
	}
}

// TestResizeFlat: a picture of one colour keeps it.
func TestResizeFlat(t *testing.T) {
	var r resizer
	dst := make([]uint8, 3*24*24)
	for v := 0; v < 256; v += 15 {
		for _, size := range []int{1, 5, 24, 100, 3000} {
			pix := make([]uint8, size)
			for i := range pix {
				pix[i] = uint8(v)
			}
			r.resize(dst, raster{pix, 0, 1}, axisKey{size, 1, 24}, axisKey{size, 1, 24}, 0)
			for i := 0; i < len(dst); i += 3 {
				if dst[i] != uint8(v) {
					t.Fatalf("%d of %d becomes %d", v, size, dst[i])
				}
			}
		}
	}
}

// TestAxisAlike: the largest pictures that are allowed have weights too.
func TestAxisAlike(t *testing.T) {
	for _, k := range []axisKey{{maxSide, 1, 1}, {maxSide, 1, 7}, {maxSide, 4, 1024}, {1, 1, 1024}, {maxSide - 1, 2, 3}} {
		for i, taps := range newAxis(k).outputs {
			sum := 0
			for _, w := range taps.weights {
				sum += int(w)
			}
			if sum != unity || taps.first < 0 || taps.first+len(taps.weights) > k.samples() {
				t.Fatalf("%v: output %d has weights of %d for %d samples from %d on", k, i, sum, len(taps.weights), taps.first)
			}
		}
	}
}

// BenchmarkResize turns the planes of a 640 x 480 JPEG into 96 x 96 pixels; MB/s
// are of its RGB.
func BenchmarkResize(b *testing.B) {
	src := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
	for i := range src.Y {
		src.Y[i] = uint8(i * 7)
	}
	for _, size := range []int{96, 224} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var d decoder
			c := &camera{height: size, width: size}
			img := &rawImage{width: 640, height: 480, pix: make([]uint8, 3*size*size)}
			b.SetBytes(3 * 640 * 480)
			b.ReportAllocs()
			for b.Loop() {
				d.planes(c, img, src)
			}
		})
	}
}
