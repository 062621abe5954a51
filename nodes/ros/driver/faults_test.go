//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// TestClock: a clock that stands still holds the arm and says why; one that is
// set back starts anew.
func TestClock(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	var base, running atomic.Int64
	base.Store(1000e9)
	begin := time.Now()
	now := func() int64 {
		if running.Load() == 0 {
			return base.Load()
		}
		return base.Load() + time.Since(begin).Nanoseconds()
	}
	a := newArm(t, c, "clocked", now)
	what, err := a.n.Publisher("/arfm/instruction", "std_msgs/msg/String", ros.Latched)
	if err != nil {
		t.Fatal(err)
	}
	text := what.Type.New()
	if err := errors.Join(text.Set("data", "stack the cups"), what.Publish(text)); err != nil {
		t.Fatal(err)
	}
	told := func() bool { return a.status("instruction") == "stack the cups" }
	d := start(t, c, "clocked", now, testOptions(dir))
	activate(t, d)
	within(t, 10*time.Second, "it says that time stands still", func() bool {
		r, _ := a.status("reason").(string)
		return a.status("state") == "holding" && strings.Contains(r, "/clock stands still")
	})
	running.Store(1)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	within(t, 10*time.Second, "it heard the instruction of before", told)
	a.mu.Lock()
	base.Store(500e9)
	a.doing, a.got, a.statuses = points{}, nil, nil
	a.mu.Unlock()
	within(t, 10*time.Second, "the arm is led again", func() bool {
		a.mu.Lock()
		n := len(a.got)
		a.mu.Unlock()
		return n > 4 && a.status("state") == "tracking"
	})
	if !told() {
		t.Errorf("after the clock was set back the instruction is %v", a.status("instruction"))
	}
	a.mu.Lock()
	for _, x := range a.got[2:] {
		if x.times[0] > 800e9 {
			t.Errorf("a trajectory of the time before: %d", x.times[0])
		}
	}
	a.mu.Unlock()
	if err := d.Deactivate(); err != nil {
		t.Fatal(err)
	}
	// Time stands still from the start: the loop ends all the same.
	running.Store(0)
	if err := d.Activate(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Deactivate() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end while time stands still")
	}
}

// TestDescription: limits come from the latched robot description, tightened by
// files; without one the defaults apply, and a description without the arm's
// joints is refused.
// TestStopUnderLoad: whatever else is asked for, a stop counts.
func TestStopUnderLoad(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	var still atomic.Int64
	now := func() int64 {
		if at := still.Load(); at != 0 {
			return at
		}
		return wall()
	}
	a := newArm(t, c, "loaded", now)
	d := start(t, c, "loaded", now, testOptions(dir))
	activate(t, d)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	still.Store(wall()) // nothing is taken now
	on := false
	ask := func() (bool, string) {
		on = !on
		return call(t, a, "/loaded/hold", setBool, func(r *cdr.Record) { _ = r.Set("data", on) })
	}
	for range maxAsked {
		if ok, text := ask(); !ok {
			t.Fatal(text)
		}
	}
	if ok, text := ask(); ok || !strings.Contains(text, "requests wait for the control loop already") {
		t.Errorf("one more: %t, %s", ok, text)
	}
	if ok, text := call(t, a, "/loaded/stop", trigger, nil); !ok {
		t.Error(text)
	}
	if n := len(d.control); n != 1 {
		t.Errorf("%d events wait, the stop is not the next", n)
	}
	still.Store(0)
	within(t, 5*time.Second, "it is stopped", a.state("stopped"))
	if ok, text := call(t, a, "/loaded/rearm", trigger, nil); !ok {
		t.Error(text)
	}
	within(t, 5*time.Second, "it is led again", a.state("tracking"))
}

