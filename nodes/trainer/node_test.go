//go:build ros

package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/policy/checkpoint"
	"arfm/policy/hotswap"
)

// nodeArgs, in the environment, makes the test binary finetune_node.
const nodeArgs = "ARFM_TEST_NODE"

func init() {
	asNode = func() {
		if args, ok := os.LookupEnv(nodeArgs); ok {
			os.Args = append(os.Args[:1:1], strings.Split(args, "\n")...)
			ros.Main("finetune_node", Setup)
		}
	}
}

// output is what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// rig is finetune_node in a process of its own, and a client of it.
type rig struct {
	*testing.T
	job    Job // its folders
	cmd    *exec.Cmd
	log    *output
	node   *ros.Node
	group  *ros.Group
	client *ros.ActionClient

	mu     sync.Mutex
	status []*cdr.Record // of ~/training_status
}

func newRig(t *testing.T) *rig {
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	c, _, err := ros.NewContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Type("arfm/action/Finetune_Goal"); err != nil {
		t.Skipf("arfm's interfaces are not installed: %v", err)
	}
	r := &rig{T: t, job: testJob(t), log: &output{}}
	r.start()
	if r.node, err = c.NewNode("client"); err != nil {
		t.Fatal(err)
	}
	g := c.NewGroup(func(err error) { t.Error(err) })
	r.group = g
	t.Cleanup(func() { g.Close(); _ = r.node.Close() })
	typ, err := c.Type("arfm/msg/TrainingStatus")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.node.Subscribe(g, "/finetune_node/training_status", typ.Name(), ros.QoS{Reliable: true, Latched: true, Depth: 100}, func(m ros.Message) {
		rec, err := typ.Decode(m.Data)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.status = append(r.status, rec)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.client, err = r.node.ActionClient(g, "/finetune_node/finetune", "arfm/action/Finetune"); err != nil {
		t.Fatal(err)
	}
	r.until("the action is there", r.client.Ready)
	return r
}

// start runs the node until the test's end.
func (r *rig) start() {
	args := []string{"--ros-args"}
	for name, value := range map[string]any{
		"bag_dir": r.job.BagDir, "checkpoint_dir": r.job.CheckpointDir, "work_dir": r.job.WorkDir, "contract": r.job.Contract,
		"preset": "nano", "batch": 4, "steps": 30, "threads": 1,
	} {
		args = append(args, "-p", fmt.Sprintf("%s:=%v", name, value))
	}
	r.cmd = exec.Command(os.Args[0])
	r.cmd.Env = append(os.Environ(), nodeArgs+"="+strings.Join(args, "\n"))
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		if r.Failed() {
			r.Log(r.log)
		}
	})
}

func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("never: %s", what)
		}
	}
}

// state is the newest status's, with its step.
func (r *rig) state() (State, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.status) == 0 {
		return "", 0
	}
	last := r.status[len(r.status)-1]
	return State(lookup[string](last, "state")), lookup[uint64](last, "step")
}

// states lists the states that came since the last call, each once in a row.
func (r *rig) states() (out []State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.status {
		out = append(out, State(lookup[string](s, "state")))
	}
	r.status = r.status[len(r.status):]
	return slices.Compact(out)
}

func (r *rig) training() {
	r.Helper()
	r.until("it trains", func() bool { s, step := r.state(); return s == Training && step > 0 })
}

func (r *rig) ros2(args ...string) string {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), 60*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, "ros2", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Errorf("ros2 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// send sends a goal of that many steps on those bags.
func (r *rig) send(steps uint32, feedback func(*cdr.Record), bags ...string) (*ros.SentGoal, error) {
	goal := r.client.Goal.New()
	if err := errors.Join(goal.Set("steps", steps), goal.Set("bags", bags)); err != nil {
		r.Fatal(err)
	}
	return r.client.Send(r.Context(), goal, feedback)
}

func (r *rig) result(g *ros.SentGoal) (ros.GoalStatus, *cdr.Record) {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), 30*time.Second)
	defer stop()
	status, rec, err := g.Result(ctx)
	if err != nil {
		r.Fatal(err)
	}
	return status, rec
}

