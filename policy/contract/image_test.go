package contract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"arfm/policy"
)

func rawImageMsg(encoding string, w, h, step int, big bool, data []byte) *msg {
	b := uint8(0)
	if big {
		b = 1
	}
	return &msg{typeImage, map[string]any{
		"encoding": encoding, "width": uint32(w), "height": uint32(h), "step": uint32(step), "is_bigendian": b, "data": data,
	}}
}

func compressedMsg(format string, data []byte) *msg {
	return &msg{typeCompressed, map[string]any{"format": format, "data": data}}
}

// decode runs one message through a camera of the message's own size.
func decode(t *testing.T, m *msg, w, h int, rangeM ...float64) ([]uint8, error) {
	t.Helper()
	var img policy.Image
	err := NewImageDecoder(ImageField{Type: m.typ, Size: [2]int{h, w}, RangeM: rangeM}).Decode(m, &img)
	if err == nil && (img.Width != w || img.Height != h || len(img.Pix) != 3*w*h) {
		t.Fatalf("image of %d x %d, %d bytes", img.Width, img.Height, len(img.Pix))
	}
	return img.Pix, err
}

// TestEncodings decodes two pixels, (10, 20, 30) over (40, 50, 60), in rows
// with two bytes of padding.
func TestEncodings(t *testing.T) {
	for _, tc := range []struct {
		encoding  string
		big       bool
		row0      []byte
		row1      []byte
		want      []uint8
		tolerance int
	}{
		{"rgb8", false, []byte{10, 20, 30}, []byte{40, 50, 60}, []uint8{10, 20, 30, 40, 50, 60}, 0},
		{"bgr8", false, []byte{30, 20, 10}, []byte{60, 50, 40}, []uint8{10, 20, 30, 40, 50, 60}, 0},
		{"rgba8", false, []byte{10, 20, 30, 0}, []byte{40, 50, 60, 9}, []uint8{10, 20, 30, 40, 50, 60}, 0},
		{"bgra8", false, []byte{30, 20, 10, 0}, []byte{60, 50, 40, 9}, []uint8{10, 20, 30, 40, 50, 60}, 0},
		{"mono8", false, []byte{10}, []byte{40}, []uint8{10, 10, 10, 40, 40, 40}, 0},
		{"mono16", false, []byte{7, 10}, []byte{7, 40}, []uint8{10, 10, 10, 40, 40, 40}, 0},
		{"mono16", true, []byte{10, 7}, []byte{40, 7}, []uint8{10, 10, 10, 40, 40, 40}, 0},
	} {
		data := append(append(append([]byte{}, tc.row0...), 99, 99), tc.row1...) // the last row unpadded
		got, err := decode(t, rawImageMsg(tc.encoding, 1, 2, len(tc.row0)+2, tc.big, data), 1, 2)
		if err != nil || !bytes.Equal(got, tc.want) {
			t.Errorf("%s: %v, error %v, want %v", tc.encoding, got, err, tc.want)
		}
	}
}

// TestBayer mosaics a picture whose red grows with x and blue with y. Away
// from the edges the bilinear demosaic of a linear picture is exact.
func TestBayer(t *testing.T) {
	const n = 12
	at := func(x, y int) [3]int { return [3]int{10 + 8*x, 100, 200 - 10*y} }
	for _, pattern := range []string{"rggb", "bggr", "gbrg", "grbg"} {
		data := make([]byte, n*n)
		for y := range n {
			for x := range n {
				c := map[byte]int{'r': 0, 'g': 1, 'b': 2}[pattern[y%2*2+x%2]]
				data[y*n+x] = byte(at(x, y)[c])
			}
		}
		got, err := decode(t, rawImageMsg("bayer_"+pattern+"8", n, n, n, false, data), n, n)
		if err != nil {
			t.Fatal(err)
		}
		for y := 1; y < n-1; y++ {
			for x := 1; x < n-1; x++ {
				for c, want := range at(x, y) {
					if v := int(got[3*(y*n+x)+c]); v != want {
						t.Fatalf("%s: channel %d at (%d, %d) is %d, want %d", pattern, c, x, y, v, want)
					}
				}
			}
		}
	}
}

