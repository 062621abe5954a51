package bags

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// scene is the types of a small recording.
func scene(t *testing.T) (state, text *cdr.Type) {
	t.Helper()
	reg := cdr.NewRegistry()
	state, err := reg.Type("sensor_msgs/msg/JointState")
	if err != nil {
		t.Fatal(err)
	}
	if text, err = reg.Type("std_msgs/msg/String"); err != nil {
		t.Fatal(err)
	}
	return state, text
}

func declare(t *testing.T, dir string) (r *Recorder, joints, words *cdr.Record) {
	t.Helper()
	state, text := scene(t)
	r, err := NewRecorder(dir, rosbag2.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Declare("/joint_states", state, ""), r.Declare("/arfm/instruction", text, Latched)); err != nil {
		t.Fatal(err)
	}
	return r, state.New(), text.New()
}

// TestRecorder reads a recording back: values, times, definitions, QoS.
func TestRecorder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bag")
	r, joints, words := declare(t, dir)
	if err := errors.Join(words.Set("data", "lift"), r.Write("/arfm/instruction", 5e9, words)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // one record, filled again and again
		err := errors.Join(joints.Set("position", []float64{float64(i), -1}), r.Write("/joint_states", 5e9+int64(i)*50*msec, joints))
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the bag has its name before it is whole")
	}
	if err := errors.Join(r.Close(), r.Abort()); err != nil {
		t.Fatal(err)
	}
	b, err := rosbag2.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, topic := range b.Info().Topics {
		if latched := strings.Contains(topic.QoS, "durability: 1"); latched != (topic.Name == "/arfm/instruction") {
			t.Errorf("%s: QoS %q", topic.Name, topic.QoS)
		}
		if topic.Definition == "" {
			t.Errorf("%s has no definition", topic.Name)
		}
	}
	reg, err := b.Registry()
	if err != nil {
		t.Fatal(err)
	}
	it, err := b.Messages(rosbag2.Filter{Topics: []string{"/joint_states"}})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for i := range 100 {
		m, err := it.Next()
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
		if v, _ := rec.Lookup("position.0"); v != float64(i) || m.LogTime != 5e9+int64(i)*50*msec {
			t.Fatalf("message %d holds %v, received at %d", i, v, m.LogTime)
		}
	}
}

// TestRecorderRefuses: mistakes are named, and the recording goes on after them.
func TestRecorderRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bag")
	r, joints, words := declare(t, dir)
	state, _ := scene(t)
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"undeclared":      {r.Write("/other", 1, joints), rosbag2.ErrTopic},
		"another type":    {r.Write("/joint_states", 1, words), cdr.ErrValue},
		"no record":       {r.Write("/joint_states", 1, nil), cdr.ErrValue},
		"before 1970":     {r.Write("/joint_states", math.MinInt64, joints), rosbag2.ErrTopic},
		"declared twice":  {r.Declare("/joint_states", state, ""), rosbag2.ErrTopic},
		"QoS of no names": {r.Declare("/more", state, "- durability: eternal"), rosbag2.ErrTopic},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if err := errors.Join(r.Write("/joint_states", 1, joints), r.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRecorder(dir, rosbag2.WriterOptions{}); !errors.Is(err, rosbag2.ErrExists) {
		t.Errorf("an existing bag: %v", err)
	}
	if err := r.Write("/joint_states", 2, joints); !errors.Is(err, rosbag2.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestRecorderAbort leaves nothing behind.
func TestRecorderAbort(t *testing.T) {
	dir := t.TempDir()
	r, joints, _ := declare(t, filepath.Join(dir, "bag"))
	if err := r.Write("/joint_states", 1, joints); err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if err := r.Close(); !errors.Is(err, rosbag2.ErrClosed) {
		t.Errorf("Close after Abort: %v", err)
	}
}
