package onnxtool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/policy/onnx"
)

var ctx = context.Background()

// exported is a network of policy/onnx's tests, with test data beside it.
func exported(name string) string {
	return filepath.Join("..", "..", "policy", "onnx", "testdata", "torch", name, "model.onnx")
}

// changed is that network with one name in it replaced by another as long.
func changed(t *testing.T, name, old, new string) string {
	t.Helper()
	b, err := os.ReadFile(exported(name))
	if err != nil || !bytes.Contains(b, []byte(old)) || len(old) != len(new) {
		t.Fatalf("%s has no %q: %v", name, old, err)
	}
	path := filepath.Join(t.TempDir(), "changed.onnx")
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte(old), []byte(new)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var networks = []string{"vit", "vit_packed", "resnet", "mobilenet", "text"}

func TestInspect(t *testing.T) {
	for _, name := range networks {
		info, err := Inspect(ctx, exported(name), Options{}, 3)
		if err != nil || info.Err() != nil {
			t.Fatal(name, err, info.Err())
		}
		nodes := 0
		for _, op := range info.Operators {
			nodes += op.Nodes
		}
		if !info.Runs || info.Steps == 0 || info.Steps >= info.Nodes || nodes != info.Nodes || info.ArenaBytes == 0 || info.Producer != "pytorch 1.13.0" || info.Parameters[0].Type != "float32" {
			t.Errorf("%s: %+v", name, info)
		}
		share, ms, layers := 0.0, 0.0, 0
		for _, l := range info.Timing.Layers {
			share += l.Share
			if l.Ms <= 0 || l.Node == "" || l.Result == "" {
				t.Errorf("%s: layer %+v", name, l)
			}
		}
		for _, o := range info.Timing.Operators {
			ms, layers = ms+o.Ms, layers+o.Layers
		}
		if math.Abs(share-1) > 1e-9 || layers != info.Steps || len(info.Timing.Layers) != info.Steps || ms <= 0 || info.Timing.Total.Runs != 3 {
			t.Errorf("%s: %d layers of %d steps with shares of %g", name, layers, info.Steps, share)
		}
		if _, err := json.Marshal(info); err != nil {
			t.Error(err)
		}
	}
}

// TestInspectDims: memory grows with the dimensions asked for.
func TestInspectDims(t *testing.T) {
	var arena []int
	for _, dims := range []map[string]int{nil, {"sequence": 16}, {"batch": 4, "sequence": 16}} {
		info, err := Inspect(ctx, exported("text"), Options{Dims: dims}, 0)
		if err != nil || info.Err() != nil {
			t.Fatal(err, info.Err())
		}
		arena = append(arena, info.ArenaBytes)
	}
	if arena[1] < 8*arena[0] || arena[2] < 3*arena[1] || arena[2] > 5*arena[1] {
		t.Errorf("arenas of %v bytes", arena)
	}
	info, err := Inspect(ctx, exported("text"), Options{Dims: map[string]int{"sequence": 33}}, 0)
	if err != nil || info.Runs || info.Err() == nil || !strings.Contains(info.String(), "no: ") {
		t.Errorf("longer than the position table: %v, %v", err, info.Err())
	}
	if err := info.Err(); !strings.HasSuffix(err.Error(), "open dimensions were taken as 1 (batch), --dims sets them") {
		t.Errorf("what was assumed: %v", err)
	}
}

func TestInspectUnsupported(t *testing.T) {
	path := changed(t, "mobilenet", "HardSwish", "HardSwosh")
	info, err := Inspect(ctx, path, Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if info.Runs || info.Timing != nil || len(info.Unsupported) != 6 || info.Producer == "" || len(info.Parameters) != 1 {
		t.Errorf("%+v", info)
	}
	for _, want := range []string{"HardSwosh", "opset 14", `node "`, "5 more"} {
		if !strings.Contains(info.Err().Error(), want) {
			t.Errorf("%q lacks %q", info.Err(), want)
		}
	}
	if text := info.String(); strings.Count(text, "unsupported  ") != 6 || !strings.Contains(text, "HardSwosh 6, not supported") {
		t.Error(text)
	}
	if _, err := Run(ctx, path, Options{}); !errors.Is(err, onnx.ErrUnsupported) {
		t.Errorf("run: %v", err)
	}
}

func TestNotAModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.onnx")
	for _, data := range []string{"", "hello", strings.Repeat("\xff", 100)} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Inspect(ctx, path, Options{}, 0)
		_, err2 := Run(ctx, path, Options{})
		_, err3 := Compare(ctx, path, nil, Tolerance{}, nil)
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, onnx.ErrFormat) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", data, err)
			}
		}
	}
}