func TestDepth(t *testing.T) {
	metres := []float32{float32(math.NaN()), 0, 0.5, 1, 1.5, 9, float32(math.Inf(1)), float32(math.Inf(-1))}
	want := []uint8{0, 0, 1, 128, 255, 255, 255, 1}
	const w = 8
	for _, big := range []bool{false, true} {
		var order binary.AppendByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		var f32, u16 []byte
		for _, m := range metres {
			f32 = order.AppendUint32(f32, math.Float32bits(m))
			mm := uint16(0)
			if m > 0 && m < 60 {
				mm = uint16(math.Round(float64(m) * 1000))
			}
			u16 = order.AppendUint16(u16, mm)
		}
		for y := 1; y < 8; y++ { // eight equal rows
			f32, u16 = append(f32, f32[:4*w]...), append(u16, u16[:2*w]...)
		}
		got, err := decode(t, rawImageMsg("32FC1", w, 8, 4*w, big, f32), w, 8, 0.5, 1.5)
		if err != nil {
			t.Fatal(err)
		}
		mm, err := decode(t, rawImageMsg("16UC1", w, 8, 2*w, big, u16), w, 8, 0.5, 1.5)
		if err != nil {
			t.Fatal(err)
		}
		for x := range w {
			if got[3*x] != want[x] {
				t.Errorf("32FC1 %v m is %d, want %d", metres[x], got[3*x], want[x])
			}
			if x < 6 && mm[3*x] != want[x] {
				t.Errorf("16UC1 %v m is %d, want %d", metres[x], mm[3*x], want[x])
			}
		}
	}
}

func encodePNG(t testing.TB, img image.Image) []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestCompressed(t *testing.T) {
	rgb := image.NewRGBA(image.Rect(0, 0, 8, 8))
	deep := image.NewGray16(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		rgb.SetRGBA(i%8, i/8, color.RGBA{200, 100, 50, 255})
		deep.SetGray16(i%8, i/8, color.Gray16{1000})
	}
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, rgb, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, 12)
	// compressed_depth_image_transport: v = A/d + B; A = 1000, B = 0 puts 1 m on 1000.
	quant := binary.LittleEndian.AppendUint32(make([]byte, 4), math.Float32bits(1000))
	quant = binary.LittleEndian.AppendUint32(quant, 0)
	for _, tc := range []struct {
		name   string
		m      *msg
		rangeM []float64
		want   [3]int
	}{
		{"jpeg", compressedMsg("bgr8; jpeg compressed bgr8", jpg.Bytes()), nil, [3]int{200, 100, 50}},
		{"png", compressedMsg("png", encodePNG(t, rgb)), nil, [3]int{200, 100, 50}},
		{"png 16 bit", compressedMsg("mono16; png compressed", encodePNG(t, deep)), nil, [3]int{3, 3, 3}},
		{"depth png", compressedMsg("16UC1; png compressed", encodePNG(t, deep)), []float64{0, 2}, [3]int{128, 128, 128}},
		{"compressedDepth", compressedMsg("16UC1; compressedDepth png", append(header, encodePNG(t, deep)...)), []float64{0, 2}, [3]int{128, 128, 128}},
		{"compressedDepth of metres", compressedMsg("32FC1; compressedDepth png", append(quant, encodePNG(t, deep)...)), []float64{0, 2}, [3]int{128, 128, 128}},
	} {
		got, err := decode(t, tc.m, 8, 8, tc.rangeM...)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for c, want := range tc.want {
			if d := int(got[3*27+c]) - want; d < -4 || d > 4 {
				t.Errorf("%s: channel %d is %d, want %d", tc.name, c, got[3*27+c], want)
			}
		}
	}
}

