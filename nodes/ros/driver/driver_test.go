//go:build ros

package driver

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

const testURDF = `<robot name="two"><joint name="shoulder" type="revolute"><limit lower="-2" upper="2" velocity="1.5"/></joint>
<joint name="elbow" type="revolute"><limit lower="-2" upper="2" velocity="1.5"/></joint></robot>`

// testOptions are those of a driver whose checkpoints lie in dir.
func testOptions(dir string) Options {
	return Options{CheckpointDir: dir, Description: testURDF, Output: OutputTopic, Guard: true, Poll: time.Second, StartTolerance: 0.5}
}

// activate brings a driver up.
func activate(t *testing.T, d *Driver) {
	t.Helper()
	if err := d.Configure(); err != nil {
		t.Fatal(err)
	}
	if err := d.Activate(); err != nil {
		t.Fatal(err)
	}
}

// call calls a service of the driver and returns success and message.
func call(t *testing.T, a *arm, name, typ string, fill func(*cdr.Record)) (bool, string) {
	t.Helper()
	client, err := a.n.Client(a.g, name, typ)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	within(t, 5*time.Second, name+" is there", client.Ready)
	req := client.Request.New()
	if fill != nil {
		fill(req)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	got, err := client.Call(ctx, req)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ok, _ := got.Lookup("success")
	text, _ := got.Lookup("message")
	return ok.(bool), text.(string)
}

func (a *arm) state(want string) func() bool {
	return func() bool { return a.status("state") == want }
}

func TestFollowsAndHolds(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a := newArm(t, c, "follows", wall)
	d := start(t, c, "follows", wall, testOptions(dir))
	activate(t, d)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	within(t, 10*time.Second, "plans follow one another", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.got) > 12 })
	// A camera that stops holds the arm, and says so.
	a.mu.Lock()
	a.blind = true
	a.mu.Unlock()
	since := time.Now()
	within(t, 5*time.Second, "it holds without pictures", a.state("holding"))
	held := time.Since(since)
	if h := a.status("holding"); h != "StaleObservation" || !strings.Contains(a.status("reason").(string), "/wrist/image_raw") {
		t.Errorf("holds for %v: %v", h, a.status("reason"))
	}
	a.mu.Lock()
	a.blind = false
	a.mu.Unlock()
	within(t, 5*time.Second, "it goes on", a.state("tracking"))
	if err := d.Deactivate(); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "it is inactive", a.state("inactive"))
	a.seams()
	t.Logf("held %v after the last picture", held)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.chunks == 0 {
		t.Error("no chunk was published")
	}
	topics, _, age := d.live.Load().link.Load().src.topics()
	if age.Count == 0 || topics[0].messages == 0 || topics[0].refused != 0 {
		t.Errorf("topics %+v, age %+v", topics, age)
	}
}

// check looks at the trajectories that came: times, rest at the end, and the
// seams, whose largest steps it returns: where a plan begins, and when it has
// arrived, as the one before went on meanwhile.
func (a *arm) check() (position, velocity, onWay float64) {
	for i, x := range a.got {
		n := len(x.times)
		for k := 1; k < n; k++ {
			if x.times[k] <= x.times[k-1] {
				a.t.Errorf("trajectory %d: times %v", i, x.times)
			}
		}
		for j := range a.names {
			if v := x.vel[(n-1)*len(a.names)+j]; v != 0 {
				a.t.Errorf("trajectory %d ends with velocity %g", i, v)
			}
		}
		if x.times[n-1] <= x.at {
			a.t.Errorf("trajectory %d has passed", i)
		}
		if len(x.before.times) == 0 {
			continue
		}
		n = len(a.names)
		q, v, Q, V := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		x.before.at(x.times[0], n, q, v)
		x.points.at(x.times[0], n, Q, V)
		for j := range a.names {
			position, velocity = max(position, math.Abs(q[j]-Q[j])), max(velocity, math.Abs(v[j]-V[j]))
		}
		x.before.at(x.at, n, q, v)
		x.points.at(x.at, n, Q, V)
		for j := range a.names {
			onWay = max(onWay, math.Abs(q[j]-Q[j]))
		}
	}
	return position, velocity, onWay
}

// seams refuses trajectories that do not go on from one another.
func (a *arm) seams() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	position, velocity, onWay := a.check()
	a.t.Logf("%d plans, %d chunks; seams of at most %.2g rad and %.2g rad/s, %.2g rad when a plan has arrived", len(a.got), a.chunks, position, velocity, onWay)
	if position > 1e-9 || velocity > 1e-9 || onWay > 5e-3 {
		a.t.Errorf("seams jump by %g rad and %g rad/s, %g rad when a plan has arrived", position, velocity, onWay)
	}
}

