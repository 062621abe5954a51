// Package checkpoint keeps a policy in one file: weights, architecture,
// contract, statistics and a probe that shows whether the file and this build
// still give the answers that they gave when it was saved. The file is a
// safetensors file, which Python's safetensors package opens too.
package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The layout of a safetensors file: the header's length as 8 bytes little
// endian, the header as a JSON object {name: {dtype, shape, data_offsets},
// "__metadata__": {string: string}}, then the tensors' bytes, row-major and
// little endian, without holes. Offsets count from the end of the header.
const (
	lengthBytes = 8
	// MaxHeader bounds the JSON header, bytes.
	MaxHeader = 16 << 20

	metadataKey = "__metadata__"
	maxTensors  = 1 << 16 // in one file
	maxEntries  = 1 << 10 // of metadata
	maxRank     = 8       // dimensions of one tensor
)

// DType is the number type of a tensor, by its name in the file.
type DType string

// The types that are read and written.
const (
	F32 DType = "F32" // weights and optimiser moments
	F64 DType = "F64" // statistics
	I64 DType = "I64" // counters and the state of random streams
	U8  DType = "U8"  // bytes
)

// size returns the bytes of one element, 0 for a type that is not read here.
func (d DType) size() int64 {
	switch d {
	case F32:
		return 4
	case F64, I64:
		return 8
	case U8:
		return 1
	}
	return 0
}

// entry is one tensor's place in the file.
type entry struct {
	name       string
	dtype      DType
	shape      []int64
	begin, end int64 // bytes after the header
}

func (e *entry) elements() int64 { return (e.end - e.begin) / e.dtype.size() }

// header is a parsed header: the entries by rising offset, without holes.
type header struct {
	entries []entry
	meta    map[string]string
	size    int64 // bytes of the header with its length field: where tensors start
}

// dataBytes returns the bytes of all tensors together.
func (h *header) dataBytes() int64 {
	if len(h.entries) == 0 {
		return 0
	}
	return h.entries[len(h.entries)-1].end
}

// parseHeader reads the JSON of a header, without its length field. The error
// is bare: the caller adds the file's name.
func parseHeader(text []byte) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, fmt.Errorf("%w (it does not start with a brace)", ErrHeader)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w (it is not UTF-8)", ErrHeader)
	}
	h := &header{meta: map[string]string{}, size: int64(lengthBytes + len(text))}
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	err := object(d, func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		if key == metadataKey {
			return h.parseMeta(d)
		}
		if len(h.entries) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		return h.parseEntry(d, key)
	})
	if err == nil && len(bytes.Trim(text[d.InputOffset():], " ")) != 0 {
		err = fmt.Errorf("something follows the closing brace")
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrHeader, err)
	}
	return h, h.check()
}

// object walks one JSON object; value reads the value of each key.
func object(d *json.Decoder, value func(key string) error) error {
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return fmt.Errorf("%v where an object should be", t)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%v where a name should be", t)
		}
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (h *header) parseMeta(d *json.Decoder) error {
	return object(d, func(key string) error {
		if _, twice := h.meta[key]; twice {
			return fmt.Errorf("metadata %q is there twice", key)
		}
		if len(h.meta) == maxEntries {
			return fmt.Errorf("more than %d entries of metadata", maxEntries)
		}
		t, err := d.Token()
		if err != nil {
			return err
		}
		s, ok := t.(string)
		if !ok {
			return fmt.Errorf("metadata %q is no string", key)
		}
		h.meta[key] = s
		return nil
	})
}

func (h *header) parseEntry(d *json.Decoder, name string) error {
	var v struct {
		DType   DType   `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("tensor %.80q: %w", name, err)
	}
	switch {
	case v.DType == "":
		return fmt.Errorf("tensor %.80q has no dtype", name)
	case v.Shape == nil || len(v.Shape) > maxRank:
		return fmt.Errorf("tensor %.80q has no shape of at most %d dimensions", name, maxRank)
	case len(v.Offsets) != 2:
		return fmt.Errorf("tensor %.80q has no two data_offsets", name)
	}
	h.entries = append(h.entries, entry{name, v.DType, v.Shape, v.Offsets[0], v.Offsets[1]})
	return nil
}

// check refuses what no writer produces: unknown types, offsets that do not
// match the shape, overlaps and holes. It sorts the entries by offset.
func (h *header) check() error {
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		if a.begin != b.begin {
			return cmpInt(a.begin, b.begin)
		}
		return cmpInt(a.end, b.end)
	})
	at := int64(0)
	for i := range h.entries {
		e := &h.entries[i]
		if e.dtype.size() == 0 {
			return fmt.Errorf("%w (tensor %.80q is %.16q)", ErrDType, e.name, string(e.dtype))
		}
		want, ok := product(e.shape, e.dtype.size())
		if !ok {
			return fmt.Errorf("%w (tensor %.80q has the impossible shape %v)", ErrHeader, e.name, e.shape)
		}
		if e.begin != at || e.end < e.begin {
			return fmt.Errorf("%w (tensor %.80q takes bytes %d to %d where %d was next)", ErrOffsets, e.name, e.begin, e.end, at)
		}
		if e.end-e.begin != want {
			return fmt.Errorf("%w (tensor %.80q of shape %v takes %d bytes, not %d)", ErrOffsets, e.name, e.shape, want, e.end-e.begin)
		}
		at = e.end
	}
	return nil
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// product returns unit times the dimensions; ok is false when one is negative
// or the result is beyond 2^48, which no file reaches.
func product(shape []int64, unit int64) (n int64, ok bool) {
	const most = 1 << 48
	n = unit
	for _, d := range shape {
		if d < 0 || d > most || (d > 0 && n > most/d) {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// encode returns the header's bytes with the length field, padded with spaces
// so that the tensors start at a multiple of 8. Names keep the given order and
// metadata is sorted, so that equal contents are equal files.
func (h *header) encode() ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, lengthBytes))
	b.WriteByte('{')
	if len(h.meta) > 0 {
		text, err := json.Marshal(h.meta) // sorts the keys
		if err != nil {
			return nil, fmt.Errorf("%w (metadata: %v)", ErrHeader, err)
		}
		b.WriteString(`"` + metadataKey + `":`)
		b.Write(text)
	}
	for i := range h.entries {
		e := &h.entries[i]
		if i > 0 || len(h.meta) > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(e.name)
		if err != nil {
			return nil, fmt.Errorf("%w (tensor name: %v)", ErrHeader, err)
		}
		b.Write(name)
		b.WriteString(`:{"dtype":"` + string(e.dtype) + `","shape":[`)
		for j, d := range e.shape {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.FormatInt(d, 10))
		}
		fmt.Fprintf(&b, `],"data_offsets":[%d,%d]}`, e.begin, e.end)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-lengthBytes > MaxHeader {
		return nil, ErrHeaderTooLarge
	}
	out := b.Bytes()
	binary.LittleEndian.PutUint64(out, uint64(len(out)-lengthBytes))
	h.size = int64(len(out))
	return out, nil
}
