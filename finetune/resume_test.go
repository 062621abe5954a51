package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/policy/contract"
	"arfm/policy/vla"
)

// TestResumeWithoutOptions: the state alone is enough to go on to the weights
// of an unbroken run.
func TestResumeWithoutOptions(t *testing.T) {
	o := testOptions(t, 12)
	whole := train(t, o)
	o.Out = t.TempDir()
	stopAt(t, o, 7)
	saved, err := ReadSaved(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	if saved.Step != 7 || len(saved.Bags) != 1 || !filepath.IsAbs(saved.Bags[0]) {
		t.Errorf("saved are step %d and bags %v", saved.Step, saved.Bags)
	}
	r, err := Train(t.Context(), episodes(saved.Contract, 9, 20), nil, saved.Options)
	if err != nil || r.Hash != whole.Hash {
		t.Errorf("%v, error %v", r, err)
	}
}

// TestResumeNeedsARun: also after a run that was stopped before its first save.
func TestResumeNeedsARun(t *testing.T) {
	o := testOptions(t, 6)
	o.Out, o.Resume = filepath.Join(o.Out, "none"), true
	c := newContract(t, true, true)
	if _, err := Open(c, o); !errors.Is(err, ErrResume) || !strings.Contains(err.Error(), o.Out) {
		t.Errorf("a folder without a run gives %v", err)
	}
	if _, err := os.Stat(o.Out); err == nil {
		t.Error("the folder was left behind")
	}
	if _, err := ReadSaved(o.Out); !errors.Is(err, ErrResume) {
		t.Errorf("a folder without a run gives %v", err)
	}
	o.Resume = false
	want := train(t, o)
	o.Out = t.TempDir()
	r, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	eps := episodes(c, 9, 20)
	if err := r.t.setUp(context.Background(), eps); err != nil { // and then it is killed
		t.Fatal(err)
	}
	if err := r.t.saveState(); err != nil {
		t.Fatal(err)
	}
	r.t.step.Close()
	r.Close()
	saved, err := ReadSaved(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Train(t.Context(), eps, c, saved.Options)
	if err != nil || got.Hash != want.Hash {
		t.Errorf("%v, error %v", got, err)
	}
}

// TestStopBeforeTheFirstStep leaves the folder free for another try.
func TestStopBeforeTheFirstStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := testOptions(t, 6)
	c := newContract(t, true, true)
	if _, err := Train(ctx, episodes(c, 9, 20), c, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "before the first step") {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(o.Out); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestResumeWithMoreSteps: a finished run goes on, with the learning rates of
// the longer one.
func TestResumeWithMoreSteps(t *testing.T) {
	o := testOptions(t, 6)
	train(t, o)
	o.Resume = true
	o.Steps, o.Optim.Schedule.Total = 9, 9
	if r := train(t, o); r.Step != 9 {
		t.Errorf("it ends at step %d", r.Step)
	}
	o.Steps, o.Optim.Schedule.Total = 6, 6
	if _, err := Open(newContract(t, true, true), o); !errors.Is(err, ErrResume) || !strings.Contains(err.Error(), "steps is 6 now and was 9") {
		t.Errorf("fewer steps give %v", err)
	}
}

// TestFoundBeforeReading: what is wrong beside the data is found without it.
func TestFoundBeforeReading(t *testing.T) {
	o := testOptions(t, 2)
	train(t, o)
	c := newContract(t, true, true)
	file := filepath.Join(o.Out, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	other, err := contract.Parse([]byte(strings.Replace(string(c.YAML()), "max_age_ms: 100", "max_age_ms: 150", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"a run is there":      {func(*Options) {}, []string{o.Out, "already holds a run"}},
		"another contract":    {func(o *Options) { o.Resume = true }, []string{"max_age_ms: 150", "max_age_ms: 100"}},
		"no folder":           {func(o *Options) { o.Out = file }, []string{file, "name a folder"}},
		"no folder below":     {func(o *Options) { o.Out = filepath.Join(file, "out") }, []string{file, "name a folder"}},
		"nowhere to publish":  {func(o *Options) { o.Out, o.Publish = t.TempDir(), file }, []string{file, "publish", "name a folder"}},
		"another name":        {func(o *Options) { o.Resume, o.Name = true, "arm" }, []string{"arm", "policy"}},
		"no init":             {func(o *Options) { o.Out, o.Init = t.TempDir(), file }, []string{file}},
		"checkpoints, no run": {func(o *Options) { o.Out = folderWith(t, "policy-00000001.safetensors") }, []string{"no state to resume from"}},
	} {
		bad := o
		tc.change(&bad)
		use := c
		if name == "another contract" {
			use = other
		}
		_, err := Open(use, bad)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
	}
}

// folderWith returns a new folder with an empty file in it.
func folderWith(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBagNames(t *testing.T) {
	if got := bagNames([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more bags" {
		t.Error(got)
	}
}

// TestResumeWithoutStateFields: a run begun before fields of the state had
// tokens goes on without them.
func TestResumeWithoutStateFields(t *testing.T) {
	c := newContract(t, false, true)
	joints := c.Observation.State[0]
	c.Observation.State = nil
	for _, name := range joints.Names {
		f := joints
		f.Names = []string{name}
		c.Observation.State = append(c.Observation.State, f)
	}
	run := func(o Options, steps int64) *Result {
		t.Helper()
		o.Steps = steps
		r, err := Open(c, o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		config := r.t.model.Config
		if !o.Resume {
			if len(config.StateFields) != 2 {
				t.Fatalf("state fields %v", config.StateFields)
			}
			config.StateFields = nil
			if r.t.model, err = vla.New(config, o.Seed); err != nil {
				t.Fatal(err)
			}
		}
		if len(config.StateFields) != 0 {
			t.Errorf("resumed with state fields %v", config.StateFields)
		}
		result, err := r.Train(t.Context(), episodes(c, 9, 20))
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	o := testOptions(t, 4)
	run(o, 4)
	o.Resume = true
	if r := run(o, 8); r.Step != 8 {
		t.Errorf("step %d", r.Step)
	}
}
