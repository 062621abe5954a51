//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

const testContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder, elbow], max_age_ms: 300}
  images:
    wrist: {topic: /wrist/image_raw, type: sensor_msgs/msg/Image, size: [16, 24], max_age_ms: 300}
  instruction: {topic: /arfm/instruction, default: reach the target}
action:
  topic: /joint_trajectory_controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [shoulder, elbow]
  unit: position
  relative: true
  horizon: 8
`

// saveCheckpoint writes a small policy that moves the arm a little.
func saveCheckpoint(t *testing.T, dir string, seed uint64, step int64, text string) (path string) {
	t.Helper()
	ct, err := contract.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := vla.Config{Preset: "tiny", D: 16, Layers: 1, Heads: 2, Patch: 8, VisionD: 16, VisionLayers: 1, VisionHeads: 2, Vocab: 32, MaxWords: 4, Steps: 3}.For(ct)
	m, err := vla.New(c, seed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Params.Data {
		m.Params.Data[i] += 0.1 * float32(math.Sin(float64(i)+float64(seed)))
	}
	state := contract.Moments{Mean: 0, Std: 0.5, Q01: -1, Q99: 1, Min: -1, Max: 1}
	action := contract.Moments{Mean: 0, Std: 0.01, Q01: -0.03, Q99: 0.03, Min: -0.03, Max: 0.03}
	ck := &checkpoint.Checkpoint{Model: m, Contract: ct, Objective: "bc", Step: step, Stats: &contract.Stats{Frames: 1000}}
	for range ct.StateDim() {
		ck.Stats.State = append(ck.Stats.State, state)
	}
	for range ct.ActionDim() {
		ck.Stats.Action = append(ck.Stats.Action, action)
	}
	path = filepath.Join(dir, fmt.Sprintf("step-%d.safetensors", step))
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	return path
}

// logger keeps what was said.
type logger struct {
	t  *testing.T
	mu sync.Mutex
	on bool
}

func (l *logger) say(level, format string, args []any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		l.t.Logf("%s %s", level, fmt.Sprintf(format, args...))
	}
	return nil
}
func (l *logger) Infof(format string, args ...any) error  { return l.say("info", format, args) }
func (l *logger) Warnf(format string, args ...any) error  { return l.say("warn", format, args) }
func (l *logger) Errorf(format string, args ...any) error { return l.say("error", format, args) }

// arm is a robot: it follows the trajectories that come as a controller does,
// and publishes joint states and pictures.
type arm struct {
	t     *testing.T
	n     *ros.Node
	g     *ros.Group
	now   func() int64
	names []string

	mu       sync.Mutex
	doing    points // the trajectory in force
	got      []taken
	q        []float64
	statuses []*cdr.Record
	blind    bool // no pictures
	dead     bool // no joint states
	chunks   int
	stop     chan struct{}
	done     sync.WaitGroup
}

// taken is a trajectory that came, and when.
type taken struct {
	at int64
	points
	before points // the one whose place it took; empty: none
}

func newArm(t *testing.T, c *ros.Context, node string, now func() int64) *arm {
	t.Helper()
	n, err := c.NewNode("test_arm")
	if err != nil {
		t.Fatal(err)
	}
	a := &arm{t: t, n: n, g: c.NewGroup(func(err error) { t.Log(err) }), now: now, names: []string{"shoulder", "elbow"}, q: []float64{0.1, -0.2}, stop: make(chan struct{})}
	subscribe := func(topic, typ string, q ros.QoS, take func(*cdr.Record)) {
		ty, err := c.Type(typ)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Subscribe(a.g, topic, typ, q, func(m ros.Message) {
			rec, err := ty.Decode(m.Data)
			if err != nil {
				t.Error(err)
				return
			}
			take(rec)
		}); err != nil {
			t.Fatal(err)
		}
	}
	subscribe("/"+node+"/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", ros.Default, func(rec *cdr.Record) { a.take(rec) })
	subscribe("/"+node+"/status", "arfm/msg/PolicyStatus", ros.QoS{Reliable: true, Latched: true, Depth: 100}, func(rec *cdr.Record) {
		a.mu.Lock()
		a.statuses = append(a.statuses, rec)
		a.mu.Unlock()
	})
	subscribe("/"+node+"/action_chunk", "arfm/msg/ActionChunk", ros.Default, func(rec *cdr.Record) {
		a.mu.Lock()
		a.chunks++
		a.mu.Unlock()
	})
	joints, err := n.Publisher("/joint_states", "sensor_msgs/msg/JointState", ros.Default)
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := n.Publisher("/wrist/image_raw", "sensor_msgs/msg/Image", ros.SensorData)
	if err != nil {
		t.Fatal(err)
	}
	a.done.Go(func() { a.publish(joints, pictures) })
	t.Cleanup(func() {
		close(a.stop)
		a.done.Wait()
		a.g.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *arm) publish(joints, pictures *ros.Publisher) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	state, picture := joints.Type.New(), pictures.Type.New()
	if err := errors.Join(picture.Set("height", 16), picture.Set("width", 24), picture.Set("encoding", "rgb8"), picture.Set("step", 72),
		picture.Set("data", make([]byte, 16*72)), state.Set("name", a.names)); err != nil {
		a.t.Error(err)
	}
	for k := 0; ; k++ {
		select {
		case <-a.stop:
			return
		case <-tick.C:
		}
		now := a.now()
		a.mu.Lock()
		if len(a.doing.times) > 0 {
			v := make([]float64, len(a.q))
			a.doing.at(now, len(a.q), a.q, v)
		}
		q, blind, dead := append([]float64(nil), a.q...), a.blind, a.dead
		a.mu.Unlock()
		if now <= 0 {
			continue
		}
		if !dead {
			if err := errors.Join(ros.SetTime(state, "header.stamp", now), state.Set("position", q), joints.Publish(state)); err != nil {
				a.t.Error(err)
			}
		}
		if k%5 == 0 && !blind {
			if err := errors.Join(ros.SetTime(picture, "header.stamp", now), pictures.Publish(picture)); err != nil {
				a.t.Error(err)
			}
		}
	}
}

// take replaces the trajectory as a joint_trajectory_controller does.
func (a *arm) take(rec *cdr.Record) {
	got, err := readTrajectory(rec, a.names)
	if err != nil {
		a.t.Error(err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x := taken{at: a.now(), points: got, before: a.doing}
	if x.times[0] > x.at { // it leads there from where the arm is
		x.before = points{}
		x.points = points{times: append([]int64{x.at}, got.times...), pos: append(append([]float64(nil), a.q...), got.pos...), vel: append(make([]float64, len(a.q)), got.vel...)}
	}
	a.doing = x.points
	a.got = append(a.got, x)
}

func readTrajectory(rec *cdr.Record, names []string) (p points, err error) {
	look := func(path string) any { v, _ := rec.Lookup(path); return v }
	have, _ := look("joint_names").([]string)
	if fmt.Sprint(have) != fmt.Sprint(names) {
		return p, fmt.Errorf("trajectory for %v", have)
	}
	stamp := ros.GetTime(rec, "header.stamp")
	recs, _ := look("points").([]*cdr.Record)
	if len(recs) < 1 {
		return p, fmt.Errorf("trajectory of %d points", len(recs))
	}
	for i := range recs {
		at := fmt.Sprintf("points.%d.", i)
		t := stamp + ros.GetTime(rec, at+"time_from_start")
		pos, vel := look(at+"positions").([]float64), look(at+"velocities").([]float64)
		if len(pos) != len(names) || len(vel) != len(names) {
			return p, fmt.Errorf("point %d has %d positions and %d velocities", i, len(pos), len(vel))
		}
		p.add(t, pos, vel)
	}
	return p, nil
}

// status returns the field of the last status.
func (a *arm) status(field string) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.statuses) == 0 {
		return nil
	}
	v, _ := a.statuses[len(a.statuses)-1].Lookup(field)
	return v
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// connect returns a context, or skips where there is no ROS.
func connect(t *testing.T) *ros.Context {
	t.Helper()
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	c, _, err := ros.NewContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Type("arfm/msg/PolicyStatus"); err != nil {
		t.Skipf("arfm's interfaces are not sourced: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func wall() int64 { return time.Now().UnixNano() }

// start makes a driver on a node of its own.
func start(t *testing.T, c *ros.Context, name string, now func() int64, o Options) *Driver {
	t.Helper()
	n, err := c.NewNode(name)
	if err != nil {
		t.Fatal(err)
	}
	log := &logger{t: t, on: true}
	d := New(context.Background(), n, log, now, o)
	t.Cleanup(func() {
		if err := d.Cleanup(); err != nil {
			t.Error(err)
		}
		log.mu.Lock()
		log.on = false
		log.mu.Unlock()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
