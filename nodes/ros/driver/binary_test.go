//go:build ros

package driver

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arfm/bags/cdr"
)

// TestProgram runs policy_node as a process: with the packaged parameters, its
// instruction changed by ros2 param, its diagnostics, and the end by a signal
// while the arm moves, after which it is started again.
func TestProgram(t *testing.T) {
	c := connect(t)
	program := filepath.Join(t.TempDir(), "policy_node")
	if out, err := exec.Command("go", "build", "-tags", "ros", "-o", program, "arfm/nodes/policy_node").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a := newArm(t, c, "policy_node", wall)
	diagnostics := a.hear("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
	for round := range 2 {
		var log bytes.Buffer
		cmd := exec.Command(program, "--ros-args", "--params-file", "../../../launch/params/policy.yaml",
			"-p", "checkpoint_dir:="+dir, "-p", "wait_for_description_s:=0.1", "-p", "diagnostic_updater.period:=0.2")
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		t.Cleanup(kill)
		within(t, 15*time.Second, "the arm is led", a.state("tracking"))
		a.mu.Lock()
		n := len(a.got)
		a.mu.Unlock()
		within(t, 15*time.Second, "it goes on", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.got) > n+3 })
		if round == 0 {
			if out, err := exec.Command("ros2", "param", "set", "/policy_node", "instruction", "wave").CombinedOutput(); err != nil || !strings.Contains(string(out), "successful") {
				t.Errorf("ros2 param set: %v\n%s", err, out)
			}
			within(t, 5*time.Second, "the instruction counts", func() bool { return a.status("instruction") == "wave" })
			if out, err := exec.Command("ros2", "param", "set", "/policy_node", "output", "servo").CombinedOutput(); err == nil && strings.Contains(string(out), "successful") {
				t.Errorf("a fixed parameter is changed:\n%s", out)
			}
		}
		within(t, 5*time.Second, "the diagnostics are well", func() bool { return healthy(diagnostics()) })
		sent := time.Now()
		if err := cmd.Process.Signal(map[int]syscall.Signal{0: syscall.SIGTERM, 1: syscall.SIGINT}[round]); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after the signal: %v", err)
		}
		t.Logf("ended %v after the signal", time.Since(sent))
		if t.Failed() {
			t.Log(log.String())
		}
		a.mu.Lock()
		a.statuses = nil
		a.mu.Unlock()
	}
	a.mu.Lock()
	a.check()
	a.mu.Unlock()
}

// healthy says whether the last diagnostics of the policy are OK and tell of its
// latencies and topics.
func healthy(all []*cdr.Record) bool {
	if len(all) == 0 {
		return false
	}
	var keys []string
	v, _ := all[len(all)-1].Lookup("status")
	for _, s := range v.([]*cdr.Record) {
		name, _ := s.Lookup("name")
		level, _ := s.Lookup("level")
		if level != uint8(0) && name != "policy_node: output" {
			return false
		}
		kv, _ := s.Lookup("values")
		for _, x := range kv.([]*cdr.Record) {
			key, _ := x.Lookup("key")
			keys = append(keys, key.(string))
		}
	}
	text := strings.Join(keys, "\n")
	for _, want := range []string{"image stamp to chunk p99 (ms)", "inference p50 (ms)", "tick lateness p99 (ms)", "/joint_states (Hz)", "missed ticks", "subscriptions"} {
		if !strings.Contains(text, want) {
			return false
		}
	}
	return true
}
