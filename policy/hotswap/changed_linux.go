package hotswap

import (
	"io/fs"
	"syscall"
	"time"
)

// changed returns when the file, or what is known of it, was last changed:
// nobody can set it.
func changed(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return time.Time{}
}
