package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/finetune/objective"
	"arfm/policy/checkpoint"
	"arfm/policy/onnx"
)

// TestObjectives: what each objective trains from a clone is named by its help,
// runs, and is exported, with no further flag, as any other policy.
func TestObjectives(t *testing.T) {
	f := record(t)
	must(t, "bag", "label", "--outcome", "success", "--span", "0%:50%", f.bag)
	must(t, f.quick(f.path("clone"), "--steps", "1")...)
	help := must(t, "train", "--help")
	for _, name := range objective.Names() {
		if !strings.Contains(help, name+" (") {
			t.Errorf("the help lacks %s", name)
		}
		out := f.path(name)
		args := []string{"train", "--init", filepath.Join(f.path("clone"), "policy-00000001.safetensors"), "--bags", f.bag, "--objective", name,
			"--steps", "2", "--batch", "4", "--eval-chunks", "4", "--lr", "1e-3", "--group", "suite", "--out", out, "--report"}
		if name == objective.Owner("critic-warm-up") {
			args = append(args, "--critic-warm-up", "5")
		}
		must(t, args...)
		reported(t, filepath.Join(out, "report.html"), name, out)
		path := filepath.Join(out, "policy-00000002.safetensors")
		ck, err := checkpoint.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if ck.Objective != name {
			t.Errorf("the checkpoint of %s is of %s", name, ck.Objective)
		}
		end := runs(t, out, f.bag)
		if end.Stats.Ticks == 0 {
			t.Errorf("%s: no tick in %+v", name, end.Stats)
		}
		must(t, "export", "--out", f.path(name+"-graphs"), path)
		m, err := onnx.Open(filepath.Join(f.path(name+"-graphs"), "policy.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		sameChunk(t, m, ck)
		m.Close()
		must(t, "export", "--graph", "parts", "--out", f.path(name+"-graphs"), path)
		must(t, "export", "--out", f.path(name+"-weights.safetensors"), path)
		if ck.Model.Config.Condition.Guidable() {
			runs(t, out, f.bag, "--guidance", "2")
			continue
		}
		status, _, errs := arfm("run", "--checkpoints", out, "--bag", f.bag, "--speed", "0", "--guidance", "2")
		if status != exitFailed || !strings.Contains(errs, "guide by") || strings.Contains(errs, "architecture") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s guided: status %d, %s", name, status, errs)
		}
	}
}

// reported checks that a report tells of a run.
func reported(t *testing.T, path string, wants ...string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(wants, "Loss of training", "Held-out loss", "Returns", "--report") {
		if !strings.Contains(string(page), want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
}

// runs replays a bag and returns the last event.
func runs(t *testing.T, checkpoints, bag string, more ...string) (end runEvent) {
	t.Helper()
	out := must(t, append([]string{"run", "--checkpoints", checkpoints, "--bag", bag, "--speed", "0", "--json"}, more...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Stats == nil {
		t.Fatalf("the last line is %s (%v)", lines[len(lines)-1], err)
	}
	return end
}
