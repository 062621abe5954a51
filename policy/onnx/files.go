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

	"arfm/policy/userfile"
)

// folder opens the files that hold a model's external data. They must lie in
// the model's own folder; links that lead out of it are refused.
type folder struct {
	dir    string
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

// openFolder maps the model at path.
func openFolder(path string) (*folder, []byte, error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, _, err := userfile.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	m, err := mapFile(f)
	if err != nil {
		return nil, nil, err
	}
	return &folder{dir: dir, mapped: map[string]*mapping{name: m}}, m.data, nil
}

// SHA256 is the sum of the model at path, and of the files of its external data
// after it in the order of their names, hex: of a model without any what
// sha256sum prints. The model is not made ready.
func SHA256(path string) (string, error) {
	files, data, err := openFolder(path)
	if err != nil {
		return "", err
	}
	defer files.Close()
	h := sha256.New()
	h.Write(data)
	p, err := readProto(data)
	if err != nil {
		return "", fmt.Errorf("%s is %w: %w", path, ErrFormat, err)
	}
	outside := map[string]bool{}
	for _, t := range p.tensors() {
		if t.outside {
			outside[t.external["location"]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(outside)) {
		more, err := files.bytes(name)
		if err != nil {
			return "", fmt.Errorf("%s: external data: %w", path, err)
		}
		h.Write(more)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
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
