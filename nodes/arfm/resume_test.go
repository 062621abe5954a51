package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quick are the flags of a training that takes a second.
func (f files) quick(out string, more ...string) []string {
	return append([]string{"train", "--contract", f.contract, "--bags", f.bag, "--objective", "bc", "--preset", "nano", "--batch", "2",
		"--eval-chunks", "2", "--steps", "40", "--save-every", "4", "--eval-every", "0", "--lr", "0.001", "--seed", "18446744073709551615", "--out", out}, more...)
}

func hash(t *testing.T, out string) string {
	t.Helper()
	var r struct{ Hash string }
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Hash == "" {
		t.Fatalf("%v, %s", err, out)
	}
	return r.Hash
}

// interrupt runs arfm in a process of its own and sends it a signal once the
// file at path is there.
func interrupt(t *testing.T, sig os.Signal, path string, args ...string) (status int, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command(self, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), asCommand+"=1"), &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		for {
			if _, err := os.Stat(path); err == nil {
				cmd.Process.Signal(sig) // an error says that it has ended
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	err = cmd.Wait()
	close(ended)
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// TestResume: a run that was killed or interrupted goes on with --resume and
// its folder alone, from anywhere, to the weights of an unbroken one.
func TestResume(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for long, which takes minutes under the race detector")
	}
	f := record(t)
	want := hash(t, must(t, f.quick(f.path("whole"), "--json")...))
	out := f.path("broken off")
	saved := filepath.Join(out, "policy-00000004.safetensors")
	if status, errs := interrupt(t, syscall.SIGKILL, saved, f.quick(out)...); status != -1 {
		t.Fatalf("it was not killed: status %d, %s", status, errs)
	}
	saved = filepath.Join(out, "policy-00000020.safetensors")
	status, errs := interrupt(t, os.Interrupt, saved, "train", "--resume", "--out", out)
	if status != exitFailed || !strings.Contains(errs, "interrupted after step") || !strings.Contains(errs, "; arfm train --resume --out '"+out+"' goes on") {
		t.Errorf("status %d, %s", status, errs)
	}
	t.Chdir(t.TempDir())
	if got := hash(t, must(t, "train", "--resume", "--out", out, "--json")); got != want {
		t.Errorf("the resumed run ends with %s, the unbroken one with %s", got, want)
	}
}

// TestResumeWithFlags: what repeats the run is taken, what contradicts it is
// refused with both values, and what is done beside training may change.
func TestResumeWithFlags(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for long, which takes minutes under the race detector")
	}
	f := record(t)
	out := f.path("out")
	want := hash(t, must(t, f.quick(out, "--json")...))
	if got := hash(t, must(t, f.quick(out, "--json", "--resume", "--publish", f.path("watched"), "--keep", "2")...)); got != want {
		t.Errorf("the same flags give %s, not %s", got, want)
	}
	if got := names(t, f.path("watched")); !strings.Contains(got, "policy-00000040.safetensors") {
		t.Errorf("published is %s", got)
	}
	moved := f.path("moved")
	if err := os.Rename(f.bag, moved); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := arfm("train", "--resume", "--out", out); status != exitFailed || !strings.Contains(errs, f.bag) || !strings.Contains(errs, "new place with --bags") {
		t.Errorf("without its bag: status %d, %s", status, errs)
	}
	if end := must(t, "train", "--resume", "--out", out, "--bags", moved); strings.Contains(end, "a step took") || !strings.Contains(end, "policy-00000040") {
		t.Errorf("a finished run says %s", end)
	}
	other := f.write(t, "other.yaml", strings.Replace(mustRead(t, f.contract), "max_age_ms: 1000", "max_age_ms: 900", 1))
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--lr", "0.01"}, []string{"--lr is 0.01", "begun with 0.001"}},
		{[]string{"--objective", "arfm"}, []string{"--objective is arfm", "bc"}},
		{[]string{"--seed", "18446744073709551614"}, []string{"18446744073709551614", "18446744073709551615"}},
		{[]string{"--steps", "39"}, []string{"--steps is 39", "40", "give more"}},
		{[]string{"--preset", "base"}, []string{"--preset is base", "nano"}},
		{[]string{"--name", "arm"}, []string{"--name is arm", "policy"}},
		{[]string{"--workers", "7"}, []string{"--workers is 7"}},
		{[]string{"--contract", other}, []string{"max_age_ms: 900", "max_age_ms: 1000"}},
		{[]string{"--init", filepath.Join(out, "policy-00000040.safetensors")}, []string{"random weights", want[:12]}},
		{[]string{"--bags", record(t).bag + "x"}, []string{"check the path"}},
	} {
		status, _, errs := arfm(append([]string{"train", "--resume", "--out", out, "--bags", moved}, c.args...)...)
		if status != exitFailed || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %s", c.args, status, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("%v: %s does not name %q", c.args, errs, w)
			}
		}
		t.Logf("%s", strings.ReplaceAll(errs, f.dir, "DIR"))
	}
	longer := hash(t, must(t, "train", "--resume", "--out", out, "--bags", moved, "--steps", "44", "--json"))
	if again := hash(t, must(t, "train", "--resume", "--out", out, "--json")); again != longer || longer == want {
		t.Errorf("44 steps give %s and then %s, 40 gave %s", longer, again, want)
	}
}

