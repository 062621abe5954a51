package rosbag2

import (
	"container/heap"
	"errors"
	"io"
	"os"

	"github.com/foxglove/mcap/go/mcap"
)

func (m *mcapFile) messages(q query) (source, error) {
	f, err := os.Open(m.path)
	if err != nil {
		return nil, IOError("open", m.path, err)
	}
	known := make(map[int64]bool, len(m.channels))
	for id := range m.channels {
		known[int64(id)] = true
	}
	dec := &chunkDecoder{limit: m.opts.Chunk}
	if m.loose {
		rr := newRecordReader(f, int64(len(mcap.Magic)), m.size, m.opts.Chunk)
		return &reorder{in: &sequential{file: m, f: f, q: q, known: known, rr: rr, dec: dec}, limit: m.opts.Reorder}, nil
	}
	return &chunked{file: m, f: f, q: q, known: known, dec: dec}, nil
}

// openChunk is a chunk whose time range has begun.
type openChunk struct {
	ref     chunkRef
	order   int
	entries []entry
	next    int
	data    []byte // nil: evicted, to be loaded again
}

func (c *openChunk) time() int64 { return c.entries[c.next].log }

type chunkHeap []*openChunk

func (h chunkHeap) Len() int { return len(h) }
func (h chunkHeap) Less(i, j int) bool {
	return h[i].time() < h[j].time() || h[i].time() == h[j].time() && h[i].order < h[j].order
}
func (h chunkHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *chunkHeap) Push(x any)   { *h = append(*h, x.(*openChunk)) }
func (h *chunkHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}

// chunked reads a file of indexed chunks in log-time order: it opens a chunk
// when its first message is due, and merges the chunks that are open.
type chunked struct {
	file    *mcapFile
	f       *os.File
	q       query
	known   map[int64]bool
	dec     *chunkDecoder
	pending int // next of file.chunks
	heap    chunkHeap
	spent   *openChunk // its buffers are free once the caller asks for more
	pool    []*openChunk
	in      []byte
	bytes   int64 // decompressed and open
	entries int64 // of all open chunks
	given   bool
	last    int64
	missed  int64
	ended   bool
}

// entrySize is the size of an entry in memory.
const entrySize = 24

func (s *chunked) next(m *raw) error {
	if s.spent != nil {
		s.retire(s.spent)
		s.spent = nil
	}
	for {
		if err := s.openDue(); err != nil {
			return err
		}
		if len(s.heap) == 0 {
			return s.end()
		}
		c := s.heap[0]
		if c.data == nil {
			if err := s.reload(c); err != nil {
				return err
			}
		}
		e := c.entries[c.next]
		if c.next++; c.next == len(c.entries) {
			heap.Pop(&s.heap)
			s.spent = c
		} else {
			heap.Fix(&s.heap, 0)
		}
		if s.given && e.log < s.last { // the chunk's index was wrong about its times
			s.missed++
			if s.spent != nil {
				s.retire(s.spent)
				s.spent = nil
			}
			continue
		}
		s.given, s.last = true, e.log
		parseMessage(c.data[e.at:e.at+e.n], m)
		return nil
	}
}

// end reports where the file breaks off, once, and then io.EOF.
func (s *chunked) end() error {
	if c := s.file.cut; c != nil && !s.ended {
		s.ended = true
		return c
	}
	return io.EOF
}

// openDue opens every chunk that may hold a message as early as the next one.
func (s *chunked) openDue() error {
	chunks := s.file.chunks
	for ; s.pending < len(chunks); s.pending++ {
		ref := chunks[s.pending]
		if len(s.heap) > 0 && ref.start > s.heap[0].time() {
			return nil
		}
		if ref.start >= s.q.end || ref.end < s.q.start {
			continue
		}
		if err := s.open(ref); err != nil {
			s.pending++
			return err
		}
	}
	return nil
}

// open loads a chunk and merges it. Of a damaged one it merges what can be
// saved and returns the damage.
func (s *chunked) open(ref chunkRef) error {
	var c *openChunk
	if n := len(s.pool); n > 0 {
		c, s.pool = s.pool[n-1], s.pool[:n-1]
	} else {
		c = &openChunk{}
	}
	c.ref, c.order, c.next = ref, s.pending, 0
	var broken *cut
	s.in, c.data, broken = loadChunk(s.f, ref.offset, s.file.size, s.dec, s.in, c.data)
	var err error
	c.entries, err = indexChunk(c.data, c.entries[:0], &s.q, s.known)
	if broken == nil && err != nil {
		broken = &cut{ref.offset, err}
	}
	s.bytes += int64(cap(c.data))
	s.entries += int64(len(c.entries))
	if s.entries*entrySize > 4*s.file.opts.Open {
		return cutf(ref.offset, ErrTooLarge, "%d messages in chunks whose times overlap; sort the file with mcap sort", s.entries)
	}
	if len(c.entries) == 0 {
		s.retire(c)
	} else {
		heap.Push(&s.heap, c)
		s.evict()
	}
	// The end of the file is reported after the messages that lie before it.
	if broken == nil || s.file.cut != nil && errors.Is(broken, ErrTruncated) {
		return nil
	}
	return broken
}

