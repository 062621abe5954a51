package rosbag2

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/foxglove/mcap/go/mcap"
)

// mcapScan finds the chunks, channels and counts of a file that has no usable
// summary: the recorder was killed, or never wrote one. Chunks are only
// decompressed where the message indexes behind them do not say everything.
type mcapScan struct {
	*mcapFile
	f       *os.File
	dec     chunkDecoder
	in, out []byte
	pending *chunkRef // the last chunk, while its message indexes follow
	tally   map[uint16]int64
}

func (m *mcapFile) scan(f *os.File) error {
	if !hasMagic(f, 0) {
		return fmt.Errorf("%s: %w: it has no MCAP magic", m.path, ErrNotBag)
	}
	s := &mcapScan{mcapFile: m, f: f, dec: chunkDecoder{limit: m.opts.Chunk}}
	defer s.dec.close()
	err := s.records()
	var c *cut
	if errors.As(err, &c) {
		m.cut, err = c, nil
	}
	m.sortChunks()
	return err
}

func (s *mcapScan) records() error {
	rr := newRecordReader(s.f, int64(len(mcap.Magic)), s.size, s.opts.Chunk)
	if err := s.readHeader(rr); err != nil {
		return err
	}
	for {
		err := rr.header()
		if rr.op != mcap.OpMessageIndex || err != nil {
			s.settle(err == nil)
		}
		if err == io.EOF {
			return cutf(rr.start, ErrTruncated, "the file ends without its end record")
		}
		if err != nil {
			return err
		}
		done, err := s.record(rr)
		if done || err != nil {
			s.settle(err == nil)
			return err
		}
	}
}

// record takes one record of the data section; done at its end.
func (s *mcapScan) record(rr *recordReader) (done bool, err error) {
	switch rr.op {
	case mcap.OpSchema, mcap.OpChannel, mcap.OpMetadata:
		body, err := rr.read()
		if err != nil {
			return false, err
		}
		if rr.op == mcap.OpMetadata {
			s.useMetadata(body)
			return false, nil
		}
		if err := s.declare(rr.op, body); err != nil {
			return false, &cut{rr.start, err}
		}
	case mcap.OpMessage:
		if !rr.whole() {
			return false, rr.skip()
		}
		head, err := rr.prefix(min(rr.length, messageHeader))
		if err != nil {
			return false, err
		}
		var m raw
		if !parseMessage(head, &m) || s.channels[uint16(m.id)] == nil {
			return false, cutf(rr.start, ErrCorrupt, "a bad message record")
		}
		s.loose = true
		s.count(uint16(m.id), m.log, 1)
	case mcap.OpChunk:
		return false, s.chunk(rr)
	case mcap.OpMessageIndex:
		return false, s.messageIndex(rr)
	case mcap.OpDataEnd:
		return true, rr.skip()
	case mcap.OpFooter:
		return true, nil
	}
	return false, nil // others are skipped by the next header
}

func (s *mcapScan) chunk(rr *recordReader) error {
	c := chunkRef{offset: rr.start}
	if !rr.whole() {
		s.pending = &c
		s.settle(false)
		return rr.skip() // says how much is missing
	}
	head, err := rr.prefix(min(rr.length, maxChunkHead))
	if err != nil {
		return err
	}
	h, ok := parseChunkHead(head)
	if !ok || h.start < 0 || h.end < h.start {
		return cutf(rr.start, ErrCorrupt, "bad chunk head")
	}
	if s.chunking == "" {
		s.chunking = h.compression
		if s.chunking == "" {
			s.chunking = "none"
		}
	}
	c.start, c.end = h.start, h.end
	s.pending, s.tally = &c, nil
	return rr.skip()
}

// messageIndex counts by the length of the index alone.
func (s *mcapScan) messageIndex(rr *recordReader) error {
	if !rr.whole() {
		return rr.skip()
	}
	body, err := rr.prefix(min(rr.length, 6))
	if err != nil {
		return err
	}
	if len(body) < 6 || s.pending == nil {
		return nil
	}
	id := uint16(body[0]) | uint16(body[1])<<8
	n := int64(body[2]) | int64(body[3])<<8 | int64(body[4])<<16 | int64(body[5])<<24
	if n <= rr.length {
		if s.tally == nil {
			s.tally = map[uint16]int64{}
		}
		s.tally[id] += n / 16
	}
	return nil
}

// settle closes the account of the last chunk; intact if the message indexes
// behind it are all there. Damage inside of it must not hide the chunks that
// follow: the first is kept in damage.
func (s *mcapScan) settle(intact bool) {
	c := s.pending
	if c == nil {
		return
	}
	s.pending = nil
	indexed := intact && len(s.tally) > 0
	for id := range s.tally {
		indexed = indexed && s.channels[id] != nil
	}
	if indexed {
		for id, n := range s.tally {
			s.count(id, c.start, n)
		}
		s.span(c.end)
	} else {
		s.look(c)
	}
	s.chunks = append(s.chunks, *c)
}

// look decompresses a chunk for its channels, counts and times.
func (s *mcapScan) look(c *chunkRef) {
	var broken *cut
	s.in, s.out, broken = loadChunk(s.f, c.offset, s.size, &s.dec, nil, s.in, s.out)
	first := true
	whole, err := eachRecord(s.out, func(op mcap.OpCode, _ int, body []byte) error {
		var m raw
		switch {
		case op != mcap.OpMessage:
			return s.declare(op, body)
		case !parseMessage(body, &m) || s.channels[uint16(m.id)] == nil:
			return ErrCorrupt
		}
		s.count(uint16(m.id), m.log, 1)
		if first || m.log < c.start {
			c.start = m.log
		}
		if first || m.log > c.end {
			c.end = m.log
		}
		first = false
		return nil
	})
	if broken == nil && (err != nil || !whole) {
		broken = cutf(c.offset, ErrCorrupt, "a chunk with a bad record")
	}
	if s.damage == nil {
		s.damage = broken
	}
}

func (s *mcapScan) count(id uint16, log, n int64) {
	s.counts[id] += n
	s.span(log)
}
