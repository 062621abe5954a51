package main

import (
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/flow"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// exportJSON runs arfm export and reads what it reports.
func exportJSON(t *testing.T, args ...string) written {
	t.Helper()
	var r written
	if err := json.Unmarshal([]byte(must(t, append([]string{"export", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExport: what training wrote becomes a graph that answers what the policy
// answers, and plain tensors of the same values.
func TestExport(t *testing.T) {
	f := record(t)
	must(t, "train", "--contract", f.contract, "--bags", f.bag, "--steps", "3", "--batch", "4", "--eval-chunks", "4", "--objective", "bc", "--preset", "nano", "--out", f.path("bc"))
	path := filepath.Join(f.path("bc"), "policy-00000003.safetensors")
	ck, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r := exportJSON(t, "--out", f.path("graphs"), path)
	if len(r.Files) != 1 || r.Files[0].Path != filepath.Join(f.path("graphs"), "policy.onnx") || r.Hash != ck.Hash || r.Step != 3 {
		t.Fatalf("%+v", r)
	}
	m, err := onnx.Open(r.Files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, v := range append(m.Inputs, m.Outputs...) {
		said := append(r.Files[0].Inputs, r.Files[0].Outputs...)[i]
		if v.Name != said.Name || v.Type.String() != said.Type || len(v.Dims) != len(said.Shape) || said.Shape[0] != "batch" || said.About == "" {
			t.Errorf("%v is reported as %+v", v, said)
		}
	}
	sameChunk(t, m, ck)

	parts := exportJSON(t, "--out", f.path("graphs"), "--graph", "parts", path) // beside the other
	if len(parts.Files) != 2 || filepath.Base(parts.Files[0].Path) != "encoder.onnx" || filepath.Base(parts.Files[1].Path) != "step.onnx" {
		t.Errorf("%+v", parts)
	}

	plain := f.path("weights.safetensors")
	if r := exportJSON(t, "--out", plain, path); r.Files[0].Path != plain || r.Files[0].Parameters != len(ck.Model.Params.Data) {
		t.Errorf("%+v", r)
	}
	got, meta, err := checkpoint.ReadTensors(plain, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if want := checkpoint.Tensors(ck.Model); !reflect.DeepEqual(got, want) {
		t.Errorf("%d tensors, want the %d of the checkpoint", len(got), len(want))
	}
	for _, key := range []string{"architecture", "contract", "statistics", "normalizer"} {
		var v map[string]any
		if err := json.Unmarshal([]byte(meta[key]), &v); err != nil || len(v) == 0 {
			t.Errorf("metadata %s: %v in %.80q", key, err, meta[key])
		}
	}
	if out := must(t, "export", "--out", f.path("more"), path); !strings.Contains(strings.Join(strings.Fields(out), " "), `in "noise" float32 [batch `) {
		t.Errorf("the report is\n%s", out)
	}
	t.Run("refuses", func(t *testing.T) { testExportRefuses(t, f, path) })
}

// sameChunk runs a sampler on one observation.
func sameChunk(t *testing.T, m *onnx.Model, ck *checkpoint.Checkpoint) {
	t.Helper()
	p, err := ck.Policy(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := ck.Model.Config
	obs := &policy.Observation{Instruction: "reach the red target"}
	for _, s := range ck.Stats.State {
		obs.State = append(obs.State, float32(s.Q01+0.3*(s.Q99-s.Q01)))
	}
	for _, cam := range c.Cameras {
		img := policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, cam.Height*cam.Width*3)}
		for i := range img.Pix {
			img.Pix[i] = uint8(7 * i)
		}
		obs.Images = append(obs.Images, img)
	}
	var chunk policy.ActionChunk
	if err := p.Act(obs, &chunk); err != nil {
		t.Fatal(err)
	}
	noise := make([]float32, c.Horizon*c.ActionDim)
	flow.NewStream(1, "noise").Normal(noise)
	feed := map[string]*onnx.Tensor{
		"state": tensor(t, onnx.Float32, obs.State, 1, c.StateDim),
		"noise": tensor(t, onnx.Float32, noise, 1, c.Horizon, c.ActionDim),
	}
	if c.Language {
		feed["words"] = tensor(t, onnx.Int64, wide(vla.Words(obs.Instruction, c.Vocab, c.MaxWords)), 1, c.MaxWords)
	}
	for i, cam := range c.Cameras {
		feed["image_"+cam.Name] = tensor(t, onnx.Uint8, obs.Images[i].Pix, 1, cam.Height, cam.Width, 3)
	}
	out, err := m.Run(feed)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range onnx.Data[float32](out[0]) {
		if want := float64(chunk.Values[i]); !(math.Abs(float64(x)-want) <= 1e-4*max(1, math.Abs(want))) {
			t.Fatalf("element %d is %v, of the policy %v", i, x, want)
		}
	}
}

func tensor[T float32 | int64 | uint8](t *testing.T, kind onnx.Type, v []T, shape ...int) *onnx.Tensor {
	t.Helper()
	x, err := onnx.New(kind, v, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func wide(v []int32) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// testExportRefuses: mistakes are one sentence, nothing is replaced unasked and
// the checkpoint never.
func testExportRefuses(t *testing.T, f files, path string) {
	taken := f.path("taken.onnx")
	must(t, "export", "--out", taken, path)
	kept, own := mustRead(t, taken), mustRead(t, path)
	out := f.path("out")
	for _, c := range []struct {
		status int
		want   []string
		args   []string
	}{
		{exitUsage, []string{"--out"}, []string{path}},
		{exitUsage, []string{"checkpoint"}, []string{"--out", out}},
		{exitUsage, []string{"pytorch", "safetensors"}, []string{"--out", out, "--format", "pytorch", path}},
		{exitUsage, []string{"safetensors", "a.onnx"}, []string{"--out", f.path("a.onnx"), "--format", "safetensors", path}},
		{exitUsage, []string{"loop", "parts"}, []string{"--out", out, "--graph", "loop", path}},
		{exitUsage, []string{"two files"}, []string{"--out", f.path("a.onnx"), "--graph", "parts", path}},
		{exitUsage, []string{"--steps", "input"}, []string{"--out", out, "--graph", "parts", "--steps", "3", path}},
		{exitUsage, []string{"--steps"}, []string{"--out", out, "--steps", "0", path}},
		{exitUsage, []string{"1 to 512"}, []string{"--out", out, "--steps", "1000", path}},
		{exitUsage, []string{"--graph"}, []string{"--out", out, "--format", "safetensors", "--graph", "parts", path}},
		{exitFailed, []string{"none.safetensors"}, []string{"--out", out, f.path("none.safetensors")}},
		{exitFailed, []string{"contract.yaml"}, []string{"--out", out, f.contract}},
		{exitFailed, []string{taken, "--force"}, []string{"--out", taken, path}},
		{exitFailed, []string{"the checkpoint itself"}, []string{"--out", path, "--force", path}},
	} {
		f.refused(t, out, c.status, c.want, append([]string{"export"}, c.args...)...)
	}
	if mustRead(t, taken) != kept || mustRead(t, path) != own {
		t.Error("a file was changed")
	}
	must(t, "export", "--out", taken, "--steps", "2", "--force", path)
	if mustRead(t, taken) == kept {
		t.Error("--force did not replace the file")
	}
	plain := f.path("plain.safetensors")
	must(t, "export", "--out", plain, path)
	f.refused(t, out, exitFailed, []string{"plain.safetensors", "no arfm checkpoint"}, "export", "--out", out, plain)
}
