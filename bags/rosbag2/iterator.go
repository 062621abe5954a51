package rosbag2

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Filter selects messages. The zero value selects all that can be decoded.
type Filter struct {
	Topics     []string // names; none means all; a name that the bag does not have matches nothing
	Start, End int64    // log time in ns, [Start, End); End 0 means no end
	AnyFormat  bool     // also topics that are not CDR, which are otherwise left out, or refused if named
}

// Message is one recorded message.
type Message struct {
	Topic       *Topic // shared: do not change it
	LogTime     int64  // when it was received, ns
	PublishTime int64  // when it was sent, ns; equal to LogTime where the storage does not keep it
	Data        []byte // serialized, valid until the next call of Next
}

// Iterator gives the messages of a bag in log-time order.
type Iterator struct {
	bag     *Bag
	pending []*reading // by start time
	heap    readingHeap
	current *reading // its message was given last
	msg     Message
	memory  *memory
	unzip   *zstd.Decoder
	buf     []byte
	last    int64
	given   bool
	missed  int64
	err     error
}

// reading is a split that is being read.
type reading struct {
	*split
	q      query
	src    source
	share  account
	order  int
	start  int64 // log time of the first message
	m      raw
	last   int64 // log time given last
	count  int64
	broken bool // a break has been reported
}

type readingHeap []*reading

func (h readingHeap) Len() int { return len(h) }
func (h readingHeap) Less(i, j int) bool {
	return h[i].m.log < h[j].m.log || h[i].m.log == h[j].m.log && h[i].order < h[j].order
}
func (h readingHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *readingHeap) Push(x any)   { *h = append(*h, x.(*reading)) }
func (h *readingHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}

// Messages starts reading. A topic that is named and not CDR is refused with
// ErrFormat. The caller closes the iterator.
func (b *Bag) Messages(f Filter) (*Iterator, error) {
	if b.isClosed() {
		return nil, fmt.Errorf("%s: %w", b.path, ErrClosed)
	}
	wanted := map[*Topic]bool{}
	for _, t := range b.topics {
		named := slices.Contains(f.Topics, t.Name)
		if len(f.Topics) > 0 && !named {
			continue
		}
		if err := t.Readable(); err != nil && !f.AnyFormat {
			if named {
				return nil, fmt.Errorf("%s: %w", b.path, err)
			}
			continue
		}
		wanted[t] = true
	}
	end := f.End
	if end == 0 {
		end = math.MaxInt64
	}
	it := &Iterator{bag: b, memory: newMemory(&b.opts)}
	if b.meta != nil && b.meta.Mode == "MESSAGE" {
		z, err := newZstd(b.opts.Message)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.path, err)
		}
		it.unzip = z
	}
	for i, s := range b.splits {
		r := &reading{split: s, share: account{m: it.memory}, order: i, start: s.desc.start, q: query{ids: map[int64]bool{}, start: f.Start, end: end}}
		if (s.fatal != nil || s.desc.messages == 0) && i > 0 {
			r.start = it.pending[i-1].start // a file that cannot be read stays behind the one before it
		}
		for id, t := range s.topics {
			if wanted[t] {
				r.q.ids[id] = true
			}
		}
		it.pending = append(it.pending, r)
	}
	slices.SortStableFunc(it.pending, func(a, c *reading) int { return cmp.Compare(a.start, c.start) })
	return it, nil
}

// Next returns the next message, io.EOF after the last, or a *BreakError where
// a file is damaged; after that it may be called again for what follows. Other
// errors are final.
func (it *Iterator) Next() (*Message, error) {
	if it.err != nil {
		return nil, it.err
	}
	if it.bag.isClosed() {
		it.err = fmt.Errorf("%s: %w", it.bag.path, ErrClosed)
		return nil, it.err
	}
	m, err := it.next()
	var broken *BreakError
	if err != nil && !errors.As(err, &broken) {
		it.err = err
	}
	return m, err
}

