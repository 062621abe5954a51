package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
)

// WriteTensors writes a safetensors file with the tensors and string metadata,
// in the order given (wider number types first, so that all are aligned). It
// adds the SHA-256 of the tensors and of the metadata, and replaces path as a
// whole or not at all: a failed write leaves nothing behind and wraps
// ErrDiskFull, ErrReadOnly, ErrWriteDenied, ErrNotFound or ErrWrite; tensors
// that no file can hold wrap ErrHeader, ErrShape or ErrDType.
func WriteTensors(path string, tensors []Tensor, meta map[string]string) error {
	_, err := writeTensors(path, tensors, meta)
	return err
}

// writeTensors is WriteTensors; it returns the SHA-256 of the tensors, hex.
func writeTensors(path string, tensors []Tensor, meta map[string]string) (string, error) {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int { return width(b) - width(a) })
	h, err := layout(tensors)
	if err != nil {
		return "", named(path, err)
	}
	buf := make([]byte, chunkBytes)
	sum, err := hashTensors(sha256.New(), tensors, buf)
	if err != nil {
		return "", named(path, err)
	}
	h.meta = maps.Clone(meta)
	if h.meta == nil {
		h.meta = map[string]string{}
	}
	h.meta[keySum] = sum
	h.meta[keyMetaSum] = metaSum(h.meta)
	head, err := h.encode()
	if err != nil {
		return "", named(path, err)
	}
	// What is written must be readable: this catches names and metadata that
	// are no UTF-8, repeated names and bounds, by the reader's own rules.
	if back, err := parseHeader(head[lengthBytes:]); err != nil {
		return "", named(path, err)
	} else if !maps.Equal(back.meta, h.meta) || !slices.EqualFunc(back.entries, h.entries, sameName) {
		return "", fail(path, ErrHeader, "a name or the metadata are not UTF-8")
	}
	return sum, replace(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for i := range tensors {
			err := encodeTensor(tensors[i].Data, buf, func(b []byte) error { _, err := w.Write(b); return err })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func sameName(a, b entry) bool { return a.name == b.name }

func width(t Tensor) int {
	d, _, _ := t.dtype()
	return int(d.size())
}

// layout places the tensors one after another.
func layout(tensors []Tensor) (*header, error) {
	h := &header{}
	at := int64(0)
	for i := range tensors {
		t := &tensors[i]
		d, n, err := t.dtype()
		if err != nil {
			return nil, err
		}
		e := entry{name: t.Name, dtype: d, begin: at}
		for _, s := range t.Shape {
			e.shape = append(e.shape, int64(s))
		}
		want, ok := product(e.shape, 1)
		if !ok || want != int64(n) || len(e.shape) > maxRank || t.Name == metadataKey {
			return nil, fmt.Errorf("%w (tensor %.80q of shape %v has %d elements)", ErrShape, t.Name, t.Shape, n)
		}
		at += int64(n) * d.size()
		e.end = at
		h.entries = append(h.entries, e)
	}
	return h, nil
}

// ReadTensors reads a safetensors file of at most limit bytes of tensors, in
// the order of the file, with its metadata less the sums that WriteTensors
// added. The sums are checked where the file has them. It never blocks on a
// pipe, never panics and allocates no more than the file's size and MaxHeader.
// Errors wrap the sentinels of this package.
func ReadTensors(path string, limit int64) ([]Tensor, map[string]string, error) {
	x, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer x.f.Close()
	if n := x.head.dataBytes(); n > limit {
		return nil, nil, fail(path, ErrTooLarge, "%d bytes of tensors, %d allowed", n, limit)
	}
	tensors := make([]Tensor, len(x.head.entries))
	index := make(map[*entry]any, len(tensors))
	for i := range tensors {
		e := &x.head.entries[i]
		t := &tensors[i]
		t.Name, t.Shape = e.name, ints(e.shape)
		t.Data = allocate(e.dtype, e.elements())
		index[e] = t.Data
	}
	sum, err := x.read(func(e *entry, at int, b []byte) error {
		decodeInto(index[e], at, b)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := x.checkSum(sum, false); err != nil {
		return nil, nil, err
	}
	meta := maps.Clone(x.head.meta)
	delete(meta, keySum)
	delete(meta, keyMetaSum)
	return tensors, meta, nil
}

func ints(shape []int64) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}
