package userfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotDurable says that a file was written and that the disk did not confirm
// it.
var ErrNotDurable = errors.New("written, but the disk did not confirm it; check the disk before power goes")

// staleAfter is the age at which a temporary file is taken to belong to a
// writer that was killed.
const staleAfter = time.Hour

// Replace writes a file so that path has either its old or its new contents,
// whatever happens in between: it writes a temporary file in the same folder, whose name
// starts with a dot so that no watcher takes it up, syncs and renames it and
// syncs the folder. When it fails nothing is left behind, or the error wraps
// ErrNotDurable.
func Replace(path string, write func(io.Writer) error) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	prefix := "." + base + ".tmp-"
	removeStale(dir, prefix)
	temp := filepath.Join(dir, prefix+strconv.FormatUint(rand.Uint64(), 36))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return of(path, err)
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return of(path, err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("%s: %w (%w)", path, ErrNotDurable, err)
	}
	return nil
}

// of names path in an error of the operating system, not the temporary file.
func of(path string, err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return &fs.PathError{Op: "write", Path: path, Err: p.Err}
	case errors.As(err, &l):
		return &fs.PathError{Op: "write", Path: path, Err: l.Err}
	}
	return err
}

func removeStale(dir, prefix string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return // the write that follows says why
	}
	for _, d := range list {
		if !strings.HasPrefix(d.Name(), prefix) {
			continue
		}
		if info, err := d.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			os.Remove(filepath.Join(dir, d.Name()))
		}
	}
}

// syncDir makes a rename durable. Some file systems have no fsync for folders.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
