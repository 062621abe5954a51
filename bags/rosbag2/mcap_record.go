package rosbag2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"github.com/foxglove/mcap/go/mcap"
)

// The MCAP library's lexer allocates by lengths that the file claims and does
// not tell where it stands. Records are therefore framed here, against the
// true size of the file, and their small bodies are parsed by the library.

const recordHeader = 9 // opcode and length

// recordReader walks the records of a file from an offset on.
type recordReader struct {
	f          *os.File
	r          *bufio.Reader
	off, size  int64
	limit      int64
	body       []byte
	start      int64 // offset of the current record
	op         mcap.OpCode
	length     int64
	unconsumed bool
}

func newRecordReader(f *os.File, off, size, limit int64) *recordReader {
	s := &recordReader{f: f, off: off, size: size, limit: limit}
	s.r = bufio.NewReaderSize(io.NewSectionReader(f, off, size-off), 256<<10)
	return s
}

// header reads the next opcode and length. At the end of the range it returns
// io.EOF; a body that does not fit the range is still announced, so that what
// is there can be saved.
func (s *recordReader) header() error {
	if s.unconsumed {
		if err := s.skip(); err != nil {
			return err
		}
	}
	s.start = s.off
	if s.off == s.size {
		return io.EOF
	}
	var h [recordHeader]byte
	if n, err := io.ReadFull(s.r, h[:]); err != nil {
		return cutf(s.start, ErrTruncated, "the file ends in a record header after %d bytes", n)
	}
	s.off += recordHeader
	s.op = mcap.OpCode(h[0])
	length := binary.LittleEndian.Uint64(h[1:])
	if s.op == mcap.OpReserved {
		return cutf(s.start, ErrCorrupt, "a record of type 0")
	}
	if length > 1<<62 {
		return cutf(s.start, ErrTruncated, "a %s record claims %d bytes, the file has %d more", s.op, length, s.size-s.off)
	}
	s.length, s.unconsumed = int64(length), true
	return nil
}

// whole reports whether the current record lies inside of the file.
func (s *recordReader) whole() bool { return s.length <= s.size-s.off }

// read returns the current body, valid until the next call.
func (s *recordReader) read() ([]byte, error) {
	if !s.whole() {
		return nil, cutf(s.start, ErrTruncated, "a %s record of %d bytes, the file has %d more", s.op, s.length, s.size-s.off)
	}
	return s.prefix(s.length)
}

// prefix reads the first n bytes of the current body and leaves the rest.
func (s *recordReader) prefix(n int64) ([]byte, error) {
	if n > s.limit {
		return nil, cutf(s.start, ErrTooLarge, "a %s record of %d bytes, limit %d", s.op, n, s.limit)
	}
	if int64(cap(s.body)) < n {
		s.body = make([]byte, n)
	}
	s.body = s.body[:n]
	if _, err := io.ReadFull(s.r, s.body); err != nil {
		return nil, &cut{s.start, IOError("read", s.f.Name(), err)}
	}
	s.off += n
	s.length -= n
	s.unconsumed = s.length > 0
	return s.body, nil
}

// skip leaves out what remains of the current body without reading it.
func (s *recordReader) skip() error {
	if !s.whole() {
		return cutf(s.start, ErrTruncated, "a %s record of %d bytes, the file has %d more", s.op, s.length, s.size-s.off)
	}
	s.off += s.length
	if s.length <= int64(s.r.Buffered()) {
		if _, err := s.r.Discard(int(s.length)); err != nil {
			return &cut{s.start, IOError("read", s.f.Name(), err)}
		}
	} else {
		s.r.Reset(io.NewSectionReader(s.f, s.off, s.size-s.off))
	}
	s.length, s.unconsumed = 0, false
	return nil
}

// messageHeader is channel id, sequence, log time, publish time.
const messageHeader = 2 + 4 + 8 + 8

func parseMessage(body []byte, m *raw) bool {
	if len(body) < messageHeader {
		return false
	}
	m.id = int64(binary.LittleEndian.Uint16(body))
	m.log = int64(binary.LittleEndian.Uint64(body[6:]))
	m.pub = int64(binary.LittleEndian.Uint64(body[14:]))
	m.data = body[messageHeader:]
	return m.log >= 0 // ROS time is int64
}

// chunkHead is the fixed part of a chunk record.
type chunkHead struct {
	start, end   int64
	uncompressed uint64
	crc          uint32
	compression  string
	size         int // of this head
	records      uint64
}

const maxChunkHead = 8 + 8 + 8 + 4 + 4 + 16 + 8

func parseChunkHead(b []byte) (chunkHead, bool) {
	var h chunkHead
	if len(b) < 32 {
		return h, false
	}
	h.start = int64(binary.LittleEndian.Uint64(b))
	h.end = int64(binary.LittleEndian.Uint64(b[8:]))
	h.uncompressed = binary.LittleEndian.Uint64(b[16:])
	h.crc = binary.LittleEndian.Uint32(b[24:])
	n := binary.LittleEndian.Uint32(b[28:])
	if n > 16 || len(b) < 32+int(n)+8 {
		return h, false
	}
	h.compression = string(b[32 : 32+n])
	h.records = binary.LittleEndian.Uint64(b[32+n:])
	h.size = 32 + int(n) + 8
	return h, true
}

// eachRecord calls f for every whole record of a decompressed chunk with the
// offset of its body, and reports whether the chunk ended at a record's end.
func eachRecord(data []byte, f func(op mcap.OpCode, at int, body []byte) error) (bool, error) {
	for off := 0; off < len(data); {
		if len(data)-off < recordHeader {
			return false, nil
		}
		n := binary.LittleEndian.Uint64(data[off+1:])
		at := off + recordHeader
		if n > uint64(len(data)-at) {
			return false, nil
		}
		if err := f(mcap.OpCode(data[off]), at, data[at:at+int(n)]); err != nil {
			return false, err
		}
		off = at + int(n)
	}
	return true, nil
}

func hasMagic(f io.ReaderAt, off int64) bool {
	var b [8]byte
	_, err := f.ReadAt(b[:], off)
	return (err == nil || err == io.EOF) && bytes.Equal(b[:], mcap.Magic)
}
