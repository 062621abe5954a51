package jpeg

import (
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pictures are the files of testdata, by name: cjpeg's, of one 61 x 47 picture.
func pictures(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(paths) < 11 {
		t.Fatalf("%d pictures, error %v", len(paths), err)
	}
	all := map[string][]byte{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(p), ".jpg")] = data
	}
	return all
}

// planes lists rows of samples, those inside of the picture.
func planes(t testing.TB, img image.Image) (out [][]uint8) {
	rows := func(pix []uint8, stride, w, h int) {
		for y := range h {
			out = append(out, pix[y*stride:][:w])
		}
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	switch p := img.(type) {
	case *image.Gray:
		rows(p.Pix, p.Stride, w, h)
	case *image.RGBA:
		rows(p.Pix, p.Stride, 4*w, h)
	case *image.YCbCr:
		rows(p.Y, p.YStride, w, h)
		cw, ch := (w+1)/2, h
		switch p.SubsampleRatio {
		case image.YCbCrSubsampleRatio444:
			cw = w
		case image.YCbCrSubsampleRatio440:
			cw, ch = w, (h+1)/2
		case image.YCbCrSubsampleRatio420:
			ch = (h + 1) / 2
		case image.YCbCrSubsampleRatio411:
			cw = (w + 3) / 4
		}
		rows(p.Cb, p.CStride, cw, ch)
		rows(p.Cr, p.CStride, cw, ch)
	default:
		t.Fatalf("a %T", img)
	}
	return out
}

// TestDecode holds this build's decoder to image/jpeg: samples differ by two
// levels at most, and by a tenth on average.
func TestDecode(t *testing.T) {
	var d Decoder
	all := pictures(t)
	delete(all, "arithmetic")
	for range 2 { // with the buffers of the others
		for name, data := range all {
			w, h, err := Size(data)
			if err != nil || w != 61 || h != 47 {
				t.Fatalf("%s: %d x %d, error %v", name, w, h, err)
			}
			got, err := d.Decode(data, w, h)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, err := standard(data, w, h)
			if err != nil {
				t.Fatal(err)
			}
			a, b := planes(t, got), planes(t, want)
			if len(a) != len(b) {
				t.Fatalf("%s: %d rows, want %d", name, len(a), len(b))
			}
			sum, n := 0.0, 0
			for y := range a {
				for x := range a[y] {
					diff := math.Abs(float64(a[y][x]) - float64(b[y][x]))
					if sum, n = sum+diff, n+1; diff > 2 {
						t.Fatalf("%s: sample %d of row %d is %d, image/jpeg says %d", name, x, y, a[y][x], b[y][x])
					}
				}
			}
			if sum > 0.1*float64(n) {
				t.Errorf("%s: samples are off by %.3f on average", name, sum/float64(n))
			}
			t.Logf("%s: %T, off by %.4f on average", name, got, sum/float64(n))
		}
	}
}

// TestRefuses: what image/jpeg does not take no build takes.
func TestRefuses(t *testing.T) {
	all := pictures(t)
	if _, _, err := Size(all["arithmetic"]); err == nil {
		t.Error("arithmetic coding is taken")
	}
	var d Decoder
	good := all["420"]
	for name, data := range map[string][]byte{
		"nothing": nil, "no JPEG": []byte("GIF89a"), "start alone": good[:2],
		"header alone": good[:200], "cut off": good[:len(good)-40],
	} {
		if _, err := d.Decode(data, 61, 47); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := d.Decode(good, 62, 47); err == nil || !strings.Contains(err.Error(), "61") {
		t.Errorf("another size than the one that was checked: error %v", err)
	}
	if _, err := d.Decode(good, 61, 47); err != nil {
		t.Errorf("after the bad ones: %v", err)
	}
}

// TestAfterCut: wherever a picture is cut, the decoder gives the next whole one
// as a fresh decoder does.
func TestAfterCut(t *testing.T) {
	all := pictures(t)
	var d, fresh Decoder
	want, err := fresh.Decode(all["420"], 61, 47)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"420", "progressive"} {
		cut := all[name]
		if cut == nil {
			t.Fatalf("there is no picture %s", name)
		}
		for n := range cut {
			_, _ = d.Decode(cut[:n:n], 61, 47) // refused or not: it is the next that counts
			got, err := d.Decode(all["420"], 61, 47)
			if err != nil {
				t.Fatalf("after %s cut at %d: %v", name, n, err)
			}
			if !slices.EqualFunc(planes(t, got), planes(t, want), slices.Equal) {
				t.Fatalf("after %s cut at %d the next picture differs", name, n)
			}
		}
	}
}

// TestScans: many scans of a large picture are refused, which would take minutes.
func TestScans(t *testing.T) {
	data := slices.Clone(pictures(t)["progressive"])
	if err := limit(data, 61, 47); err != nil {
		t.Fatal(err)
	}
	if err := limit(data, 8192, 4096); err != nil {
		t.Errorf("an encoder's scans of a large picture: %v", err)
	}
	for range 1000 {
		data = append(data, 0xff, 0xda)
	}
	var d Decoder
	if _, err := d.Decode(data, 8192, 4096); err == nil || !strings.Contains(err.Error(), "scans") {
		t.Errorf("error %v", err)
	}
}

// FuzzDecode: no data make the decoder panic or give another size than is asked
// for, and what image/jpeg takes is taken.
func FuzzDecode(f *testing.F) {
	for _, data := range pictures(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, err := Size(data)
		if err != nil || w*h == 0 || w*h > 1<<16 {
			return
		}
		var d Decoder
		img, err := d.Decode(slices.Clip(data), w, h)
		if err != nil {
			if _, err := standard(data, w, h); err == nil {
				t.Fatal("image/jpeg takes it")
			}
			return
		}
		if img.Bounds() != image.Rect(0, 0, w, h) {
			t.Fatalf("bounds %v, header %d x %d", img.Bounds(), w, h)
		}
		planes(t, opaque(img))
	})
}

// opaque stands in for the kinds that planes does not list.
func opaque(img image.Image) image.Image {
	if p, ok := img.(*image.CMYK); ok {
		return &image.RGBA{Pix: p.Pix, Stride: p.Stride, Rect: p.Rect}
	}
	return img
}

// BenchmarkDecode decodes the 61 x 47 picture; MB/s are of its pixels in RGB.
func BenchmarkDecode(b *testing.B) {
	var d Decoder
	data := pictures(b)["420"]
	b.SetBytes(3 * 61 * 47)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data, 61, 47); err != nil {
			b.Fatal(err)
		}
	}
}
