package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/vla"
)

func good(t testing.TB, seed uint64, step int64) *checkpoint.Checkpoint {
	t.Helper()
	ck, err := badcheckpoint.Good(seed, step)
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

// saved returns a good checkpoint and the path and bytes of its file.
func saved(t testing.TB) (*checkpoint.Checkpoint, string, []byte) {
	t.Helper()
	ck, path := good(t, 1, 40), filepath.Join(t.TempDir(), "ckpt.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ck, path, b
}

func TestSaveLoad(t *testing.T) {
	ck := good(t, 1, 40)
	ck.Parent = strings.Repeat("0a", 32)
	path := filepath.Join(t.TempDir(), "ckpt.safetensors")
	hash, err := checkpoint.Save(path, ck)
	if err != nil {
		t.Fatal(err)
	}
	got, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(); err != nil {
		t.Error(err)
	}
	if got.Hash != hash || ck.Hash != hash || got.Step != 40 || got.Objective != "arfm" || got.Parent != ck.Parent {
		t.Errorf("hash %s step %d objective %s parent %s", got.Hash, got.Step, got.Objective, got.Parent)
	}
	if !reflect.DeepEqual(got.Model.Params.Data, ck.Model.Params.Data) || !reflect.DeepEqual(got.Model.Config, ck.Model.Config) {
		t.Error("the model changed")
	}
	if !bytes.Equal(got.Contract.YAML(), ck.Contract.YAML()) || !reflect.DeepEqual(got.Stats, ck.Stats) || !reflect.DeepEqual(got.Probe, ck.Probe) {
		t.Error("contract, statistics or probe changed")
	}
	info, err := checkpoint.ReadInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Hash != hash || info.Step != 40 || info.Parameters != int64(len(ck.Model.Params.Data)) || info.Parent != ck.Parent {
		t.Errorf("info %+v", info)
	}
	again := filepath.Join(t.TempDir(), "again.safetensors")
	if _, err := checkpoint.Save(again, got); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(path)
	b, _ := os.ReadFile(again)
	if !bytes.Equal(a, b) {
		t.Error("saving what was loaded gives another file")
	}
}

// TestPolicyActsAlike runs the policy before saving and after loading.
func TestPolicyActsAlike(t *testing.T) {
	ck, path, _ := saved(t)
	loaded, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var chunks [2]policy.ActionChunk
	obs := policy.Observation{State: []float32{0.1, -0.2}, Instruction: "go", Images: []policy.Image{{Width: 24, Height: 16, Pix: make([]uint8, 24*16*3)}}}
	for i, c := range []*checkpoint.Checkpoint{ck, loaded} {
		p, err := c.Policy(nil, 7)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Act(&obs, &chunks[i]); err != nil {
			t.Fatal(err)
		}
		if p.Info().Hash != ck.Hash || p.Info().Step != 40 {
			t.Errorf("info %+v", p.Info())
		}
	}
	if !reflect.DeepEqual(chunks[0], chunks[1]) {
		t.Error("the loaded policy acts differently")
	}
}

// TestWithoutStateFields: weights from before fields of the state had tokens
// go on as they were, with a contract of several fields; a policy that has such
// tokens does not take them over.
func TestWithoutStateFields(t *testing.T) {
	ck := good(t, 1, 40)
	fields, config := ck.Model.Config, ck.Model.Config
	if len(fields.StateFields) != 2 {
		t.Fatalf("state fields %v", fields.StateFields)
	}
	config.StateFields = nil
	var err error
	if ck.Model, err = vla.New(config, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ckpt.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("state_fields")) {
		t.Error("the file speaks of state fields")
	}
	got, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(); err != nil {
		t.Error(err)
	}
	info, err := checkpoint.ReadInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := info.Matches(config, ck.Contract); err != nil {
		t.Error(err)
	}
	if err := info.Matches(fields, ck.Contract); !errors.Is(err, checkpoint.ErrArchitecture) || !strings.Contains(err.Error(), "state_fields is [], running is [1 1]") {
		t.Errorf("a policy with tokens for fields: %v", err)
	}
}

// TestBadFiles refuses every kind of damage with its own reason.
func TestBadFiles(t *testing.T) {
	ck, _, file := saved(t)
	kinds := badcheckpoint.Kinds()
	if len(kinds) < 15 {
		t.Fatalf("only %d kinds", len(kinds))
	}
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			if k.Skip != "" {
				t.Skip(k.Skip)
			}
			path := filepath.Join(t.TempDir(), "ckpt.safetensors")
			if err := k.Make(path, file); err != nil {
				t.Fatal(err)
			}
			var err error
			if k.Matching {
				info, e := checkpoint.ReadInfo(path)
				if e != nil {
					t.Fatalf("the file itself should be good: %v", e)
				}
				err = info.Matches(ck.Model.Config, ck.Contract)
			} else {
				var c *checkpoint.Checkpoint
				if c, err = checkpoint.Load(path); err == nil {
					err = c.Verify()
				}
			}
			if !errors.Is(err, k.Want) {
				t.Fatalf("%v, want %v", err, k.Want)
			}
			if s := err.Error(); strings.Contains(s, "\n") || len(s) > 700 {
				t.Errorf("no good sentence: %q", s)
			}
			if !k.Matching && !strings.Contains(err.Error(), path) {
				t.Errorf("the file is not named: %v", err)
			}
			t.Log(err)
		})
	}
}

