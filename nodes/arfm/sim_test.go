package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"arfm/launch"
	"arfm/nodes/demonstration"
	"arfm/nodes/sim"
)

// TestBadSimInput holds the commands of the simulated arm to what TestBadInput
// holds the others to. They refuse it with MuJoCo and without.
func TestBadSimInput(t *testing.T) {
	f := record(t)
	out, text := f.path("out"), f.write(t, "notes.txt", "no checkpoint")
	rec := func(more ...string) []string { return append([]string{"sim", "record", "--out", out}, more...) }
	eval := func(more ...string) []string { return append([]string{"eval", "--checkpoint", text}, more...) }
	for _, c := range []struct {
		name string
		args []string
		want []string // of the one line on stderr
	}{
		{"unknown suite", rec("--suite", "kitchen"), []string{"kitchen", "object"}},
		{"no folder", []string{"sim", "record"}, []string{"--out"}},
		{"no episodes", rec("--episodes", "0"), []string{"0 episodes"}},
		{"less than no episodes", rec("--episodes", "-3"), []string{"-3 episodes"}},
		{"no episodes in a bag", rec("--per-bag", "-1"), []string{"-1 episodes in a bag"}},
		{"unknown quality", rec("--quality", "good"), []string{"good", "expert"}},
		{"two shares", rec("--quality", "mixed", "--shares", "1,2"), []string{"--shares", "three"}},
		{"a negative share", rec("--quality", "mixed", "--shares", "1,-1,1"), []string{"-1"}},
		{"a share that is no number", rec("--quality", "mixed", "--shares", "1,NaN,1"), []string{"NaN"}},
		{"an endless share", rec("--quality", "mixed", "--shares", "1,Inf,1"), []string{"Inf"}},
		{"no share", rec("--quality", "mixed", "--shares", "0,0,0"), []string{"all 0"}},
		{"no seed", rec("--seed", "-1"), []string{"--seed"}},
		{"evaluation of an unknown suite", eval("--sim", "kitchen"), []string{"kitchen", "object"}},
		{"evaluation of no suite", eval(), []string{"--sim", "object"}},
		{"evaluation of nothing", []string{"eval", "--sim", "object"}, []string{"--checkpoint"}},
		{"an unknown task", eval("--sim", "object", "--tasks", "0,5"), []string{"task 5", "arfm sim tasks"}},
		{"evaluation guided too much", eval("--sim", "object", "--guidance", "1000"), []string{"--guidance"}},
		{"a negative task", eval("--sim", "object", "--tasks", "-1"), []string{"task -1"}},
	} {
		t.Run(c.name, func(t *testing.T) { f.refused(t, out, exitUsage, c.want, c.args...) })
	}
}

// TestWithoutSimulator: where the build has none, the commands that need it say
// in a sentence what to install.
func TestWithoutSimulator(t *testing.T) {
	if sim.Available {
		t.Skip("this build has MuJoCo: build without -tags mujoco")
	}
	f := record(t)
	out := f.path("out")
	for _, args := range [][]string{
		{"sim", "record", "--suite", "object", "--out", out},
		{"eval", "--sim", "object", "--checkpoint", f.path("policy.safetensors")},
		{"demo", "--out", out},
		{"experiment", "multitask", "--out", out},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			f.refused(t, out, exitFailed, []string{"apt-get install", "libmujoco-dev", "make build"}, args...)
		})
	}
}

// TestSimTasks lists every suite, with the simulator and without.
func TestSimTasks(t *testing.T) {
	var suites map[string][]string
	if err := json.Unmarshal([]byte(must(t, "sim", "tasks", "--json")), &suites); err != nil {
		t.Fatal(err)
	}
	text := must(t, "sim", "tasks")
	for _, s := range sim.Suites {
		if len(suites[s.Name]) != len(s.Tasks) || !strings.Contains(text, s.Name+":") {
			t.Errorf("suite %s is not listed: %v", s.Name, suites[s.Name])
		}
		for _, task := range s.Tasks {
			if !strings.Contains(text, task.Instruction) {
				t.Errorf("%q is not listed", task.Instruction)
			}
		}
	}
}

// TestSimWorkflow: record, check, train, evaluate on the simulated arm; and a
// checkpoint of another arm is refused.
func TestSimWorkflow(t *testing.T) {
	if !sim.Available {
		t.Skip("this build has no MuJoCo: build with -tags mujoco")
	}
	f := record(t)
	bags, out := f.path("sim"), f.path("out")
	var r demonstration.Recorded
	text := must(t, "sim", "record", "-s", "goal", "-n", "5", "-q", "mixed", "--shares", "1,0,0", "--no-images", "--out", bags, "--json")
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Episodes != 5 || r.Successes != 5 || r.ByQuality[demonstration.Expert].Episodes != 5 || len(r.ByTask) != 5 {
		t.Fatalf("%v: %+v", err, r)
	}
	yaml, err := launch.Contracts.ReadFile("contracts/sim_state.yaml")
	if err != nil {
		t.Fatal(err)
	}
	contract := f.write(t, "sim_state.yaml", string(yaml))
	if text := must(t, "bag", "check", "-c", contract, r.Bags[0]); !strings.Contains(text, "episodes: 5") {
		t.Errorf("bag check: %s", text)
	}
	train := func(contract, bag, out string) string {
		must(t, "train", "-c", contract, "--bags", bag, "--objective", "bc", "--preset", "nano", "--steps", "1", "--batch", "2", "--held-out", "0", "--out", out)
		return filepath.Join(out, "policy-00000001.safetensors")
	}
	ours := train(contract, r.Bags[0], f.path("ours"))
	eval := func(seed string) (result struct {
		Episodes int
		Tasks    []struct{ Task string }
	}, text string) {
		text = must(t, "eval", "-s", "goal", "-c", ours, "-n", "2", "--tasks", "3,4", "--seed", seed, "--json")
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			t.Fatal(err)
		}
		return result, text
	}
	result, first := eval("1")
	if result.Episodes != 2 || len(result.Tasks) != 2 {
		t.Errorf("eval: %+v", result)
	}
	if _, again := eval("1"); again != first {
		t.Errorf("the same evaluation gives %s and %s", first, again)
	}
	theirs := train(f.contract, f.bag, f.path("theirs"))
	f.refused(t, out, exitFailed, []string{"does not fit", "/target", "sim_state.yaml"}, "eval", "-s", "goal", "-c", theirs, "-n", "1")
	f.refused(t, out, exitUsage, []string{"0 episodes"}, "eval", "-s", "goal", "-c", ours, "-n", "0")
	f.refused(t, out, exitFailed, []string{"contract.yaml"}, "sim", "record", "-s", "goal", "-n", "1", "--out", f.contract)
}