// evict gives up the data of chunks that are needed last while too many are open.
func (s *chunked) evict() {
	for s.bytes > s.file.opts.Open {
		var latest *openChunk
		for _, c := range s.heap[1:] {
			if c.data != nil && (latest == nil || c.time() > latest.time()) {
				latest = c
			}
		}
		if latest == nil {
			return
		}
		s.bytes -= int64(cap(latest.data))
		latest.data = nil
	}
}

func (s *chunked) reload(c *openChunk) error {
	s.in, c.data, _ = loadChunk(s.f, c.ref.offset, s.file.size, s.dec, s.in, nil)
	s.bytes += int64(cap(c.data))
	if last := c.entries[len(c.entries)-1]; len(c.data) < last.at+last.n {
		heap.Pop(&s.heap)
		s.retire(c)
		return cutf(c.ref.offset, ErrCorrupt, "the file changed while it was read")
	}
	s.evict()
	return nil
}

func (s *chunked) retire(c *openChunk) {
	s.bytes -= int64(cap(c.data))
	s.entries -= int64(len(c.entries))
	if len(s.pool) < 4 {
		s.pool = append(s.pool, c)
	}
}

func (s *chunked) late() int64 { return s.missed }

func (s *chunked) close() error {
	s.dec.close()
	s.heap, s.pool, s.spent = nil, nil, nil
	return s.f.Close()
}

// sequential reads a file in its own order: one with messages outside of chunks.
type sequential struct {
	file    *mcapFile
	f       *os.File
	q       query
	known   map[int64]bool
	rr      *recordReader
	dec     *chunkDecoder
	in      []byte
	chunk   []byte // the current chunk, records from pos on are still to come
	pos     int
	chunkAt int64
	after   error // what to report when the chunk is used up
	ended   bool
}

func (s *sequential) next(m *raw) error {
	for !s.ended {
		if s.pos < len(s.chunk) {
			if ok, err := s.fromChunk(m); ok || err != nil {
				return err
			}
			continue
		}
		if err := s.after; err != nil {
			s.after = nil
			return err
		}
		if ok, err := s.fromFile(m); ok || err != nil {
			return err
		}
	}
	return io.EOF
}

func (s *sequential) fromChunk(m *raw) (bool, error) {
	rest := s.chunk[s.pos:]
	if len(rest) < recordHeader || leUint64(rest[1:]) > uint64(len(rest)-recordHeader) {
		s.pos = len(s.chunk)
		if s.after == nil && s.rr.whole() {
			s.after = cutf(s.chunkAt, ErrCorrupt, "a chunk ends inside of a record")
		}
		return false, nil
	}
	n := int(leUint64(rest[1:]))
	s.pos += recordHeader + n
	if mcap.OpCode(rest[0]) != mcap.OpMessage {
		return false, nil
	}
	return s.take(rest[recordHeader:recordHeader+n], s.chunkAt, m)
}

func (s *sequential) take(body []byte, at int64, m *raw) (bool, error) {
	if !parseMessage(body, m) || !s.known[m.id] {
		return false, cutf(at, ErrCorrupt, "a bad message record")
	}
	return s.q.wants(m.id, m.log), nil
}

func (s *sequential) fromFile(m *raw) (bool, error) {
	fail := func(err error) (bool, error) {
		s.ended = true
		return false, err
	}
	err := s.rr.header()
	if err == io.EOF {
		return fail(cutf(s.rr.start, ErrTruncated, "the file ends without its end record"))
	}
	if err != nil {
		return fail(err)
	}
	switch s.rr.op {
	case mcap.OpDataEnd, mcap.OpFooter:
		s.ended = true
	case mcap.OpMessage:
		body, err := s.rr.read()
		if err != nil {
			return fail(err)
		}
		if ok, err := s.take(body, s.rr.start, m); ok || err != nil {
			return ok, err
		}
	case mcap.OpChunk:
		s.chunkAt, s.pos = s.rr.start, 0
		var broken *cut
		s.in, s.chunk, broken = loadChunk(s.f, s.rr.start, s.file.size, s.dec, s.in, s.chunk)
		if broken != nil && s.rr.whole() { // else the next header reports the end of the file
			s.after = broken
		}
	}
	return false, nil
}

func (s *sequential) late() int64 { return 0 }

func (s *sequential) close() error {
	s.dec.close()
	return s.f.Close()
}
