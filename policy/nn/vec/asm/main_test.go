package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What is committed is what the generator writes.
func TestCommitted(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 4 {
		t.Errorf("%d files", len(files))
	}
	for name, text := range files {
		have, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(have, text) {
			t.Errorf("policy/nn/vec/%s is not what the generator writes; run go generate ./policy/nn/vec", name)
		}
	}
}

// Instructions of AVX-512 must not slip into the other level: its registers
// and masks stand for them.
func TestAVX2Alone(t *testing.T) {
	text, err := assembly(false)
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`\b([XY](1[6-9]|2\d|3[01])|Z\d+|K\d|AVX512\w*)\b`).Find(text); bad != nil {
		t.Errorf("the AVX2 kernels use %s", bad)
	}
}
