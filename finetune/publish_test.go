package finetune

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/finetune/objective"
	"arfm/policy/checkpoint"
)

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	path, to := filepath.Join(dir, "policy-1.safetensors"), filepath.Join(dir, "a", "watched")
	for _, text := range []string{"one", "one", "two"} { // the same file again, then another under its name
		if text == "two" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := publish(path, to); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(to, "policy-1.safetensors"))
		if err != nil || string(got) != text {
			t.Fatalf("published %q, error %v, want %q", got, err, text)
		}
		if entries, _ := os.ReadDir(to); len(entries) != 1 {
			t.Fatalf("left behind: %v", entries)
		}
	}
	if err := publish(path, path); err == nil {
		t.Error("a file is no folder to publish in")
	}
	if err := publish(filepath.Join(dir, "none"), to); err == nil {
		t.Error("published a file that is not there")
	}
}

func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, []byte("weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(b, a); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(b); err != nil || string(got) != "weights" {
		t.Errorf("%q, %v", got, err)
	}
	if copyFile(b, a) == nil {
		t.Error("overwrote a file")
	}
}

// TestTrainPublishes also looks at what a run says of rewards that tell good
// from bad, in training too where only two episodes are there, and of equal ones.
func TestTrainPublishes(t *testing.T) {
	c := newContract(t, false, true)
	eps := episodes(c, 3, 20)[1:] // a success and a failure
	eps[1].Task = eps[0].Task
	o := testOptions(t, 2)
	o.Objective, o.HeldOut, o.Publish = "arfm", 0.3, filepath.Join(t.TempDir(), "watched")
	r, err := Train(t.Context(), eps, c, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Unweighted || r.HeldOut == 0 {
		t.Errorf("%d chunks held out, %v", r.HeldOut, r)
	}
	got, err := checkpoint.Load(filepath.Join(o.Publish, filepath.Base(r.Checkpoint)))
	if err != nil || got.Hash != r.Hash {
		t.Errorf("published %v, %v", got, err)
	}
	eps[1].Outcome = eps[0].Outcome
	o.Out = t.TempDir()
	if r, err = Train(t.Context(), eps, c, o); err != nil || !r.Unweighted || !strings.Contains(r.String(), "rewards changed nothing") {
		t.Errorf("%v, error %v", r, err)
	}
}

// TestBounds: a run says when alpha lay on a bound in most of its steps, unless
// the bounds leave no choice.
func TestBounds(t *testing.T) {
	c := newContract(t, false, true)
	for _, run := range []struct {
		options      objective.Options
		lower, upper float64
		says         string
	}{
		{objective.Options{"lambda": "0"}, 1, 0, "lower bound in 100 % of the steps"},
		{objective.Options{"lambda": "1e9"}, 0, 1, "upper bound in 100 % of the steps"},
		{objective.Options{"lambda": "1e9", "alpha-min": "2", "alpha-max": "2"}, 0, 0, ""},
	} {
		o := testOptions(t, 2)
		o.Objective, o.Tuning = "arfm", run.options
		r, err := Train(t.Context(), episodes(c, 4, 20), c, o)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(r.Notes(), "; "); r.AtLower != run.lower || r.AtUpper != run.upper || !strings.Contains(text, run.says) || run.says == "" && strings.Contains(text, "bound") {
			t.Errorf("%v: %g on the lower, %g on the upper, %s", run.options, r.AtLower, r.AtUpper, text)
		}
	}
}

// TestPublishedArePruned: a run keeps its newest files in the folder that it
// publishes to, across a stop, and leaves those of others alone.
func TestPublishedArePruned(t *testing.T) {
	c := newContract(t, true, true)
	o := testOptions(t, 12)
	o.SaveEvery, o.Publish, o.KeepPublished = 2, t.TempDir(), 2
	strangers := []string{"policy-00000001.safetensors", "policy-00000099.safetensors", "other-00000004.safetensors"}
	for _, name := range strangers {
		if err := os.WriteFile(filepath.Join(o.Publish, name), []byte("of someone else"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stopAt(t, o, 7)
	other := testOptions(t, 6) // overwrites what this run has published
	other.SaveEvery, other.Publish, other.Seed = 6, o.Publish, 7
	train(t, other)
	if err := os.Remove(filepath.Join(o.Publish, "policy-00000007.safetensors")); err != nil {
		t.Fatal(err)
	}
	saved, err := ReadSaved(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(nil, saved.Options)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.t.begin(r.saved) != nil || r.t.setUp(context.Background(), episodes(c, 9, 20)) != nil || r.t.restore(r.saved) != nil || r.t.catchUp() != nil {
		t.Fatal("the run does not go on")
	}
	if _, err := os.Stat(filepath.Join(o.Publish, "policy-00000007.safetensors")); err != nil {
		t.Errorf("what was saved and not published is not published: %v", err)
	}
	r.Close()
	again := saved.Options
	train(t, again)
	entries, err := os.ReadDir(o.Publish)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := append(strangers, "policy-00000006.safetensors", "policy-00000010.safetensors", "policy-00000012.safetensors")
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("published are %v, want %v", names, want)
	}
}

// TestHeldStop: with HoldStopped what is saved at a stop stays in the folder of
// the run, until the run is resumed.
func TestHeldStop(t *testing.T) {
	o := testOptions(t, 12)
	o.SaveEvery, o.Publish, o.HoldStopped = 5, t.TempDir(), true
	stopAt(t, o, 7)
	published := func() (names []string) {
		entries, err := os.ReadDir(o.Publish)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if got := published(); !slices.Equal(got, []string{"policy-00000005.safetensors"}) {
		t.Errorf("published %v", got)
	}
	if _, err := checkpoint.Load(o.checkpointPath(7)); err != nil {
		t.Error(err)
	}
	o.Resume = true
	train(t, o)
	if got := published(); !slices.Contains(got, "policy-00000012.safetensors") {
		t.Errorf("published %v", got)
	}
}