// TestRun: the same seed gives the same outputs; what a run writes, Compare
// finds again to the bit.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	o := Options{Seed: 7, Dims: map[string]int{"batch": 2, "sequence": 5}, Ranges: map[string]Range{"input_ids": {0, 199}, "attention_mask": {1, 1}}}
	first, err := Run(ctx, exported("text"), o)
	if err != nil {
		t.Fatal(err)
	}
	if in := first.Inputs[0]; in.Name != "input_ids" || in.Max <= 1 || in.Max > 199 || !slices.Equal(in.Shape, []int{2, 5}) {
		t.Errorf("input %+v", in)
	}
	if mask := first.Inputs[1]; mask.Min != 1 || mask.Max != 1 || mask.Mean != 1 || mask.Std != 0 {
		t.Errorf("mask %+v", mask)
	}
	again, err := Run(ctx, exported("text"), o)
	if err != nil || again.Outputs[0].Mean != first.Outputs[0].Mean || again.Outputs[0].Std == 0 {
		t.Errorf("again: %+v, %v", again.Outputs, err)
	}
	o.Seed = 8
	if other, err := Run(ctx, exported("text"), o); err != nil || other.Outputs[0].Mean == first.Outputs[0].Mean {
		t.Errorf("another seed: %v", err)
	}
	if err := first.Write(dir, false); err != nil || len(first.Files) != 5 {
		t.Fatal(first.Files, err)
	}
	if err := again.Write(dir, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over files: %v", err)
	}
	if err := again.Write(dir, true); err != nil {
		t.Error(err)
	}
	c, err := Compare(ctx, exported("text"), []string{dir}, Tolerance{}, nil)
	if err != nil || c.Err() != nil || len(c.Sets) != 1 || c.Sets[0].Outputs[0].Elements != 320 {
		t.Errorf("%+v, %v, %v", c, err, c.Err())
	}
	// An input's file gives the others their dimensions.
	from := Options{Inputs: map[string]string{"input_ids": filepath.Join(dir, "input_ids.npy")}}
	if r, err := Run(ctx, exported("text"), from); err != nil || !slices.Equal(r.Inputs[1].Shape, []int{2, 5}) {
		t.Errorf("%v", err)
	}
	from.Dims = map[string]int{"batch": 3}
	if _, err := Run(ctx, exported("text"), from); !errors.Is(err, ErrOptions) {
		t.Errorf("a batch that differs: %v", err)
	}
}

