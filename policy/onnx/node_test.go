package onnx

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/nodetests.txt anew")

// sharedArchives lists the archives of the ONNX project's own tests.
var sharedArchives = []string{"onnx_backend_node_6be0677f.tar.gz", "onnx_backend_pytorch_simple_f7546912.tar.gz"}

// shared returns the path of an archive beside the checkout.
func shared(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("ARFM_TEST_DATA")
	if root == "" {
		_, here, _, _ := runtime.Caller(0)
		root = filepath.Join(filepath.Dir(here), "..", "..", "..", "shared", "data")
	}
	file := filepath.Join(root, "onnx", name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("shared test data absent: onnx/%s (set ARFM_TEST_DATA)", name)
	}
	return file
}

// readArchive maps each test of an archive, "node/test_abs", to its files.
func readArchive(t testing.TB, file string) map[string]map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return tests
		}
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(h.Name, "backend/test/data/")
		parts := strings.SplitN(rest, "/", 3)
		if !ok || h.Typeflag != tar.TypeReg || len(parts) < 3 {
			continue
		}
		name := parts[0] + "/" + parts[1]
		if tests[name] == nil {
			tests[name] = map[string][]byte{}
		}
		if tests[name][parts[2]], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackend runs the ONNX project's backend tests. testdata/nodetests.txt
// says which pass, and of each other one why not; it must be right both ways.
func TestBackend(t *testing.T) {
	found := map[string]string{}
	seen := map[string]bool{}
	for _, archive := range sharedArchives {
		tests := readArchive(t, shared(t, archive))
		for name, files := range tests {
			if files["model.onnx"] == nil {
				continue
			}
			err := runBackendTest(files, seen, false)
			found[name] = verdict(err, files["model.onnx"])
			if err == nil { // again with shapes that are fixed beforehand
				if err := runBackendTest(files, seen, true); err != nil {
					t.Errorf("%s with fixed shapes: %v", name, err)
				}
			}
		}
	}
	const list = "testdata/nodetests.txt"
	if *update {
		writeVerdicts(t, list, found)
	}
	want := readVerdicts(t, list)
	passed := 0
	for name, got := range found {
		if got == "pass" {
			passed++
		}
		if want[name] != got {
			t.Errorf("%s: listed %q, found %q", name, want[name], got)
		}
	}
	for name := range want {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is listed and not in the archives", name)
		}
	}
	t.Logf("%d of %d pass", passed, len(found))
	if passed < 1000 {
		t.Errorf("%d tests pass, expected at least 1000", passed)
	}
	for name := range operators {
		if !seen[name] && name != "GlobalLpPool" { // of which the archives have no test
			t.Errorf("no passing test has the operator %s", name)
		}
	}
}

// runBackendTest runs every data set of a test.
func runBackendTest(files map[string][]byte, seen map[string]bool, fix bool) error {
	m, err := Decode(files["model.onnx"])
	if err != nil {
		return err
	}
	if fix {
		if err := m.Fix(nil); err != nil {
			if errors.Is(err, ErrInput) {
				return nil // it has open dimensions
			}
			return err
		}
	}
	for i := 0; ; i++ {
		dir := fmt.Sprintf("test_data_set_%d", i)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(f string) bool { return path.Dir(f) == dir }) {
			if i == 0 {
				return errors.New("no data set")
			}
			break
		}
		if err := runDataSet(m, files, dir, near); err != nil {
			return err
		}
	}
	p, err := readProto(files["model.onnx"])
	for _, n := range p.nodes {
		seen[n.op] = true
	}
	return err
}

func runDataSet(m *Model, files map[string][]byte, dir string, same func(got, want *Tensor) error) error {
	inputs := map[string]*Tensor{}
	for i, v := range m.Inputs {
		t, err := readPB(files[fmt.Sprintf("%s/input_%d.pb", dir, i)])
		if err != nil {
			return err
		}
		inputs[v.Name] = t
	}
	out, err := m.Run(inputs)
	if err != nil {
		return err
	}
	for i, got := range out {
		want, err := readPB(files[fmt.Sprintf("%s/output_%d.pb", dir, i)])
		if err != nil {
			return err
		}
		if m.plan != nil {
			if s := m.plan.shape[m.outputIDs[i]]; s != nil && (s.Type != got.Type || !slices.Equal(s.Shape, got.Shape)) {
				return fmt.Errorf("output %d: inferred %v, it is %v", i, s, got)
			}
		}
		if err := same(got, want); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

func readPB(b []byte) (*Tensor, error) {
	p, err := readTensorProto(b)
	if err != nil {
		return nil, err
	}
	return p.tensor(nil)
}

// near compares with the tolerances of ONNX's own runner: 1e-3 relative, 1e-7
// absolute; in half precision, one place.
func near(got, want *Tensor) error {
	rel, abs := 1e-3, 1e-7
	if got.Type == BFloat16 {
		rel = 1.0 / 128
	}
	return within(got, want, rel, abs)
}

func within(got, want *Tensor, rtol, atol float64) error {
	if got.Type != want.Type {
		return fmt.Errorf("got %v, expected %v", got, want)
	}
	d, err := Compare(got, want, rtol, atol)
	if err == nil && d.Outside > 0 {
		err = fmt.Errorf("differs: %s", d.Worst)
	}
	return err
}

var (
	opName   = regexp.MustCompile(`unsupported operator (\S+) of domain (\S+), opset \d+(; .*)?`)
	typeName = regexp.MustCompile(`(string|float8\w+|float4\w+|u?int[24]|complex\w+|undefined)\b`)
)

// verdict puts a model's outcome into a few words.
func verdict(err error, model []byte) string {
	if err == nil {
		return "pass"
	}
	s := err.Error()
	if m := opName.FindStringSubmatch(s); m != nil {
		why := "operator " + m[1]
		if m[2] != "ai.onnx" {
			why += " of domain " + m[2]
		}
		if p, err := readProto(model); err == nil && slices.ContainsFunc(p.inputs, func(v Value) bool { return v.Type == String }) {
			why += ", on strings"
		}
		return why + m[3]
	}
	if m := typeName.FindString(s); m != "" && !strings.Contains(s, "differs") {
		return "type " + m
	}
	if errors.Is(err, ErrTooLarge) {
		return "too large"
	}
	return s
}

func writeVerdicts(t *testing.T, file string, found map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# The ONNX project's backend tests: pass, or why not. Written by go test -run TestBackend -update.\n")
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(&b, "%s: %s\n", name, found[name])
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readVerdicts(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, why, ok := strings.Cut(s.Text(), ": "); ok && name[0] != '#' {
			list[name] = why
		}
	}
	return list
}
