package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const networks = "../../policy/onnx/testdata/torch/"

// TestONNX is a model's way through the three commands.
func TestONNX(t *testing.T) {
	dir := t.TempDir()
	model := networks + "text/model.onnx"
	if out := must(t, "onnx", "info", "--dims", "batch=2,sequence=9", "--layers", "--runs", "2", model); !strings.Contains(out, "at batch=2, sequence=9") || !strings.Contains(out, "attention") {
		t.Errorf("info: %s", out)
	}
	out := filepath.Join(dir, "out")
	if text := must(t, "onnx", "run", "--range", "input_ids=0:199", "--dims", "sequence=9", "--output", out, model); !strings.Contains(text, "last_hidden_state: float32[1 9 32]") {
		t.Errorf("run: %s", text)
	}
	if text := must(t, "onnx", "compare", model); strings.Count(text, "against") != 4 {
		t.Errorf("compare: %s", text)
	}
	must(t, "onnx", "compare", "--data", out, "--rtol", "0", "--atol", "0", model)
	must(t, "onnx", "compare", "--with", model, "--dims", "batch=2,sequence=4", "--rtol", "0", "--atol", "0", model)
	status, text, errs := arfm("onnx", "compare", "--rtol", "0", "--atol", "1e-9", model)
	if status != exitFailed || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "8 of 8 outputs") || !strings.Contains(text, "expected") {
		t.Errorf("compare to the last bit: status %d, %s%s", status, text, errs)
	}
}

// TestONNXJSON: the help names the keys that are there.
func TestONNXJSON(t *testing.T) {
	model := networks + "resnet/model.onnx"
	for name, args := range map[string][]string{
		"info": {"--layers", "--runs", "1"}, "run": nil, "compare": {"--rtol", "0", "--atol", "1e-9"},
	} {
		_, out, errs := arfm(append([]string{"onnx", name, "--json", model}, args...)...)
		var all map[string]any
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%s: %v, %s", name, err, errs)
		}
		help := must(t, "onnx", name, "--help")
		var check func(v any, path string)
		check = func(v any, path string) {
			switch v := v.(type) {
			case []any:
				for _, e := range v {
					check(e, path)
				}
			case map[string]any:
				for key, e := range v {
					if path != " opsets" && path != " dims" && !regexp.MustCompile(`\b`+key+`\b`).MatchString(help) {
						t.Errorf("%s: the help does not say what%s %s is", name, path, key)
					}
					check(e, path+" "+key)
				}
			}
		}
		check(all, "")
	}
}

func TestONNXBadInput(t *testing.T) {
	f := files{dir: t.TempDir()}
	text := f.write(t, "notes.onnx", "no model")
	model := networks + "resnet/model.onnx"
	pipe := f.path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"no model", []string{"info"}, exitUsage, []string{"one ONNX model"}},
		{"two models", []string{"run", model, model}, exitUsage, []string{"one ONNX model"}},
		{"wrong path", []string{"info", f.path("nowhere")}, exitFailed, []string{"nowhere", "check the path"}},
		{"not a model", []string{"info", text}, exitFailed, []string{"notes.onnx", "not a readable ONNX model"}},
		{"a folder", []string{"run", f.dir}, exitFailed, []string{f.dir}},
		{"a pipe", []string{"info", pipe}, exitFailed, []string{"named pipe"}},
		{"a pipe to run", []string{"run", pipe}, exitFailed, []string{"named pipe"}},
		{"a pipe as input", []string{"run", "-i", "image=" + pipe, model}, exitFailed, []string{"named pipe"}},
		{"no such input", []string{"run", "-i", "x=" + text, model}, exitUsage, []string{`"x"`, `"image"`}},
		{"an input without a file", []string{"run", "-i", "image", model}, exitUsage, []string{"NAME=FILE"}},
		{"an input that is no tensor", []string{"run", "-i", "image=" + text, model}, exitFailed, []string{"notes.onnx"}},
		{"no such dimension", []string{"info", "--dims", "bach=2", model}, exitUsage, []string{`"bach"`, `"batch"`}},
		{"a dimension without size", []string{"info", "--dims", "batch", model}, exitUsage, []string{"--dims"}},
		{"a huge batch", []string{"info", "--dims", "batch=2000000000", model}, exitFailed, []string{"too large"}},
		{"a bad range", []string{"run", "--range", "image=1", model}, exitUsage, []string{"LOW:HIGH"}},
		{"no runs", []string{"info", "--layers", "--runs", "0", model}, exitUsage, []string{"--runs"}},
		{"no data", []string{"compare", text, "--data", f.path("none")}, exitFailed, []string{"notes.onnx"}},
		{"no expected outputs", []string{"compare", model, "--data", f.dir}, exitFailed, []string{"input_0.pb", "--with"}},
		{"data and another model", []string{"compare", model, "--data", f.dir, "--with", model}, exitUsage, []string{"--data", "--with"}},
		{"random inputs with data", []string{"compare", model, "--seed", "2"}, exitUsage, []string{"--with"}},
		{"a negative tolerance", []string{"compare", model, "--rtol", "-1"}, exitUsage, []string{"--rtol"}},
		{"output is a file", []string{"run", model, "--output", text}, exitFailed, []string{"notes.onnx"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := arfm(append([]string{"onnx"}, c.args...)...)
			if status != c.status || strings.Count(errs, "\n") != 1 {
				t.Errorf("status %d, want %d; %s", status, c.status, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(errs, w) {
					t.Errorf("%q does not name %q", errs, w)
				}
			}
			if c.status == exitUsage && out != "" {
				t.Errorf("printed %s", out)
			}
		})
	}
}
