package onnx

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTorch holds networks that PyTorch exported to PyTorch's own outputs, for
// other batches and lengths than the traced ones too.
func TestTorch(t *testing.T) {
	if n := testExports(t, "testdata/torch"); n < 5 {
		t.Errorf("%d networks", n)
	}
}

// TestTorchLive exports the networks again, with other weights and for every
// opset, and those of published sizes.
func TestTorchLive(t *testing.T) {
	if testing.Short() {
		t.Skip("exports for twenty seconds")
	}
	python := torchPython(t)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"opset 11", []string{"--opset", "11"}},
		{"opset 13", []string{"--opset", "13"}},
		{"opset 14", []string{"--opset", "14"}},
		{"opset 17", []string{"--opset", "17"}},
		{"full size", []string{"--full"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out, err := exec.Command(python, append([]string{"testdata/torch/export.py", "--seed", "2", dir}, c.args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if n := testExports(t, dir); n < 3 {
				t.Errorf("%d networks", n)
			}
		})
	}
}

// torchPython finds a Python that has PyTorch.
func torchPython(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import torch.onnx").Run() == nil {
			return p
		}
	}
	t.Skip("no python3 with PyTorch (apt-get install python3-torch)")
	return ""
}

// testExports runs every network below dir on its test data and says how many
// there are.
func testExports(t *testing.T, dir string) int {
	t.Helper()
	models, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range models {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			sets, err := filepath.Glob(filepath.Join(filepath.Dir(path), "test_data_set_*"))
			if err != nil || len(sets) == 0 {
				t.Fatal("no test data", err)
			}
			m := openModel(t, path)
			worst := 0.0
			same := func(got, want *Tensor) error {
				d, err := relative(got, want)
				worst = max(worst, d)
				return err
			}
			for _, set := range sets {
				files := readFolder(t, set)
				if err := runDataSet(m, files, filepath.Base(set), same); err != nil {
					t.Errorf("%s: %v", filepath.Base(set), err)
				}
				fixed := openModel(t, path)
				if err := fixed.Fix(dimsOf(t, fixed, files, filepath.Base(set))); err != nil {
					t.Fatal(err)
				}
				if err := runDataSet(fixed, files, filepath.Base(set), same); err != nil {
					t.Errorf("%s with fixed shapes: %v", filepath.Base(set), err)
				}
				if fixed.pool.used != 0 {
					t.Errorf("%s: %d bytes were not planned", filepath.Base(set), fixed.pool.used)
				}
			}
			t.Logf("%d data sets, largest relative difference %.1e", len(sets), worst)
		})
	}
	return len(models)
}

// relative is the largest difference in units of the largest value, or of 1,
// which may be 1e-4, as may the difference of each element.
func relative(got, want *Tensor) (float64, error) {
	scale := 1.0
	for _, v := range toFloat64(want) {
		scale = max(scale, math.Abs(v))
	}
	err := within(got, want, 1e-4, 1e-5)
	d, _ := Compare(got, want, 1e-4, 1e-5) // of another shape: err says so
	if d.MaxAbs/scale > 1e-4 {
		err = errors.Join(err, fmt.Errorf("relative difference %g", d.MaxAbs/scale))
	}
	return d.MaxAbs / scale, err
}

func openModel(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// readFolder maps "test_data_set_0/input_0.pb" to its bytes.
func readFolder(t *testing.T, set string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(set)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(set, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(set)+"/"+e.Name()] = b
	}
	return files
}

// dimsOf reads the sizes of the open dimensions from the inputs.
func dimsOf(t *testing.T, m *Model, files map[string][]byte, set string) map[string]int {
	t.Helper()
	dims := map[string]int{}
	for i, v := range m.Inputs {
		in, err := readPB(files[fmt.Sprintf("%s/input_%d.pb", set, i)])
		if err != nil {
			t.Fatal(err)
		}
		for k, d := range v.Dims {
			if d.Symbol != "" && !strings.HasPrefix(d.Symbol, "?") {
				dims[d.Symbol] = in.Shape[k]
			}
		}
	}
	return dims
}
