package bags

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"arfm/bags/bagtest"
	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

func load(t testing.TB, name string) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../launch/contracts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRealRecording: the contract made for a recording of a real arm fits it.
func TestRealRecording(t *testing.T) {
	path := bagtest.Shared(t, "bags/arm/ros2bag_2025-03-19_14-25-15.db3")
	c := load(t, "tactile_servo_3dof.yaml")
	r, err := Check(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + r.String())
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{"/servo/out/state": 4859, "/sensors/tactip": 1873, "/references/ee_velocity": 7286}
	for _, topic := range r.Topics {
		if topic.Count != counts[topic.Topic] || topic.Refused != 0 || topic.Unstamped != 0 {
			t.Errorf("%+v", topic)
		}
	}
	if r.Frames < 4000 || r.Frames > 4860 {
		t.Errorf("%d frames", r.Frames)
	}
	first, _, err := ReadEpisodes(t.Context(), path, c, Options{Span: Span{EndFraction: 0.8}})
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := ReadEpisodes(t.Context(), path, c, Options{Span: Span{StartFraction: 0.8}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := first[0].Frames, last[0].Frames
	if len(a)+len(b) != r.Frames || a[len(a)-1].Stamp >= b[0].Stamp {
		t.Errorf("spans have %d and %d frames, the bag %d", len(a), len(b), r.Frames)
	}
	moved := false
	for _, f := range a {
		for _, v := range append(f.Action, f.State...) {
			if math.IsNaN(float64(v)) {
				t.Fatal("NaN in a frame")
			}
		}
		moved = moved || f.Action[0] != 0
	}
	if !moved || len(a[0].State) != 9 || first[0].Task != "keep contact with the surface" {
		t.Errorf("moved %v, S %d, task %q", moved, len(a[0].State), first[0].Task)
	}
}

// TestRealMisfit: another contract is refused in one sentence that helps.
func TestRealMisfit(t *testing.T) {
	path := bagtest.Shared(t, "bags/arm/ros2bag_2025-03-19_14-25-15.db3")
	_, r, err := ReadEpisodes(t.Context(), path, load(t, "reach_2dof.yaml"), Options{})
	if !errors.Is(err, ErrTopic) || !strings.Contains(err.Error(), "/joint_states") || !strings.Contains(err.Error(), "/servo/out/state") {
		t.Errorf("error %v", err)
	}
	if len(r.Problems) < 3 || r.Err() != err {
		t.Errorf("problems %q", r.Problems)
	}
	if _, _, err := ReadEpisodes(t.Context(), path, load(t, "tactile_servo_3dof.yaml"), Options{Span: Span{Start: time.Hour}}); !errors.Is(err, ErrNoFrame) {
		t.Errorf("span beyond the end: error %v", err)
	}
	if _, _, err := ReadEpisodes(t.Context(), path, load(t, "tactile_servo_3dof.yaml"), Options{MaxBytes: 1 << 16}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("memory: error %v", err)
	}
}

// TestRealCamera decodes every image of two recordings of a camera.
func TestRealCamera(t *testing.T) {
	for _, name := range []string{"soccer_goal", "soccer_goal_bgr8_old"} {
		bag, err := rosbag2.Open(bagtest.Shared(t, "bags/camera/"+name))
		if err != nil {
			t.Fatal(err)
		}
		defer bag.Close()
		reg, err := bag.Registry()
		if err != nil {
			t.Fatal(err)
		}
		it, err := bag.Messages(rosbag2.Filter{Topics: []string{"/camera/image_raw"}})
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		dec := contract.NewImageDecoder(contract.ImageField{Type: "sensor_msgs/msg/Image", Size: [2]int{96, 128}})
		n := 0
		var img policy.Image
		for {
			m, err := it.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			typ, err := reg.Type(m.Topic.Type)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := typ.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if err := dec.Decode(rec, &img); err != nil {
				t.Fatalf("%s: image %d: %v", name, n, err)
			}
			if lo, hi := slices.Min(img.Pix), slices.Max(img.Pix); hi-lo < 50 {
				t.Errorf("%s: image %d is flat: %d..%d", name, n, lo, hi)
			}
			n++
		}
		if n == 0 {
			t.Errorf("%s: no images", name)
		}
	}
}
