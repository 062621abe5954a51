// Package features keeps what a frozen vision backbone computes on disk: in
// training every picture is seen many times, and its features stay the same.
package features

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"arfm/policy"
	"arfm/policy/onnx"
	"arfm/policy/userfile"
)

// ErrCache is wrapped by every error about the files of a cache.
var ErrCache = errors.New("the cache of features cannot be used")

// Key names a picture by its bytes and size.
type Key [16]byte

// KeyOf returns the key of a picture.
func KeyOf(im *policy.Image) Key {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(im.Width)), uint32(im.Height)))
	h.Write(im.Pix)
	return Key(h.Sum(nil))
}

// Cache is a folder of features, a file for each picture, that processes may
// share. One goroutine at a time may use a Cache.
type Cache struct {
	dir    string
	encode func(dst []float32, im *policy.Image) error
	size   int // numbers of a picture's features
	buf    []byte
}

// DefaultFolder returns the user's folder for caches, or the given one where
// there is none.
func DefaultFolder(otherwise string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(otherwise, "features")
	}
	return filepath.Join(dir, "arfm", "features")
}

// Open opens the cache, below root, of the encoder that model identifies: the
// sum of its file and all that is done to a picture before it. encode gives
// size numbers, exact in half precision. What it gives for the picture sample
// is part of the cache's name: a build or a processor that computes something
// else has a cache of its own. The error wraps ErrCache or is the encoder's.
func Open(root, model string, size int, sample *policy.Image, encode func(dst []float32, im *policy.Image) error) (*Cache, error) {
	c := &Cache{encode: encode, size: size}
	c.buf = make([]byte, c.bytes()+1) // one more shows a file that is too long
	x := make([]float32, size)
	if err := encode(x, sample); err != nil {
		return nil, err
	}
	sum := sha256.New()
	sum.Write([]byte(model))
	sum.Write(c.encoded(x))
	c.dir = filepath.Join(root, hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCache, err)
	}
	return c, nil
}

// bytes is the length of a file: half precision numbers and their CRC-32.
func (c *Cache) bytes() int { return 2*c.size + 4 }

// Picture fills dst with the features of a picture: from disk, or where they
// are not there, or damaged, computed and written. It says whether they were
// computed. The error wraps ErrCache or is the encoder's.
func (c *Cache) Picture(dst []float32, key Key, im *policy.Image) (computed bool, err error) {
	name := hex.EncodeToString(key[:])
	path := filepath.Join(c.dir, name[:2], name[2:])
	if c.read(dst, path) {
		return false, nil
	}
	if err := c.encode(dst, im); err != nil {
		return false, err
	}
	if err := c.write(path, dst); err != nil {
		cure := "look at the folder's owner and mode or name another folder"
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			cure = "free some space or name another folder"
		}
		return false, fmt.Errorf("%w: %w; %s", ErrCache, err, cure)
	}
	return true, nil
}

// Has says whether a picture's features are there and may be read, by the length
// of their file.
func (c *Cache) Has(key Key) bool {
	name := hex.EncodeToString(key[:])
	f, size, err := userfile.Open(filepath.Join(c.dir, name[:2], name[2:]))
	if err != nil {
		return false
	}
	f.Close()
	return size == int64(c.bytes())
}

// read fills dst from a file; false: it is not there or not whole.
func (c *Cache) read(dst []float32, path string) bool {
	f, _, err := userfile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	n := 0
	for n < len(c.buf) {
		k, err := f.Read(c.buf[n:])
		n += k
		if err != nil {
			break
		}
	}
	body := c.buf[:2*c.size]
	if n != c.bytes() || crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(c.buf[2*c.size:]) {
		return false
	}
	for i := range c.size {
		dst[i] = onnx.FromFloat16(binary.LittleEndian.Uint16(body[2*i:]))
	}
	return true
}

// encoded are the bytes of a file, in buf.
func (c *Cache) encoded(x []float32) []byte {
	b := c.buf[:0]
	for _, v := range x[:c.size] {
		b = binary.LittleEndian.AppendUint16(b, onnx.ToFloat16(v))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// write makes a file whole or not at all.
func (c *Cache) write(path string, x []float32) error {
	b := c.encoded(x)
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	name := filepath.Join(filepath.Dir(path), ".new-"+strconv.FormatUint(rand.Uint64(), 36))
	err := os.WriteFile(name, b, 0o644) // readable for others, unlike os.CreateTemp's
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}