func TestServicesAndSwap(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	a := newArm(t, c, "serves", wall)
	d := start(t, c, "serves", wall, testOptions(dir))
	activate(t, d)
	// No checkpoint is not fatal; the first is taken when it comes.
	within(t, 5*time.Second, "it waits", a.state("holding"))
	if a.status("holding") != "NotReady" || !strings.Contains(a.status("reason").(string), dir) {
		t.Errorf("holds for %v: %v", a.status("holding"), a.status("reason"))
	}
	first := saveCheckpoint(t, dir, 1, 10, testContract)
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	if a.status("path") != first || a.status("step") != uint64(10) || a.status("objective") != "bc" || a.status("generation") != uint64(1) {
		t.Errorf("path %v, step %v, objective %v, generation %v", a.status("path"), a.status("step"), a.status("objective"), a.status("generation"))
	}
	hash := a.status("checkpoint")
	// Another is swapped in while the arm moves, and no tick is missed.
	second := saveCheckpoint(t, dir, 2, 20, testContract)
	within(t, 10*time.Second, "the swap is told", func() bool { return a.status("path") == second })
	if a.status("swaps") != uint64(1) || a.status("checkpoint") == hash || !a.state("tracking")() {
		t.Errorf("swaps %v, state %v", a.status("swaps"), a.status("state"))
	}
	const trigger, setBool = "std_srvs/srv/Trigger", "std_srvs/srv/SetBool"
	if ok, text := call(t, a, "/serves/rollback", trigger, nil); !ok {
		t.Errorf("rollback: %s", text)
	}
	within(t, 5*time.Second, "the first is back", func() bool { return a.status("checkpoint") == hash && a.status("path") == first })
	if ok, text := call(t, a, "/serves/reload", trigger, nil); !ok || !strings.Contains(text, "swapped") {
		t.Errorf("reload: %v %s", ok, text)
	}
	bad := filepath.Join(dir, "younger.safetensors")
	if err := os.WriteFile(bad, []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	if ok, text := call(t, a, "/serves/reload", trigger, nil); !ok || !strings.Contains(text, "unchanged") || !strings.Contains(text, bad) {
		t.Errorf("reload beside a younger file that is refused: %v %s", ok, text)
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	if ok, text := call(t, a, "/serves/hold", setBool, func(r *cdr.Record) { _ = r.Set("data", true) }); !ok {
		t.Errorf("hold: %s", text)
	}
	within(t, 5*time.Second, "it holds", func() bool { return a.status("holding") == "Held" })
	if ok, text := call(t, a, "/serves/hold", setBool, nil); !ok {
		t.Errorf("resume: %s", text)
	}
	within(t, 5*time.Second, "it goes on", a.state("tracking"))
	if ok, text := call(t, a, "/serves/stop", trigger, nil); !ok {
		t.Errorf("stop: %s", text)
	}
	within(t, 5*time.Second, "it is stopped", a.state("stopped"))
	if ok, _ := call(t, a, "/serves/hold", setBool, nil); ok {
		t.Error("resuming ends a stop")
	}
	if ok, text := call(t, a, "/serves/rearm", trigger, nil); !ok {
		t.Errorf("rearm: %s", text)
	}
	within(t, 5*time.Second, "it is re-armed", a.state("tracking"))
	if err := d.Deactivate(); err != nil {
		t.Fatal(err)
	}
	if ok, _ := call(t, a, "/serves/stop", trigger, nil); ok {
		t.Error("an inactive node stops")
	}
	within(t, 5*time.Second, "it is inactive", a.state("inactive"))
	a.seams()
}

func TestRunPolicy(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a := newArm(t, c, "runs", wall)
	d := start(t, c, "runs", wall, testOptions(dir))
	activate(t, d)
	d.SetInstruction("wave")
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	within(t, 5*time.Second, "the parameter counts", func() bool { return a.status("instruction") == "wave" })
	client, err := a.n.ActionClient(a.g, "/runs/run_policy", "arfm/action/RunPolicy")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	within(t, 5*time.Second, "the action is there", client.Ready)
	var told atomic.Int32
	goal := func(prompt string, sec int) *ros.SentGoal {
		rec := client.Goal.New()
		_ = rec.Set("prompt", prompt)
		_ = rec.Set("duration.sec", sec)
		g, err := client.Send(t.Context(), rec, func(*cdr.Record) { told.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	ends := func(g *ros.SentGoal, status ros.GoalStatus, outcome uint8) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		s, result, err := g.Result(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := result.Lookup("outcome"); s != status || o != outcome {
			reason, _ := result.Lookup("reason")
			t.Errorf("the goal is %s with outcome %v: %v", s, o, reason)
		}
	}
	for _, bad := range []struct {
		prompt string
		sec    int
	}{{strings.Repeat("x", longestText+1), 1}, {"", -1}} {
		rec := client.Goal.New()
		_ = rec.Set("prompt", bad.prompt)
		_ = rec.Set("duration.sec", bad.sec)
		if _, err := client.Send(t.Context(), rec, nil); !errors.Is(err, ros.ErrRefused) {
			t.Errorf("a prompt of %d bytes for %d s: %v", len(bad.prompt), bad.sec, err)
		}
	}
	first := goal("put it down", 0)
	within(t, 5*time.Second, "its prompt counts", func() bool { return a.status("instruction") == "put it down" })
	second := goal("pick it up", 1)
	ends(first, ros.GoalAborted, outcomePreempted)
	within(t, 5*time.Second, "its prompt counts", func() bool { return a.status("instruction") == "pick it up" })
	ends(second, ros.GoalSucceeded, outcomeCompleted)
	within(t, 5*time.Second, "the arm holds after it", func() bool { return a.status("holding") == "Held" && a.status("instruction") == "wave" })
	if told.Load() == 0 {
		t.Error("no feedback came")
	}
	third := goal("", 0)
	within(t, 5*time.Second, "the arm is led again", a.state("tracking"))
	if err := third.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(third, ros.GoalCanceled, outcomeCanceled)
	fourth := goal("", 0)
	within(t, 5*time.Second, "the arm is led again", a.state("tracking"))
	if ok, text := call(t, a, "/runs/stop", trigger, nil); !ok {
		t.Error(text)
	}
	ends(fourth, ros.GoalAborted, outcomeStopped)
}
