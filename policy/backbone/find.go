package backbone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// maxPlaces bounds the files beside a checkpoint that are looked at.
const maxPlaces = 64

// find returns the file at path and its SHA-256. For weights that were trained
// already it is the first file with the wanted sum: beside the checkpoint, in
// dir, under path's name; at path; beside the checkpoint under any name. No
// other file is opened further than its sum takes.
func find(path, dir, want string, sum func(path string) (string, error)) (found, has string, err error) {
	if want == "" {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return "", "", fmt.Errorf("%w: there is no file %s, which the contract names", ErrBackbone, path)
		}
		if has, err = sum(path); err != nil {
			return "", "", fmt.Errorf("%w: %w", ErrBackbone, err)
		}
		return path, has, nil
	}
	var refused error
	for _, p := range places(path, dir) {
		if _, err := os.Stat(p); errors.Is(err, os.ErrNotExist) {
			continue
		}
		has, err := sum(p)
		switch {
		case err == nil && has == want:
			return p, has, nil
		case err == nil:
			err = fmt.Errorf("%w: %s has the SHA-256 %.12s..., the weights were trained with %.12s...; put that file beside the checkpoint", ErrBackbone, p, has, want)
		default:
			err = fmt.Errorf("%w: %w", ErrBackbone, err)
		}
		if refused == nil {
			refused = err
		}
	}
	if refused == nil {
		refused = fmt.Errorf("%w: there is no file %s, and none at %s, where it was when the weights were trained; put it beside the checkpoint", ErrBackbone, filepath.Join(dir, filepath.Base(path)), path)
	}
	return "", "", refused
}

// places are where a file is looked for: each once, the likeliest first.
func places(path, dir string) []string {
	list := []string{filepath.Join(dir, filepath.Base(path)), filepath.Clean(path)}
	beside, _ := filepath.Glob(filepath.Join(dir, "*"+filepath.Ext(path))) // the pattern is in order, or nothing is found
	list = append(list, beside[:min(len(beside), maxPlaces)]...)
	seen, out := map[string]bool{}, list[:0]
	for _, p := range list {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}
