package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"arfm/bags"
	"arfm/finetune"
	"arfm/nodes/demonstration"
	"arfm/nodes/reach"
	"arfm/nodes/training"
	"arfm/policy/checkpoint"
	"arfm/policy/hotswap"
)

// TestMain lets the test binary be the training process that run starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == ProcessArg {
		os.Exit(Process(os.Stdin, os.Stdout))
	}
	asNode()
	os.Exit(m.Run())
}

// asNode, with tag ros, does not return where the test binary is to be a node.
var asNode = func() {}

// children are the processes that a process has started.
func children(pid any) (pids []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%v/task/*/children", pid))
	for _, path := range lists {
		data, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(data))...)
	}
	return pids
}

// stateOnly is the contract of the reaching arm without its camera.
const stateOnly = `version: 1
rate_hz: 20
clock: header
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [joint_1, joint_2], align: hold, max_age_ms: 200}
    - {topic: /target, type: geometry_msgs/msg/PointStamped, fields: [point.x, point.y], names: [target_x, target_y], align: hold, max_age_ms: 1000}
  instruction: {topic: /arfm/instruction, default: "reach the target"}
action:
  topic: /joint_trajectory_controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [joint_1, joint_2]
  unit: position
  relative: true
  horizon: 16
reward: {topic: /arfm/reward, type: arfm/msg/Reward}
episode: {topic: /arfm/episode, type: arfm/msg/EpisodeEvent}
normalize: quantile
`

// testJob records two small bags and asks for a short run on them.
func testJob(t *testing.T) Job {
	t.Helper()
	dir := t.TempDir()
	j := Job{
		BagDir: filepath.Join(dir, "bags"), CheckpointDir: filepath.Join(dir, "checkpoints"), WorkDir: filepath.Join(dir, "work"),
		Contract: filepath.Join(dir, "contract.yaml"), Run: newRun(dir, time.Now()),
		Objective: "arfm", Preset: "nano", Steps: 6, Batch: 4, LearningRate: 1e-3, Threads: 2, MaxBytes: 1 << 30,
	}
	if err := os.WriteFile(j.Contract, []byte(stateOnly), 0o644); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(record(t, j.BagDir, 8, 1)[0], "metadata.yaml")
	if old := time.Now().Add(-time.Hour); os.Chtimes(first, old, old) != nil { // told from the other
		t.Fatal("cannot make the bag older")
	}
	return j
}

func record(t *testing.T, dir string, episodes int, seed uint64) []string {
	t.Helper()
	r, err := reach.Record(t.Context(), dir, demonstration.Options{Episodes: episodes, PerBag: 4, Seed: seed, NoImages: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Bags
}

// do runs a job and collects what it tells.
func do(t *testing.T, ctx context.Context, j Job, tell func(Event)) (Event, []Event) {
	t.Helper()
	var told []Event
	last := run(ctx, t.Context(), j, 10, func(e Event) {
		told = append(told, e)
		if tell != nil {
			tell(e)
		}
	}, func(line string) { t.Log("process: " + line) })
	return last, told
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, d := range list {
		names = append(names, d.Name())
	}
	return names
}

// TestRuns: a first run from random weights and a second from its checkpoint,
// both as processes; the second prunes the first.
func TestRuns(t *testing.T) {
	j := testJob(t)
	first, told := do(t, t.Context(), j, nil)
	if first.State != Done || first.Step != 6 || first.Hash == "" || !strings.Contains(first.Message, "6 steps of arfm") {
		t.Fatalf("%+v", first)
	}
	var states []State
	for _, e := range told {
		if e.Note == "" && !slices.Contains(states, e.State) {
			states = append(states, e.State)
		}
	}
	if !slices.Equal(states, []State{Reading, Training}) {
		t.Errorf("states %v", states)
	}
	ck, err := checkpoint.Load(first.Checkpoint)
	if err != nil || ck.Hash != first.Hash || ck.Verify() != nil || filepath.Dir(first.Checkpoint) != j.CheckpointDir {
		t.Fatalf("checkpoint %s: %v", first.Checkpoint, err)
	}
	slot := hotswap.NewSlot(nil)
	if e, err := hotswap.NewWatcher(j.CheckpointDir, slot, hotswap.Options{}, nil).Reload(); err != nil || e.Hash != first.Hash {
		t.Fatalf("hot swap: %+v, %v", e, err)
	}

	// A damaged file that is newer is passed over.
	if err := os.WriteFile(filepath.Join(j.CheckpointDir, "z.safetensors"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	next := j
	next.Contract, next.Run, next.KeepRuns, next.SaveEvery, next.MaxBags = "", newRun(j.WorkDir, time.Now()), 1, 2, 1
	second, _ := do(t, t.Context(), next, nil)
	if second.State != Done {
		t.Fatalf("%+v", second)
	}
	if ck, err = checkpoint.Load(second.Checkpoint); err != nil || ck.Parent != first.Hash {
		t.Fatalf("the second run began from %s, not from %s: %v", ck.Parent, first.Hash, err)
	}
	if got := names(t, j.WorkDir); !slices.Equal(got, []string{next.Run}) {
		t.Errorf("run folders %v", got)
	}
	want := []string{next.Run + "-00000002.safetensors", next.Run + "-00000004.safetensors", next.Run + "-00000006.safetensors", "z.safetensors"}
	if got := names(t, j.CheckpointDir); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

// TestOpenRecording: of a recording that goes on, the splits that have ended
// are trained on, without the episode that their end cuts.
func TestOpenRecording(t *testing.T) {
	j := testJob(t)
	live := filepath.Join(t.TempDir(), "live")
	if err := os.Mkdir(live, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, b := range record(t, t.TempDir(), 8, 3) {
		data, err := os.ReadFile(filepath.Join(b, filepath.Base(b)+"_0.mcap"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(live, fmt.Sprintf("live_%d.mcap", i)), data[:len(data)-i*100], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j.BagDir = filepath.Dir(live)
	last, told := do(t, t.Context(), j, nil)
	if last.State != Done || !slices.ContainsFunc(told, func(e Event) bool { return strings.Contains(e.Note, "its first 1 splits are used") }) {
		t.Errorf("%+v, %+v", last, told)
	}
	saved, err := finetune.ReadSaved(j.out())
	if err != nil || len(saved.Bags) != 1 || filepath.Dir(saved.Bags[0]) != j.splits() {
		t.Fatalf("%+v, %v", saved, err)
	}
	if got := names(t, saved.Bags[0]); !slices.Equal(got, []string{"live_0.mcap"}) {
		t.Errorf("links %v", got)
	}
	resumes(t, saved)
}

// resumes lets a run go on for a step, as arfm train --resume does.
func resumes(t *testing.T, saved *finetune.Saved) {
	t.Helper()
	o := saved.Options
	o.Steps = max(o.Steps, saved.Step+1)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(finetune.Progress) { cancel() }
	found, err := bags.Find(saved.Bags...)
	if err != nil {
		t.Fatal(err)
	}
	episodes, _, err := training.Read(ctx, found, saved.Contract, training.Reading{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := finetune.Train(ctx, episodes, saved.Contract, o); err != nil && !errors.Is(err, context.Canceled) || r.Step != saved.Step+1 {
		t.Errorf("it does not go on: %+v, %v", r, err)
	}
}

// TestStop: a run that is stopped, by a cancel or by force, publishes nothing,
// and its folder can be resumed.
func TestStop(t *testing.T) {
	j := testJob(t)
	j.Steps = 1e6
	for name, force := range map[string]bool{"cancel": false, "shutdown": true} {
		t.Run(name, func(t *testing.T) {
			j.Run, j.CheckpointDir = newRun(j.WorkDir, time.Now()), filepath.Join(t.TempDir(), "checkpoints")
			ctx, cancel := context.WithCancel(t.Context())
			kill, now := context.WithCancel(t.Context())
			defer now()
			last := run(ctx, kill, j, 10, func(e Event) {
				if e.Step > 0 {
					cancel()
					if force {
						now()
					}
				}
			}, func(line string) { t.Log(line) })
			cancel()
			if last.State != Canceled || last.Step < 1 || !strings.Contains(last.Message, "--resume --out "+j.out()) {
				t.Errorf("%+v", last)
			}
			if got := names(t, j.CheckpointDir); len(got) > 0 {
				t.Errorf("published %v", got)
			}
			saved, err := finetune.ReadSaved(j.out())
			if err != nil {
				t.Fatal(err)
			}
			resumes(t, saved)
			if half, _ := filepath.Glob(filepath.Join(j.out(), ".*")); len(half) > 0 {
				t.Errorf("half files %v", half)
			}
		})
	}
}

// TestKill: a process that does not listen is killed, and where the node ends
// before its patience with a stop is over.
func TestKill(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	for range 8 { // both ends are seen in any order
		cmd := exec.Command("sh", "-c", `trap "" TERM; while :; do sleep 0.1; done`)
		begin := time.Now()
		err := supervise(over, over, cmd, 0)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Fatal(err)
		}
		if time.Since(begin) >= stopPatience {
			t.Fatal("it was waited for as if the node were to go on")
		}
	}
}

// TestPriority looks at the threads of a training process.
func TestPriority(t *testing.T) {
	j := testJob(t)
	j.Steps, j.Threads = 1e6, 1
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var nice []string
	do(t, ctx, j, func(e Event) {
		if e.Step == 0 || nice != nil {
			return
		}
		pids := children("self")
		if len(pids) != 1 {
			t.Skipf("child processes %v", pids)
		}
		stats, _ := filepath.Glob("/proc/" + pids[0] + "/task/*/stat")
		for _, path := range stats {
			data, _ := os.ReadFile(path)
			_, after, _ := strings.Cut(string(data), ") ")
			if f := strings.Fields(after); len(f) > 16 {
				nice = append(nice, f[16])
			}
		}
		env, _ := os.ReadFile("/proc/" + pids[0] + "/environ")
		if !strings.Contains(string(env), "GOMAXPROCS=1\x00") {
			t.Error("its threads are not bounded")
		}
		cancel()
	})
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // 20 - niceness
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(max(10, 20-own))
	if len(nice) == 0 || slices.ContainsFunc(nice, func(n string) bool { return n != want }) {
		t.Errorf("niceness of the threads %v, want %s; the node's own is %d", nice, want, 20-own)
	}
}