// TestResize: halving averages, whatever lies between the sampled points.
func TestResize(t *testing.T) {
	const n = 64
	data := make([]byte, n*n)
	for i := range data {
		if (i%n+i/n)%2 == 0 {
			data[i] = 200 // a chequerboard, which sampling would turn into stripes or one flat colour
		}
	}
	got, err := decode(t, rawImageMsg("mono8", n, n, n, false, data), 16, 8)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v < 96 || v > 104 {
			t.Fatalf("byte %d is %d, want the mean 100", i, v)
		}
	}
}

// TestResizeJPEG: a JPEG, resized plane by plane, looks like the picture
// itself, resized.
func TestResizeJPEG(t *testing.T) {
	const n = 64
	img := image.NewRGBA(image.Rect(0, 0, n, n))
	var raw []byte
	for i := range n * n {
		p := color.RGBA{uint8(4 * (i % n)), uint8(4 * (i / n)), uint8(255 - 2*(i%n) - 2*(i/n)), 255}
		img.SetRGBA(i%n, i/n, p)
		raw = append(raw, p.R, p.G, p.B)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 98}); err != nil {
		t.Fatal(err)
	}
	got, err := decode(t, compressedMsg("jpeg", buf.Bytes()), 20, 10)
	if err != nil {
		t.Fatal(err)
	}
	want, err := decode(t, rawImageMsg("rgb8", n, n, 3*n, false, raw), 20, 10)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if d := int(got[i]) - int(want[i]); d < -4 || d > 4 {
			t.Fatalf("byte %d is %d, want %d", i, got[i], want[i])
		}
	}
}

func TestImageRefuses(t *testing.T) {
	huge := encodePNG(t, image.NewGray(image.Rect(0, 0, 8, 8)))
	binary.BigEndian.PutUint32(huge[16:], 60000) // width in IHDR, checksum now wrong too
	good := encodePNG(t, image.NewRGBA(image.Rect(0, 0, 8, 8)))
	for _, tc := range []struct {
		name   string
		m      *msg
		rangeM []float64
		err    error
	}{
		{"no data", rawImageMsg("mono8", 1, 1, 1, false, nil), nil, ErrField},
		{"unknown encoding", rawImageMsg("jpeg2000", 1, 1, 1, false, []byte{1}), nil, ErrImage},
		{"no pixels", rawImageMsg("mono8", 0, 8, 8, false, []byte{1}), nil, ErrImage},
		{"too many pixels", rawImageMsg("mono8", 1<<15, 1<<15, 1<<15, false, []byte{1}), nil, ErrImage},
		{"step below the row", rawImageMsg("rgb8", 2, 1, 5, false, make([]byte, 6)), nil, ErrImage},
		{"data too short", rawImageMsg("rgb8", 2, 2, 6, false, make([]byte, 11)), nil, ErrImage},
		{"huge step", rawImageMsg("mono8", 1, 2, math.MaxUint32, false, make([]byte, 11)), nil, ErrImage},
		{"depth without range", rawImageMsg("32FC1", 1, 1, 4, false, make([]byte, 4)), nil, ErrImage},
		{"range without depth", rawImageMsg("rgb8", 1, 1, 3, false, make([]byte, 3)), []float64{0, 1}, ErrImage},
		{"tiny Bayer", rawImageMsg("bayer_rggb8", 1, 1, 1, false, make([]byte, 1)), nil, ErrImage},
		{"no image", compressedMsg("tiff", []byte("II*\x00")), nil, ErrImage},
		{"truncated header", compressedMsg("jpeg", []byte{0xff, 0xd8, 0xff}), nil, ErrImage},
		{"huge png", compressedMsg("png", huge), nil, ErrImage},
		{"truncated png", compressedMsg("png", good[:len(good)-20]), nil, ErrImage},
		{"depth png without range", compressedMsg("16UC1; compressedDepth", append(make([]byte, 12), good...)), nil, ErrImage},
		{"range with a colour png", compressedMsg("png", good), []float64{0, 1}, ErrImage},
	} {
		if _, err := decode(t, tc.m, 8, 8, tc.rangeM...); !errors.Is(err, tc.err) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.err)
		}
	}
}

