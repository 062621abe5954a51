// Package userfile opens the files that a user names, regular ones only, and
// says in plain words what is wrong with those that a user writes.
package userfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// NotRegular says that a path is a folder, pipe, socket or device.
type NotRegular struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegular) Error() string {
	return fmt.Sprintf("%s is %s and no regular file; name a file", e.Path, e.Kind())
}

// Kind returns what the path is instead of a file, in words.
func (e *NotRegular) Kind() string {
	switch {
	case e.Mode.IsDir():
		return "a folder"
	case e.Mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case e.Mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// Open opens a regular file and returns its size in bytes. Opening a device can
// move it and opening a pipe can wait for ever: both are refused before with
// NotRegular, and O_NONBLOCK covers a path that changes in between.
func Open(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &NotRegular{path, info.Mode()}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, 0, &NotRegular{path, info.Mode()}
	}
	return f, info.Size(), nil
}

// Read returns a regular file's first limit bytes, all where it has fewer. To
// tell a longer file, ask for one byte more than may be.
func Read(path string, limit int64) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
