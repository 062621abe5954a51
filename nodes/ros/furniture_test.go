//go:build ros

package ros

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arfm/nodes/ros/param"
)

// asNode, if set, makes the test's own binary a node with these arguments.
const asNode = "ARFM_TEST_NODE"

// TestAsNode is no test: it is the main function of the node under test.
func TestAsNode(t *testing.T) {
	args, ok := os.LookupEnv(asNode)
	if !ok {
		t.Skip("only as a process of its own")
	}
	os.Args = append([]string{"managed"}, strings.Fields(args)...)
	Main("managed", func(_ context.Context, n *Node) error {
		if err := n.Declare(param.Declaration{Name: "checkpoint_dir", Default: param.Of("")}, param.Declaration{Name: "gain", Default: param.Of(1.0)}); err != nil {
			return err
		}
		var d *Diagnostics
		return n.Lifecycle(Callbacks{
			Configure: func() (err error) {
				if param.Get[string](n.Params, "checkpoint_dir") == "" {
					return errors.New("checkpoint_dir is empty; set it to the folder with the checkpoints")
				}
				d, err = n.Diagnose("ur5e")
				if err == nil {
					d.Add("policy", func(s *Status) {
						s.Merge(Warn, "the wrist camera is %d ms old", 310)
						s.Add("lr", 0.1)
					})
				}
				return err
			},
			Cleanup: func() error { return d.Close() },
		})
	})
}

// node is the test binary as a node in a process of its own.
type node struct {
	*exec.Cmd
	out *output
}

type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func startNode(t *testing.T, args string) *node {
	t.Helper()
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	n := &node{exec.Command(os.Args[0], "-test.run=^TestAsNode$"), &output{}}
	n.Env = append(os.Environ(), asNode+"="+args)
	n.Stdout, n.Stderr = n.out, n.out
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Process.Kill(); _ = n.Wait() })
	return n
}

// end signals the node and returns its exit status.
func (n *node) end(t *testing.T, sig os.Signal) int {
	t.Helper()
	if err := n.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	_ = n.Wait()
	return n.ProcessState.ExitCode()
}

