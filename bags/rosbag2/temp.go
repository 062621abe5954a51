package rosbag2

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tempFiles holds the decompressed and copied files of one bag.
type tempFiles struct {
	parent string
	dir    string
	limit  int64
	used   int64
	n      int
}

func (t *tempFiles) create(base string) (*os.File, error) {
	if t.dir == "" {
		dir, err := os.MkdirTemp(t.parent, "arfm-bag-")
		if err != nil {
			return nil, IOError("make a temporary folder in", t.where(), err)
		}
		t.dir = dir
	}
	t.n++
	sub := filepath.Join(t.dir, fmt.Sprint(t.n))
	if err := os.Mkdir(sub, 0o700); err != nil {
		return nil, IOError("make a temporary folder in", t.where(), err)
	}
	f, err := os.OpenFile(filepath.Join(sub, base), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return f, IOError("write a temporary file in", t.where(), err)
}

func (t *tempFiles) where() string {
	if t.parent != "" {
		return t.parent
	}
	return os.TempDir()
}

// fill copies r into f. A read error leaves what was read in f.
func (t *tempFiles) fill(f *os.File, r io.Reader, from string) error {
	w := &limitedWriter{f: f, t: t}
	_, err := io.Copy(w, r)
	if w.err != nil {
		if errors.Is(w.err, ErrTooLarge) {
			return fmt.Errorf("%s: %w: its temporary files exceed %d bytes; raise Limits.Temp", from, ErrTooLarge, t.limit)
		}
		return IOError("write a temporary copy of "+from+" in", t.where(), w.err)
	}
	return err
}

type limitedWriter struct {
	f   *os.File
	t   *tempFiles
	err error // of writing, as opposed to reading
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	if w.t.used += int64(len(b)); w.t.used > w.t.limit {
		w.err = ErrTooLarge
		return 0, w.err
	}
	n, err := w.f.Write(b)
	w.err = err
	return n, err
}

func (t *tempFiles) close() error {
	if t.dir == "" {
		return nil
	}
	dir := t.dir
	t.dir = ""
	return IOError("remove", dir, os.RemoveAll(dir))
}

// decompress writes the zstd file src into a temporary file. Where src is cut
// off or damaged the part before that is kept and the reason returned as broken.
func (t *tempFiles) decompress(src string) (path string, broken, err error) {
	in, err := os.Open(src)
	if err != nil {
		return "", nil, IOError("open", src, err)
	}
	defer in.Close()
	z, err := newZstd(512 << 20)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", src, err)
	}
	defer z.Close()
	if err := z.Reset(in); err != nil {
		return "", nil, fmt.Errorf("%s: %w: %w", src, ErrCorrupt, err)
	}
	out, err := t.create(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(src), ".zst"), ".zstd"))
	if err != nil {
		return "", nil, err
	}
	err = t.fill(out, z, src)
	if e := out.Close(); err == nil && e != nil {
		err = IOError("write", out.Name(), e)
	}
	switch {
	case err == nil:
		return out.Name(), nil, nil
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrNoSpace), errors.Is(err, ErrPermission):
		return "", nil, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return out.Name(), fmt.Errorf("%w: the zstd file is incomplete", ErrTruncated), nil
	}
	return out.Name(), fmt.Errorf("%w: zstd: %w", ErrCorrupt, err), nil
}

// copyWithLogs copies a database and its logs, so that SQLite may work them in
// without writing into the bag.
func (t *tempFiles) copyWithLogs(db string, logs []string) (path string, err error) {
	for _, suffix := range append([]string{""}, logs...) {
		in, err := os.Open(db + suffix)
		if err != nil {
			return "", IOError("open", db+suffix, err)
		}
		var out *os.File
		if path == "" {
			out, err = t.create(filepath.Base(db))
		} else {
			out, err = os.OpenFile(path+suffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		}
		if err == nil {
			if path == "" {
				path = out.Name()
			}
			err = errors.Join(t.fill(out, in, db+suffix), out.Close())
		}
		in.Close()
		if err != nil {
			return "", err
		}
	}
	return path, nil
}
