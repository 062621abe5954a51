//go:build ros

package launch

import (
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// bringup starts bringup.launch.py with the simulated arm; home is ROS_HOME.
func bringup(t *testing.T, home string, args ...string) *program {
	t.Helper()
	ros2, err := exec.LookPath("ros2")
	if err != nil {
		t.Skip("there is no ros2 here")
	}
	return run(t, "env", append([]string{"ROS_HOME=" + home, ros2, "launch", "arfm", "bringup.launch.py", "sim:=true"}, args...)...)
}

// tool returns what ros2 printed in the test's domain.
func tool(t *testing.T, verb, what string, args ...string) string {
	t.Helper()
	return call(t, append([]string{verb, what, "--no-daemon", "--spin-time", "1"}, args...)...)
}

// call is tool for the verbs that have no such options.
func call(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ros2", args...).CombinedOutput()
	if err != nil {
		t.Errorf("ros2 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// shows checks that a text has all of these, whatever the white space.
func shows(t *testing.T, what, text string, want ...string) {
	t.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not show %q:\n%s", what, w, text)
		}
	}
}

var rate = regexp.MustCompile(`average rate: [0-9.]+`)

var started = regexp.MustCompile(`\[(\w+-\d+)\]: process started`)

// interrupt ends a launch as Ctrl-C does, and checks that all of it ends well.
func (p *program) interrupt(t *testing.T) {
	t.Helper()
	t.Logf("all had ended %v after Ctrl-C", p.stop(t, 20*time.Second).Round(time.Millisecond))
	if p.err != nil {
		t.Errorf("ros2 launch: %v", p.err)
	}
	for _, m := range started.FindAllStringSubmatch(p.out.String(), -1) {
		if !strings.Contains(p.out.String(), "["+m[1]+"]: process has finished cleanly") {
			t.Errorf("%s did not finish cleanly", m[1])
		}
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("a process is left: %v", err)
	}
}

// board keeps the newest status of policy_node and all diagnostics.
type board struct {
	mu     sync.Mutex
	status *cdr.Record
	levels map[string]byte   // by the diagnostic's name
	texts  map[string]string // message
	values map[string]string // by name and key
}

func watch(o *observer) *board {
	b := &board{levels: map[string]byte{}, texts: map[string]string{}, values: map[string]string{}}
	o.hear("/policy_node/status", "arfm/msg/PolicyStatus", ros.Latched, func(_ int64, rec *cdr.Record) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.status = rec
	})
	o.hear("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", ros.QoS{Reliable: true, Depth: 100}, func(_ int64, rec *cdr.Record) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range field[[]*cdr.Record](rec, "status") {
			name := field[string](s, "name")
			b.levels[name], b.texts[name] = field[byte](s, "level"), field[string](s, "message")
			for _, v := range field[[]*cdr.Record](s, "values") {
				b.values[name+"/"+field[string](v, "key")] = field[string](v, "value")
			}
		}
	})
	return b
}

// field is the value at path, zero where there is none of that type.
func field[T any](rec *cdr.Record, path string) T {
	v, _ := rec.Lookup(path)
	x, _ := v.(T)
	return x
}

// state returns a field of policy_node's status.
func state[T any](b *board, path string) (x T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status == nil {
		return x
	}
	return field[T](b.status, path)
}

// is waits for policy_node's state.
func (b *board) is(t *testing.T, want string) {
	t.Helper()
	eventually(t, time.Minute, "policy_node is "+want, func() bool { return state[string](b, "state") == want })
}

func (b *board) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = nil
	clear(b.levels)
	clear(b.texts)
	clear(b.values)
}

// worst returns what diagnostics say that is not OK.
func (b *board) worst() (bad []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.levels)) {
		if b.levels[name] != 0 {
			bad = append(bad, name+": "+b.texts[name])
		}
	}
	return bad
}

// diagnostic returns a diagnostic's message.
func (b *board) diagnostic(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.texts[name]
}

// value returns a diagnostic's value, pairs all of them.
func (b *board) value(name, key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.values[name+"/"+key]
}

func (b *board) pairs(name string) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(b.values)) {
		if rest, ok := strings.CutPrefix(key, name+"/"); ok {
			list = append(list, rest+" "+b.values[key])
		}
	}
	return list
}

// TestSimulatedArm: bringup.launch.py with nothing but sim:=true, then with
// recording and fine-tuning, seen with the tools of ROS.
func TestSimulatedArm(t *testing.T) {
	o := observe(t, 31)
	b := watch(o)
	home := t.TempDir()
	t.Cleanup(func() { _ = exec.Command("ros2", "daemon", "stop").Run() })
	t.Run("bringup", func(t *testing.T) { bringUp(t, b, home) })
	checkpoints := filepath.Join(home, "arfm/object/checkpoints")
	if !exists(checkpoints) {
		t.Fatal("there is no policy to go on with")
	}
	t.Run("recorded and improved", func(t *testing.T) { improve(t, o, b, checkpoints) })
	t.Run("restarts", func(t *testing.T) { restarts(t, b, checkpoints) })
}

func bringUp(t *testing.T, b *board, home string) {
	begin := time.Now()
	p := bringup(t, home)
	hz := run(t, "ros2", "topic", "hz", "--window", "20", "/policy_node/action_chunk")
	eventually(t, 2*time.Minute, "ros2 topic hz sees chunks", func() bool { return strings.Contains(hz.out.String(), "average rate: ") })
	t.Logf("%.1f s after the launch: %s", time.Since(begin).Seconds(), rate.FindString(hz.out.String()))
	hz.kill()
	eventually(t, time.Minute, "diagnostics are OK", func() bool {
		b.mu.Lock()
		_, policy := b.levels["policy_node: policy"]
		_, sim := b.levels["sim_node: simulation"]
		b.mu.Unlock()
		return policy && sim && len(b.worst()) == 0
	})
	t.Logf("diagnostics are OK %.1f s after the launch; %d ticks, %d missed, %d swaps", time.Since(begin).Seconds(),
		state[uint64](b, "ticks"), state[uint64](b, "missed_ticks"), state[uint64](b, "swaps"))
	shows(t, "topic echo", tool(t, "topic", "echo", "--once", "/policy_node/action_chunk"),
		"names: - shoulder_pan_joint - shoulder_lift_joint", "horizon: 16", "values: - ", "checkpoint: ")
	shows(t, "node info", tool(t, "node", "info", "/policy_node"),
		"/joint_states: sensor_msgs/msg/JointState", "/policy_node/action_chunk: arfm/msg/ActionChunk",
		"/joint_trajectory_controller/joint_trajectory: trajectory_msgs/msg/JointTrajectory", "/policy_node/run_policy: arfm/action/RunPolicy")
	for _, node := range []string{"/policy_node", "/sim_node"} {
		shows(t, "lifecycle get", tool(t, "lifecycle", "get", node), "active [3]")
	}
	shows(t, "param describe", tool(t, "param", "describe", "/policy_node", "replan_rows", "output"),
		"Parameter name: replan_rows Type: integer Description: rows of a chunk", "Min value: 0 Max value: 256", "one of topic, action, servo")
	shows(t, "topic echo", tool(t, "topic", "echo", "--once", "/diagnostics"), "level: ", "message: ")
	eventually(t, 3*time.Minute, "the beginner is trained", func() bool { return strings.Contains(p.out.String(), "[train-4]: process has finished cleanly") })
	p.interrupt(t)
	if files, _ := filepath.Glob(filepath.Join(home, "arfm/object/checkpoints/*.safetensors")); len(files) == 0 {
		t.Error("no checkpoint is kept")
	}
}
