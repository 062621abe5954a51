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
	"os"
	"path/filepath"

	"arfm/policy"
	"arfm/policy/onnx"
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
// size numbers, exact in half precision. The error wraps ErrCache.
func Open(root, model string, size int, encode func(dst []float32, im *policy.Image) error) (*Cache, error) {
	sum := sha256.Sum256([]byte(model))
	c := &Cache{dir: filepath.Join(root, hex.EncodeToString(sum[:8])), encode: encode, size: size}
	c.buf = make([]byte, c.bytes()+1) // one more shows a file that is too long
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
		return false, fmt.Errorf("%w: %w; free some space or name another folder", ErrCache, err)
	}
	return true, nil
}

// Has says whether a picture's features are there, by the length of their file.
func (c *Cache) Has(key Key) bool {
	name := hex.EncodeToString(key[:])
	info, err := os.Stat(filepath.Join(c.dir, name[:2], name[2:]))
	return err == nil && info.Mode().IsRegular() && info.Size() == int64(c.bytes())
}

// read fills dst from a file; false: it is not there or not whole.
func (c *Cache) read(dst []float32, path string) bool {
	f, err := os.Open(path)
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

// write makes a file whole or not at all.
func (c *Cache) write(path string, x []float32) error {
	b := c.buf[:0]
	for _, v := range x[:c.size] {
		b = binary.LittleEndian.AppendUint16(b, onnx.ToFloat16(v))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