func TestManagedNodeWithTheTool(t *testing.T) {
	p := startNode(t, "--ros-args -r __ns:=/cell -p gian:=2.0")
	c := testContext(t)
	n, g := testNode(t, c, "watcher")
	rosout := newRecorder(t, n, g, "/rosout", "rcl_interfaces/msg/Log", QoS{Reliable: true, Latched: true, Depth: 100})
	const name = "/cell/managed"
	within(t, 20*time.Second, "the node complains", func() bool { return strings.Contains(p.out.String(), "gian, which") })
	contains(t, "log", p.out.String(), "configure failed, the node is unconfigured: checkpoint_dir is empty; set it to the folder with the checkpoints",
		"-p gian:=2.0 sets gian, which is no parameter of this node; gain is near it")
	within(t, 5*time.Second, "/rosout has it", func() bool {
		return strings.Contains(rosout.text(), "40 cell.managed: configure failed, the node is unconfigured: checkpoint_dir is empty")
	})
	ask := func(verb string, args ...string) string {
		return tool(t, append([]string{"lifecycle", verb, "--no-daemon", "--spin-time", "0.3"}, args...)...)
	}
	contains(t, "nodes", ask("nodes"), name)
	contains(t, "get", ask("get", name), "unconfigured [1]")
	events := newRecorder(t, n, g, name+"/transition_event", "lifecycle_msgs/msg/TransitionEvent", Default)
	contains(t, "set fails", ask("set", name, "configure"), "Transitioning failed")
	contains(t, "param set", tool(t, "param", "set", "--no-daemon", "--spin-time", "0.3", name, "checkpoint_dir", "/models"), "Set parameter successful")
	contains(t, "set", ask("set", name, "configure"), "Transitioning successful")
	contains(t, "list", ask("list", name), "- cleanup [2] Start: inactive Goal: cleaningup", "- activate [3] Start: inactive Goal: activating", "- shutdown [6] Start: inactive Goal: shuttingdown")
	contains(t, "list all", ask("list", "-a", name), "- transition_failure [61] Start: errorprocessing Goal: finalized")
	contains(t, "set", ask("set", name, "activate"), "Transitioning successful")
	contains(t, "get", ask("get", name), "active [3]")
	contains(t, "set what cannot be", ask("set", name, "configure"), "Unknown transition requested, available ones are: - deactivate [4] - shutdown [7]")
	within(t, 5*time.Second, "all transitions are told", func() bool {
		return events.text() == "unconfigured > configuring\nconfiguring > unconfigured\nunconfigured > configuring\nconfiguring > inactive\ninactive > activating\nactivating > active"
	})
	diagnostics := newRecorder(t, n, g, "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", Default)
	within(t, 10*time.Second, "diagnostics", func() bool {
		return strings.Contains(diagnostics.text(), "1 managed: policy [ur5e]: the wrist camera is 310 ms old, lr=0.1")
	})
	out := tool(t, "topic", "echo", "--no-daemon", "--spin-time", "0.3", "--once", "/diagnostics")
	contains(t, "topic echo", out, "level: \"\\x01\" name: 'managed: policy' message: the wrist camera is 310 ms old hardware_id: ur5e values: - key: lr value: '0.1'")
	out = tool(t, "node", "info", "--no-daemon", "--spin-time", "0.3", name)
	contains(t, "node info", out, "/diagnostics: diagnostic_msgs/msg/DiagnosticArray", "/parameter_events: rcl_interfaces/msg/ParameterEvent", "/rosout: rcl_interfaces/msg/Log",
		"/cell/managed/change_state: lifecycle_msgs/srv/ChangeState", "/cell/managed/set_parameters_atomically: rcl_interfaces/srv/SetParametersAtomically")
	if status := p.end(t, syscall.SIGINT); status != 0 {
		t.Errorf("status %d after SIGINT:\n%s", status, p.out)
	}
	contains(t, "log", p.out.String(), "shuttingdown", "finalized")
	within(t, 5*time.Second, "the end is told", func() bool {
		return strings.HasSuffix(events.text(), "active > shuttingdown\nshuttingdown > finalized")
	})
}

func TestMainStatus(t *testing.T) {
	for args, want := range map[string]struct {
		status int
		text   string
	}{
		"--ros-args -p gain:=1":     {2, "managed: parameter override: -p gain:=1: gain is a double, but 1 is an integer; write 1.0"},
		"--ros-args -p gain":        {2, "managed: ros: parameter override: -p gain is not name:=value nor node:name:=value"},
		"--ros-args -r __node:=1st": {2, "managed: ros: arguments: "},
		"run --ros-args":            {2, "managed: \"run\" is no argument of this node"},
	} {
		p := startNode(t, args)
		_ = p.Wait()
		if got := p.ProcessState.ExitCode(); got != want.status || !strings.Contains(p.out.String(), want.text) {
			t.Errorf("%s: status %d, want %d with %q:\n%s", args, got, want.status, want.text, p.out)
		}
	}
	p := startNode(t, "--ros-args -p checkpoint_dir:=/models")
	within(t, 20*time.Second, "it is active", func() bool { return strings.Contains(p.out.String(), "]: active") })
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("status %d after SIGTERM:\n%s", status, p.out)
	}
	p = startNode(t, "--ros-args -p checkpoint_dir:=/models")
	within(t, 20*time.Second, "it is active", func() bool { return strings.Contains(p.out.String(), "]: active") })
	for range 20 { // as from a terminal and from ros2 launch
		_ = p.Process.Signal(syscall.SIGINT)
		time.Sleep(time.Millisecond)
	}
	_ = p.Wait()
	if status := p.ProcessState.ExitCode(); status != 0 {
		t.Errorf("status %d after many SIGINT:\n%s", status, p.out)
	}
}

