package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// remedy is what to do about an error that ends in the operating system's
// words, for such a sentence says only what went wrong.
func remedy(err error) string {
	var code syscall.Errno
	if !errors.As(err, &code) || !strings.HasSuffix(err.Error(), code.Error()) {
		return ""
	}
	switch {
	case errors.Is(code, fs.ErrNotExist):
		return "; check the path"
	case errors.Is(code, fs.ErrPermission):
		return "; change its owner or mode, or name another"
	case code == syscall.EROFS:
		return "; name a folder that can be written"
	case code == syscall.ENOSPC, code == syscall.EDQUOT:
		return "; free some space"
	case code == syscall.EPIPE:
		return "; its reader ended first"
	case code == syscall.EISDIR:
		return "; name a file"
	case code == syscall.ENOTDIR, errors.Is(code, fs.ErrExist):
		return "; name a folder"
	case code == syscall.EMFILE, code == syscall.ENFILE:
		return "; raise the limit of open files (ulimit -n)"
	}
	return "; check the disk"
}
