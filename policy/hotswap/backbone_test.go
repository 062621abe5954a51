package hotswap

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"arfm/policy/backbone"
	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// saveBehind writes a good checkpoint of a policy behind a frozen ViT.
func saveBehind(t *testing.T, path, model string, seed uint64, step int64) *checkpoint.Checkpoint {
	t.Helper()
	ck, err := badcheckpoint.Good(seed, step)
	if err != nil {
		t.Fatal(err)
	}
	ck.Contract.Vision = &contract.Vision{ONNX: model, Freeze: true, Mode: contract.ResizeBilinear, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}
	enc, err := backbone.Open(ck.Contract)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	if ck.Model, err = vla.New(ck.Model.Config.With(enc), seed); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	return ck
}

// TestSwapBehindABackbone: policies behind the same backbone take each other's
// place; without the backbone's file nothing is taken over.
func TestSwapBehindABackbone(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "onnx", "testdata", "torch", "vit", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(t.TempDir(), "vit.onnx")
	if err := os.WriteFile(model, data, 0o644); err != nil {
		t.Fatal(err)
	}
	dir, s := t.TempDir(), NewSlot(nil)
	_, events := started(t, dir, s, quick)
	for step := int64(10); step < 40; step += 10 {
		ck := saveBehind(t, filepath.Join(dir, "ckpt.safetensors"), model, uint64(step), step)
		wantSwap(t, next(t, events), s, ck)
		act(t, s)
	}

	last := saveBehind(t, filepath.Join(t.TempDir(), "ckpt.safetensors"), model, 50, 50)
	if err := os.Remove(model); err != nil {
		t.Fatal(err)
	}
	dir, s = t.TempDir(), NewSlot(nil)
	_, events = started(t, dir, s, quick)
	path := filepath.Join(dir, "ckpt.safetensors")
	if _, err := checkpoint.Save(path, last); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); e.Kind != Refused || !errors.Is(e.Err, backbone.ErrBackbone) {
		t.Errorf("without the file: %v, %v", e.Kind, e.Err)
	}
	if err := os.WriteFile(filepath.Join(dir, "vit.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	last = saveBehind(t, path, filepath.Join(dir, "vit.onnx"), 60, 60)
	wantSwap(t, next(t, events), s, last)
}
