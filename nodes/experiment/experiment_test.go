package experiment

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/experiment"
	"arfm/finetune/reward"
	"arfm/nodes/sim"
)

// tiny is an experiment of a few steps on two tasks of the goal suite.
func tiny(t *testing.T, name, out string, methods ...string) (Options, *experiment.Plan) {
	t.Helper()
	if !sim.Available {
		t.Skip("built without MuJoCo: there is no simulated arm (tag mujoco)")
	}
	o := Options{Experiment: name, Out: out, Build: "test", Program: "arfm of a test", Command: "go test"}
	p, err := experiment.New(experiment.Options{
		Experiment: name, Build: o.Build, Methods: methods,
		Suites: []experiment.Suite{{Name: "goal", Tasks: 2, Kin: "long"}},
		Budget: experiment.Budget{
			Name: "tiny", Seeds: 1, Demonstrations: 5, Pretrain: 3, Tune: 2, Episodes: 1, Validation: 1, Shots: []int{1, 2, 3}, Noises: []float64{0.1, 0.2},
			Batch: 4, Preset: "nano", PretrainRate: 1e-3, TuneRate: 5e-4,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o, p
}

// TestEveryExperiment: each ends with its table and its charts, and what
// several share is done once.
func TestEveryExperiment(t *testing.T) {
	if testing.Short() {
		t.Skip("trains forty policies, which takes minutes under the race detector")
	}
	out := t.TempDir()
	for _, c := range []struct {
		name    string
		methods []string
		files   []string
		shared  int // jobs that an experiment before has done: one recording, pre-training, ...
	}{
		{"multitask", []string{"bc", "reinbot", "rwr", "arfm", "arfm-paper"}, []string{"multitask.md", "multitask.json", "multitask.svg"}, 0},
		{"perturb", []string{"bc", "rwr"}, []string{"noise.md", "noise.json", "noise.svg"}, 12}, // record, pre-training, 4 of tuning, 3 validations, choice, 2 tests without noise
		{"fewshot", []string{"bc"}, []string{"fewshot.md", "fewshot.json", "fewshot.svg"}, 0},
		{"continual", []string{"bc", "arfm"}, []string{"continual.md", "continual.json", "continual.svg"}, 3},                               // recordings of both suites, pre-training on the other
		{"ablation", []string{"bc"}, []string{"ablation.md", "ablation.json", "ablation.svg", "ablation-alpha.svg", "ablation-ess.svg"}, 8}, // bc, arfm, arfm-paper and their tests
	} {
		t.Run(c.name, func(t *testing.T) {
			o, plan := tiny(t, c.name, out, c.methods...)
			if c.name == "perturb" {
				o.Name = "noise"
			}
			var before experiment.Estimate
			var wrote []string
			o.Before = func(e experiment.Estimate) { before = e }
			o.Wrote = func(_ *experiment.Report, files []string) { wrote = files }
			last := int64(-1)
			o.Progress = func(done, total int64, _ string) {
				if done < last || done > total {
					t.Errorf("progress goes from %d to %d of %d", last, done, total)
				}
				last = done
			}
			r, err := run(t.Context(), o, plan)
			if err != nil {
				t.Fatal(err)
			}
			if before.Done != c.shared {
				t.Errorf("%d of %d jobs were done before, want %d", before.Done, before.Jobs, c.shared)
			}
			for _, name := range c.files {
				if path := filepath.Join(out, name); len(wrote) != len(c.files) || !parses(t, path) {
					t.Errorf("wrote %v; %s is missing or broken", wrote, name)
				}
			}
			t.Logf("\n%s", r.Markdown())
			for _, column := range r.Panels[0].Columns {
				for i, cell := range column.Cells {
					if cell.Episodes < 2 && c.name != "continual" {
						t.Errorf("%s, %s: %d episodes", column.Name, r.Methods[i], cell.Episodes)
					}
				}
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(out, "jobs", "*", "train", "train_state.safetensors")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// parses says whether a file is there and, as a chart, well-formed.
func parses(t *testing.T, path string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return false
	}
	if strings.HasSuffix(path, ".svg") {
		for d := xml.NewDecoder(strings.NewReader(string(data))); ; {
			if _, err := d.Token(); err == io.EOF {
				return true
			} else if err != nil {
				t.Log(err)
				return false
			}
		}
	}
	return true
}

// TestChosen: a stage trains on its own task and some of those before.
func TestChosen(t *testing.T) {
	suite, err := sim.FindSuite("goal")
	if err != nil {
		t.Fatal(err)
	}
	var all []bags.Episode
	for i := range 9 {
		all = append(all, bags.Episode{Bag: string(rune('a' + i)), Task: suite.Tasks[i%3].Instruction})
	}
	for _, c := range []struct {
		train experiment.Train
		want  string
	}{
		{experiment.Train{}, "abcdefghi"},
		{experiment.Train{Tasks: []int{1}}, "beh"},
		{experiment.Train{Tasks: []int{2}, Replay: &experiment.Replay{Tasks: []int{0, 1}, Episodes: 2}}, "cfiadbe"},
		{experiment.Train{Tasks: []int{0}, Replay: &experiment.Replay{Tasks: []int{3, 2}, Episodes: 5}}, "adgcfi"},
	} {
		got := ""
		episodes, err := chosen(all, "goal", &c.train)
		for _, e := range episodes {
			got += e.Bag
		}
		if err != nil || got != c.want {
			t.Errorf("%+v: %s, %v, want %s", c.train, got, err, c.want)
		}
	}
	if _, err := chosen(all, "goal", &experiment.Train{Tasks: []int{4}}); err == nil {
		t.Error("no demonstration of the task")
	}
}

// TestRewards: each run learns from the rewards that its method names.
func TestRewards(t *testing.T) {
	o, plan := tiny(t, "multitask", t.TempDir(), "arfm", "arfm:rewards=success", "arfm:rewards=dense")
	if _, err := run(t.Context(), o, plan); err != nil {
		t.Fatal(err)
	}
	want := map[experiment.Rewards]reward.Source{experiment.RecordedRewards: "topic", experiment.SuccessRewards: "success", experiment.DenseRewards: "dense"}
	for _, j := range plan.Jobs {
		if j.Train == nil || j.Train.Init == "" {
			continue
		}
		log, err := finetune.ReadLog(filepath.Join(o.Out, "jobs", j.ID, trainDir))
		if err != nil {
			t.Fatal(err)
		}
		if n := log.Rewards.Parts; len(n) != 1 || n[want[j.Train.Rewards]] != 5 {
			t.Errorf("rewards %q: taken from %v, want %s of all 5", j.Train.Rewards, n, want[j.Train.Rewards])
		}
		delete(want, j.Train.Rewards)
	}
	if len(want) > 0 {
		t.Errorf("not trained with: %v", want)
	}
}

// TestGone: a checkpoint that a finished job has lost is told, with what to do,
// whether a training or an evaluation needs it; done, the experiment ends.
func TestGone(t *testing.T) {
	o, plan := tiny(t, "multitask", t.TempDir(), "bc", "arfm")
	if _, err := run(t.Context(), o, plan); err != nil {
		t.Fatal(err)
	}
	remove := func(path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"train", "evaluate"} {
		k := slices.IndexFunc(plan.Jobs, func(j experiment.Planned) bool {
			return j.Train != nil && j.Train.Init != "" && kind == "train" || j.Evaluate != nil && kind == "evaluate"
		})
		j := plan.Jobs[k]
		need := ""
		if kind == "train" {
			need = j.Train.Init
		} else {
			need = j.Evaluate.Policies[0]
		}
		dir := filepath.Join(o.Out, "jobs", need)
		remove(filepath.Join(o.Out, "jobs", j.ID))
		remove(filepath.Join(dir, "train"))
		_, err := run(t.Context(), o, plan)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "remove the folder "+dir+" to do that job again") {
			t.Errorf("%s: %v", kind, err)
		}
		remove(dir)
		if _, err := run(t.Context(), o, plan); err != nil {
			t.Errorf("%s, removed: %v", kind, err)
		}
	}
}

// TestDamaged: a recording that was cut is not trained on, and a training state
// that cannot be used is no hindrance: the job begins anew.
func TestDamaged(t *testing.T) {
	o, plan := tiny(t, "multitask", t.TempDir(), "bc")
	want, err := run(t.Context(), o, plan)
	if err != nil {
		t.Fatal(err)
	}
	tune := plan.Jobs[slices.IndexFunc(plan.Jobs, func(j experiment.Planned) bool { return j.Train != nil && j.Train.Init != "" })]
	again := func() {
		if err := os.RemoveAll(filepath.Join(o.Out, "jobs", tune.ID)); err != nil {
			t.Fatal(err)
		}
	}
	hash := weights(t, o.Out, tune.ID)
	for name, content := range map[string]string{"train_state.safetensors": "no state", "policy-00000001.safetensors": "left without its state"} {
		again()
		dir := filepath.Join(o.Out, "jobs", tune.ID, trainDir)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
		got, err := run(t.Context(), o, plan)
		if err != nil || !reflect.DeepEqual(got.Panels, want.Panels) || !reflect.DeepEqual(weights(t, o.Out, tune.ID), hash) {
			t.Errorf("beside %s: %v, %+v, want %+v", name, err, got, want)
		}
	}
	folder := filepath.Join(o.Out, "jobs", tune.Train.Data)
	files, _ := filepath.Glob(filepath.Join(folder, "bags", "*", "*.mcap"))
	if len(files) == 0 {
		t.Fatal("no recording")
	}
	again()
	size, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[0], size.Size()/2); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), o, plan); err == nil || !strings.Contains(err.Error(), "remove the folder "+folder+" to do that job again") {
		t.Errorf("a recording cut in half: %v", err)
	} else {
		t.Log(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), o, plan); err != nil || !reflect.DeepEqual(weights(t, o.Out, tune.ID), hash) {
		t.Errorf("recorded again: %v", err)
	}
}

// TestInterrupted: an experiment that is interrupted again and again ends with
// the results of an unbroken one, and no second one gets into its folder.
func TestInterrupted(t *testing.T) {
	whole, plan := tiny(t, "multitask", t.TempDir(), "bc", "arfm")
	want, err := run(t.Context(), whole, plan)
	if err != nil {
		t.Fatal(err)
	}
	broken, plan := tiny(t, "multitask", t.TempDir(), "bc", "arfm")
	for at := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		broken.Progress = func(int64, int64, string) {
			if calls++; calls > at {
				cancel()
			}
		}
		if at == 2 {
			if _, err := run(ctx, occupied(t, broken), plan); !errors.Is(err, ErrBusy) {
				t.Errorf("a second one in the folder: %v", err)
			}
		}
		if _, err := run(ctx, broken, plan); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		cancel()
	}
	broken.Progress = nil
	got, err := run(t.Context(), broken, plan)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Panels, want.Panels) || !reflect.DeepEqual(got.Alphas, want.Alphas) {
		t.Errorf("interrupted: %+v\nunbroken: %+v", got, want)
	}
	for _, j := range plan.Jobs {
		if j.Train == nil {
			continue
		}
		a, b := weights(t, whole.Out, j.ID), weights(t, broken.Out, j.ID)
		if len(a) == 0 || string(a) != string(b) {
			t.Errorf("%s has other weights than in an unbroken run", j.ID)
		}
	}
}

// occupied returns the options of an experiment in a folder that is in use.
func occupied(t *testing.T, o Options) Options {
	t.Helper()
	o.Out = t.TempDir()
	unlock, err := lock(filepath.Join(o.Out, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	return o
}

func weights(t *testing.T, out, id string) []byte {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(out, "jobs", id, "train", "*.safetensors"))
	if len(paths) != 1 {
		t.Fatalf("%s has checkpoints %v", id, paths)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}
