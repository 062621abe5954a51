package rosbag2

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// chunkDecoder decompresses chunks into buffers that grow with what really
// comes out, not with what the file claims.
type chunkDecoder struct {
	limit int64
	zstd  *zstd.Decoder
	lz4   *lz4.Reader
	input bytes.Reader
}

func (d *chunkDecoder) close() {
	if d.zstd != nil {
		d.zstd.Close()
		d.zstd = nil
	}
}

func (d *chunkDecoder) reader(compression string, data []byte) (io.Reader, error) {
	d.input.Reset(data)
	switch mcap.CompressionFormat(compression) {
	case mcap.CompressionNone:
		return &d.input, nil
	case mcap.CompressionZSTD:
		if d.zstd == nil {
			z, err := newZstd(d.limit)
			if err != nil {
				return nil, err
			}
			d.zstd = z
		}
		return d.zstd, d.zstd.Reset(&d.input)
	case mcap.CompressionLZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewReader(nil)
		}
		d.lz4.Reset(&d.input)
		return d.lz4, nil
	}
	return nil, fmt.Errorf("%w: chunk compression %q", ErrCompression, compression)
}

// newZstd returns a decoder that works in the calling goroutine and refuses
// windows beyond limit.
func newZstd(limit int64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderMaxWindow(uint64(max(min(limit, 512<<20), 1<<20))))
}

// decode appends the decompressed chunk to dst. What came out before an error
// is returned with it.
func (d *chunkDecoder) decode(dst []byte, h chunkHead, data []byte) (out []byte, err error) {
	if h.uncompressed > uint64(d.limit) {
		return dst, fmt.Errorf("%w: a chunk of %d bytes, limit %d", ErrTooLarge, h.uncompressed, d.limit)
	}
	r, err := d.reader(h.compression, data)
	if err != nil {
		return dst, err
	}
	want := int(h.uncompressed)
	// One read beyond the claimed size finds chunks that are longer.
	dst = slices.Grow(dst, min(want+1, 64*len(data)+1024))
	for len(dst) <= want {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(dst), want+1-len(dst))+512)
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), want+1)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return dst, fmt.Errorf("%w: chunk does not decompress (%s): %v", ErrCorrupt, h.compression, err)
		}
	}
	if len(dst) != want {
		return dst[:min(len(dst), want)], fmt.Errorf("%w: a chunk of %d bytes gave %d", ErrCorrupt, want, len(dst))
	}
	if h.crc != 0 && crc32.ChecksumIEEE(dst) != h.crc {
		return dst[:0], fmt.Errorf("%w: chunk checksum does not match", ErrCorrupt)
	}
	return dst, nil
}

// chunkRef is where a chunk lies and which log times it claims to hold.
type chunkRef struct {
	start, end int64
	offset     int64
}

// loadChunk reads and decompresses the chunk record at off. A chunk that the
// end of the file cuts gives what can be saved, together with the cut. Without
// an account nothing is kept.
func loadChunk(f *os.File, off, size int64, d *chunkDecoder, a *account, in, out []byte) (compressed, data []byte, broken *cut) {
	rr := recordReader{f: f, off: off, size: size, limit: d.limit, body: in}
	var h [recordHeader]byte
	if n, _ := f.ReadAt(h[:], off); n < recordHeader || mcap.OpCode(h[0]) != mcap.OpChunk {
		return in, out[:0], cutf(off, ErrCorrupt, "the index points to a chunk that is not there")
	}
	n := int64(min(leUint64(h[1:]), 1<<62))
	have := min(n, size-off-recordHeader)
	if have > d.limit {
		return in, out[:0], cutf(off, ErrTooLarge, "a chunk of %d bytes, limit %d", have, d.limit)
	}
	if int64(cap(rr.body)) < have {
		rr.body = make([]byte, have)
	}
	in = rr.body[:have]
	if _, err := f.ReadAt(in, off+recordHeader); err != nil && err != io.EOF {
		return in, out[:0], &cut{off, IOError("read", f.Name(), err)}
	}
	head, ok := parseChunkHead(in)
	if !ok {
		if have < n {
			return in, out[:0], cutf(off, ErrTruncated, "the file ends in a chunk's head")
		}
		return in, out[:0], cutf(off, ErrCorrupt, "bad chunk head")
	}
	body := in[head.size:]
	if have == n && head.records > uint64(len(body)) {
		return in, out[:0], cutf(off, ErrCorrupt, "a chunk record of %d bytes claims %d", len(body), head.records)
	}
	body = body[:min(uint64(len(body)), head.records)]
	if a != nil && head.uncompressed <= uint64(d.limit) {
		if err := a.room(int64(head.uncompressed)); err != nil {
			return in, out[:0], &cut{off, err}
		}
	}
	data, err := d.decode(out[:0], head, body)
	switch {
	case have < n:
		return in, data, cutf(off, ErrTruncated, "the file ends in a chunk of %d bytes after %d", n, have)
	case err != nil:
		return in, data, &cut{off, err}
	}
	return in, data, nil
}

func leUint64(b []byte) uint64 {
	_ = b[7]
	var v uint64
	for i := 7; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// entry locates a message inside of a chunk.
type entry struct {
	log int64
	at  int // offset of the message record's body
	n   int
}

// indexChunk lists the wanted messages of a chunk in log-time order; equal
// times keep the file's order.
func indexChunk(data []byte, entries []entry, q *query, known map[int64]bool) ([]entry, error) {
	sorted := true
	whole, err := eachRecord(data, func(op mcap.OpCode, at int, body []byte) error {
		if op != mcap.OpMessage {
			return nil
		}
		var m raw
		if !parseMessage(body, &m) {
			return fmt.Errorf("%w: bad message record", ErrCorrupt)
		}
		if !known[m.id] {
			return fmt.Errorf("%w: a message of the undeclared channel %d", ErrCorrupt, m.id)
		}
		if q.wants(m.id, m.log) {
			sorted = sorted && (len(entries) == 0 || entries[len(entries)-1].log <= m.log)
			entries = append(entries, entry{m.log, at, len(body)})
		}
		return nil
	})
	if !sorted {
		slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.log, b.log) })
	}
	if err == nil && !whole {
		err = fmt.Errorf("%w: a chunk ends inside of a record", ErrCorrupt)
	}
	return entries, err
}
