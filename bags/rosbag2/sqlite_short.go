package rosbag2

import (
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"

	"modernc.org/sqlite/vfs"
)

// database is a connection, and the file system it reads from if that is ours.
type database struct {
	*sql.DB
	vfs *vfs.FS
}

func (d *database) Close() error {
	err := d.DB.Close()
	if d.vfs != nil {
		err = errors.Join(err, d.vfs.Close())
	}
	return err
}

// shortFS shows SQLite only the whole pages of a database that is cut off: of
// the last, partial page it would take the missing bytes for zeros.
type shortFS struct {
	path string
	size int64
}

const shortName = "bag.db3"

func (s shortFS) Open(name string) (fs.File, error) {
	if name != shortName {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	return &shortFile{io.NewSectionReader(f, 0, s.size), f}, nil
}

type shortFile struct {
	*io.SectionReader
	f *os.File
}

func (s *shortFile) Stat() (fs.FileInfo, error) {
	info, err := s.f.Stat()
	return shortInfo{info, s.Size()}, err
}
func (s *shortFile) Close() error { return s.f.Close() }

type shortInfo struct {
	fs.FileInfo
	size int64
}

func (s shortInfo) Size() int64 { return s.size }
