package rosbag2

import (
	"container/heap"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/foxglove/mcap/go/mcap"
)

func (m *mcapFile) messages(q query, a *account) (source, error) {
	f, err := os.Open(m.path)
	if err != nil {
		return nil, IOError("open", m.path, err)
	}
	known := make(map[int64]bool, len(m.channels))
	for id := range m.channels {
		known[int64(id)] = true
	}
	if m.loose {
		rr := newRecordReader(f, int64(len(mcap.Magic)), m.size, m.opts.Chunk)
		return newReorder(&sequential{file: m, f: f, q: q, known: known, rr: rr, account: a}, a), nil
	}
	s := &chunked{file: m, f: f, q: q, known: known, account: a}
	a.m.merging = append(a.m.merging, s)
	return s, nil
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

// buffers is what the chunk's memory would cost when it is kept for another.
func (c *openChunk) buffers() int64 { return int64(cap(c.data)) + int64(cap(c.entries))*entrySize }

// size in memory.
func (c *openChunk) size() int64 { return int64(cap(c.data)) + int64(len(c.entries))*entrySize }

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
	account *account // of the chunks that are open
	pending int      // next of file.chunks
	heap    chunkHeap
	spent   *openChunk // its buffers are free once the caller asks for more
	entries int64      // of all open chunks
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
	mem := s.account.m
	c := mem.fresh()
	c.ref, c.order, c.next = ref, s.pending, 0
	var broken *cut
	mem.in, c.data, broken = loadChunk(s.f, ref.offset, s.file.size, &mem.dec, s.account, mem.in, c.data)
	var err error
	c.entries, err = indexChunk(c.data, c.entries[:0], &s.q, s.known)
	if broken == nil && err != nil {
		broken = &cut{ref.offset, err}
	}
	s.entries += int64(len(c.entries))
	if s.entries*entrySize > s.file.opts.Open {
		n := s.entries
		s.entries -= int64(len(c.entries))
		return cutf(ref.offset, ErrTooLarge, "%d messages in chunks whose times overlap; sort the file with mcap sort", n)
	}
	if len(c.entries) > 0 {
		heap.Push(&s.heap, c)
	}
	if err := s.account.add(c.size()); err != nil {
		s.drop(c)
		return &cut{ref.offset, err}
	}
	if len(c.entries) == 0 {
		s.retire(c)
	}
	// The end of the file is reported after the messages that lie before it.
	if broken == nil || s.file.cut != nil && errors.Is(broken, ErrTruncated) {
		return nil
	}
	return broken
}

func (s *chunked) reload(c *openChunk) error {
	mem := s.account.m
	var broken *cut
	mem.in, c.data, broken = loadChunk(s.f, c.ref.offset, s.file.size, &mem.dec, s.account, mem.in, nil)
	err := s.account.add(int64(cap(c.data)))
	if broken != nil && errors.Is(broken, ErrTooLarge) {
		err = broken.err
	}
	if err != nil {
		s.drop(c)
		return &cut{c.ref.offset, err}
	}
	if last := c.entries[len(c.entries)-1]; len(c.data) < last.at+last.n {
		s.drop(c)
		return cutf(c.ref.offset, ErrCorrupt, "the file changed while it was read")
	}
	return nil
}

// drop gives up a chunk with the messages that it still has.
func (s *chunked) drop(c *openChunk) {
	if i := slices.Index(s.heap, c); i >= 0 {
		heap.Remove(&s.heap, i)
	}
	s.retire(c)
}

func (s *chunked) retire(c *openChunk) {
	s.account.add(-c.size())
	s.entries -= int64(len(c.entries))
	s.account.m.recycle(c)
}

func (s *chunked) late() int64 { return s.missed }

func (s *chunked) close() error {
	mem := s.account.m
	mem.merging = slices.DeleteFunc(mem.merging, func(c *chunked) bool { return c == s })
	s.heap, s.spent = nil, nil
	return s.f.Close()
}

// sequential reads a file in its own order: one with messages outside of chunks.
type sequential struct {
	file    *mcapFile
	f       *os.File
	q       query
	known   map[int64]bool
	rr      *recordReader
	account *account
	held    int64  // bytes of chunk and of the record
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
		if err := s.hold(); err != nil {
			s.rr.body = nil
			return false, err
		}
		if ok, err := s.take(body, s.rr.start, m); ok || err != nil {
			return ok, err
		}
	case mcap.OpChunk:
		s.chunkAt, s.pos = s.rr.start, 0
		var broken *cut
		mem := s.account.m
		mem.in, s.chunk, broken = loadChunk(s.f, s.rr.start, s.file.size, &mem.dec, s.account, mem.in, s.chunk)
		if err := s.hold(); err != nil {
			s.chunk = nil
			return false, err
		}
		if broken != nil && s.rr.whole() { // else the next header reports the end of the file
			s.after = broken
		}
	}
	return false, nil
}

// hold accounts for the buffers as they are now.
func (s *sequential) hold() error {
	n := int64(cap(s.chunk)) + int64(cap(s.rr.body)) - s.held
	s.held += n
	if err := s.account.add(n); err != nil {
		return &cut{s.rr.start, err}
	}
	return nil
}

func (s *sequential) late() int64  { return 0 }
func (s *sequential) close() error { return s.f.Close() }