// TestFoundBeforeTheBags: the bag named here would be refused if it was read.
func TestFoundBeforeTheBags(t *testing.T) {
	f := record(t)
	used := f.path("used")
	must(t, f.quick(used, "--steps", "1")...)
	file := f.write(t, "file", "")
	broken := f.write(t, "broken.mcap", "no bag")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--out", used}, []string{used, "already holds a run"}},
		{[]string{"--out", filepath.Join(file, "out")}, []string{file, "name a folder"}},
		{[]string{"--out", f.path("new"), "--publish", file}, []string{file, "name a folder"}},
		{[]string{"--out", f.path("new"), "--resume"}, []string{f.path("new"), "no training state"}},
		{[]string{"--out", f.path("new"), "--init", file}, []string{file}},
		{[]string{"--out", f.path("new")}, []string{"broken.mcap"}},
	} {
		status, _, errs := arfm(append([]string{"train", "--contract", f.contract, "--bags", broken}, c.args...)...)
		if status != exitFailed || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %s", c.args, status, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("%v: %s does not name %q", c.args, errs, w)
			}
		}
		if _, err := os.Stat(f.path("new")); err == nil {
			t.Errorf("%v: the folder was left behind", c.args)
		}
	}
}

// TestNotesOfTraining: a topic that bags lack is told once, and is an error
// where the objective needs what it would have said and nothing else is allowed.
func TestNotesOfTraining(t *testing.T) {
	f, g := record(t), record(t)
	c := f.write(t, "other.yaml", strings.NewReplacer("topic: /arfm/reward", "source: labels, topic: /my/reward", "topic: /arfm/episode", "topic: /my/episode").Replace(mustRead(t, f.contract)))
	args := []string{"train", "--contract", c, "--bags", f.bag, "--bags", g.bag, "--preset", "nano", "--steps", "1", "--batch", "2", "--eval-chunks", "2"}
	status, _, errs := arfm(append(args, "--objective", "bc", "--out", f.path("bc"))...)
	if status != exitDone {
		t.Fatalf("status %d, %s", status, errs)
	}
	for _, topic := range []string{"/my/reward", "/my/episode"} {
		if strings.Count(errs, "there is no "+topic) != 1 {
			t.Errorf("%s is not told once: %s", topic, errs)
		}
	}
	if strings.Count(errs, "(so in 2 of 2 bags)") != 2 {
		t.Errorf("the bags are not counted: %s", errs)
	}
	status, _, errs = arfm(append(args, "--objective", "arfm", "--out", f.path("arfm"))...)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	last := lines[len(lines)-1]
	if status != exitFailed || !strings.Contains(last, "no episode carries a reward") || !strings.Contains(last, "topic /my/reward") || !strings.Contains(last, "rewards.csv") {
		t.Errorf("status %d, %s", status, errs)
	}
	must(t, "bag", "label", "--outcome", "success", f.bag) // another source is enough
	must(t, append(args, "--objective", "arfm", "--out", f.path("arfm"))...)
}

// TestInterrupted: measurements end at once, with the status of a failure.
func TestInterrupted(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "infer", "--preset", "nano", "--runs", "100000000"},
		{"bench", "ingest", "--bytes", "100G"},
		{"bench", "train", "--preset", "nano", "--runs", "100000000"},
		{"bench", "peers", "--rounds", "100000000"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		stopped, stop := context.WithCancel(t.Context())
		context.AfterFunc(ctx, stop)
		var out, errs bytes.Buffer
		status := run(stopped, args, &out, &errs)
		if want := "arfm bench " + args[1] + ": interrupted\n"; status != exitFailed || errs.String() != want || out.Len() > 0 {
			t.Errorf("status %d, %q, want %q", status, errs.String(), want)
		}
		cancel()
		stop()
	}
}
