package contract

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"reflect"
	"testing"
	"testing/synctest"

	"arfm/policy"
)

func encodeJPEG(t testing.TB, img image.Image) []byte {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const twoCameras = `{version: 1, rate_hz: 20, observation: {images: {
  a: {topic: /a, type: sensor_msgs/CompressedImage, size: [8, 8]}, b: {topic: /b, type: sensor_msgs/Image, size: [9, 12]},
  c: {topic: /a, type: sensor_msgs/CompressedImage, size: [10, 10], align: asof}}},
  action: {topic: /c, type: geometry_msgs/Twist, unit: twist, horizon: 1}}`

// cameraFeed pushes the messages of two cameras, a 30 Hz JPEG of which some are
// broken and a 10 Hz raw one, and calls each at every tick.
func cameraFeed(t *testing.T, r *Resampler, each func(at int64)) {
	period := r.period
	next := period
	for k := range int64(120) {
		at := (k + 1) * 33 * msec
		for ; next < at; next += period {
			each(next)
		}
		img := image.NewRGBA(image.Rect(0, 0, 32, 24))
		for i := range 32 * 24 {
			img.SetRGBA(i%32, i/32, color.RGBA{uint8(k), uint8(8 * i), uint8(i / 3), 255})
		}
		data := encodeJPEG(t, img)
		if k%7 == 3 {
			data = data[:len(data)-20] // breaks off
		}
		if err := r.Push("/a", at, compressedMsg("jpeg", data)); err != nil {
			t.Fatal(err)
		}
		if k%3 == 0 {
			if err := r.Push("/b", at, rawImageMsg("rgba8", 32, 24, img.Stride, false, img.Pix)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHelp: images that are decoded beside the caller, and collected many frames
// later, are those of Observe, and so are the refusals.
func TestHelp(t *testing.T) {
	c := mustParse(t, twoCameras)
	type frame struct {
		obs policy.Observation
		err string
	}
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	var want []frame
	live := NewResampler(c)
	cameraFeed(t, live, func(at int64) {
		var f frame
		f.err = text(live.Observe(at, &f.obs))
		want = append(want, f)
	})
	refused := live.Counts()[0].Refused
	if refused < 5 || len(want) < 70 {
		t.Fatalf("%d refused, %d frames", refused, len(want))
	}
	for _, helpers := range []int{0, 1, 2, 5} {
		r := NewResampler(c)
		r.Help(helpers)
		var got []frame
		var wait []*Pictures
		collect := func(most int) {
			for len(wait) > most {
				f := &got[len(got)-len(wait)]
				if f.err == "" {
					f.err = text(r.Collect(wait[0], &f.obs.Images))
				}
				wait = wait[1:]
			}
		}
		cameraFeed(t, r, func(at int64) {
			var f frame
			p := &Pictures{}
			f.err = text(r.Prepare(at, &f.obs, p))
			got, wait = append(got, f), append(wait, p)
			collect(20)
		})
		if helpers == 2 {
			r.Stop() // in the middle of its work: the caller decodes what is left
		}
		collect(0)
		r.Stop()
		for i := range want {
			if got[i].err != want[i].err || want[i].err == "" && !reflect.DeepEqual(got[i].obs, want[i].obs) {
				t.Fatalf("%d helpers: frame %d: error %q, want %q", helpers, i, got[i].err, want[i].err)
			}
		}
		if n := r.Counts(); !reflect.DeepEqual(n, live.Counts()) {
			t.Errorf("%d helpers: counts %+v, want %+v", helpers, n, live.Counts())
		}
	}
}

// TestImageError names the topic of the message that cannot be decoded.
func TestImageError(t *testing.T) {
	r := NewResampler(mustParse(t, twoCameras))
	data := encodeJPEG(t, image.NewGray(image.Rect(0, 0, 9, 9)))
	if err := errors.Join(r.Push("/a", msec, compressedMsg("jpeg", data[:len(data)-8])), r.Push("/b", msec, rawImageMsg("mono8", 1, 1, 1, false, []byte{1}))); err != nil {
		t.Fatal(err)
	}
	var obs policy.Observation
	err := r.Observe(50*msec, &obs)
	var bad *ImageError
	if !errors.As(err, &bad) || bad.Topic != "/a" || !errors.Is(err, ErrImage) || !errors.Is(r.Samples()[0].Err, ErrImage) || r.Samples()[1].Err != nil {
		t.Errorf("error %v, samples %+v", err, r.Samples())
	}
}

// TestHelpersPixels: pictures that together are larger than the largest one
// allowed are decoded one after the other.
func TestHelpersPixels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHelpers(2)
		defer h.stop()
		h.enter(maxPixels - 10)
		h.enter(10)
		entered := make(chan bool, 1)
		go func() {
			h.enter(1)
			entered <- true
		}()
		synctest.Wait()
		if len(entered) > 0 {
			t.Error("more pixels than are allowed were let in")
		}
		h.enter(-10)
		<-entered
		h.enter(-maxPixels + 9)
	})
}

// BenchmarkPictures is one frame of a camera by cores; MB/s are of RGB.
func BenchmarkPictures(b *testing.B) {
	c := mustParse(b, `{version: 1, rate_hz: 10, observation: {images: {cam: {topic: /i, type: sensor_msgs/CompressedImage, size: [96, 96]}}},
  action: {topic: /c, type: geometry_msgs/Twist, unit: twist, horizon: 1}}`)
	m := compressedMsg("jpeg", encodeJPEG(b, scene()))
	for name, helpers := range map[string]int{"alone": 0, "2 helpers": 2} {
		b.Run(name, func(b *testing.B) {
			r := NewResampler(c)
			r.Help(helpers)
			defer r.Stop()
			b.SetBytes(3 * 640 * 480)
			b.ReportAllocs()
			var obs policy.Observation
			var ring [8]Pictures
			at, n := int64(0), 0
			for ; b.Loop(); n++ {
				at += 100 * msec
				if err := r.Push("/i", at, m); err != nil {
					b.Fatal(err)
				}
				p := &ring[n%len(ring)]
				if n >= len(ring) {
					if err := r.Collect(p, &obs.Images); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.Prepare(at, &obs, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
