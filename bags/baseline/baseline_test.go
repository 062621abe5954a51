package baseline

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// write makes a bag of n pictures of 24x16 pixels, each beside a joint state,
// and returns the path of its file.
func write(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bag")
	w, err := rosbag2.Create(dir, rosbag2.WriterOptions{ChunkSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 24, 16)), nil); err != nil {
		t.Fatal(err)
	}
	reg := cdr.NewRegistry()
	put := func(typeName, topic string, values map[string]any) func(stamp int64) {
		typ, err := reg.Type(typeName)
		if err != nil {
			t.Fatal(err)
		}
		id, err := w.AddTopic(rosbag2.Topic{Name: topic, Type: typeName})
		if err != nil {
			t.Fatal(err)
		}
		rec := typ.New()
		for path, v := range values {
			if err := rec.Set(path, v); err != nil {
				t.Fatal(err)
			}
		}
		data, err := typ.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		return func(stamp int64) {
			if err := w.Write(id, stamp, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	image := put("sensor_msgs/msg/CompressedImage", "/eye", map[string]any{"header.frame_id": "odd", "format": "jpeg", "data": picture.Bytes()})
	joints := put("sensor_msgs/msg/JointState", "/joints", map[string]any{"position": []float64{1, 2}})
	for i := range n {
		image(int64(i))
		joints(int64(i))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bag_0.mcap")
}

func TestRead(t *testing.T) {
	path := write(t, 50)
	for _, decoders := range []int{1, 2, 5} {
		got, err := Read(t.Context(), path, decoders)
		if want := (Counts{Messages: 100, Images: 50, Pixels: 50 * 24 * 16}); err != nil || got != want {
			t.Errorf("%d decoders: %+v, %v, want %+v", decoders, got, err, want)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(stopped, path, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestReadFails: what is no such file, and messages that are cut.
func TestReadFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.mcap")
	if err := os.WriteFile(path, []byte("no bag"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), path, 1); err == nil {
		t.Error("a file that is no bag was read")
	}
	if _, err := Read(t.Context(), path+"x", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	whole := []byte{0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 'a', 0, 0, 0, 2, 0, 0, 0, 'b', 0, 0, 0, 3, 0, 0, 0, 7, 8, 9}
	if data, err := picture(whole); err != nil || !bytes.Equal(data, []byte{7, 8, 9}) {
		t.Errorf("%v, %v", data, err)
	}
	for n := range whole {
		if _, err := picture(whole[:n]); !errors.Is(err, errMessage) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	d := newDecoders(2)
	<-d.free // as feed does
	d.work <- []byte{0, 1, 0, 0}
	if err := d.wait(); !errors.Is(err, errMessage) {
		t.Errorf("a decoder's error: %v", err)
	}
}
