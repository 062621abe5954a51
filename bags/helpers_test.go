package bags

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

const msec = int64(1e6)

// recorder writes a bag for a test.
type recorder struct {
	t        testing.TB
	dir      string
	w        *Recorder
	reg      *cdr.Registry
	declared map[string]bool
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bag")
	w, err := NewRecorder(dir, rosbag2.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{t, dir, w, cdr.NewRegistry(), map[string]bool{}}
}

// message builds a record of a type from values by path.
func (r *recorder) message(typ string, stamp int64, fields map[string]any) *cdr.Record {
	r.t.Helper()
	ct, err := r.reg.Type(typ)
	if err != nil {
		r.t.Fatal(err)
	}
	m := ct.New()
	if _, ok := m.Lookup("header.stamp.sec"); ok {
		fields = maps.Clone(fields)
		fields["header.stamp.sec"], fields["header.stamp.nanosec"] = stamp/1e9, stamp%1e9
	}
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		if err := m.Set(path, fields[path]); err != nil {
			r.t.Fatal(err)
		}
	}
	return m
}

// write records a message that was received at the time at.
func (r *recorder) write(topic, typ string, at, stamp int64, fields map[string]any) {
	r.t.Helper()
	m := r.message(typ, stamp, fields)
	if !r.declared[topic] {
		if err := r.w.Declare(topic, m.Type(), ""); err != nil {
			r.t.Fatal(err)
		}
		r.declared[topic] = true
	}
	if err := r.w.Write(topic, at, m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *recorder) close() string {
	r.t.Helper()
	if err := r.w.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.dir
}

func (r *recorder) event(at int64, event int, task string) {
	r.write("/arfm/episode", "arfm/msg/EpisodeEvent", at, at, map[string]any{"event": event, "task": task})
}

func (r *recorder) reward(at int64, value float64) {
	r.write("/arfm/reward", "arfm/msg/Reward", at, at, map[string]any{"value": value})
}

// reach records the topics of launch/contracts/reach_2dof.yaml from 1 s on:
// joint 1 is the time in s, each command asks for the joints a second ahead.
func reach(t testing.TB, seconds int64) *recorder {
	r := newRecorder(t)
	img := image.NewRGBA(image.Rect(0, 0, 48, 48))
	for at := 1000 * msec; at <= (1+seconds)*1000*msec; at += 50 * msec {
		now := float64(at) * 1e-9
		r.write("/joint_states", "sensor_msgs/msg/JointState", at-2*msec, at-3*msec, map[string]any{
			"name": []string{"joint_2", "joint_1"}, "position": []float64{-now, now}})
		r.write("/target", "geometry_msgs/msg/PointStamped", at-4*msec, at-4*msec, map[string]any{"point.x": 0.5, "point.y": now})
		img.Set(int(at/msec/50)%48, 0, color.White)
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, nil); err != nil {
			t.Fatal(err)
		}
		r.write("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", at-1*msec, at-20*msec, map[string]any{"format": "jpeg", "data": buf.Bytes()})
		p := r.message("trajectory_msgs/msg/JointTrajectoryPoint", 0, map[string]any{"positions": []float64{now + 1, -now - 1}, "time_from_start.sec": 1})
		r.write("/joint_trajectory_controller/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", at+5*msec, at, map[string]any{
			"joint_names": []string{"joint_1", "joint_2"}, "points": []*cdr.Record{p}})
	}
	return r
}

func parse(t testing.TB, text string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