func TestMatches(t *testing.T) {
	ck, path, _ := saved(t)
	info, err := checkpoint.ReadInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	other := *ck.Contract
	other.Reward.Topic = "/another/reward" // read by training alone
	config := ck.Model.Config
	config.Preset = "a name"
	told := config
	told.Condition = &vla.Condition{Size: 1, Predicted: true}
	if err := info.Matches(told, ck.Contract); err != nil {
		t.Errorf("what a policy is told beside the observation counts: %v", err)
	}
	if err := info.Matches(config, &other); err != nil {
		t.Error(err)
	}
	other.RateHz = 30
	if err := info.Matches(config, &other); !errors.Is(err, checkpoint.ErrContract) || !strings.Contains(err.Error(), "rate_hz: 30") {
		t.Errorf("other rate: %v", err)
	}
	config.D = 32
	if err := info.Matches(config, ck.Contract); !errors.Is(err, checkpoint.ErrArchitecture) || !strings.Contains(err.Error(), "d is 16, running is 32") {
		t.Errorf("other width: %v", err)
	}
}

func TestSaveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*checkpoint.Checkpoint)
		want  error
	}{
		"nil model":      {func(ck *checkpoint.Checkpoint) { ck.Model = nil }, checkpoint.ErrFormat},
		"NaN":            {func(ck *checkpoint.Checkpoint) { ck.Model.Params.Data[7] = float32(math.NaN()) }, checkpoint.ErrNotFinite},
		"overflow":       {func(ck *checkpoint.Checkpoint) { fill(ck.Model, math.MaxFloat32) }, checkpoint.ErrNotFinite},
		"statistics":     {func(ck *checkpoint.Checkpoint) { ck.Stats.Action = nil }, checkpoint.ErrStats},
		"NaN statistics": {func(ck *checkpoint.Checkpoint) { ck.Stats.State[0].Mean = math.NaN() }, checkpoint.ErrStats},
		"horizon":        {func(ck *checkpoint.Checkpoint) { ck.Contract.Action.Horizon = 5 }, checkpoint.ErrArchitecture},
		"contract":       {func(ck *checkpoint.Checkpoint) { ck.Contract.Version = 9 }, checkpoint.ErrContract},
		"step":           {func(ck *checkpoint.Checkpoint) { ck.Step = -1 }, checkpoint.ErrFormat},
		"parent":         {func(ck *checkpoint.Checkpoint) { ck.Parent = "../x" }, checkpoint.ErrFormat},
		"objective":      {func(ck *checkpoint.Checkpoint) { ck.Objective = "two words" }, checkpoint.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			ck, dir := good(t, 1, 1), t.TempDir()
			c.spoil(ck)
			path := filepath.Join(dir, "x.safetensors")
			if _, err := checkpoint.Save(path, ck); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if list, _ := os.ReadDir(dir); len(list) != 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

func fill(m *vla.Model, v float32) {
	for i := range m.Params.Data {
		m.Params.Data[i] = v
	}
}

func TestPythonReadsCheckpoint(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	ck, path, _ := saved(t)
	out, err := exec.Command(python, "testdata/check.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Readers []string
		Meta    map[string]string
		Tensors map[string]struct {
			Shape []int
			First []float32
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	t.Logf("read by %v", got.Readers)
	for _, name := range ck.Model.Params.Names() {
		if w := got.Tensors[name]; !reflect.DeepEqual(w.Shape, ck.Model.Params.Shape(name)) || w.First[0] != ck.Model.Params.View(name)[0] {
			t.Errorf("%s: %+v", name, w)
		}
	}
	if got.Meta["sha256"] != ck.Hash || got.Meta["contract"] != string(ck.Contract.YAML()) {
		t.Error("metadata differ")
	}
}

// TestLoadMemory checks that a load allocates the weights once.
func TestLoadMemory(t *testing.T) {
	ck := good(t, 1, 1)
	c := ck.Model.Config
	c.D, c.Layers = 128, 4
	var err error
	if ck.Model, err = vla.New(c, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, err := checkpoint.Load(path); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	size, used := int64(4*len(ck.Model.Params.Data)), int64(after.TotalAlloc-before.TotalAlloc)
	if used > size+3<<20 {
		t.Errorf("loading %d bytes of weights allocated %d", size, used)
	}
}

// FuzzLoad changes what a file says of itself and seals it again: mutated bytes
// alone would end at the hash.
func FuzzLoad(f *testing.F) {
	_, _, file := saved(f)
	dir := f.TempDir()
	path := filepath.Join(dir, "good.safetensors")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		f.Fatal(err)
	}
	tensors, meta, err := checkpoint.ReadTensors(path, 1<<30)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(meta["architecture"], meta["contract"], meta["statistics"], meta["probe"], meta["step"])
	f.Add("{}", "version: 1", "null", "[]", "-1")
	f.Fuzz(func(t *testing.T, architecture, contract, statistics, probe, step string) {
		changed := maps.Clone(meta)
		changed["architecture"], changed["contract"], changed["statistics"] = architecture, contract, statistics
		changed["probe"], changed["step"] = probe, step
		path := filepath.Join(dir, "x.safetensors")
		if checkpoint.WriteTensors(path, tensors, changed) != nil {
			return // text that no file can hold
		}
		ck, err := checkpoint.Load(path)
		if err != nil {
			return
		}
		if err := ck.Verify(); err != nil && !errors.Is(err, checkpoint.ErrProbe) {
			t.Errorf("loaded, but: %v", err)
		}
		if _, err := ck.Policy(nil, 1); err != nil {
			t.Errorf("loaded, but: %v", err)
		}
	})
}

// benchmarkModel has about ten million parameters.
func benchmarkModel(b *testing.B) (*checkpoint.Checkpoint, string) {
	ck := good(b, 1, 1)
	c := ck.Model.Config
	c.D, c.Layers, c.Heads = 256, 6, 4
	var err error
	if ck.Model, err = vla.New(c, 1); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(4 * len(ck.Model.Params.Data)))
	return ck, filepath.Join(b.TempDir(), "x.safetensors")
}

func BenchmarkSave(b *testing.B) {
	ck, path := benchmarkModel(b)
	for b.Loop() {
		if _, err := checkpoint.Save(path, ck); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	ck, path := benchmarkModel(b)
	if _, err := checkpoint.Save(path, ck); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := checkpoint.Load(path); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	ck, path := benchmarkModel(b)
	if _, err := checkpoint.Save(path, ck); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := ck.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}
