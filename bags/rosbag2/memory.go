package rosbag2

import "fmt"

// memory is what the files of a bag that one iterator reads together share:
// the budget of Limits.Open and Limits.Reorder, and what is only needed for the
// length of one call.
type memory struct {
	open    int64 // limit of used
	reorder int64 // limit of all messages held back to be sorted
	used    int64 // by all accounts
	sorting int64 // sources that hold messages back
	merging []*chunked
	pool    []*openChunk // chunks to be used again
	pooled  int64        // bytes of them
	in      []byte       // a compressed chunk
	dec     chunkDecoder
}

func newMemory(o *options) *memory {
	return &memory{open: o.Open, reorder: o.Reorder, dec: chunkDecoder{limit: o.Chunk}}
}

func (m *memory) close() {
	m.dec.close()
	m.pool, m.in = nil, nil
}

// account is the share of one file.
type account struct {
	m    *memory
	held int64
}

// add takes n bytes more, or gives them back. Where that is too much for the
// bag, chunks that are needed later are given up; if it does not help the error
// is ErrTooLarge, except that a file is never refused for its own sake: that is
// what Limits.Message and Limits.Chunk are for.
func (a *account) add(n int64) error {
	a.held += n
	a.m.used += n
	if n <= 0 {
		return nil
	}
	return a.room(0)
}

// room makes place for n bytes that are about to be taken.
func (a *account) room(n int64) error {
	m := a.m
	if m.used+m.pooled+n > m.open {
		m.pool, m.pooled = nil, 0
	}
	if m.used+n > m.open {
		m.evict(m.open - n)
	}
	if m.used+n <= m.open || m.used == a.held {
		return nil
	}
	return fmt.Errorf("%w: files of the bag whose times overlap take more than %d bytes together; read its files one by one", ErrTooLarge, a.m.open)
}

func (a *account) close() { a.m.used, a.held = a.m.used-a.held, 0 }

// evict gives up the data of chunks that are needed last until no more than
// limit bytes are used.
func (m *memory) evict(limit int64) {
	for m.used > limit {
		var latest *openChunk
		var owner *chunked
		for _, s := range m.merging {
			for _, c := range s.heap[min(1, len(s.heap)):] {
				if c.data != nil && (latest == nil || c.time() > latest.time()) {
					latest, owner = c, s
				}
			}
		}
		if latest == nil {
			return
		}
		owner.account.add(-int64(cap(latest.data)))
		latest.data = nil
	}
}

// share is how many bytes each of the sources that sort may hold back.
func (m *memory) share() int64 { return m.reorder / max(m.sorting, 1) }

// recycle keeps a chunk's buffers while the budget has room for them, or
// nothing else is kept.
func (m *memory) recycle(c *openChunk) {
	n := c.buffers()
	if m.used+m.pooled == 0 || len(m.pool) < 4 && m.used+m.pooled+n <= m.open {
		m.pool, m.pooled = append(m.pool, c), m.pooled+n
	}
}

func (m *memory) fresh() *openChunk {
	n := len(m.pool)
	if n == 0 {
		return &openChunk{}
	}
	c := m.pool[n-1]
	m.pool, m.pooled = m.pool[:n-1], m.pooled-c.buffers()
	return c
}
