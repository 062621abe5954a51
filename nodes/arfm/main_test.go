package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"arfm/bags/bagtest"
	"arfm/launch"
	"arfm/nodes/demo"
	"arfm/nodes/demonstration"
	"arfm/nodes/reach"
	"arfm/nodes/sim"
)

// asCommand makes this test binary behave as arfm, for the demo's second process.
const asCommand = "ARFM_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// arfm runs a command line and returns its exit status and output.
func arfm(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(context.Background(), args, &out, &err)
	return status, out.String(), err.String()
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	status, out, err := arfm(args...)
	if status != exitDone {
		t.Fatalf("arfm %s: status %d: %s", strings.Join(args, " "), status, err)
	}
	return out
}

// leaves calls f for every command that runs.
func leaves(c *command, path []string, f func(path []string, c *command)) {
	for _, s := range c.sub {
		p := append(path[:len(path):len(path)], s.name)
		if s.sub == nil {
			f(p, s)
		}
		leaves(s, p, f)
	}
}

func TestHelp(t *testing.T) {
	n := 0
	leaves(root(), nil, func(path []string, c *command) {
		n++
		out := must(t, append(path, "--help")...)
		for _, want := range []string{c.summary, "Usage: arfm " + strings.Join(path, " "), "Example:\n  arfm " + strings.Join(path, " "), "--json"} {
			if !strings.Contains(out, want) {
				t.Errorf("help of %v lacks %q", path, want)
			}
		}
	})
	if n < 10 {
		t.Fatalf("only %d commands", n)
	}
	if out := must(t, "--help"); !strings.Contains(out, "bag check") {
		t.Errorf("the overview lacks bag check: %s", out)
	}
}

// TestHelpCommand: help NAME is NAME --help, at every depth.
func TestHelpCommand(t *testing.T) {
	leaves(root(), nil, func(path []string, c *command) {
		if a, b := must(t, append([]string{"help"}, path...)...), must(t, append(path, "--help")...); a != b {
			t.Errorf("help %v is %s", path, a)
		}
	})
	if a, b := must(t, "help", "bag"), must(t, "bag", "--help"); a != b || must(t, "help") != must(t, "--help") || must(t, "bag", "help", "info") != must(t, "bag", "info", "--help") {
		t.Errorf("help bag is %s", a)
	}
	if status, _, errs := arfm("help", "fly"); status != exitUsage || !strings.Contains(errs, `"fly"`) {
		t.Errorf("help fly: status %d, %s", status, errs)
	}
}

func TestVersion(t *testing.T) {
	if out := must(t, "--version"); !strings.HasPrefix(out, "arfm ") || strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
	info := &debug.BuildInfo{GoVersion: "go1.26.1", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}}}
	if got := describe(info); got != "arfm v1.2.3, revision 0123456789ab of 2026-01-02T03:04:05Z, modified, go1.26.1" {
		t.Error(got)
	}
	if got := describe(&debug.BuildInfo{GoVersion: "go1.26"}); got != "arfm (devel), go1.26" {
		t.Error(got)
	}
}

func TestRemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, "; check the path"},
		{fmt.Errorf("bag: %w", &os.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}), "; change its owner or mode, or name another"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, "; raise the limit of open files (ulimit -n)"},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EIO}, "; check the disk"},
		{fmt.Errorf("%w; it says so itself", syscall.ENOENT), ""},
		{io.ErrUnexpectedEOF, ""},
	} {
		if got := remedy(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// TestInfoJSON: the help names the keys that are there, and no others.
func TestInfoJSON(t *testing.T) {
	f := record(t)
	var infos []map[string]any
	if err := json.Unmarshal([]byte(must(t, "bag", "info", "--json", f.bag)), &infos); err != nil || len(infos) != 1 {
		t.Fatal(err)
	}
	help := must(t, "bag", "info", "--help")
	in := infos[0]
	for _, part := range []map[string]any{in, in["topics"].([]any)[0].(map[string]any), in["files"].([]any)[0].(map[string]any)} {
		for key := range part {
			if key != strings.ToLower(key) || !regexp.MustCompile(`\b`+key+`\b`).MatchString(help) {
				t.Errorf("the help does not say what %s is", key)
			}
		}
	}
	if in["path"] != f.bag || in["storage"] != "mcap" || in["messages"].(float64) == 0 || in["end_ns"].(float64) <= in["start_ns"].(float64) {
		t.Errorf("%v", in)
	}
	if first := in["topics"].([]any)[0].(map[string]any); first["name"] == "" || first["messages"].(float64) == 0 {
		t.Errorf("%v", first)
	}
}

// files are what the commands of a test work on.
type files struct{ dir, bag, contract string }

func record(t *testing.T) files {
	t.Helper()
	f := files{dir: t.TempDir()}
	yaml, err := launch.Contracts.ReadFile("contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f.contract = f.write(t, "contract.yaml", string(yaml))
	r, err := reach.Record(context.Background(), f.path("bags"), demonstration.Options{Episodes: 4, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	f.bag = r.Bags[0]
	return f
}

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

func (f files) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return f.path(name)
}

// names lists the entries of dir.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(entries)
}

// refused holds a mistake to one sentence that names the thing, the right
// status, and nothing left behind, not even the folder out.
func (f files) refused(t *testing.T, out string, want int, said []string, args ...string) {
	t.Helper()
	before := names(t, f.dir) + names(t, f.bag)
	status, _, stderr := arfm(args...)
	if status != want {
		t.Errorf("status %d, want %d", status, want)
	}
	if n := strings.Count(stderr, "\n"); n != 1 {
		t.Errorf("%d lines on stderr, want one", n)
	}
	for _, w := range said {
		if !strings.Contains(stderr, w) {
			t.Errorf("the error does not name %q", w)
		}
	}
	if after := names(t, f.dir) + names(t, f.bag); after != before {
		t.Errorf("left behind: %s, before %s", after, before)
	}
	if _, err := os.Stat(out); err == nil {
		t.Errorf("left behind: %s", names(t, out))
		os.RemoveAll(out)
	}
	t.Logf("%s", strings.ReplaceAll(stderr, f.dir, "DIR"))
}

// TestBadInput holds every mistake to one sentence that names the thing, the
// right status, and nothing left behind.
func TestBadInput(t *testing.T) {
	f := record(t)
	yaml, err := os.ReadFile(f.contract)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name, old, new string) string {
		if !strings.Contains(string(yaml), old) {
			t.Fatalf("the contract lacks %q", old)
		}
		return f.write(t, name, strings.ReplaceAll(string(yaml), old, new))
	}
	unknown := change("unknown.yaml", "/joint_states", "/joint_stats")
	sparse := change("sparse.yaml", "rate_hz: 20", "rate_hz: 0.1") // no frame and its action within the bag
	wrongType := change("type.yaml", "geometry_msgs/msg/PointStamped", "sensor_msgs/msg/JointState")
	joints := change("joints.yaml", "[joint_1, joint_2]", "[elbow, wrist]")
	typo := f.write(t, "typo.yaml", "version: 1\nrate: 20\n")
	list := f.write(t, "list.yaml", "[1, 2]\n")
	text := f.write(t, "notes.txt", "no bag")
	empty := f.path("empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	out := f.path("out")
	train := func(contract string, more ...string) []string {
		return append([]string{"train", "--contract", contract, "--bags", f.bag, "--out", out, "--preset", "nano", "--steps", "1", "--batch", "2", "--objective", "bc"}, more...)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   []string // of the one line on stderr
	}{
		{"no command", []string{"fly"}, exitUsage, []string{`"fly"`, "--help"}},
		{"unknown flag", []string{"bag", "info", "--fast", f.bag}, exitUsage, []string{"--fast"}},
		{"a seed below 0", train(f.contract, "--seed", "-1"), exitUsage, []string{"--seed takes a whole number that is not negative", `"-1"`}},
		{"steps as words", train(f.contract, "--steps", "ten"), exitUsage, []string{"--steps takes a whole number", `"ten"`}},
		{"endless steps", train(f.contract, "--steps", "99999999999999999999"), exitUsage, []string{"--steps", "64 bits"}},
		{"noise of nothing", []string{"experiment", "perturb", "--out", out, "--noise", ""}, exitUsage, []string{"--noise takes numbers", `""`}},
		{"a time without unit", []string{"run", "--checkpoints", empty, "--bag", f.bag, "--duration", "5"}, exitUsage, []string{"--duration takes a time with its unit"}},
		{"a size of no number", []string{"onnx", "run", "--dims", "batch=x", text}, exitUsage, []string{"--dims takes", "batch=1"}},
		{"no bag named", []string{"bag", "info"}, exitUsage, []string{"bag"}},
		{"no contract", []string{"bag", "check", f.bag}, exitUsage, []string{"--contract"}},
		{"wrong path", []string{"bag", "info", f.path("nowhere")}, exitFailed, []string{"nowhere", "check the path"}},
		{"label of nothing", []string{"bag", "label", "--outcome", "success", f.path("nowhere")}, exitFailed, []string{"nowhere", "check the path"}},
		{"contract is a folder", []string{"bag", "check", "-c", empty, f.bag}, exitFailed, []string{"empty", "name a file"}},
		{"other joints", []string{"bag", "check", "-c", joints, f.bag}, exitFailed, []string{"/joint_states", "joint_1, joint_2"}},
		{"no recording", []string{"bag", "info", text}, exitFailed, []string{"notes.txt"}},
		{"unknown topic", []string{"bag", "check", "-c", unknown, f.bag}, exitFailed, []string{"/joint_stats", "/joint_states"}},
		{"wrong type", []string{"bag", "check", "-c", wrongType, f.bag}, exitFailed, []string{"/target", "geometry_msgs/msg/PointStamped"}},
		{"typo in the contract", []string{"bag", "check", "-c", typo, f.bag}, exitFailed, []string{"typo.yaml", "rate"}},
		{"contract missing", train(f.path("none.yaml")), exitFailed, []string{"none.yaml", "check the path"}},
		{"training on an unknown topic", train(unknown), exitFailed, []string{"/joint_stats"}},
		{"no usable frame", train(sparse), exitFailed, []string{"no usable frame"}},
		{"no bag below", []string{"train", "-c", f.contract, "--bags", empty, "--out", out}, exitFailed, []string{"empty"}},
		{"unknown preset", train(f.contract, "--preset", "huge"), exitUsage, []string{"huge", "nano"}},
		{"unknown objective", train(f.contract, "--objective", "ppo"), exitUsage, []string{"ppo", "arfm"}},
		{"bad number", train(f.contract, "--steps", "0"), exitUsage, []string{"steps"}},
		{"no folder can be made", train(f.contract, "--out", filepath.Join(text, "out")), exitFailed, []string{"notes.txt"}},
		{"init is no checkpoint", train(f.contract, "--init", text), exitFailed, []string{"notes.txt"}},
		{"no checkpoint to run", []string{"run", "--checkpoints", empty, "--bag", f.bag}, exitFailed, []string{"empty", "no checkpoint"}},
		{"bad outcome", []string{"bag", "label", "--outcome", "great", f.bag}, exitUsage, []string{"great", "success"}},
		{"too great a reward", []string{"bag", "label", "--outcome", "success", "--reward", "-1e30", f.bag}, exitUsage, []string{"-1e+30", "1e+09"}},
		{"bad span", []string{"bag", "label", "--outcome", "success", "--span", "9s:1s", f.bag}, exitUsage, []string{"9s:1s"}},
		{"demo over a folder that is no demo", []string{"demo", "--out", f.dir, "--force"}, exitFailed, []string{f.dir, "name another"}},
		{"demo of nothing", []string{"demo", "--out", out, "--episodes", "-1"}, exitUsage, []string{"at least one"}},
		{"unknown suite", []string{"demo", "--out", out, "--suite", "kitchen"}, exitUsage, []string{"kitchen", "object"}},
		{"neither bag nor suite", []string{"run", "--checkpoints", empty}, exitUsage, []string{"--bag", "--sim"}},
		{"simulated arm in slow motion", []string{"run", "--checkpoints", empty, "--sim", "goal", "--speed", "0.5"}, exitUsage, []string{"--speed"}},
		{"endless run", []string{"run", "--checkpoints", empty, "--bag", f.bag, "--duration", "-1s"}, exitUsage, []string{"--duration"}},
		{"guided by nothing", []string{"run", "--checkpoints", empty, "--bag", f.bag, "--guidance", "0"}, exitUsage, []string{"--guidance"}},
		{"unknown option of an objective", train(f.contract, "--good-share", "2", "--objective", "recap"), exitUsage, []string{"good", "2"}},
		{"another objective's option", train(f.contract, "--objective", "rwr", "--lambda", "3"), exitUsage, []string{"--lambda", "arfm", "rwr"}},
		{"an option of none", train(f.contract, "--objective", "bc", "--lambda", "-1"), exitUsage, []string{"--lambda", "arfm", "bc"}},
		{"replanning backwards", []string{"run", "--checkpoints", empty, "--bag", f.bag, "--replan", "-1"}, exitUsage, []string{"--replan"}},
		{"demo over a folder", []string{"demo", "--out", f.dir}, exitFailed, []string{f.dir, "--force"}},
		{"bench of nothing", []string{"bench", "infer", "--preset", "nano", "--runs", "0"}, exitUsage, []string{"runs"}},
		{"bench of a giant", []string{"bench", "infer", "--preset", "huge"}, exitUsage, []string{"huge", "nano"}},
		{"bench of no swap", []string{"bench", "swap", "--preset", "huge"}, exitUsage, []string{"huge", "nano"}},
		{"bench of a negative batch", []string{"bench", "train", "--preset", "nano", "--batch", "-1"}, exitUsage, []string{"batch is -1"}},
		{"bench of no room for words", []string{"bench", "infer", "--preset", "nano", "--words", "-1"}, exitUsage, []string{"max_words is -1"}},
		{"bench of a bag without size", []string{"bench", "ingest", "--bytes", "1"}, exitUsage, []string{"--bytes is 1"}},
		{"bench of a bag of apples", []string{"bench", "ingest", "--bytes", "5 apples"}, exitUsage, []string{"5 apples", "200M"}},
		{"bench of a bag never read", []string{"bench", "ingest", "--bytes", "2M", "--runs", "0"}, exitUsage, []string{"runs is 0"}},
		{"bench of no race", []string{"bench", "peers", "--rounds", "0"}, exitUsage, []string{"rounds is 0"}},
		{"no learning rate", train(f.contract, "--lr", "nan"), exitUsage, []string{"learning rate is NaN"}},
		{"contract is a list", []string{"bag", "check", "-c", list, f.bag}, exitFailed, []string{"list.yaml", "a list is not a mapping"}},
		{"one good bag", []string{"bag", "info", f.bag, f.path("nowhere")}, exitFailed, []string{"nowhere", "check the path"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.refused(t, out, c.status, c.want, c.args...)
		})
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWorkflow is the README's first training, on a small bag.
func TestWorkflow(t *testing.T) {
	f := record(t)
	if out := must(t, "bag", "info", f.bag); !strings.Contains(out, reach.TopicState) {
		t.Errorf("bag info does not list %s: %s", reach.TopicState, out)
	}
	if status, out, _ := arfm("bag", "info", f.path("nowhere"), f.bag); status != exitFailed || !strings.Contains(out, reach.TopicState) {
		t.Errorf("beside a wrong path, bag info prints %s", out)
	}
	if out := must(t, "bag", "check", "--contract", f.contract, f.bag); !strings.Contains(out, "episodes: 4") {
		t.Errorf("bag check: %s", out)
	}
	bag := mustRead(t, filepath.Join(f.bag, filepath.Base(f.bag)+"_0.mcap"))
	out := must(t, "bag", "label", "--outcome", "success", "--json", f.bag)
	var labels []struct{ File string }
	if err := json.Unmarshal([]byte(out), &labels); err != nil || len(labels) != 1 || mustRead(t, labels[0].File) == "" {
		t.Errorf("bag label: %v, %s", err, out)
	}
	if mustRead(t, filepath.Join(f.bag, filepath.Base(f.bag)+"_0.mcap")) != bag {
		t.Error("bag label changed the bag")
	}
	small := []string{"--bags", f.bag, "--steps", "3", "--batch", "4", "--eval-chunks", "4", "--held-out", "0.3"}
	bc, tuned := f.path("bc"), f.path("tuned")
	must(t, append([]string{"train", "--contract", f.contract, "--objective", "bc", "--preset", "nano", "--out", bc}, small...)...)
	first := filepath.Join(bc, "policy-00000003.safetensors")
	var result struct {
		Parent, Hash string
		Evaluation   *struct{ Loss float64 }
	}
	out = must(t, append([]string{"train", "--init", first, "--out", tuned, "--json"}, small...)...)
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Parent == "" || result.Parent == result.Hash || result.Evaluation == nil {
		t.Errorf("train --init: %v, %s", err, out)
	}
	out = must(t, "run", "--checkpoints", tuned, "--bag", f.bag, "--speed", "0", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var end runEvent
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Stats == nil {
		t.Fatalf("run: %v, %s", err, out)
	}
	if end.Stats.Policy.Hash != result.Hash || end.Stats.Inferences == 0 || end.Errors.Count == 0 {
		t.Errorf("run: policy %s, want %s; %d inferences, %d rows compared", end.Stats.Policy.Hash, result.Hash, end.Stats.Inferences, end.Errors.Count)
	}
}

// TestInfoOfRealBags opens every recording through the command line.
func TestInfoOfRealBags(t *testing.T) {
	dir := bagtest.Shared(t, "bags/arm")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.IsDir() {
			n++
			if out := must(t, "bag", "info", filepath.Join(dir, e.Name())); strings.Contains(out, "mismatch") {
				t.Errorf("%s: %s", e.Name(), out)
			}
		}
	}
	if n == 0 {
		t.Fatal("no bag was opened")
	}
}

// TestDemo tells the story at a small size, with a real second process.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains twice, which takes a minute under the race detector")
	}
	if !sim.Available {
		t.Skip("this build has no MuJoCo: build with -tags mujoco")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asCommand, "1")
	var said []string
	out := filepath.Join(t.TempDir(), "demo")
	r, err := demo.Run(context.Background(), demo.Options{
		Suite: "goal", Out: out, Seed: 1, Episodes: 8, Steps: 4, TuneSteps: 5, Evaluations: 4,
		Run: []string{self, "run"}, Progress: func(string, int64, int64) {}, Say: func(s string) { said = append(said, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	last := r.Live.Swaps[len(r.Live.Swaps)-1]
	if last.Hash != r.Tune.Hash || r.Tune.Parent != r.Clone.Hash {
		t.Errorf("the running policy ended with %s, fine-tuning with %s on top of %s", last.Hash, r.Tune.Hash, r.Tune.Parent)
	}
	if r.Live.Stats.Ticks == 0 || r.Before.Episodes != 4 || r.After.Episodes != 4 || len(said) < 4 {
		t.Errorf("%+v\n%q", r.Live.Stats, said)
	}
	if text := r.String(); !strings.Contains(text, "before") || !strings.Contains(text, "after") {
		t.Error(text)
	}
	page, err := os.ReadFile(demo.Page(out))
	if err != nil || !strings.Contains(string(page), "put the red cube onto the plate") {
		t.Errorf("the report has %d bytes (%v)", len(page), err)
	}
}
