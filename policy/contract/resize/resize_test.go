package resize

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"arfm/policy/nn/cpu"
)

// triangle resizes in float64, straight from the filter's definition.
func triangle(k Side, samples []float64) []float64 {
	scale := float64(k.Size) / float64(k.Divisor*k.Outputs)
	radius := max(scale, 1)
	out := make([]float64, k.Outputs)
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
	var r Resizer
	for _, tc := range []struct {
		across, down Side
		step         int
		at           []int
	}{
		{Side{64, 1, 16}, Side{48, 1, 16}, 1, []int{0}},
		{Side{61, 1, 16}, Side{47, 1, 13}, 3, []int{2, 1, 0}},
		{Side{61, 2, 16}, Side{47, 2, 13}, 1, []int{0}},
		{Side{7, 4, 9}, Side{5, 1, 5}, 4, []int{0, 1, 2}},
		{Side{1, 1, 3}, Side{1, 2, 2}, 2, []int{1}},
		{Side{30, 1, 40}, Side{200, 1, 3}, 1, []int{0}},
		{Side{700, 1, 1}, Side{2, 1, 9}, 1, []int{0}},
		{Side{16, 1, 16}, Side{9, 1, 9}, 1, []int{0}},
	} {
		w, h := tc.across.Samples(), tc.down.Samples()
		stride := w*tc.step + 3
		pix := make([]uint8, (h-1)*stride+(w-1)*tc.step+1+max(tc.at[0], tc.at[len(tc.at)-1])) // none to spare
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
		dst := make([]uint8, 3*tc.across.Outputs*tc.down.Outputs)
		r.Resize(dst, Raster{pix, stride, tc.step}, tc.across, tc.down, tc.at...)
		for k, at := range tc.at {
			half := make([][]float64, h) // resized along rows
			for y := range half {
				row := make([]float64, w)
				for x := range row {
					row[x] = float64(pix[y*stride+x*tc.step+at])
				}
				half[y] = triangle(tc.across, row)
			}
			for x := range tc.across.Outputs {
				column := make([]float64, h)
				for y := range column {
					column[y] = half[y][x]
				}
				for y, want := range triangle(tc.down, column) {
					if got := float64(dst[3*(y*tc.across.Outputs+x)+k]); math.Abs(got-want) > 0.51 {
						t.Fatalf("%v: sample %d at (%d, %d) is %v, want %.3f", tc, at, x, y, got, want)
					}
				}
			}
		}
	}
}

// TestResizeFlat: a picture of one colour keeps it.
func TestResizeFlat(t *testing.T) {
	var r Resizer
	dst := make([]uint8, 3*24*24)
	for v := 0; v < 256; v += 15 {
		for _, size := range []int{1, 5, 24, 100, 3000} {
			pix := make([]uint8, size)
			for i := range pix {
				pix[i] = uint8(v)
			}
			r.Resize(dst, Raster{pix, 0, 1}, Side{size, 1, 24}, Side{size, 1, 24}, 0)
			for i := 0; i < len(dst); i += 3 {
				if dst[i] != uint8(v) {
					t.Fatalf("%d of %d becomes %d", v, size, dst[i])
				}
			}
		}
	}
}

// TestAxis: the largest and smallest sides have weights that fit too.
func TestAxis(t *testing.T) {
	for _, s := range []Side{{1 << 15, 1, 1}, {1 << 15, 1, 7}, {1 << 15, 4, 1024}, {1, 1, 1024}, {1<<15 - 1, 2, 3}, {97, 1, 96}, {96, 1, 97}, {96, 1, 96}} {
		a := newAxis(s)
		for i, first := range a.first {
			sum := 0
			for _, w := range a.weights[i*a.width:][:a.width] {
				sum += int(w)
			}
			if sum != unity || first < 0 || a.count[i] > a.width || first+a.count[i] > s.Samples() {
				t.Fatalf("%v: output %d has weights of %d for %d samples from %d on", s, i, sum, a.count[i], first)
			}
		}
	}
}

// TestKernels: the processor's kernels give the bits of plain Go, and leave
// alone what lies around their outputs.
func TestKernels(t *testing.T) {
	if cpu.Has == cpu.Generic {
		t.Skip("this processor has no kernels")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, w := range []int{1, 3, 7, 8, 9, 31, 32, 33, 64, 71, 640} {
		for _, h := range []int{1, 2, 9, 100} {
			pix := make([]uint8, w*h)
			for i := range pix {
				pix[i] = uint8(rng.Uint32())
			}
			var got, want [3 * 16 * 16]uint8
			across, down := Side{w, 1, 16}, Side{h, 1, 16}
			new(Resizer).Resize(got[1:], Raster{pix, w, 1}, across, down, 0)
			func() {
				defer func(l cpu.Level) { cpu.Has = l }(cpu.Has)
				cpu.Has = cpu.Generic
				new(Resizer).Resize(want[1:], Raster{pix, w, 1}, across, down, 0)
			}()
			if got != want {
				t.Errorf("%d x %d pixels differ", w, h)
			}
		}
	}
}

// BenchmarkResize turns the planes of a 640 x 480 JPEG into 96 x 96 samples; MB/s
// are of its RGB.
func BenchmarkResize(b *testing.B) {
	y, c := make([]uint8, 640*480), make([]uint8, 320*240)
	for i := range y {
		y[i] = uint8(i * 7)
	}
	for _, level := range []cpu.Level{cpu.Generic, cpu.Has} {
		for _, size := range []int{96, 224} {
			b.Run(fmt.Sprintf("%v/%d", level, size), func(b *testing.B) {
				defer func(l cpu.Level) { cpu.Has = l }(cpu.Has)
				cpu.Has = level
				var r Resizer
				dst := make([]uint8, 3*size*size)
				b.SetBytes(3 * 640 * 480)
				b.ReportAllocs()
				for b.Loop() {
					r.Resize(dst, Raster{y, 640, 1}, Side{640, 1, size}, Side{480, 1, size}, 0)
					for k := 1; k < 3; k++ {
						r.Resize(dst[k:], Raster{c, 320, 1}, Side{640, 2, size}, Side{480, 2, size}, 0)
					}
				}
			})
		}
	}
}