func TestDescription(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	n, err := c.NewNode("state_publisher")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	file := filepath.Join(dir, "joint_limits.yaml")
	if err := os.WriteFile(file, []byte("joint_limits: {elbow: {has_velocity_limits: true, max_velocity: 0.5, has_acceleration_limits: false}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := testOptions(dir)
	o.Description, o.JointLimits, o.WaitForDescription = "", []string{file}, 10*time.Second
	pub, err := n.Publisher("/robot_description", "std_msgs/msg/String", ros.Latched)
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		rec := pub.Type.New()
		if err := errors.Join(rec.Set("data", text), pub.Publish(rec)); err != nil {
			t.Fatal(err)
		}
	}
	say(testURDF)
	d := start(t, c, "described", wall, o)
	if err := d.Configure(); err != nil {
		t.Fatal(err)
	}
	if l := d.limits.Select([]string{"shoulder", "elbow"}); l.Velocity[0] != 1.5 || l.Velocity[1] != 0.5 || l.Upper[1] != 2 {
		t.Errorf("limits %+v", l)
	}
	say("<robot name='other'><joint name='wheel' type='continuous'/></robot>")
	o.JointLimits = nil
	other := start(t, c, "elsewhere", wall, o)
	if err := other.Configure(); err != nil {
		t.Fatal(err)
	}
	if err := other.Activate(); err == nil || !strings.Contains(err.Error(), "shoulder") {
		t.Errorf("another robot's description: %v", err)
	}
	say("no xml")
	if err := start(t, c, "broken", wall, o).Configure(); err == nil || !strings.Contains(err.Error(), "/robot_description") {
		t.Errorf("a broken description: %v", err)
	}
	o.WaitForDescription = 10 * time.Millisecond
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	bare := start(t, c, "bare", wall, o)
	activate(t, bare)
	if len(bare.limits.Names) != 0 {
		t.Errorf("limits out of nowhere: %+v", bare.limits)
	}
}

// TestRefused: messages that do not fit are counted, and named in the log once.
func TestRefused(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a := newArm(t, c, "refuses", wall)
	d := start(t, c, "refuses", wall, testOptions(dir))
	activate(t, d)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	pub, err := a.n.Publisher("/joint_states", "sensor_msgs/msg/JointState", ros.Default)
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "it listens", func() bool { return pub.Subscribers() > 0 })
	half := pub.Type.New()
	_ = half.Set("name", []string{"shoulder"})
	_ = half.Set("position", []float64{1})
	other := pub.Type.New()
	_ = other.Set("name", []string{"finger"})
	_ = other.Set("position", []float64{1})
	for range 20 {
		_, _ = pub.Publish(half), pub.Publish(other)
		time.Sleep(5 * time.Millisecond)
	}
	joints := func() topic {
		list, _, _ := d.live.Load().link.Load().src.topics()
		return list[0]
	}
	within(t, 5*time.Second, "they are counted", func() bool { x := joints(); return x.refused > 10 && x.skipped > 10 })
	if x := joints(); !strings.Contains(x.reason, "/joint_states") || !strings.Contains(x.reason, "elbow") {
		t.Errorf("the reason is %q", x.reason)
	}
	if !a.state("tracking")() {
		t.Errorf("the arm is %v: %v", a.status("state"), a.status("reason"))
	}
}

// controller is a FollowJointTrajectory server that ends goals as it is told.
type controller struct {
	mu     sync.Mutex
	refuse bool
	code   int32 // of goals that come; 0: they run until the next
	goals  int
	cancel chan struct{} // of the goal before
}

func (s *controller) set(refuse bool, code int32) {
	s.mu.Lock()
	s.refuse, s.code = refuse, code
	s.mu.Unlock()
}

