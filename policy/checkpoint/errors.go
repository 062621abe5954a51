package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"arfm/policy/userfile"
)

// What can be wrong with a file. Every error of this package is one sentence
// that names the file, the fault and the remedy, and wraps one of these.
var (
	ErrNotFound       = errors.New("there is no such file, check the path or that the link's target exists")
	ErrNotRegular     = errors.New("this is no regular file (a folder, pipe, device or loop of links), name the *.safetensors file itself")
	ErrPermission     = errors.New("this user may not read the file, change its owner or mode")
	ErrRead           = errors.New("the disk cannot read the file, copy it again from where it was saved")
	ErrEmpty          = errors.New("the file is empty, copy or save it again")
	ErrTruncated      = errors.New("the file is cut short, copy or save it again")
	ErrTrailing       = errors.New("the file goes on after its last tensor, copy or save it again")
	ErrHeaderTooLarge = errors.New("the header is larger than 16 MiB, this is no arfm file")
	ErrHeader         = errors.New("the header is not that of a safetensors file, save it again with arfm")
	ErrOffsets        = errors.New("tensors overlap or leave holes, save the file again with arfm")
	ErrTooLarge       = errors.New("the file is larger than its reader allows, this is no file of the expected kind")
	ErrDType          = errors.New("a tensor has a number type that is not read here, store weights as F32")
	ErrShape          = errors.New("a tensor does not have the shape that the architecture asks for, retrain or name another file")
	ErrMissingTensor  = errors.New("a tensor of the architecture is missing, save the file again with arfm")
	ErrUnknownTensor  = errors.New("a tensor is not part of the architecture, save the file again with arfm")
	ErrHash           = errors.New("the bytes differ from the stored SHA-256, copy or save the file again")
	ErrNotFinite      = errors.New("a number is NaN or infinite, train again from an earlier checkpoint")
	ErrProbe          = errors.New("the weights do not give the stored answers to the probe, use the arfm build that saved them or save them again")
	ErrVersion        = errors.New("the file has another format version, use a newer arfm")
	ErrFormat         = errors.New("this is no arfm checkpoint, name a file that arfm train wrote")
	ErrArchitecture   = errors.New("the architecture is invalid or differs from the one asked for, train with the same preset and contract")
	ErrContract       = errors.New("the contract is invalid or differs from the one asked for, train with the same contract")
	ErrStats          = errors.New("the statistics do not fit the contract, save the file again with arfm")
	ErrWrite          = errors.New("the file could not be written, nothing was left behind; check the folder")
	ErrNotDurable     = errors.New("the file was written but the disk did not confirm it, check the disk before power goes")
	ErrDiskFull       = errors.New("the disk is full, nothing was left behind; free some space and save again")
	ErrReadOnly       = errors.New("the file system is read-only, nothing was written; save to another folder")
	ErrWriteDenied    = errors.New("this user may not write to the folder, nothing was written; change its owner or mode, or save elsewhere")
)

// fail says what is wrong with the file at path. The detail is optional.
func fail(path string, kind error, format string, args ...any) error {
	if format == "" {
		return fmt.Errorf("checkpoint %s: %w", path, kind)
	}
	return fmt.Errorf("checkpoint %s: %w (%s)", path, kind, fmt.Sprintf(format, args...))
}

// readError names the cause of a failed open or read.
func readError(path string, err error) error {
	var not *userfile.NotRegular
	switch {
	case errors.As(err, &not):
		return fail(path, ErrNotRegular, "%s", not.Kind())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fail(path, ErrNotFound, "")
	case errors.Is(err, fs.ErrPermission):
		return fail(path, ErrPermission, "")
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENXIO):
		return fail(path, ErrNotRegular, "")
	}
	return fail(path, ErrRead, "%v", cause(err))
}

// writeError names the cause of a failed write.
func writeError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(path, ErrDiskFull, "%v", cause(err))
	case errors.Is(err, syscall.EROFS):
		return fail(path, ErrReadOnly, "")
	case errors.Is(err, fs.ErrPermission):
		return fail(path, ErrWriteDenied, "")
	}
	return fail(path, ErrWrite, "%v", cause(err))
}

// cause strips the operation and path that os puts around an error; the
// message names the file already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}