func (it *Iterator) next() (*Message, error) {
	for {
		if r := it.current; r != nil {
			it.current = nil
			if err := it.advance(r); err != nil {
				return nil, err
			}
		}
		if err := it.startDue(); err != nil {
			return nil, err
		}
		if len(it.heap) == 0 {
			return nil, io.EOF
		}
		r := heap.Pop(&it.heap).(*reading)
		it.current = r
		if it.given && r.m.log < it.last {
			it.missed++ // a split began earlier than its summary says
			continue
		}
		it.msg = Message{Topic: r.topics[r.m.id], LogTime: r.m.log, PublishTime: r.m.pub, Data: r.m.data}
		if it.unzip != nil {
			var err error
			if it.buf, err = it.unzip.DecodeAll(r.m.data, it.buf[:0]); err != nil {
				return nil, r.breakError(cutf(-1, ErrCorrupt, "a message of %s at %d ns does not decompress: %v", it.msg.Topic.Name, r.m.log, err))
			}
			it.msg.Data = it.buf
		}
		it.given, it.last = true, r.m.log
		r.last, r.count = r.m.log, r.count+1
		return &it.msg, nil
	}
}

// startDue starts every split that may hold a message as early as the next one.
func (it *Iterator) startDue() error {
	for len(it.pending) > 0 {
		r := it.pending[0]
		if len(it.heap) > 0 && r.start > it.heap[0].m.log {
			return nil
		}
		it.pending = it.pending[1:]
		if r.fatal != nil {
			return &BreakError{File: r.name, Offset: 0, Err: r.fatal}
		}
		if r.desc.messages > 0 && (r.desc.start >= r.q.end || r.desc.end < r.q.start && r.desc.cut == nil) {
			continue
		}
		src, err := r.messages(r.q, &r.share)
		if err != nil {
			return &BreakError{File: r.name, Offset: -1, Err: err}
		}
		r.src = src
		if err := it.advance(r); err != nil {
			return err
		}
	}
	return nil
}

// advance moves r to its next message and puts it back into the heap, or
// closes it at its end. After a break r continues at the following call.
func (it *Iterator) advance(r *reading) error {
	err := r.src.next(&r.m)
	if err == nil {
		heap.Push(&it.heap, r)
		return nil
	}
	if errors.Is(err, io.EOF) {
		it.missed += r.src.late()
		if err := r.close(); err != nil {
			return &BreakError{File: r.name, Offset: -1, LastTime: r.last, Messages: r.count, Err: err}
		}
		if r.split.tail != nil && !r.broken {
			return r.tailError(r.last, r.count)
		}
		return nil
	}
	it.current = r
	r.broken = true
	return r.breakError(err)
}

// tailError is the end of a file whose storage is intact as far as it goes.
func (s *split) tailError(last, n int64) error {
	b := &BreakError{File: s.name, Offset: -1, Err: s.tail}
	var log *BreakError // of the file beside it
	if errors.As(s.tail, &log) {
		b.File, b.Offset, b.Err = log.File, log.Offset, log.Err
	}
	b.LastTime, b.Messages = last, n
	return b
}

func (r *reading) close() error {
	err := r.src.close()
	r.share.close()
	return err
}

func (r *reading) breakError(err error) error {
	b := &BreakError{File: r.name, Offset: -1, LastTime: r.last, Messages: r.count, Err: err}
	var c *cut
	if errors.As(err, &c) {
		b.Offset, b.Err = c.offset, c.err
	}
	return b
}

// Late is the number of messages left out so far because they were found only
// after later ones had been given: those of a file without an index that is
// more out of order than Limits.Reorder can sort, or of a file whose index is
// wrong.
func (it *Iterator) Late() int64 {
	n := it.missed
	for _, r := range it.heap {
		n += r.src.late()
	}
	if it.current != nil {
		n += it.current.src.late()
	}
	return n
}

// Close releases the files that are being read. It may be called at any time
// and more than once.
func (it *Iterator) Close() error {
	var err error
	if it.current != nil {
		it.heap, it.current = append(it.heap, it.current), nil
	}
	for _, r := range it.heap {
		err = errors.Join(err, r.close())
	}
	it.heap, it.pending = nil, nil
	it.memory.close()
	if it.unzip != nil {
		it.unzip.Close()
	}
	if it.err == nil {
		it.err = fmt.Errorf("%s: %w", it.bag.path, ErrClosed)
	}
	return err
}