func TestSimulatedTime(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "sim_time")
	rosout := newRecorder(t, n, g, "/rosout", "rcl_interfaces/msg/Log", QoS{Reliable: true, Latched: true, Depth: 100})
	pub, err := n.Publisher("/clock", "rosgraph_msgs/msg/Clock", Default)
	if err != nil {
		t.Fatal(err)
	}
	say := func(ns int64) {
		rec := pub.Type.New()
		if err := errors.Join(SetTime(rec, "clock", ns), pub.Publish(rec)); err != nil {
			t.Fatal(err)
		}
	}
	say(1)
	if n.Clock.Sim() || n.Clock.Now() < 1e18 {
		t.Errorf("without use_sim_time the time is %d", n.Clock.Now())
	}
	if r := n.Params.Set(param.Parameter{Name: "use_sim_time", Value: param.Of(true)})[0]; !r.Successful {
		t.Fatal(r.Reason)
	}
	within(t, 5*time.Second, "/clock is heard", func() bool { return pub.Subscribers() == 1 })
	if n.Clock.Now() != 0 || rosout.text() != "" {
		t.Errorf("before the first message the time is %d", n.Clock.Now())
	}
	say(12_000_000_345)
	within(t, 5*time.Second, "the time is that of /clock", func() bool { return n.Clock.Now() == 12_000_000_345 })
	within(t, 5*time.Second, "the clock is seen to stop", func() bool { return n.Clock.Stopped(50 * time.Millisecond) })
	say(-3e9)
	within(t, 5*time.Second, "a negative time is refused", func() bool {
		return strings.Contains(rosout.text(), "30 sim_time: /clock says -3.000 s")
	})
	if n.Clock.Now() != 12_000_000_345 {
		t.Errorf("after it the time is %d", n.Clock.Now())
	}
	say(2_500_000_000)
	within(t, 5*time.Second, "the time goes back", func() bool { return n.Clock.Now() == 2_500_000_000 })
	within(t, 5*time.Second, "the log says so", func() bool {
		return strings.Contains(rosout.text(), "30 sim_time: /clock went back by 9.500 s, to 2.500 s")
	})
	n.Params.Set(param.Parameter{Name: "use_sim_time", Value: param.Of(false)})
	within(t, 5*time.Second, "/clock is left", func() bool { return pub.Subscribers() == 0 })
	if n.Clock.Now() < 1e18 {
		t.Errorf("back on the wall the time is %d", n.Clock.Now())
	}
}

func TestStop(t *testing.T) {
	c := testContext(t)
	n, _ := testNode(t, c, "stopping")
	var calls []string
	if err := n.Lifecycle(Callbacks{Activate: func() error { n.Stop(errors.New("done")); n.Stop(nil); return nil }, Deactivate: func() error { calls = append(calls, "deactivate"); return nil }}); err != nil {
		t.Fatal(err)
	}
	if err := n.Run(context.Background()); err == nil || err.Error() != "done" || n.State() != Finalized || len(calls) != 1 {
		t.Errorf("Run: %v, the node is %s, calls %v", err, n.State(), calls)
	}
}

func TestUnusedOverridesOfTopicsToCome(t *testing.T) {
	c := testContext(t, "--ros-args", "-p", "qos_overrides./a.publisher.depth:=5", "-p", "qos_overrides./b.publisher.depth:=5", "-p", "autostart:=false", "-p", "wheels:=4")
	n, g := testNode(t, c, "topics_to_come")
	rosout := newRecorder(t, n, g, "/rosout", "rcl_interfaces/msg/Log", QoS{Reliable: true, Latched: true, Depth: 100})
	err := n.Lifecycle(Callbacks{Configure: func() error {
		_, err := n.Publisher("/a", "std_msgs/msg/String", Default)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	within(t, 5*time.Second, "the other is told", func() bool { return strings.Contains(rosout.text(), "wheels, which is no parameter") })
	if err := n.Trigger("configure"); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the topic is told", func() bool {
		return strings.Contains(rosout.text(), "sets qos_overrides./b.publisher.depth, which is no parameter")
	})
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if text := rosout.text(); strings.Count(text, "no parameter") != 2 {
		t.Errorf("logged:\n%s", text)
	}
}

func TestThrottledLog(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "throttled")
	rosout := newRecorder(t, n, g, "/rosout", "rcl_interfaces/msg/Log", QoS{Reliable: true, Latched: true, Depth: 100})
	for i := range 5 {
		n.Log.WarnEvery(time.Hour, "slow %d", i)
		n.Log.WarnEvery(0, "often %d", i)
	}
	n.Log.last["slow %d"].next = time.Time{}
	n.Log.WarnEvery(time.Hour, "slow %d", 5)
	n.Log.Infof("done")
	within(t, 5*time.Second, "the last line", func() bool { return strings.Contains(rosout.text(), "done") })
	if text := rosout.text(); strings.Count(text, "slow") != 2 || strings.Count(text, "often") != 5 || !strings.Contains(text, "slow 5 (and 4 more like it)") {
		t.Errorf("logged:\n%s", text)
	}
}

