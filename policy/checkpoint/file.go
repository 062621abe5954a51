package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"arfm/policy/userfile"
)

// file is an open safetensors file whose header has been read and whose size
// fits it.
type file struct {
	path string
	f    *os.File
	head *header
}

// open opens path and reads its header. It never blocks on a pipe or a device
// and allocates no more than the header takes, MaxHeader at most.
func open(path string) (*file, error) {
	f, size, err := userfile.Open(path)
	if err != nil {
		return nil, readError(path, err)
	}
	head, err := readHeader(f, size, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{path, f, head}, nil
}

func readHeader(f *os.File, size int64, path string) (*header, error) {
	var length [lengthBytes]byte
	switch {
	case size == 0:
		return nil, fail(path, ErrEmpty, "")
	case size < lengthBytes:
		return nil, fail(path, ErrTruncated, "%d bytes are no header", size)
	}
	if _, err := io.ReadFull(f, length[:]); err != nil {
		return nil, shortRead(path, err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > MaxHeader:
		return nil, fail(path, ErrHeaderTooLarge, "%d bytes", n)
	case int64(n) > size-lengthBytes:
		return nil, fail(path, ErrTruncated, "the header takes %d bytes, the file has %d", n, size)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, shortRead(path, err)
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, named(path, err)
	}
	switch want := h.size + h.dataBytes(); {
	case size < want:
		return nil, fail(path, ErrTruncated, "%d of %d bytes", size, want)
	case size > want:
		return nil, fail(path, ErrTrailing, "%d bytes, %d expected", size, want)
	}
	return h, nil
}

// named puts the file's name before a sentence that lacks it.
func named(path string, err error) error { return &fileError{path, err} }

type fileError struct {
	path string
	err  error
}

// Error joins the lines of a multi-line cause: one error is one sentence.
func (e *fileError) Error() string {
	return "checkpoint " + e.path + ": " + strings.ReplaceAll(e.err.Error(), "\n", "; ")
}

func (e *fileError) Unwrap() error { return e.err }

// shortRead tells a file that shrank while it was read from a bad disk.
func shortRead(path string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fail(path, ErrTruncated, "it ended while it was read")
	}
	return readError(path, err)
}

// read streams the tensors' bytes in the order of the file: sink gets each
// chunk, the entry that it belongs to and the chunk's first element. It
// returns the SHA-256 of all bytes, hex.
func (x *file) read(sink func(e *entry, at int, b []byte) error) (string, error) {
	sum := sha256.New()
	buf := make([]byte, chunkBytes)
	for i := range x.head.entries {
		e := &x.head.entries[i]
		for at := e.begin; at < e.end; {
			b := buf[:min(int64(len(buf)), e.end-at)]
			if _, err := io.ReadFull(x.f, b); err != nil {
				return "", shortRead(x.path, err)
			}
			sum.Write(b)
			if err := sink(e, int((at-e.begin)/e.dtype.size()), b); err != nil {
				return "", err
			}
			at += int64(len(b))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// checkSum compares what was read with the file's metadata. A file without
// sums passes unless they are asked for.
func (x *file) checkSum(sum string, must bool) error {
	want, ok := x.head.meta[keySum]
	if !ok && !must {
		return nil
	}
	if want != sum {
		return fail(x.path, ErrHash, "the tensors have %.12s..., stored is %.12s...", sum, want)
	}
	return x.checkMetaSum()
}

func (x *file) checkMetaSum() error {
	if got, want := metaSum(x.head.meta), x.head.meta[keyMetaSum]; got != want {
		return fail(x.path, ErrHash, "the metadata have %.12s..., stored is %.12s...", got, want)
	}
	return nil
}

// Metadata that every file of this package carries.
const (
	keySum     = "sha256"          // of the tensors' bytes, hex
	keyMetaSum = "metadata_sha256" // of the other metadata, hex
)

// metaSum hashes the metadata without keyMetaSum: for each key in byte order
// the key, a zero byte, the value, a zero byte.
func metaSum(meta map[string]string) string {
	sum := sha256.New()
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k != keyMetaSum {
			io.WriteString(sum, k+"\x00"+meta[k]+"\x00")
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// replace is userfile.Replace with this package's errors.
func replace(path string, write func(io.Writer) error) error {
	err := userfile.Replace(path, write)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, userfile.ErrNotDurable):
		return fail(path, ErrNotDurable, "%v", cause(err))
	}
	return writeError(path, err)
}

// hashTensors returns the SHA-256 of the tensors' bytes in order, hex.
func hashTensors(sum hash.Hash, tensors []Tensor, buf []byte) (string, error) {
	for i := range tensors {
		if err := encodeTensor(tensors[i].Data, buf, func(b []byte) error { _, err := sum.Write(b); return err }); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