// TestFailures: each in one sentence, with nothing left behind.
func TestFailures(t *testing.T) {
	good := testJob(t)
	empty := t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken.mcap")
	if err := os.WriteFile(broken, []byte("no bag at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte(strings.ReplaceAll(stateOnly, "/joint_states", "/states")), 0o644); err != nil {
		t.Fatal(err)
	}
	noReward := filepath.Join(t.TempDir(), "no_reward.yaml")
	text := strings.ReplaceAll(strings.ReplaceAll(stateOnly, "reward: {topic: /arfm/reward, type: arfm/msg/Reward}\n", "reward: {source: labels}\n"), "episode: {topic: /arfm/episode, type: arfm/msg/EpisodeEvent}\n", "")
	if err := os.WriteFile(noReward, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*Job)
		want string
	}{
		"no bag":          {func(j *Job) { j.BagDir = empty }, "no bag found in " + empty},
		"missing bag":     {func(j *Job) { j.Bags = []string{"reach_none"} }, "reach_none"},
		"damaged bag":     {func(j *Job) { j.Bags = []string{broken} }, broken},
		"other topics":    {func(j *Job) { j.Contract = other }, "none of the 2 bags can be used"},
		"no rewards":      {func(j *Job) { j.Contract = noReward }, "no episode carries a reward"},
		"no contract":     {func(j *Job) { j.Contract = "" }, "set the parameter contract"},
		"no checkpoint":   {func(j *Job) { j.Init = "none.safetensors" }, "none.safetensors"},
		"objective":       {func(j *Job) { j.Objective = "magic" }, "use one of arfm, "},
		"option":          {func(j *Job) { j.Tuning = []string{"beta"} }, "name=value"},
		"bad option":      {func(j *Job) { j.Tuning = []string{"alpha-max=-1"} }, "alpha is bounded by [0.01, -1]"},
		"little memory":   {func(j *Job) { j.MaxBytes = 1 }, "needs too much memory"},
		"nowhere to work": {func(j *Job) { j.WorkDir = broken }, "name a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			j := good
			c.edit(&j)
			last, _ := do(t, t.Context(), j, nil)
			if last.State != Failed || !strings.Contains(last.Message, c.want) || strings.Contains(last.Message, "\n") {
				t.Errorf("%+v", last)
			}
			if got := append(names(t, good.CheckpointDir), names(t, good.WorkDir)...); len(got) > 0 {
				t.Errorf("left behind %v", got)
			}
		})
	}
}

// TestFullDisk trains into a real file system of 256 KiB.
func TestFullDisk(t *testing.T) {
	j := testJob(t)
	if err := os.MkdirAll(j.WorkDir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	job, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=256k none "$1" || exit 77; exec "$2" `+ProcessArg, "sh", j.WorkDir, self)
	cmd.Stdin = bytes.NewReader(job)
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 77 || len(out) == 0 {
		t.Skipf("no mount namespace here: %v", err)
	}
	if text := string(out); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, `"state":"failed"`) || !strings.Contains(text, "no space left on device") {
		t.Errorf("status %v, %s", err, text)
	}
	if got := names(t, j.CheckpointDir); len(got) > 0 {
		t.Errorf("published %v", got)
	}
}
