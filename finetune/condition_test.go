package finetune

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/objective"
	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/vla"
)

// TestInit: which checkpoint an objective may start from, and that the start
// equals it: one step of no length changes no action.
func TestInit(t *testing.T) {
	parents := map[string]string{}
	for _, name := range objective.Names() {
		o := testOptions(t, 3)
		o.Objective = name
		parents[name] = train(t, o).Checkpoint
	}
	for _, from := range objective.Names() {
		for _, to := range objective.Names() {
			o := testOptions(t, 1)
			o.Objective, o.Init, o.Optim.Schedule.Peak, o.Optim.Schedule.Floor = to, parents[from], 0, 0
			c := newContract(t, true, true)
			r, err := Train(t.Context(), episodes(c, 9, 20), c, o)
			if tells(t, from) != nil && from != to {
				if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), from) || !strings.Contains(err.Error(), to) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s from %s gives %v", to, from, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s from %s: %v", to, from, err)
			}
			if before, after := act(t, parents[from], c.StateDim()), act(t, r.Checkpoint, c.StateDim()); !slices.Equal(before, after) {
				t.Errorf("%s from %s starts with other actions: %v, %v", to, from, after[:4], before[:4])
			}
		}
	}
}

// act returns the answer of a checkpoint's policy to a fixed observation.
func act(t *testing.T, path string, dim int) []float32 {
	t.Helper()
	ck, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ck.Verify(); err != nil {
		t.Fatal(err)
	}
	p, err := ck.Policy(nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	obs := &policy.Observation{State: make([]float32, dim), Instruction: "reach left"}
	for _, cam := range ck.Contract.Cameras() {
		obs.Images = append(obs.Images, policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 3*cam.Width*cam.Height)})
	}
	var chunk policy.ActionChunk
	if err := p.Act(obs, &chunk); err != nil {
		t.Fatal(err)
	}
	return chunk.Values
}

// tells returns what an objective tells the policy, nil if nothing.
func tells(t *testing.T, name string) *vla.Condition {
	t.Helper()
	obj, err := objective.New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return obj.Needs().Condition
}

// TestResumeFineTuning: a run that gave a checkpoint a condition goes on to the
// weights of an unbroken one.
func TestResumeFineTuning(t *testing.T) {
	o := testOptions(t, 3)
	o.Objective = "bc"
	parent := train(t, o).Checkpoint
	told := slices.DeleteFunc(objective.Names(), func(name string) bool { return tells(t, name) == nil })
	if len(told) == 0 {
		t.Fatal("no objective tells the policy anything")
	}
	for _, name := range told {
		o := testOptions(t, 12)
		o.Objective, o.Init = name, parent
		whole := train(t, o)
		o.Out = t.TempDir()
		stopAt(t, o, 7)
		saved, err := ReadSaved(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Train(t.Context(), episodes(saved.Contract, 9, 20), nil, saved.Options); err != nil || r.Hash != whole.Hash {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// TestReturnsStay: training that goes on measures returns as the checkpoint
// that it starts from.
func TestReturnsStay(t *testing.T) {
	o := testOptions(t, 2)
	o.Objective = "reinbot"
	first := train(t, o)
	o.Out, o.Init = t.TempDir(), first.Checkpoint
	c := newContract(t, true, true)
	eps := episodes(c, 9, 20)
	eps = slices.DeleteFunc(eps, func(e bags.Episode) bool { return e.Index == 1 }) // a success
	second, err := Train(t.Context(), eps, c, o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := load(t, first.Checkpoint).Stats.Return, load(t, second.Checkpoint).Stats.Return
	if a == nil || b == nil || *a != *b || a.Std == 0 {
		t.Errorf("returns are described by %v, then by %v", a, b)
	}
}

func load(t *testing.T, path string) *checkpoint.Checkpoint {
	t.Helper()
	ck, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return ck
}
