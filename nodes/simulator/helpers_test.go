package simulator

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/sim"
	"arfm/policy/contract"
)

// listener keeps what a simulation says.
type listener struct {
	mu   sync.Mutex
	said []Message
	only []string // topics listened to; nil: all but pictures
}

func (l *listener) hear(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, m)
}

func (l *listener) listens(topic string) bool {
	if l.only != nil {
		return slices.Contains(l.only, topic)
	}
	return !strings.Contains(topic, "camera")
}

func (l *listener) count(topic string) int { return len(l.of(topic)) }

func (l *listener) of(topic string) (out []Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.said {
		if m.Topic == topic {
			out = append(out, m)
		}
	}
	return out
}

// decode reads a message of a type that arfm carries.
func decode(t testing.TB, typ string, m Message) *cdr.Record {
	t.Helper()
	c, err := cdr.NewRegistry().Type(typ)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := c.Decode(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func testOptions(t testing.TB, l *listener) Options {
	t.Helper()
	if !sim.Available {
		t.Skip("built without MuJoCo: add -tags mujoco")
	}
	suite, err := sim.FindSuite("object")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Suite: suite, Seed: 3, Rate: 1, StateHz: 100, CameraHz: 20, Width: sim.ImageSide, Height: sim.ImageSide, Clock: true,
		Publish: l.hear, Listened: l.listens, Log: func(_ Level, text string) { t.Log(text) }}
}

// start runs a simulation until the test ends.
func start(t testing.TB, o Options) (s *Simulator, stop func()) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	t.Cleanup(stop)
	within(t, "the simulation runs", func() bool { return s.ended.Load() != nil })
	return s, stop
}

func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// command makes a JointTrajectory with points at rest, one for each time.
func command(t testing.TB, joints []string, positions []float64, times ...int64) *cdr.Record {
	t.Helper()
	reg := cdr.NewRegistry()
	set := func(rec *cdr.Record, path string, v any) {
		t.Helper()
		if err := rec.Set(path, v); err != nil {
			t.Fatal(err)
		}
	}
	make := func(name string) *cdr.Record {
		typ, err := reg.Type(name)
		if err != nil {
			t.Fatal(err)
		}
		return typ.New()
	}
	rec := make("trajectory_msgs/msg/JointTrajectory")
	set(rec, "joint_names", joints)
	var points []*cdr.Record
	for _, at := range times {
		p := make("trajectory_msgs/msg/JointTrajectoryPoint")
		set(p, "positions", positions)
		set(p, "time_from_start.sec", at/1e9)
		set(p, "time_from_start.nanosec", at%1e9)
		points = append(points, p)
	}
	set(rec, "points", points)
	return rec
}

// goalOf makes a FollowJointTrajectory goal of a trajectory.
func goalOf(t testing.TB, tr *cdr.Record) *cdr.Record {
	t.Helper()
	typ, err := cdr.NewRegistry().Type("control_msgs/action/FollowJointTrajectory_Goal")
	if err != nil {
		t.Fatal(err)
	}
	rec := typ.New()
	if err := rec.Set("trajectory", tr); err != nil {
		t.Fatal(err)
	}
	return rec
}

// joints are the positions that the last joint state tells.
func joints(t testing.TB, l *listener) []float64 {
	t.Helper()
	all := l.of(sim.TopicJoints)
	if len(all) == 0 {
		t.Fatal("no joint states")
	}
	v, _ := decode(t, "sensor_msgs/msg/JointState", all[len(all)-1]).Lookup("position")
	return v.([]float64)
}

func near(a, b []float64, tolerance float64) bool {
	for j := range a {
		if !(math.Abs(a[j]-b[j]) <= tolerance) {
			return false
		}
	}
	return len(a) == len(b)
}

func loadContract(t testing.TB, name string) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