func (r *rig) contains(what, text string, parts ...string) {
	r.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			r.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// TestNode goes through a day of finetune_node.
func TestNode(t *testing.T) {
	r := newRig(t)
	r.goal()
	r.busyAndCanceled()
	r.badGoals()
	r.deactivated()
	r.byItself()
	r.terminated()
}

// goal is one from the command line, from random weights.
func (r *rig) goal() {
	out := r.ros2("action", "send_goal", "--feedback", "/finetune_node/finetune", "arfm/action/Finetune", "{steps: 100, objective: rwr}")
	r.contains("ros2 action send_goal", out, "Feedback:", "steps: 100", "success: true", "100 steps of rwr", "Goal finished with status: SUCCEEDED")
	published := names(r.T, r.job.CheckpointDir)
	if len(published) != 1 {
		r.Fatalf("published %v", published)
	}
	path := filepath.Join(r.job.CheckpointDir, published[0])
	ck, err := checkpoint.Load(path)
	if err != nil || ck.Verify() != nil || ck.Step != 100 {
		r.Fatal(err)
	}
	r.contains("the result", out, "checkpoint: "+path, "hash: "+ck.Hash)
	e, err := hotswap.NewWatcher(r.job.CheckpointDir, hotswap.NewSlot(nil), hotswap.Options{}, nil).Reload()
	if err != nil || e.Hash != ck.Hash {
		r.Errorf("hot swap: %+v, %v", e, err)
	}
	if got := r.states(); !slices.Equal(got, []State{Idle, Reading, Training, Done}) {
		r.Errorf("states %v", got)
	}
}

// busyAndCanceled: while a run is in progress another goal is refused and the
// node answers; a cancel ends it and nothing of it is published.
func (r *rig) busyAndCanceled() {
	before := names(r.T, r.job.CheckpointDir)
	told := make(chan struct{}, 1000)
	g, err := r.send(1e9, func(*cdr.Record) { told <- struct{}{} })
	if err != nil {
		r.Fatal(err)
	}
	r.training()
	if _, err := r.send(1, nil); !errors.Is(err, ros.ErrRefused) {
		r.Errorf("a second goal: %v", err)
	}
	r.until("the log says why", func() bool { return strings.Contains(r.log.String(), "a run is in progress, at step") })
	r.contains("ros2 param get", r.ros2("param", "get", "/finetune_node", "steps", "--no-daemon", "--spin-time", "0.3"), "Integer value is: 30")
	if s, _ := r.state(); s != Training {
		r.Errorf("the node answered when it was %s", s)
	}
	<-told
	if err := g.Cancel(r.Context()); err != nil {
		r.Fatal(err)
	}
	status, result := r.result(g)
	if message := lookup[string](result, "message"); status != ros.GoalCanceled || !strings.Contains(message, "arfm train --resume --out ") {
		r.Errorf("%s, %s", status, message)
	}
	if after := names(r.T, r.job.CheckpointDir); !slices.Equal(after, before) {
		r.Errorf("published %v", after)
	}
}

// badGoals are aborted with one sentence.
func (r *rig) badGoals() {
	for want, bag := range map[string]string{"reach_none": "reach_none", "checkpoints": r.job.CheckpointDir} {
		g, err := r.send(5, nil, bag)
		if err != nil {
			r.Fatal(err)
		}
		status, result := r.result(g)
		message := lookup[string](result, "message")
		if status != ros.GoalAborted || lookup[bool](result, "success") || !strings.Contains(message, want) || strings.Contains(message, "\n") {
			r.Errorf("%s, %s", status, message)
		}
	}
	if s, _ := r.state(); s != Failed {
		r.Errorf("the status says %s", s)
	}
}

// deactivated: the lifecycle ends a run, and refuses goals until the node is
// active again.
func (r *rig) deactivated() {
	g, err := r.send(1e9, nil)
	if err != nil {
		r.Fatal(err)
	}
	r.training()
	r.change("deactivate")
	if status, result := r.result(g); status != ros.GoalAborted || lookup[bool](result, "success") {
		r.Errorf("%s, %s", status, lookup[string](result, "message"))
	}
	if _, err := r.send(1, nil); !errors.Is(err, ros.ErrRefused) {
		r.Errorf("a goal for an inactive node: %v", err)
	}
	r.until("the log says why", func() bool { return strings.Contains(r.log.String(), "the node is not active") })
	r.change("activate")
}

// change goes through a transition of the lifecycle.
func (r *rig) change(label string) {
	r.Helper()
	c, err := r.node.Client(r.group, "/finetune_node/change_state", "lifecycle_msgs/srv/ChangeState")
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	r.until("the service is there", c.Ready)
	req := c.Request.New()
	if err := req.Set("transition.label", label); err != nil {
		r.Fatal(err)
	}
	resp, err := c.Call(r.Context(), req)
	if err != nil || !lookup[bool](resp, "success") {
		r.Fatalf("%s: %v", label, err)
	}
}

// byItself: episodes end, a bag appears, and a run begins.
func (r *rig) byItself() {
	r.contains("ros2 param set", r.ros2("param", "set", "/finetune_node", "train_after_episodes", "2", "--no-daemon", "--spin-time", "0.3"), "successful")
	pub, err := r.node.Publisher("/arfm/episode", "arfm/msg/EpisodeEvent", ros.Default)
	if err != nil {
		r.Fatal(err)
	}
	r.until("the node listens", func() bool { return pub.Subscribers() > 0 })
	before := names(r.T, r.job.CheckpointDir)
	r.states()
	for _, event := range []string{"START", "SUCCESS", "START", "FAILURE"} {
		rec := pub.Type.New()
		value, _ := rec.Type().Constant(event)
		if err := errors.Join(rec.Set("event", value), pub.Publish(rec)); err != nil {
			r.Fatal(err)
		}
	}
	record(r.T, filepath.Join(r.job.BagDir, "later"), 4, 2)
	r.until("a run by itself", func() bool { s, _ := r.state(); return s == Done })
	if got := r.states(); !slices.Equal(got, []State{Reading, Training, Done}) {
		r.Errorf("states %v", got)
	}
	if after := names(r.T, r.job.CheckpointDir); len(after) != len(before)+1 {
		r.Errorf("published %v", after)
	}
}

// terminated: SIGTERM in the middle of a run ends node and training process.
func (r *rig) terminated() {
	before := names(r.T, r.job.CheckpointDir)
	if _, err := r.send(1e9, nil); err != nil {
		r.Fatal(err)
	}
	r.training()
	pids := children(r.cmd.Process.Pid)
	if len(pids) != 1 {
		r.Fatalf("training processes %v", pids)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.Fatal(err)
	}
	begin := time.Now()
	if err := r.cmd.Wait(); err != nil {
		r.Errorf("its end: %v", err)
	}
	r.Logf("it ended after %v", time.Since(begin))
	if _, err := os.Stat("/proc/" + pids[0]); err == nil {
		r.Error("the training process goes on")
	}
	if after := names(r.T, r.job.CheckpointDir); !slices.Equal(after, before) {
		r.Errorf("published %v", after)
	}
	r.contains("log", r.log.String(), "the run was canceled", "finalized")
}
