package contract

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"arfm/policy"
)

// BenchmarkObserveState pushes and observes six joints at 50 times the rate of
// the contract's clock.
func BenchmarkObserveState(b *testing.B) {
	c := mustParse(b, `{version: 1, rate_hz: 20, observation: {state: [
  {topic: /s, type: sensor_msgs/msg/JointState, field: position, names: [a, b, c, d, e, f]},
  {topic: /s, type: sensor_msgs/msg/JointState, field: velocity, names: [a, b, c, d, e, f]}]},
  action: {from: next_state, names: [a, b], unit: position, horizon: 16}}`)
	r := NewResampler(c)
	names := []string{"f", "e", "d", "c", "b", "a"}
	m := jointState(0, names, make([]float64, 6), make([]float64, 6))
	var obs policy.Observation
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		for range 50 {
			at += msec
			if err := r.Push("/s", at, m); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Observe(at, &obs); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkImage(b *testing.B, m *msg) {
	c := mustParse(b, `{version: 1, rate_hz: 10, observation: {images: {cam: {topic: /i, type: `+m.typ+`, size: [96, 96]}}},
  action: {topic: /c, type: geometry_msgs/Twist, unit: twist, horizon: 1}}`)
	r := NewResampler(c)
	var obs policy.Observation
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		for range 3 { // a 30 Hz camera
			at += 33 * msec
			if err := r.Push("/i", at, m); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Observe(at, &obs); err != nil {
			b.Fatal(err)
		}
	}
}

// scene is a 640 x 480 picture with some texture.
func scene() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		img.Pix[i] = byte(i/7 ^ i/2560)
	}
	return img
}

func BenchmarkObserveJPEG(b *testing.B) {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, scene(), nil); err != nil {
		b.Fatal(err)
	}
	benchmarkImage(b, compressedMsg("jpeg", buf.Bytes()))
}

func BenchmarkObserveRaw(b *testing.B) {
	img := scene()
	benchmarkImage(b, rawImageMsg("rgba8", 640, 480, 2560, false, img.Pix))
}
