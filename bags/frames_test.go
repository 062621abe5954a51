package bags

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"reflect"
	"runtime"
	"testing"

	"arfm/policy"
	"arfm/policy/contract"
)

const camera = `{version: 1, rate_hz: 20, observation: {
  state: [{topic: /q, type: sensor_msgs/msg/JointState, names: [a], max_age_ms: 100}],
  images: {cam: {topic: /i, type: sensor_msgs/msg/CompressedImage, size: [16, 16], max_age_ms: 200}}},
  action: {from: next_state, names: [a], unit: position, horizon: 4}}`

// film records a joint and a camera for some seconds. Pictures number from to
// until-1 are cut short, and the joint pauses once.
func film(t testing.TB, seconds int64, side, from, until int) string {
	r := newRecorder(t)
	k := 0
	for at := 1000 * msec; at < (1+seconds)*1000*msec; at += 10 * msec {
		if at/msec%40 == 0 {
			img := image.NewRGBA(image.Rect(0, 0, side, side))
			for i := range side * side {
				img.SetRGBA(i%side, i/side, color.RGBA{uint8(k), uint8(i * k), uint8(i / side), 255})
			}
			var buf bytes.Buffer
			if err := jpeg.Encode(&buf, img, nil); err != nil {
				t.Fatal(err)
			}
			data := buf.Bytes()
			if k >= from && k < until {
				data = data[:len(data)-20]
			}
			r.write("/i", "sensor_msgs/msg/CompressedImage", at, at, map[string]any{"format": "jpeg", "data": data})
			k++
		}
		if at/msec/1000 != 3 { // stale at the end of a frame whose picture is good
			r.write("/q", "sensor_msgs/msg/JointState", at, at, map[string]any{"name": []string{"a"}, "position": []float64{float64(at) * 1e-9}})
		}
	}
	return r.close()
}

// TestCores: episodes and reports do not depend on the number of cores, and
// frames are those of a resampler that decodes each picture when it is asked.
func TestCores(t *testing.T) {
	path := film(t, 6, 24, 30, 37)
	c := parse(t, camera)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(1)
	want, first, err := ReadEpisodes(t.Context(), path, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	light, err := Check(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	if light.Bytes = first.Bytes; !reflect.DeepEqual(light, first) { // it keeps no frames
		t.Errorf("check %+v\nwant %+v", light, first)
	}
	var q, i *TopicReport
	for _, r := range first.Topics {
		if r.Topic == "/i" {
			i = r
		} else {
			q = r
		}
	}
	// 7 bad pictures in 280 ms; a frame each 50 ms shows 6 of them.
	if i.Refused != 6 || i.Dropped["undecodable"] != 6 || q.Dropped["stale"] == 0 || first.Frames < 80 || first.Frames+6+q.Dropped["stale"]+1 < first.Ticks {
		t.Errorf("report %+v\n%+v\n%+v", first, i, q)
	}
	for _, cores := range []int{2, 3, 8} {
		runtime.GOMAXPROCS(cores)
		got, report, err := ReadEpisodes(t.Context(), path, c, Options{})
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(report, first) {
			t.Errorf("%d cores: %d episodes, error %v, report %+v\nwant %+v", cores, len(got), err, report, first)
		}
	}
	if n := runtime.NumGoroutine(); n > 20 {
		t.Errorf("%d goroutines are left", n)
	}
}

// TestLastPicture: the frame at the end of a recording, which has no action, is
// no tick unless its picture is bad, which is counted.
func TestLastPicture(t *testing.T) {
	c := parse(t, camera)
	_, good, err := ReadEpisodes(t.Context(), film(t, 1, 24, 0, 0), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, bad, err := ReadEpisodes(t.Context(), film(t, 1, 24, 23, 25), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if good.Frames != good.Ticks || bad.Ticks != good.Ticks+1 || bad.Topics[1].Dropped["undecodable"] == 0 || bad.Ticks != bad.Frames+bad.Topics[1].Dropped["undecodable"] {
		t.Errorf("%+v\n%+v\n%+v", good, bad, bad.Topics[1])
	}
}

// TestDraftBytes: frames whose messages are large wait in bounded memory.
func TestDraftBytes(t *testing.T) {
	s := &reader{ctx: t.Context(), c: parse(t, camera), report: &CheckReport{}, opts: Options{MaxBytes: DefaultMaxBytes}}
	s.sampler = contract.NewResampler(parse(t, simple+"}"))
	for range 5 {
		s.queue, s.queued = append(s.queue, &draft{bytes: maxDraftBytes / 2, frame: Frame{Observation: policy.Observation{State: []float32{1}}}}), s.queued+maxDraftBytes/2
	}
	if err := s.settle(maxDrafts, maxDraftBytes); err != nil || len(s.queue) != 2 || len(s.frames) != 3 || s.queued != maxDraftBytes {
		t.Errorf("%d wait with %d bytes, %d are done, error %v", len(s.queue), s.queued, len(s.frames), err)
	}
}

// BenchmarkReadEpisodes reads 640 x 480 JPEGs by cores; MB/s are of the bag.
func BenchmarkReadEpisodes(b *testing.B) {
	path := film(b, 2, 500, 0, 0)
	c := parse(b, camera)
	size := int64(0)
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprint(cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.ReportAllocs()
			for b.Loop() {
				_, report, err := ReadEpisodes(b.Context(), path, c, Options{})
				if err != nil {
					b.Fatal(err)
				}
				size = int64(report.Frames)
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
