package finetune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/policy"
	"arfm/policy/backbone"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
)

// withBackbone is a contract with a camera that a ViT, exported from PyTorch,
// looks through. The model is a copy of the test's own.
func withBackbone(t *testing.T) (c *contract.Contract, model string) {
	t.Helper()
	dir := t.TempDir()
	data := sum(t, filepath.Join("..", "policy", "onnx", "testdata", "torch", "vit", "model.onnx"))
	model = filepath.Join(dir, "vit.onnx")
	yaml := append(newContract(t, true, true).YAML(), "vision: {onnx: vit.onnx, freeze: true, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}\n"...)
	for path, b := range map[string][]byte{model: data, filepath.Join(dir, "contract.yaml"): yaml} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := contract.Load(filepath.Join(dir, "contract.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c, model
}

// varied gives every frame a picture of its own.
func varied(c *contract.Contract, n, frames int) []bags.Episode {
	eps := episodes(c, n, frames)
	for i := range eps {
		for f := range eps[i].Frames {
			for _, im := range eps[i].Frames[f].Images {
				copy(im.Pix, fmt.Sprint(i, " ", f))
			}
		}
	}
	return eps
}

// TestBackbone trains behind a frozen ViT: features are computed once and kept,
// the robot computes the same, and no other model takes its place.
func TestBackbone(t *testing.T) {
	c, model := withBackbone(t)
	eps := varied(c, 9, 12)
	o := testOptions(t, 10)
	o.Features = t.TempDir()
	encoded := 0
	o.Encoding = func(done, total int64) { encoded = int(done) }
	first, err := Train(context.Background(), eps, c, o)
	if err != nil {
		t.Fatal(err)
	}
	if encoded != 9*12 {
		t.Errorf("%d pictures were encoded, want %d", encoded, 9*12)
	}

	warm := o
	warm.Out, encoded = t.TempDir(), 0
	again, err := Train(context.Background(), eps, c, warm)
	if err != nil || encoded != 0 || again.Hash != first.Hash {
		t.Errorf("with all features on disk: %d encoded, weights %.12s and %.12s, %v", encoded, again.Hash, first.Hash, err)
	}

	ck, err := checkpoint.Load(first.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := ck.Verify(); err != nil {
		t.Error(err)
	}
	if _, err := ck.Policy(nil, 1); err == nil {
		t.Error("the policy does without its backbone")
	}
	enc, err := ck.Encoders()
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	p, err := ck.Policy(enc, 1)
	if err != nil {
		t.Fatal(err)
	}
	var chunks [2]policy.ActionChunk
	for i := range chunks {
		p.Reseed(1)
		if err := p.Act(&eps[0].Frames[i].Observation, &chunks[i]); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Equal(chunks[0].Values, chunks[1].Values) {
		t.Error("two pictures give the same chunk")
	}
	sameFeatures(t, c, o, eps)

	if err := os.WriteFile(model, append(sum(t, model), 0x7a, 0), 0o644); err != nil { // an empty field more
		t.Fatal(err)
	}
	if _, err := ck.Encoders(); !errors.Is(err, backbone.ErrBackbone) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another model: %v", err)
	}
	tune := o
	tune.Out, tune.Init = t.TempDir(), first.Checkpoint
	if _, err := Train(context.Background(), eps, nil, tune); !errors.Is(err, backbone.ErrBackbone) {
		t.Errorf("fine-tuning behind another model: %v", err)
	}
	longer := o
	longer.Resume, longer.Steps = true, 20
	if _, err := Train(context.Background(), eps, nil, longer); !errors.Is(err, backbone.ErrBackbone) {
		t.Errorf("resuming behind another model: %v", err)
	}
}

// sameFeatures compares what training reads from disk with what the robot
// computes, to the bit.
func sameFeatures(t *testing.T, c *contract.Contract, o Options, eps []bags.Episode) {
	t.Helper()
	o.Out = t.TempDir()
	tr := newTrainer(t, o, c)
	if err := errors.Join(tr.begin(nil), tr.setUp(context.Background(), eps)); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	defer tr.encoders.Close()
	live := make([]float32, len(tr.batch.in.Features[0])/o.Batch)
	for i := range o.Batch {
		at := tr.data.train.chunks[i*3]
		if err := tr.data.put(tr.batch, i, &tr.data.train, at); err != nil {
			t.Fatal(err)
		}
		if err := tr.encoders.Picture(live, &tr.data.frame(&tr.data.train, at).Images[0]); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(live, tr.batch.in.Features[0][i*len(live):(i+1)*len(live)]) {
			t.Fatalf("sample %d: the features on disk differ from those computed", i)
		}
	}
}
