package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func sample() ([]Tensor, map[string]string) {
	return []Tensor{
			NewTensor("flags", []uint8{1, 2, 3}),
			NewTensor("b.weight", []float32{1, -2.5, 3, 4, 5, 6}, 2, 3),
			NewTensor("a.bias", []float32{math.SmallestNonzeroFloat32}),
			NewTensor("moments", []float64{math.Pi, -math.MaxFloat64}, 1, 2),
			NewTensor("rng", []int64{math.MinInt64, math.MaxInt64}),
			{Name: "scalar", Shape: []int{}, Data: []float32{7}},
			NewTensor("none", []float32{}, 0, 4),
			NewTensor(`quo"te <&> é`, []float32{8}),
		}, map[string]string{
			"note": "line\nbreak, \"quotes\", <html> & ünïcode \x00 end", "empty": "",
		}
}

func TestTensorsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors, meta := sample()
	if err := WriteTensors(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	got, gotMeta, err := ReadTensors(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotMeta, meta) {
		t.Errorf("metadata %q, want %q", gotMeta, meta)
	}
	byName := map[string]Tensor{}
	for _, x := range got {
		byName[x.Name] = x
	}
	for _, want := range tensors {
		if !reflect.DeepEqual(byName[want.Name], want) {
			t.Errorf("%q: %v, want %v", want.Name, byName[want.Name], want)
		}
	}
	if len(got) != len(tensors) {
		t.Errorf("%d tensors, want %d", len(got), len(tensors))
	}
	if v, err := Values[float64](byName["moments"]); err != nil || v[0] != math.Pi {
		t.Errorf("Values: %v, %v", v, err)
	}
	if _, err := Values[float32](byName["moments"]); !errors.Is(err, ErrDType) {
		t.Errorf("Values of the wrong type: %v", err)
	}
}

// TestTensorsLarge crosses the bounds of chunks with every type.
func TestTensorsLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	n := chunkBytes/4*2 + 3
	f, d, i, u := make([]float32, n), make([]float64, n), make([]int64, n), make([]uint8, 3*n)
	for k := range n {
		f[k], d[k], i[k], u[k] = float32(k), -float64(k), int64(k)<<33, uint8(k)
	}
	want := []Tensor{NewTensor("d", d), NewTensor("i", i), NewTensor("f", f), NewTensor("u", u)}
	if err := WriteTensors(path, want, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := ReadTensors(path, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("tensors differ after a round trip")
	}
	if _, _, err := ReadTensors(path, 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestEqualContentsAreEqualFiles(t *testing.T) {
	dir := t.TempDir()
	tensors, meta := sample()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := WriteTensors(path, tensors, meta); err != nil {
			t.Fatal(err)
		}
		files[i], _ = os.ReadFile(path)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two writes of the same tensors differ")
	}
}

// TestPythonReads checks the format from outside.
func TestPythonReads(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors, meta := sample()
	if err := WriteTensors(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/check.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Readers []string
		Meta    map[string]string
		Tensors map[string]struct {
			DType       string
			Shape       []int
			First, Last []float64
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	t.Logf("read by %v", got.Readers)
	for k, v := range meta {
		if got.Meta[k] != v {
			t.Errorf("metadata %q: %q, want %q", k, got.Meta[k], v)
		}
	}
	if w := got.Tensors["b.weight"]; w.DType != "F32" || !reflect.DeepEqual(w.Shape, []int{2, 3}) || w.First[0] != 1 || w.Last[0] != 6 {
		t.Errorf("b.weight: %+v", w)
	}
	if len(got.Tensors) != len(tensors) {
		t.Errorf("%d tensors, want %d", len(got.Tensors), len(tensors))
	}
}

// raw returns a file with the header text and n bytes of tensors.
func raw(text string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(b, text...), make([]byte, n)...)
}

func TestReadTensorsRefuses(t *testing.T) {
	tensor := func(s string) string { return `{"a":` + s + `}` }
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrEmpty},
		{"three bytes", []byte{1, 2, 3}, ErrTruncated},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<60), ErrHeaderTooLarge},
		{"largest header", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), ErrHeaderTooLarge},
		{"header beyond the end", binary.LittleEndian.AppendUint64(nil, 100), ErrTruncated},
		{"no header", raw("", 0), ErrHeader},
		{"array", raw("[]", 0), ErrHeader},
		{"cut JSON", raw(`{"a":`, 0), ErrHeader},
		{"not closed", raw(`{`, 0), ErrHeader},
		{"two values", raw(`{}{}`, 0), ErrHeader},
		{"text behind", raw(`{} x`, 0), ErrHeader},
		{"leading space", raw(` {}`, 0), ErrHeader},
		{"not UTF-8", raw("{\"\xff\":{}}", 0), ErrHeader},
		{"number for a tensor", raw(tensor("1"), 0), ErrHeader},
		{"null tensor", raw(tensor("null"), 0), ErrHeader},
		{"no dtype", raw(tensor(`{"shape":[1],"data_offsets":[0,4]}`), 4), ErrHeader},
		{"no shape", raw(tensor(`{"dtype":"F32","data_offsets":[0,4]}`), 4), ErrHeader},
		{"no offsets", raw(tensor(`{"dtype":"F32","shape":[1]}`), 4), ErrHeader},
		{"three offsets", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}`), 4), ErrHeader},
		{"float offset", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,4.5]}`), 4), ErrHeader},
		{"offset beyond int64", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775808]}`), 4), ErrHeader},
		{"nine dimensions", raw(tensor(`{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}`), 4), ErrHeader},
		{"negative shape", raw(tensor(`{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}`), 4), ErrHeader},
		{"shape overflows", raw(tensor(`{"dtype":"F32","shape":[4294967296,4294967296,4294967296,4],"data_offsets":[0,4]}`), 4), ErrHeader},
		{"tensor twice", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), ErrHeader},
		{"metadata number", raw(`{"__metadata__":{"a":1}}`, 0), ErrHeader},
		{"metadata array", raw(`{"__metadata__":[]}`, 0), ErrHeader},
		{"metadata twice", raw(`{"__metadata__":{"a":"1","a":"2"}}`, 0), ErrHeader},
		{"half floats", raw(tensor(`{"dtype":"F16","shape":[2],"data_offsets":[0,4]}`), 4), ErrDType},
		{"unknown type", raw(tensor(`{"dtype":"X9","shape":[1],"data_offsets":[0,4]}`), 4), ErrDType},
		{"shape and offsets differ", raw(tensor(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`), 4), ErrOffsets},
		{"hole at the start", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`), 8), ErrOffsets},
		{"negative offset", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}`), 4), ErrOffsets},
		{"end before begin", raw(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}`), 4), ErrOffsets},
		{"hole", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), ErrOffsets},
		{"overlap", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), ErrOffsets},
		{"cut tensors", raw(tensor(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 4), ErrTruncated},
		{"tensors of a terabyte", raw(tensor(`{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}`), 4), ErrTruncated},
		{"trailing bytes", raw(tensor(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 9), ErrTrailing},
		{"wrong sum", raw(`{"__metadata__":{"sha256":"00"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), ErrHash},
		{"deep nesting", raw(`{"a":`+strings.Repeat(`[`, 1<<20), 0), ErrHeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := ReadTensors(path, 1<<20)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if s := err.Error(); !strings.Contains(s, path) || strings.Contains(s, "\n") || len(s) > 600 {
				t.Errorf("no good sentence: %q", s)
			}
		})
	}
}

func TestWriteTensorsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		tensors []Tensor
		meta    map[string]string
		want    error
	}{
		"shape":         {[]Tensor{{"a", []int{3}, []float32{1}}}, nil, ErrShape},
		"negative":      {[]Tensor{{"a", []int{-1, -1}, []float32{1}}}, nil, ErrShape},
		"rank":          {[]Tensor{{"a", make([]int, 9), []float32{}}}, nil, ErrShape},
		"type":          {[]Tensor{{"a", []int{1}, []int32{1}}}, nil, ErrDType},
		"no data":       {[]Tensor{{"a", []int{1}, nil}}, nil, ErrDType},
		"twice":         {[]Tensor{NewTensor("a", []float32{1}), NewTensor("a", []float32{1})}, nil, ErrHeader},
		"reserved name": {[]Tensor{NewTensor("__metadata__", []float32{1})}, nil, ErrShape},
		"name no UTF-8": {[]Tensor{NewTensor("a\xff", []float32{1})}, nil, ErrHeader},
		"meta no UTF-8": {nil, map[string]string{"a": "\xff"}, ErrHeader},
		"large header":  {nil, map[string]string{"a": strings.Repeat("x", MaxHeader)}, ErrHeaderTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := WriteTensors(filepath.Join(dir, "x.safetensors"), c.tensors, c.meta)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			wantEmpty(t, dir)
		})
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, `{"__metadata__":{"a":"b"}}  `,
		`{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}`,
		`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[-4,0]}}`, `{"a":null}`, `{"":{}}`, `[[[[`, `{"a":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := parseHeader(text)
		if err != nil {
			return
		}
		at := int64(0)
		for _, e := range h.entries {
			n, ok := product(e.shape, e.dtype.size())
			if !ok || e.begin != at || e.end != at+n {
				t.Fatalf("entry %+v at %d", e, at)
			}
			at = e.end
		}
		again, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseHeader(again[lengthBytes:])
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if !reflect.DeepEqual(back.meta, h.meta) || len(back.entries) != len(h.entries) {
			t.Fatalf("%+v became %+v", h, back)
		}
	})
}

func FuzzReadTensors(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	tensors, meta := sample()
	if err := WriteTensors(path, tensors, meta); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, 3))
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "x.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		tensors, _, err := ReadTensors(path, 1<<20)
		if err != nil {
			return
		}
		n := 0
		for i := range tensors {
			d, k, err := tensors[i].dtype()
			if err != nil {
				t.Fatal(err)
			}
			n += k * int(d.size())
		}
		if n > len(data) {
			t.Fatalf("%d bytes of tensors from a file of %d", n, len(data))
		}
	})
}

// TestReplaceErrors checks that a failed write says why, keeps the old file
// and leaves nothing beside it.
func TestReplaceErrors(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		want  error
	}{{syscall.ENOSPC, ErrDiskFull}, {syscall.EDQUOT, ErrDiskFull}, {syscall.EROFS, ErrReadOnly}, {syscall.EACCES, ErrWriteDenied}, {syscall.EIO, ErrWrite}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.safetensors")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := replace(path, func(w io.Writer) error {
			if _, err := w.Write([]byte("half")); err != nil {
				t.Error(err)
			}
			return &os.PathError{Op: "write", Path: "temp", Err: c.errno}
		})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v, want %v", c.errno, err, c.want)
		}
		list, _ := os.ReadDir(dir)
		if old, _ := os.ReadFile(path); string(old) != "old" || len(list) != 1 {
			t.Errorf("%v: the old file is %q and the folder has %v", c.errno, old, list)
		}
	}
}
