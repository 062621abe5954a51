package rosbag2

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/foxglove/mcap/go/mcap"
)

// Finished says whether the recording of a bag has ended, and when its last
// file was written: a recorder writes metadata.yaml at its end, and a recording
// without one is finished where its format tells an end: an MCAP file by its
// closing magic, a single compressed file by being there, a single database by
// having no log beside it. It reads a few bytes and opens no bag.
func Finished(path string) (at time.Time, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return at, false
	}
	if !info.IsDir() {
		return info.ModTime(), ended(path, info.Size())
	}
	if info, err := os.Stat(filepath.Join(path, metadataFile)); err == nil && info.Mode().IsRegular() {
		return info.ModTime(), true
	}
	files, _, err := recordings(path)
	ok = err == nil && len(files) > 0
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !strings.HasSuffix(f, ".mcap") || !ended(f, info.Size()) {
			return at, false // one more split of a database may be to come
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, ok
}

// EndedSplits returns the splits NAME_0.mcap, NAME_1.mcap ... of a recording in
// a folder up to the first that has not ended, in order.
func EndedSplits(dir string) (files []string) {
	all, n, err := recordings(dir)
	if err != nil || n != 1 {
		return nil
	}
	for i := range all {
		at := slices.IndexFunc(all, func(f string) bool {
			_, _, number, _ := splitStem(filepath.Base(f))
			return number == i
		})
		if at < 0 || !strings.HasSuffix(all[at], ".mcap") {
			break
		}
		if info, err := os.Stat(all[at]); err != nil || !ended(all[at], info.Size()) {
			break
		}
		files = append(files, all[at])
	}
	return files
}

// ended looks at the end of a single file.
func ended(path string, size int64) bool {
	switch {
	case strings.HasSuffix(path, ".mcap"):
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		tail := int64(len(mcap.Magic))
		return size >= 2*tail && hasMagic(f, size-tail)
	case strings.HasSuffix(path, ".db3"):
		for _, s := range sidecars {
			if info, err := os.Stat(path + s); err == nil && info.Size() > 0 {
				return false
			}
		}
	}
	return size > 0
}
