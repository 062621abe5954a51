//go:build ros

package launch

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// The rig is a camera and the joints of an arm at rest, published by the test at
// the rates of a robot.
const (
	rigContract = `version: 1
rate_hz: 20
clock: header
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder_pan_joint, shoulder_lift_joint, elbow_joint, wrist_1_joint, wrist_2_joint, wrist_3_joint], max_age_ms: 100}
  images:
    wrist: {topic: /wrist/image_raw/compressed, type: sensor_msgs/msg/CompressedImage, size: [96, 96], max_age_ms: 200}
action:
  topic: /joint_trajectory_controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [shoulder_pan_joint, shoulder_lift_joint, elbow_joint, wrist_1_joint, wrist_2_joint, wrist_3_joint]
  unit: position
  relative: true
  horizon: 16
`
	rigCamera = "/wrist/image_raw/compressed"
	rigMaxAge = 200 * time.Millisecond // of a picture
	rigHz     = 30                     // pictures
	rigJoints = 500                    // joint states
)

// rigPolicy writes a checkpoint of the base preset for the rig that has not been
// trained: it keeps the arm where it is, at the cost of a real one.
func rigPolicy(t *testing.T) (dir string) {
	t.Helper()
	ct, err := contract.Parse([]byte(rigContract))
	if err != nil {
		t.Fatal(err)
	}
	c, err := vla.Preset("base")
	if err != nil {
		t.Fatal(err)
	}
	m, err := vla.New(c.For(ct), 1)
	if err != nil {
		t.Fatal(err)
	}
	ck := &checkpoint.Checkpoint{Model: m, Contract: ct, Objective: "bc", Stats: &contract.Stats{Frames: 1}}
	for range ct.StateDim() {
		ck.Stats.State = append(ck.Stats.State, contract.Moments{Std: 1, Q01: -2, Q99: 2, Min: -2, Max: 2})
	}
	for range ct.ActionDim() {
		ck.Stats.Action = append(ck.Stats.Action, contract.Moments{Std: 0.1, Q01: -0.1, Q99: 0.1, Min: -0.1, Max: 0.1})
	}
	dir = t.TempDir()
	if _, err := checkpoint.Save(filepath.Join(dir, "base.safetensors"), ck); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pictures are JPEGs of 640x480 as a camera in a room makes them, noise included.
func pictures(t *testing.T) (list [][]byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 8 {
		img := image.NewRGBA(image.Rect(0, 0, 640, 480))
		for y := range 480 {
			for x := range 640 {
				v := 40 + (x+20*n)%640/5 + rng.IntN(12)
				img.SetRGBA(x, y, color.RGBA{uint8(v), uint8(y / 3), uint8(200 - v/2), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
			t.Fatal(err)
		}
		list = append(list, b.Bytes())
	}
	return list
}

// rig counts what it has published.
type rig struct {
	camera atomic.Bool  // whether it works
	last   atomic.Int64 // stamp of the last picture
	images atomic.Int64
	states atomic.Int64
}

// newRig publishes until the test ends.
func newRig(o *observer) *rig {
	t := o.t
	t.Helper()
	r := &rig{}
	r.camera.Store(true)
	joints, err := o.node.Publisher("/joint_states", "sensor_msgs/msg/JointState", ros.Default)
	if err != nil {
		t.Fatal(err)
	}
	camera, err := o.node.Publisher(rigCamera, "sensor_msgs/msg/CompressedImage", ros.SensorData)
	if err != nil {
		t.Fatal(err)
	}
	state, picture := joints.Type.New(), camera.Type.New()
	still := make([]float64, len(mockJoints))
	err = errors.Join(state.Set("name", mockJoints), state.Set("position", still), state.Set("velocity", still), picture.Set("format", "jpeg"))
	if err != nil {
		t.Fatal(err)
	}
	shots := pictures(t)
	stop := make(chan struct{})
	var running sync.WaitGroup
	publish := func(hz int, pub *ros.Publisher, rec *cdr.Record, count *atomic.Int64, prepare func(n, now int64) bool) {
		running.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(hz))
			defer tick.Stop()
			for n := int64(0); ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				now := time.Now().UnixNano()
				_ = rec.Set("header.stamp.sec", now/1e9)
				_ = rec.Set("header.stamp.nanosec", now%1e9)
				if !prepare(n, now) {
					continue
				}
				if err := pub.Publish(rec); err != nil {
					t.Error(err)
				}
				count.Add(1)
			}
		})
	}
	publish(rigJoints, joints, state, &r.states, func(int64, int64) bool { return true })
	publish(rigHz, camera, picture, &r.images, func(n, now int64) bool {
		if !r.camera.Load() {
			return false
		}
		r.last.Store(now)
		_ = picture.Set("data", shots[n%int64(len(shots))])
		return true
	})
	t.Cleanup(func() { close(stop); running.Wait() })
	return r
}

// rigNode starts policy_node for the rig.
func rigNode(t *testing.T, checkpoints string) *program {
	t.Helper()
	return start(t, "arfm", "policy_node", "--ros-args", "-p", "checkpoint_dir:="+checkpoints, "-p", "deterministic:=true",
		"-p", "robot_description:='"+mockURDF()+"'", "-r", "~/joint_trajectory:="+controller+"/joint_trajectory")
}

// TestStoppedCamera: without pictures the arm holds as soon as the last is older
// than the contract allows, policy_node names the topic, and goes on by itself.
func TestStoppedCamera(t *testing.T) {
	o := observe(t, 32)
	b, a := watch(o), hearChunks(o)
	r := newRig(o)
	rigNode(t, rigPolicy(t))
	b.is(t, "tracking")
	eventually(t, time.Minute, "there are chunks", func() bool { return len(a.stamps()) > 3 })

	r.camera.Store(false)
	eventually(t, time.Minute, "the arm is held", func() bool { return state[string](b, "holding") == "StaleObservation" })
	b.mu.Lock()
	held := contract.Stamp(b.status)
	b.mu.Unlock()
	last := r.last.Load()
	shows(t, "status", state[string](b, "reason"), rigCamera+" is stale")
	eventually(t, time.Minute, "diagnostics say so", func() bool { return strings.Contains(b.diagnostic("policy_node: policy"), rigCamera+" is stale") })
	t.Logf("held %v after the last picture, which may be %v old: %s", time.Duration(held-last).Round(time.Millisecond), rigMaxAge, state[string](b, "reason"))
	stamps := a.stamps()
	if late := time.Duration(stamps[len(stamps)-1] - last); late > rigMaxAge {
		t.Errorf("a chunk answers to a picture that is %v old", late)
	}

	r.camera.Store(true)
	b.is(t, "tracking")
	n := len(stamps)
	eventually(t, time.Minute, "chunks come again", func() bool { return len(a.stamps()) > n })
}
