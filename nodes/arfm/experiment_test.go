package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/finetune/experiment"
	"arfm/nodes/sim"
)

// TestExperimentUsage: mistakes in words are told before anything is done.
func TestExperimentUsage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no folder":      {[]string{"multitask"}, "--out"},
		"budget":         {[]string{"multitask", "--out", out, "--budget", "huge"}, "small or full"},
		"suite":          {[]string{"perturb", "--out", out, "--suites", "kitchen"}, "spatial"},
		"objective":      {[]string{"continual", "--out", out, "--objectives", "ppo"}, "arfm-paper"},
		"seeds":          {[]string{"fewshot", "--out", out, "--seeds", "-1"}, "1 to 1000"},
		"noise":          {[]string{"perturb", "--out", out, "--noise", "0.5,-1"}, "above 0"},
		"name":           {[]string{"multitask", "--out", out, "--name", "../x"}, "no name of a file"},
		"long name":      {[]string{"multitask", "--out", out, "--name", strings.Repeat("n", 201)}, "no name of a file"},
		"option twice":   {[]string{"multitask", "--out", out, "--objectives", "arfm:lambda=1:lambda=2"}, "twice"},
		"of ablation":    {[]string{"ablation", "--out", out, "--objectives", "bc"}, "unknown flag"},
		"no experiments": {[]string{"shootout"}, "no command"},
	} {
		status, _, said := arfm(append([]string{"experiment"}, c.args...)...)
		if status != exitUsage || !strings.Contains(said, c.says) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: status %d: %s", name, status, said)
		}
	}
	for _, name := range experiment.Names() {
		help := must(t, "experiment", name, "--help")
		if !strings.Contains(help, "arfm experiment "+name+" --out") || !strings.Contains(help, "--budget") {
			t.Errorf("help of %s:\n%s", name, help)
		}
	}
}

// canceller ends a context when something is written.
type canceller struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (c *canceller) Write(p []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(p)
}

// TestExperimentInterrupted: it says how to go on.
func TestExperimentInterrupted(t *testing.T) {
	if !sim.Available {
		t.Skip("this build has no MuJoCo: build with -tags mujoco")
	}
	ctx, cancel := context.WithCancel(t.Context())
	said := canceller{cancel: cancel} // by the estimate before the first job
	dir := t.TempDir()
	command := func(out string) string {
		return "experiment multitask --out " + out + " --budget full --suites goal,long --objectives bc,arfm"
	}
	args := strings.Fields(command("DIR"))
	args[slices.Index(args, "DIR")] = dir + "/my dir"
	status := run(ctx, args, &bytes.Buffer{}, &said)
	if status != exitFailed || !strings.Contains(said.String(), "interrupted before its end; arfm "+command("'"+dir+"/my dir'")+" goes on\n") {
		t.Errorf("status %d: %s", status, said.String())
	}
	lines := strings.Split(said.String(), "\n")
	if !strings.HasPrefix(lines[0], "multitask: ") || !strings.Contains(lines[0], " 0 of them done before, about ") {
		t.Errorf("before it began it said %q", lines[0])
	}
}