func (s *controller) serve(t *testing.T, a *arm) (stop func()) {
	t.Helper()
	server, err := a.n.ServeAction(a.g, "/jtc/follow_joint_trajectory", "control_msgs/action/FollowJointTrajectory", ros.Goals{
		Accept: func(*cdr.Record) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.refuse {
				return fmt.Errorf("no")
			}
			return nil
		},
		Execute: func(ctx context.Context, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
			s.mu.Lock()
			if s.cancel != nil {
				close(s.cancel)
			}
			mine, code := make(chan struct{}), s.code
			s.cancel = mine
			s.goals++
			s.mu.Unlock()
			v, _ := g.Description.Lookup("trajectory")
			a.take(v.(*cdr.Record))
			if code != 0 {
				_ = result.Set("error_code", code)
				_ = result.Set("error_string", "told to")
				s.mu.Lock()
				s.cancel = nil
				s.mu.Unlock()
				return ros.GoalAborted
			}
			select {
			case <-mine:
				return ros.GoalAborted // the next one took its place
			case <-ctx.Done():
				s.mu.Lock()
				if s.cancel == mine {
					s.cancel = nil
				}
				s.mu.Unlock()
				return ros.GoalCanceled
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// acting is a driver that sends goals, its controller, and an arm.
func acting(t *testing.T, name string) (a *arm, d *Driver, s *controller, says func(name string) func() bool) {
	t.Helper()
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a = newArm(t, c, name, wall)
	o := testOptions(dir)
	o.Output, o.ActionName = OutputAction, "/jtc/follow_joint_trajectory"
	d = start(t, c, name, wall, o)
	activate(t, d)
	return a, d, &controller{}, func(fault string) func() bool {
		return func() bool {
			r, _ := a.status("reason").(string)
			return a.status("state") == "holding" && strings.HasPrefix(r, fault+": ")
		}
	}
}

// TestGoals: goals replace one another without a jump, which is no news; a
// controller that is missing, or goes, is.
func TestGoals(t *testing.T) {
	a, d, s, says := acting(t, "goals")
	within(t, 10*time.Second, "it says that there is no server", says("NO_SERVER"))
	leave := s.serve(t, a)
	within(t, 10*time.Second, "it goes on with a server", a.state("tracking"))
	within(t, 10*time.Second, "goals follow one another", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.goals > 8 })
	if !a.state("tracking")() {
		t.Errorf("a goal that is replaced is news: %v", a.status("reason"))
	}
	a.seams()
	leave() // which aborts its goal; the result may come, or not any more
	within(t, 10*time.Second, "its end is named", func() bool { return says("ABORTED")() || says("NO_RESULT")() || says("NO_SERVER")() })
	if ok, text := call(t, a, "/goals/rearm", trigger, nil); !ok {
		t.Fatal(text)
	}
	within(t, 10*time.Second, "a server that goes is named", says("NO_SERVER"))
	if n := d.live.Load().link.Load().out.(*follow).counts(); n["NO_SERVER"] < 2 {
		t.Errorf("counts %v", n)
	}
}

// TestFaults: each way in which a controller fails has a named reaction.
func TestFaults(t *testing.T) {
	a, d, s, says := acting(t, "acts")
	s.serve(t, a)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	rearm := func() {
		t.Helper()
		if ok, text := call(t, a, "/acts/rearm", trigger, nil); !ok {
			t.Fatal(text)
		}
		within(t, 10*time.Second, "it goes on", a.state("tracking"))
	}
	s.set(true, 0)
	within(t, 10*time.Second, "a refusal is named", says("REJECTED"))
	s.set(false, 0)
	within(t, 10*time.Second, "it tries again by itself", a.state("tracking"))
	s.set(false, -5)
	within(t, 10*time.Second, "GOAL_TOLERANCE_VIOLATED is named", says("GOAL_TOLERANCE_VIOLATED"))
	s.set(false, 0)
	within(t, 10*time.Second, "it goes on by itself", a.state("tracking"))
	for code, name := range map[int32]string{-1: "INVALID_GOAL", -2: "INVALID_JOINTS", -4: "PATH_TOLERANCE_VIOLATED"} {
		s.set(false, code)
		within(t, 10*time.Second, name+" is named", says(name))
		s.set(false, 0)
		time.Sleep(2 * tryAgain)
		if !says(name)() {
			t.Errorf("%s: it goes on by itself: %v %v", name, a.status("state"), a.status("reason"))
		}
		rearm()
	}
	// Another client cancels.
	cancel, err := a.n.Client(a.g, "/jtc/follow_joint_trajectory/_action/cancel_goal", "action_msgs/srv/CancelGoal")
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the service is there", cancel.Ready)
	if _, err := cancel.Call(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "a cancel is named", says("CANCELED"))
	if err := cancel.Close(); err != nil {
		t.Fatal(err)
	}
	rearm()
	if n := d.live.Load().link.Load().out.(*follow).counts(); n["REJECTED"] < 1 || n["PATH_TOLERANCE_VIOLATED"] != 1 || n["CANCELED"] != 1 {
		t.Errorf("counts %v", n)
	}
}
