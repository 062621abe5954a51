package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What is committed is what the generator writes, but for the command in the
// first line.
func TestCommitted(t *testing.T) {
	dir := t.TempDir()
	names := []string{"kernels_amd64.s", "stubs_amd64.go"}
	out, err := exec.Command("go", "run", ".", "-out", filepath.Join(dir, names[0]), "-stubs", filepath.Join(dir, names[1]), "-pkg", "resize").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range names {
		made, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		_, made, _ = bytes.Cut(made, []byte("\n"))
		if _, have, _ = bytes.Cut(have, []byte("\n")); !bytes.Equal(have, made) {
			t.Errorf("policy/contract/resize/%s is not what the generator writes; run go generate ./policy/contract/resize", name)
		}
	}
}
