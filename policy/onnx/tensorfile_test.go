package onnx

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// numbers is a tensor of a type with values that any type holds.
func numbers(t testing.TB, kind Type, shape ...int) *Tensor {
	t.Helper()
	v := make([]float64, product(shape))
	for i := range v {
		v[i] = float64(i * 5 % 128)
	}
	x, err := must(New(Float64, v, shape...)).Cast(kind)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestNPY(t *testing.T) {
	for name, kind := range npyTypes {
		for _, shape := range [][]int{{}, {0, 3}, {5}, {2, 3, 4}} {
			want := numbers(t, kind, shape...)
			b := want.AppendNPY(nil)
			got, err := DecodeTensor(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got.Type != kind || !slices.Equal(got.Shape, shape) || !bytes.Equal(got.data, want.data) {
				t.Errorf("%s: %v came back as %v", name, want, got)
			}
		}
	}
	half := numbers(t, BFloat16, 7)
	if got, err := DecodeTensor(half.AppendNPY(nil)); err != nil || got.Type != Float32 || !slices.Equal(toFloat64(got), toFloat64(half)) {
		t.Errorf("bfloat16 came back as %v, %v", got, err)
	}
}

// TestNPYWithNumPy: NumPy reads what is written, and what it writes again, of
// the other byte order and as a later version too, is read.
func TestNPYWithNumPy(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import numpy").Run()
	}
	if err != nil {
		t.Skip("no python3 with NumPy")
	}
	dir := t.TempDir()
	for name, kind := range npyTypes {
		if err := os.WriteFile(filepath.Join(dir, name+".npy"), numbers(t, kind, 3, 4).AppendNPY(nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `
import sys, glob, numpy as np
for f in glob.glob(sys.argv[1] + "/*.npy"):
    a = np.load(f)
    if a.dtype != np.bool_:
        assert a.tolist() == (np.arange(12) * 5 % 128).reshape(3, 4).tolist(), (f, a)
    np.save(f + ".big.npy", a.astype(a.dtype.newbyteorder(">")))
    with open(f + ".v2.npy", "wb") as o:
        np.lib.format.write_array(o, a, version=(2, 0))
    np.save(f + ".columns.npy", np.asfortranarray(a))
`
	if out, err := exec.Command(python, "-c", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, kind := range npyTypes {
		want := numbers(t, kind, 3, 4)
		for _, more := range []string{".big.npy", ".v2.npy"} {
			got, err := OpenTensor(filepath.Join(dir, name+".npy"+more))
			if err != nil || got.Type != kind || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.data, want.data) {
				t.Errorf("%s%s: %v, %v", name, more, got, err)
			}
		}
		if _, err := OpenTensor(filepath.Join(dir, name+".npy.columns.npy")); err == nil || !strings.Contains(err.Error(), "ascontiguousarray") {
			t.Errorf("%s column by column: %v", name, err)
		}
	}
}

func TestHostileTensorFiles(t *testing.T) {
	good := string(floats([]float32{1, 2, 3, 4}, 2, 2).AppendNPY(nil))
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, c := range map[string]struct{ data, want string }{
		"empty":            {"", "no element"},
		"text":             {"hello", "neither an npy file nor"},
		"magic only":       {npyMagic, "version"},
		"later version":    {change("\x01\x00", "\x09\x00"), "version"},
		"header cut off":   {good[:40], "cut off"},
		"data cut off":     {good[:len(good)-1], "15 bytes"},
		"more data":        {good + "x", "17 bytes"},
		"objects":          {change("<f4", "|O8"), "not numbers"},
		"no shape":         {change("'shape'", "'shops'"), "no shape"},
		"negative":         {change("(2,", "(-2"), "no shape"},
		"huge":             {strings.Replace(good, "(2, 2,), }      ", "(2, 999999999999),}", 1), "too large"},
		"beyond an int":    {strings.Replace(good, "(2, 2,), }                  ", "(2, 99999999999999999999),} ", 1), "shape"},
		"big endian, odd":  {strings.Replace(good, "<f4", ">f4", 1) + "x", "cut off"},
		"a struct of it":   {change("'<f4'", "[('a')"), "not numbers"},
		"proto of complex": {"\x10\x0e", "complex64"},
	} {
		_, err := DecodeTensor([]byte(c.data))
		if c.want == "no element" { // an empty message is a tensor of no type
			c.want = "not supported"
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenTensor(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
	if _, err := OpenTensor(os.DevNull); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a device: %v", err)
	}
}

// FuzzDecodeTensor: whatever is taken has as much data as its shape says, and
// survives being written.
func FuzzDecodeTensor(f *testing.F) {
	f.Add(floats([]float32{1, 2}, 2).AppendNPY(nil))
	f.Add(NamedTensor{"x", ints(1, 2, 3)}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := DecodeTensor(b)
		if err != nil {
			return
		}
		y, err := DecodeTensor(x.AppendNPY(nil))
		if err != nil || y.Len() != x.Len() || len(x.data) != x.Len()*x.Type.Size() {
			t.Errorf("%v with %d bytes: %v", x, len(x.data), err)
		}
	})
}

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		got, want []float32
		outside   int
		abs, rel  float64
		worst     string
	}{
		"equal":              {[]float32{1, nan, inf, -inf}, []float32{1, nan, inf, -inf}, 0, 0, 0, ""},
		"within":             {[]float32{100.5, 0.25, 0, 0}, []float32{100, 0, 0, 0}, 0, 0.5, 0.005, ""},
		"outside":            {[]float32{100, 0, 104, 3}, []float32{100, 0, 100, 1}, 2, 4, 2, "element [1 0] is 104, expected 100"},
		"NaN for a number":   {[]float32{1, nan, 3, 4}, []float32{1, 2, 3, 4}, 1, 0, 0, "element [0 1] is NaN, expected 2"},
		"the wrong infinity": {[]float32{1, 2, inf, 4}, []float32{1, 2, -inf, 4}, 1, 0, 0, "element [1 0] is +Inf, expected -Inf"},
	} {
		d, err := Compare(floats(c.got, 2, 2), floats(c.want, 2, 2), 0.01, 0.25)
		if err != nil || d != (Difference{4, c.outside, c.abs, c.rel, c.worst}) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	if _, err := Compare(floats([]float32{1}, 1), floats([]float32{1}), 0, 0); err == nil {
		t.Error("other shapes are equal")
	}
}
