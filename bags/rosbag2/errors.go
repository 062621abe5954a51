package rosbag2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Errors that callers tell apart with errors.Is. Those returned by this package
// wrap one of them and name the file or topic.
var (
	// ErrNotBag: the path holds no recording that this package knows.
	ErrNotBag = errors.New("not a rosbag2 recording")
	// ErrNotRegular: the path is a folder, pipe or device where a file is wanted.
	ErrNotRegular = errors.New("it is no regular file but a folder, pipe or device; copy what it gives into a file and name that")
	// ErrMetadata: metadata.yaml cannot be used.
	ErrMetadata = errors.New("bad metadata.yaml")
	// ErrTruncated: a file ends, or can no longer be read, before its proper end.
	ErrTruncated = errors.New("recording is cut off")
	// ErrCorrupt: a record, page or frame contradicts its format.
	ErrCorrupt = errors.New("corrupt recording")
	// ErrTooLarge: something exceeds a bound of Limits.
	ErrTooLarge = errors.New("exceeds the configured limit")
	// ErrFormat: a topic is not serialized as CDR.
	ErrFormat = errors.New("serialization format is not cdr")
	// ErrCompression: a compression that rosbag2 does not write.
	ErrCompression = errors.New("unsupported compression")
	// ErrNoSpace: the disk or quota is full.
	ErrNoSpace = errors.New("no space left")
	// ErrPermission: the folder or file may not be read or written.
	ErrPermission = errors.New("permission denied")
	// ErrExists: the bag to be written is there already.
	ErrExists = errors.New("already exists")
	// ErrClosed: the bag, iterator or writer has been closed.
	ErrClosed = errors.New("already closed")
	// ErrTopic: a topic is not known, declared twice or incomplete.
	ErrTopic = errors.New("bad topic")
)

// BreakError says where a file of a bag stops being readable. Reading may go
// on: with the next intact part, the next split, or io.EOF.
type BreakError struct {
	File     string // path as the user knows it
	Offset   int64  // bytes from the start of the (decompressed) file, -1 where the storage cannot say
	LastTime int64  // log time in ns of the last message delivered from this file
	Messages int64  // messages delivered from this file so far, 0 also where that is not known; LastTime means nothing if 0
	Err      error  // what was found there
}

// Error names the file, the place and the cause.
func (e *BreakError) Error() string {
	what, rest := "breaks off", "what lies before can be used"
	if !errors.Is(e.Err, ErrTruncated) {
		what, rest = "is damaged", "the rest can be used"
	}
	place, last := "", "" // a damaged chunk may still give messages, so nothing is said of none
	if e.Offset >= 0 {
		place = fmt.Sprintf(" at byte %d", e.Offset)
	}
	if e.Messages > 0 {
		last = fmt.Sprintf(", after %d messages, the last of time %d ns", e.Messages, e.LastTime)
	}
	return fmt.Sprintf("%s %s%s%s: %v; %s", e.File, what, place, last, e.Err, rest)
}

// Unwrap makes every BreakError match ErrTruncated and its cause.
func (e *BreakError) Unwrap() []error { return []error{ErrTruncated, e.Err} }

// IOError turns an operating system error into one sentence that says what to
// do; it wraps err or one of this package's errors.
func IOError(doing, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w on that disk; free some or choose another folder", doing, path, ErrNoSpace)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: %w; check the rights of the folder", doing, path, ErrPermission)
	}
	var pe *fs.PathError
	var le *os.LinkError
	if errors.As(err, &pe) {
		err = pe.Err
	} else if errors.As(err, &le) {
		err = le.Err
	}
	return fmt.Errorf("%s %s: %w; %s", doing, path, err, remedy(err))
}

func remedy(err error) string {
	is := func(list ...syscall.Errno) bool {
		return slices.ContainsFunc(list, func(e syscall.Errno) bool { return errors.Is(err, e) })
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), is(syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG):
		return "check the path"
	case errors.Is(err, fs.ErrExist), is(syscall.ENOTEMPTY):
		return "move it away or choose another name"
	case is(syscall.EMFILE, syscall.ENFILE):
		return "close other files or raise their limit with ulimit -n"
	}
	return "check the disk, or copy the file to another one"
}
