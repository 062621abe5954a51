package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// folder opens the files that hold a model's external data. They must lie in
// the model's own folder; links that lead out of it are refused.
type folder struct {
	dir    string
	name   string // of the model's own file
	mapped map[string]*mapping
}

// mapping is a file in memory.
type mapping struct {
	data  []byte
	close func() error
}

func (d *folder) bytes(location string) ([]byte, error) {
	if m, ok := d.mapped[location]; ok {
		return m.data, nil
	}
	if !filepath.IsLocal(location) {
		return nil, fmt.Errorf("external data in %q would lie outside the model's folder", location)
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(location, os.O_RDONLY|syscall.O_NONBLOCK, 0) // no pipe is waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := mapFile(f)
	if err != nil {
		return nil, err
	}
	d.mapped[location] = m
	return m.data, nil
}

// sum is the SHA-256 of the mapped files, the model first, hex: of a model
// without external data what sha256sum prints.
func (d *folder) sum() string {
	h := sha256.New()
	h.Write(d.mapped[d.name].data)
	for _, name := range slices.Sorted(maps.Keys(d.mapped)) {
		if name != d.name {
			h.Write(d.mapped[name].data)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *folder) Close() error {
	var first error
	for _, m := range d.mapped {
		if err := m.close(); err != nil && first == nil {
			first = err
		}
	}
	d.mapped = nil
	return first
}

// regularSize is the size of a file that may be mapped.
func regularSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", f.Name())
	}
	return info.Size(), nil
}
