package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestRunLimits: a limits file that cannot be used is named on one line, and
// nothing is summed up.
func TestRunLimits(t *testing.T) {
	f := record(t)
	out := f.trained(t)
	pipe := f.path("pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	joint := func(name, lower, upper string) string {
		return `<joint name="` + name + `" type="revolute"><limit lower="` + lower + `" upper="` + upper + `" velocity="1"/></joint>`
	}
	for path, want := range map[string]string{
		pipe:        "named pipe",
		"/dev/zero": "a device",
		f.path(""):  "a folder",
		f.write(t, "negative.yaml", "joint_limits: {joint_1: {has_velocity_limits: true, max_velocity: -1}}"):          "velocity -1",
		f.write(t, "none.urdf", `<robot name="x"/>`):                                                                   "no revolute",
		f.write(t, "still.urdf", `<robot name="x">`+joint("joint_1", "0", "0")+joint("joint_2", "-1", "1")+`</robot>`): "joint_1 has position 0..0",
		f.write(t, "other.urdf", `<robot name="x">`+joint("elbow", "-1", "1")+`</robot>`):                              "none for joint_1",
	} {
		status, stdout, stderr := arfm("run", "--checkpoints", out, "--bag", f.bag, "--speed", "0", "--limits", path)
		if status != exitFailed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) || strings.Contains(stdout, "ticks") {
			t.Errorf("%s: status %d, %s%s", path, status, stdout, stderr)
		}
		if !strings.Contains(stderr, path) && !strings.Contains(path, "other") { // the runner knows no files
			t.Errorf("%s is not named: %s", path, stderr)
		}
	}
}

// trained returns the folder of a run of one step.
func (f files) trained(t *testing.T) string {
	t.Helper()
	out := f.path("trained")
	must(t, f.quick(out, "--steps", "1")...)
	return out
}

// failing is a standard output that takes some writes and no more.
type failing struct{ takes int }

func (w *failing) Write(p []byte) (int, error) {
	if w.takes--; w.takes < 0 {
		return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	}
	return len(p), nil
}

// TestLostOutput: a command whose result cannot be written has not done its work.
func TestLostOutput(t *testing.T) {
	f := record(t)
	runs := []string{"run", "--checkpoints", f.trained(t), "--bag", f.bag, "--speed", "0"}
	for _, args := range [][]string{
		{"--version"}, {"bag", "info", f.bag}, {"bag", "info", "--json", f.bag}, {"bag", "check", "-c", f.contract, f.bag}, runs, append(runs, "--json"),
	} {
		var errs bytes.Buffer
		status := run(context.Background(), args, &failing{}, &errs)
		if status != exitFailed || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), "no space left on device; free some space") {
			t.Errorf("%v: status %d, %s", args, status, &errs)
		}
	}
}

// TestRunWithoutReader: the loop goes on when the reader of its output ends, and
// says so at its end.
func TestRunWithoutReader(t *testing.T) {
	f := record(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var errs bytes.Buffer
	cmd := exec.Command(self, "run", "--checkpoints", f.trained(t), "--bag", f.bag, "--speed", "0")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asCommand+"=1"), w, &errs
	err = cmd.Run()
	w.Close()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if status := cmd.ProcessState.ExitCode(); status != exitFailed || !strings.Contains(errs.String(), "the output is lost: write /dev/stdout: broken pipe") {
		t.Errorf("status %d (%v), %s", status, err, &errs)
	}
}
