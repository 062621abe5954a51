package rosbag2

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// sidecars are SQLite's write-ahead log and rollback journal. A recorder that
// was killed leaves one of them; one that closed its bag does not.
var sidecars = []string{"-wal", "-journal"}

// unfinishedLogs lists the suffixes of the logs beside a database.
func unfinishedLogs(db string) (logs []string) {
	for _, s := range sidecars {
		if info, err := os.Stat(db + s); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			logs = append(logs, s)
		}
	}
	return logs
}

// workIn lets SQLite finish or roll back what the logs of a database hold:
// copies of ours, of the files that the user knows as name. The result says
// what of the logs cannot be used.
func workIn(path, name string, logs []string) error {
	frames, err := recoverDatabase(path)
	for _, suffix := range logs {
		switch {
		case err != nil:
			return &BreakError{File: name + suffix, Offset: 0, Err: fmt.Errorf("%w: it cannot be worked in: %v", ErrCorrupt, err)}
		case suffix == "-wal":
			if err := checkWAL(name+suffix, frames); err != nil {
				return err
			}
		default:
			if err := checkJournal(name + suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverDatabase opens a copy with its logs, which makes SQLite work them in,
// and returns how many frames of the write-ahead log were committed.
func recoverDatabase(path string) (frames int64, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	name := (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath()
	db, err := sql.Open("sqlite", "file:"+name+"?mode=rw&_pragma=trusted_schema(0)&_pragma=temp_store(1)")
	if err != nil {
		return 0, err
	}
	defer db.Close() // checkpoints
	db.SetMaxOpenConns(1)
	var n, busy, done int64
	if err := db.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&n); err != nil {
		return 0, err
	}
	err = db.QueryRow("PRAGMA wal_checkpoint").Scan(&busy, &frames, &done)
	return max(frames, 0), err
}

const (
	walHeader   = 32
	frameHeader = 24
)

// checkWAL looks at the first frame behind those that were committed. Frames of
// an earlier round of the log carry other salts and are no loss.
func checkWAL(path string, frames int64) error {
	f, err := os.Open(path)
	if err != nil {
		return IOError("open", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return IOError("open", path, err)
	}
	lost := func(at int64, format string, args ...any) error {
		return &BreakError{File: path, Offset: at, Err: fmt.Errorf("%w: %s", ErrTruncated, fmt.Sprintf(format, args...))}
	}
	var h [walHeader]byte
	if n, _ := f.ReadAt(h[:], 0); n < walHeader || binary.BigEndian.Uint32(h[:])&^1 != 0x377f0682 {
		return lost(0, "it is no write-ahead log")
	}
	at := walHeader + frames*(frameHeader+int64(binary.BigEndian.Uint32(h[8:])))
	var frame [frameHeader]byte
	n, _ := f.ReadAt(frame[:], at)
	if n == 0 || n == frameHeader && !bytes.Equal(frame[8:16], h[16:24]) {
		return nil
	}
	return lost(at, "its last %d bytes are no finished transaction", info.Size()-at)
}

// checkJournal tells a journal that is none from one that SQLite has rolled back.
func checkJournal(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return IOError("open", path, err)
	}
	defer f.Close()
	var h [8]byte
	f.ReadAt(h[:], 0)
	if string(h[:]) == "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" || h == [8]byte{} { // zeros: a finished one that is kept
		return nil
	}
	return &BreakError{File: path, Offset: 0, Err: fmt.Errorf("%w: it is no rollback journal", ErrTruncated)}
}

// logNames of a database for the user.
func logNames(db string, logs []string) string {
	var names []string
	for _, s := range logs {
		names = append(names, filepath.Base(db)+s)
	}
	return strings.Join(names, ", ")
}