// TestImagesAreLazy: only images that a frame uses are decoded, each once, and
// one that cannot be decoded is refused once and makes no frame.
func TestImagesAreLazy(t *testing.T) {
	c := mustParse(t, `{version: 1, rate_hz: 10, observation: {images: {cam: {topic: /i, type: sensor_msgs/CompressedImage, size: [8, 8]}}},
  action: {topic: /c, type: geometry_msgs/Twist, unit: twist, horizon: 1}}`)
	r := NewResampler(c)
	good := encodePNG(t, image.NewRGBA(image.Rect(0, 0, 8, 8)))
	bad := good[:len(good)-20]
	var obs policy.Observation
	for _, step := range []struct {
		at     int64 // ms
		data   []byte
		refuse int64
		ok     bool
	}{
		{90, bad, 0, false}, {95, good, 0, true}, // bad, but never used
		{195, bad, 1, false}, {0, nil, 1, false}, // used: refused, once
		{395, good, 1, true}, {0, nil, 1, true},
	} {
		if step.data != nil {
			data := bytes.Clone(step.data)
			if err := r.Push("/i", step.at*msec, compressedMsg("png", data)); err != nil {
				t.Fatal(err)
			}
			clear(data) // a bag reuses its buffer
		}
		if step.at == 90 {
			continue
		}
		at := (r.latest + c.Period() - 1) / c.Period() * c.Period()
		if step.data == nil && step.ok {
			s := r.inputs[0]
			s.history[s.chosen].image.pix[0] = 77 // stays where nothing is decoded
		}
		err := r.Observe(at, &obs)
		if (err == nil) != step.ok || (err != nil && !errors.Is(err, ErrImage)) {
			t.Errorf("at %d ms: error %v", step.at, err)
		}
		if step.data == nil && step.ok && obs.Images[0].Pix[0] != 77 {
			t.Errorf("at %d ms: the image was decoded again", step.at)
		}
		if n := r.Counts()[0].Refused; n != step.refuse {
			t.Errorf("at %d ms: %d refused, want %d", step.at, n, step.refuse)
		}
	}
}

// FuzzImage: no image message makes the decoder panic, or gives an image of
// another size.
func FuzzImage(f *testing.F) {
	f.Add("rgb8", "", uint32(1), uint32(1), uint32(3), false, []byte{1, 2, 3})
	f.Add("32FC1", "", uint32(1), uint32(2), uint32(4), true, make([]byte, 8))
	f.Add("bayer_gbrg8", "", uint32(2), uint32(2), uint32(2), false, make([]byte, 4))
	f.Add("", "png", uint32(0), uint32(0), uint32(0), false, encodePNG(f, image.NewGray16(image.Rect(0, 0, 3, 2))))
	f.Add("", "32FC1; compressedDepth", uint32(0), uint32(0), uint32(0), true, append(make([]byte, 12), encodePNG(f, image.NewGray16(image.Rect(0, 0, 3, 2)))...))
	f.Fuzz(func(t *testing.T, encoding, format string, w, h, step uint32, depth bool, data []byte) {
		m := compressedMsg(format, data)
		if encoding != "" {
			m = rawImageMsg(encoding, 0, 0, 0, depth, data)
			m.fields["width"], m.fields["height"], m.fields["step"] = w, h, step
		}
		field := ImageField{Type: m.typ, Size: [2]int{8, 9}}
		if depth {
			field.RangeM = []float64{0.1, 2}
		}
		var img policy.Image
		if err := NewImageDecoder(field).Decode(m, &img); err != nil {
			if !errors.Is(err, ErrImage) && !errors.Is(err, ErrField) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if img.Width != 9 || img.Height != 8 || len(img.Pix) != 3*72 {
			t.Fatalf("image of %d x %d, %d bytes", img.Width, img.Height, len(img.Pix))
		}
	})
}