func TestQoSMismatchIsNamed(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "qos")
	rosout := newRecorder(t, n, g, "/rosout", "rcl_interfaces/msg/Log", QoS{Reliable: true, Latched: true, Depth: 100})
	sub, err := n.Subscribe(g, "scan", "std_msgs/msg/String", Latched, func(Message) { t.Error("a message passed") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Publisher("~/state", "std_msgs/msg/String", SensorData); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	other, og := testNode(t, c, "driver")
	if _, err := other.Subscribe(og, "/qos/state", "std_msgs/msg/String", Default, func(Message) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Publisher("/scan", "std_msgs/msg/Int32", Default); err != nil {
		t.Fatal(err)
	}
	ctx2, stop2 := context.WithCancel(ctx)
	cmd := ros2Command(ctx2, "topic", "pub", "--qos-reliability", "best_effort", "--qos-durability", "transient_local", "/scan", "std_msgs/msg/String", "{data: x}")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop2(); _ = cmd.Wait() }()
	for _, want := range []string{
		"30 qos: /qos/state: /driver asks for reliable reliability, this node publishes best_effort; no message passes, so set qos_overrides./qos/state.publisher.reliability or the subscriber's QoS",
		"30 qos: /scan: /driver has it as std_msgs/msg/Int32, this node as std_msgs/msg/String; no message passes, so remap one of them",
		"publishes with best_effort reliability, this node asks for reliable; no message passes, so set qos_overrides./scan.subscription.reliability to best_effort",
	} {
		within(t, 20*time.Second, want, func() bool { return strings.Contains(rosout.text(), want) })
	}
	time.Sleep(1500 * time.Millisecond) // it is said once, not at each look
	if got := strings.Count(rosout.text(), "no message passes"); got != 3 {
		t.Errorf("%d warnings, want 3:\n%s", got, rosout.text())
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}

func TestQoSOverrides(t *testing.T) {
	c := testContext(t, "--ros-args", "-r", "scan:=/lidar/scan", "-p", "qos_overrides./lidar/scan.subscription.reliability:=best_effort", "-p", "qos_overrides./lidar/scan.subscription.depth:=3",
		"-p", "qos_overrides./lidar/scan.publisher.history:=keep_all", "-p", "qos_overrides./bad.publisher.reliability:=perfect")
	n, g := testNode(t, c, "overridden")
	for range 2 { // again after a cleanup
		sub, err := n.Subscribe(g, "scan", "std_msgs/msg/String", Latched, func(Message) {})
		if err != nil {
			t.Fatal(err)
		}
		if want := (QoS{Latched: true, Depth: 3}); sub.end.qos != want || sub.end.topic != "/lidar/scan" {
			t.Errorf("subscription of %s with %v, want %v", sub.end.topic, sub.end.qos, want)
		}
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
	}
	pub, err := n.Publisher("scan", "std_msgs/msg/String", Default)
	if err != nil {
		t.Fatal(err)
	}
	if want := (QoS{Reliable: true, KeepAll: true, Depth: 10}); pub.end.qos != want {
		t.Errorf("publisher with %v, want %v", pub.end.qos, want)
	}
	if _, err := n.Publisher("/bad", "std_msgs/msg/String", Default); !errors.Is(err, param.ErrOverride) || !strings.Contains(fmt.Sprint(err), "it must be one of reliable, best_effort") {
		t.Errorf("a wrong policy: %v", err)
	}
	if u := n.Params.Unused(); len(u) != 1 { // that of /bad, which there is not
		t.Errorf("unused: %v", u)
	}
}