func TestOptions(t *testing.T) {
	npy := filepath.Join(t.TempDir(), "x.npy")
	x, err := onnx.New(onnx.Float32, make([]float32, 6), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(npy, x.AppendNPY(nil), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    Options
		is   error
		want string
	}{
		"unknown input":     {Options{Inputs: map[string]string{"imoge": npy}}, ErrOptions, `"image"`},
		"unknown range":     {Options{Ranges: map[string]Range{"imoge": {0, 1}}}, ErrOptions, `"image"`},
		"unknown dimension": {Options{Dims: map[string]int{"bach": 1}}, ErrOptions, `"batch"`},
		"negative":          {Options{Dims: map[string]int{"batch": -1}}, ErrOptions, "-1"},
		"huge":              {Options{Dims: map[string]int{"batch": 1 << 40}}, nil, "too large"},
		"missing file":      {Options{Inputs: map[string]string{"image": "nowhere.npy"}}, os.ErrNotExist, "nowhere.npy"},
		"another shape":     {Options{Inputs: map[string]string{"image": npy}}, onnx.ErrInput, "[2 3]"},
		"no tensor":         {Options{Inputs: map[string]string{"image": exported("resnet")}}, nil, "model.onnx"},
	} {
		_, err := Run(ctx, exported("resnet"), c.o)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRange(t *testing.T) {
	if r, err := ParseRange("-1:2.5"); err != nil || r != (Range{-1, 2.5}) {
		t.Error(r, err)
	}
	for _, s := range []string{"", "1", "2:1", "a:b", "nan:1", "0:inf", "0:1e300"} {
		if _, err := ParseRange(s); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRandom(t *testing.T) {
	for kind, want := range map[onnx.Type]Range{onnx.Float32: {-6, 6}, onnx.Float16: {-6, 6}, onnx.BFloat16: {-6, 6}, onnx.Float64: {-6, 6},
		onnx.Int64: {0, 1}, onnx.Int8: {0, 1}, onnx.Bool: {0, 1}, onnx.Uint8: {0, 255}} {
		x, err := random(kind, []int{50, 20}, rand.New(rand.NewPCG(1, 2)), Range{}, false)
		if err != nil || x.Type != kind {
			t.Fatal(kind, err)
		}
		s := sum("x", x)
		if s.Min < want.Low || s.Max > want.High || s.Max-s.Min < (want.High-want.Low)/2.5 {
			t.Errorf("%v lies in %g:%g", kind, s.Min, s.Max)
		}
	}
	x, err := random(onnx.Int32, []int{500}, rand.New(rand.NewPCG(1, 2)), Range{-2.5, 3}, true)
	if err != nil {
		t.Fatal(err)
	}
	if s := sum("x", x); s.Min != -2 || s.Max != 3 {
		t.Errorf("integers lie in %g:%g", s.Min, s.Max)
	}
	if _, err := random(onnx.Int32, []int{5}, rand.New(rand.NewPCG(1, 2)), Range{0.2, 0.8}, true); !errors.Is(err, ErrOptions) {
		t.Errorf("no integer: %v", err)
	}
}

func TestSum(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		v    []float64
		want Moments
	}{
		"numbers":  {[]float64{1, 2, 3, 6}, Moments{Min: 1, Max: 6, Mean: 3, Std: math.Sqrt(3.5)}},
		"some":     {[]float64{nan, -2, -4, inf}, Moments{Min: -4, Max: -2, Mean: -3, Std: 1, NaN: 1, Infinite: 1}},
		"none":     {[]float64{nan, nan}, Moments{NaN: 2}},
		"empty":    {nil, Moments{}},
		"overflow": {[]float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}, Moments{Min: -math.MaxFloat64, Max: math.MaxFloat64}},
	} {
		x, err := onnx.New(onnx.Float64, c.v, len(c.v))
		if err != nil {
			t.Fatal(err)
		}
		got := sum("x", x)
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "overflow" {
			got.Mean, got.Std = 0, 0
		}
		if got.Min != c.want.Min || got.Max != c.want.Max || got.Mean != c.want.Mean || math.Abs(got.Std-c.want.Std) > 1e-12 || got.NaN != c.want.NaN || got.Infinite != c.want.Infinite {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSafeNames(t *testing.T) {
	got := safeNames([]string{"a", "../../etc/passwd", "x/y", "x:y", "X_Y", "", "..", strings.Repeat("n", 500), "é"})
	want := []string{"a", "_.._etc_passwd", "x_y", "x_y_2", "X_Y_3", "_2", "_3", strings.Repeat("n", 100), "_"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestCompare(t *testing.T) {
	sets := map[string]int{"vit": 3, "vit_packed": 1, "resnet": 2, "mobilenet": 2, "text": 4}
	for _, name := range networks {
		done := 0
		c, err := Compare(ctx, exported(name), nil, Tolerance{1e-4, 1e-5}, func(n, _ int) { done = n })
		if err != nil || c.Err() != nil || len(c.Sets) != sets[name] || done != sets[name] {
			t.Errorf("%s: %v, %v", name, err, c.Err())
		}
	}
	data := filepath.Dir(exported("resnet"))
	c, err := Compare(ctx, changed(t, "resnet", "Relu", "Selu"), []string{data}, Tolerance{1e-3, 1e-5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 of 2 outputs", "logits", "test_data_set_0", "expected"} {
		if c.Err() == nil || !strings.Contains(c.Err().Error(), want) {
			t.Errorf("%v lacks %q", c.Err(), want)
		}
	}
	if d := c.Sets[0].Outputs[0]; d.Outside == 0 || d.MaxAbs < 1e-3 || !strings.Contains(c.String(), d.Worst) {
		t.Errorf("%+v in %s", d, c)
	}
	if _, err := Compare(ctx, exported("mobilenet"), []string{data}, Tolerance{}, nil); !errors.Is(err, onnx.ErrInput) {
		t.Errorf("another network's data: %v", err)
	}
	if _, err := Compare(ctx, exported("vit"), []string{t.TempDir()}, Tolerance{}, nil); err == nil || !strings.Contains(err.Error(), "--with") {
		t.Errorf("no data: %v", err)
	}
}

// TestCompareShapes: an output of another shape or type is a difference.
func TestCompareShapes(t *testing.T) {
	dir := t.TempDir()
	r, err := Run(ctx, exported("resnet"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir, false); err != nil {
		t.Fatal(err)
	}
	for want, write := range map[string]*onnx.Tensor{"shape": r.tensors[0], "float64": nil} {
		if write == nil {
			if write, err = r.tensors[1].Cast(onnx.Float64); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "logits.npy"), write.AppendNPY(nil), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Compare(ctx, exported("resnet"), []string{dir}, Tolerance{1, 1}, nil)
		if err != nil || c.Err() == nil || !strings.Contains(c.Err().Error(), want) {
			t.Errorf("%s: %v, %v", want, err, c.Err())
		}
	}
}

func TestCompareWith(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		outside    bool
		fails      string
	}{
		{"itself", exported("resnet"), exported("resnet"), false, ""},
		{"other names", exported("resnet"), changed(t, "resnet", "logits", "answer"), false, ""},
		{"another function", exported("resnet"), changed(t, "resnet", "Relu", "Selu"), true, ""},
		{"another network", exported("resnet"), exported("text"), false, "cannot be compared"},
		{"other outputs", exported("vit"), exported("resnet"), false, "cannot be compared"},
		{"other image", exported("mobilenet"), exported("resnet"), false, "[1 3 36 36]"},
	} {
		got, err := CompareWith(ctx, c.a, c.b, Options{Dims: map[string]int{"batch": 1}}, Tolerance{1e-6, 1e-6})
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || (got.Err() != nil) != c.outside || got.Sets[0].Outputs[0].Elements != 10 {
			t.Errorf("%s: %v, %+v", c.name, err, got)
		}
	}
}

func TestCancel(t *testing.T) {
	stopped, stop := context.WithCancel(ctx)
	stop()
	_, err := Inspect(stopped, exported("vit"), Options{}, 1)
	_, err2 := Run(stopped, exported("vit"), Options{})
	_, err3 := Compare(stopped, exported("vit"), nil, Tolerance{}, nil)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// A model may hold any text: none of it may steer the terminal.
func TestHostileNames(t *testing.T) {
	path := changed(t, "resnet", "logits", "\x1b[2J\nx")
	info, err := Inspect(ctx, path, Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := CompareWith(ctx, path, exported("resnet"), Options{Seed: 1}, Tolerance{0, 0})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := r.Write(dir, false); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"info": info.String(), "run": r.String(), "compare": c.String()} {
		if strings.Contains(text, "\x1b") || !strings.Contains(text, `"\x1b[2J\nx"`) {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestStrings: strings come from a file, are reported as they are, and what Run
// writes Compare reads.
func TestStrings(t *testing.T) {
	text := onnx.Value{Name: "words", Type: onnx.String, Dims: []onnx.Dim{{Symbol: "n"}}}
	f := &onnx.File{Opset: 17, Inputs: []onnx.Value{text}, Outputs: []onnx.Value{{Name: "loud", Type: onnx.String, Dims: text.Dims}},
		Nodes: []onnx.NodeDef{{Op: "StringNormalizer", Inputs: []string{"words"}, Outputs: []string{"loud"}, Attrs: map[string]any{"case_change_action": "UPPER"}}}}
	b, err := f.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, err := onnx.NewStrings([]string{"pick", "pläce"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	model, pb, out := filepath.Join(dir, "model.onnx"), filepath.Join(dir, "words.pb"), filepath.Join(dir, "out")
	for path, b := range map[string][]byte{model: b, pb: x.AppendProto(nil)} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	info, err := Inspect(ctx, model, Options{}, 0)
	if err != nil || info.Err() != nil || !strings.Contains(info.String(), "words: string[n]") {
		t.Errorf("%v, %v\n%v", err, info.Err(), info)
	}
	info, err = Inspect(ctx, model, Options{Inputs: map[string]string{"words": pb}}, 1)
	if err != nil || info.Err() != nil || !strings.Contains(info.String(), "in 1 step after folding and joining at n=2\n") || info.Timing == nil {
		t.Errorf("%v, %v\n%v", err, info.Err(), info)
	}
	if _, err := Inspect(ctx, model, Options{Inputs: map[string]string{"words": pb}, Dims: map[string]int{"n": 3}}, 0); !errors.Is(err, ErrOptions) {
		t.Errorf("a file of another size: %v", err)
	}
	if _, err := Run(ctx, model, Options{}); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "words: string[n]") {
		t.Errorf("random strings: %v", err)
	}
	r, err := Run(ctx, model, Options{Inputs: map[string]string{"words": pb}})
	if err != nil {
		t.Fatal(err)
	}
	if loud := r.Outputs[0]; !slices.Equal(loud.Strings, []string{"PICK", "PLÄCE"}) || !strings.Contains(r.String(), `loud: string[2]   ["PICK" "PLÄCE"]`) {
		t.Errorf("%v", r)
	}
	asJSON, err := json.Marshal(r.Outputs[0])
	if err != nil || string(asJSON) != `{"name":"loud","type":"string","shape":[2],"strings":["PICK","PLÄCE"]}` {
		t.Errorf("%s, %v", asJSON, err)
	}
	if err := r.Write(out, false); err != nil || filepath.Ext(r.Files[1]) != ".pb" {
		t.Fatal(err, r.Files)
	}
	c, err := Compare(ctx, model, []string{out}, Tolerance{}, nil)
	if err != nil || c.Err() != nil {
		t.Error(err, c.Err())
	}
	if err := os.WriteFile(filepath.Join(out, "loud.pb"), x.AppendProto(nil), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err = Compare(ctx, model, []string{out}, Tolerance{}, nil); err != nil || c.Err() == nil || !strings.Contains(c.Err().Error(), `element [0] is "PICK", expected "pick"`) {
		t.Error(err, c.Err())
	}
	if c, err = CompareWith(ctx, model, model, Options{Inputs: map[string]string{"words": pb}}, Tolerance{}); err != nil || c.Err() != nil {
		t.Error(err, c.Err())
	}
}
