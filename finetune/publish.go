package finetune

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// publish puts a second name of a checkpoint, or where the file system has no
// links a copy, into dir. A reader of dir sees the whole file or none.
func publish(path, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fileError("make the folder to publish in", err)
	}
	name := filepath.Base(path)
	hidden := filepath.Join(dir, "."+name) // watchers pass over it
	if err := os.Remove(hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fileError("publish "+name, err)
	}
	defer func() {
		os.Remove(hidden) // also after a rename onto another name of the same file, which leaves both
		if err != nil {
			err = fileError("publish "+name, err)
		}
	}()
	if os.Link(path, hidden) != nil {
		if err := copyFile(hidden, path); err != nil {
			return err
		}
	}
	return os.Rename(hidden, filepath.Join(dir, name))
}

// copyFile copies path to a new file dst and makes it durable.
func copyFile(dst, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
