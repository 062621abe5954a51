package rosbag2

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
)

// raw is a message before its topic is looked up. data is valid until the next
// call of the source that gave it.
type raw struct {
	id       int64 // the storage's own topic or channel number
	log, pub int64 // ns
	data     []byte
}

// source gives the messages of one file. next returns a *cut where the file is
// damaged; what follows is the next intact message or io.EOF.
type source interface {
	next(m *raw) error
	late() int64 // messages left out because they came too late to be sorted
	close() error
}

// query selects messages of one file.
type query struct {
	ids        map[int64]bool
	start, end int64 // log time in ns, [start, end)
}

func (q *query) wants(id, log int64) bool { return q.ids[id] && log >= q.start && log < q.end }

// storage is one opened file of a bag. Its sources open the file again, so that
// a bag of many splits holds few files open.
type storage interface {
	describe() fileDescription
	messages(q query, a *account) (source, error)
}

type fileTopic struct {
	id int64
	Topic
}

type fileDescription struct {
	storage     string // "mcap" or "sqlite3"
	schema      int    // sqlite schema version
	distro      string
	compression string // of chunks
	start, end  int64  // log time in ns of the first and the last message
	messages    int64  // -1: not counted
	topics      []fileTopic
	meta        *metadata // kept inside of the storage
	cut         *cut      // where the file breaks off, if that is known
	damage      *cut      // the first damaged place before, if that is known
}

// cut is a damaged place of a file.
type cut struct {
	offset int64 // -1: not known
	err    error
}

func (c *cut) Error() string { return fmt.Sprintf("at byte %d: %v", c.offset, c.err) }
func (c *cut) Unwrap() error { return c.err }

func cutf(offset int64, kind error, format string, args ...any) *cut {
	return &cut{offset, fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))}
}

// held is a message in the reorder buffer.
type held struct {
	raw
	seq int64 // file order decides between equal times
}

type heldHeap []held

func (h heldHeap) Len() int { return len(h) }
func (h heldHeap) Less(i, j int) bool {
	return h[i].log < h[j].log || h[i].log == h[j].log && h[i].seq < h[j].seq
}
func (h heldHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heldHeap) Push(x any)   { *h = append(*h, x.(held)) }
func (h *heldHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = held{}
	*h = old[:len(old)-1]
	return x
}

// heldOverhead is what a held message costs besides its bytes.
const heldOverhead = 64

// reorder sorts a source that comes in file order, as far as its share of
// Limits.Reorder for held messages allows. A message older than one already given is left out and
// counted: log times never decrease.
type reorder struct {
	in      source
	account *account
	heap    heldHeap
	bytes   int64
	seq     int64
	given   bool
	last    int64 // log time given last
	missed  int64
	broken  error    // pending error of in, given when the heap is empty
	spare   [][]byte // buffers to be used again
	kept    int64    // bytes of them
	current []byte
}

func newReorder(in source, a *account) *reorder {
	a.m.sorting++
	return &reorder{in: in, account: a}
}

func (r *reorder) next(m *raw) error {
	if r.current != nil {
		r.recycle(r.current)
		r.current = nil
	}
	for {
		if err := r.fill(); err != nil {
			return err
		}
		if len(r.heap) == 0 {
			err := r.broken
			if !errors.Is(err, io.EOF) {
				r.broken = nil
			}
			return err
		}
		h := heap.Pop(&r.heap).(held)
		r.hold(-int64(cap(h.data)) - heldOverhead)
		if r.given && h.log < r.last {
			r.missed++
			r.recycle(h.data)
			continue
		}
		r.given, r.last = true, h.log
		*m, r.current = h.raw, h.data
		return nil
	}
}

// fill reads ahead until the buffer is full or the input is at an end or break.
func (r *reorder) fill() error {
	for r.broken == nil && (r.bytes < r.account.m.share() || len(r.heap) == 0) {
		var m raw
		if err := r.in.next(&m); err != nil {
			r.broken = err
			return nil
		}
		m.data = append(r.buffer(len(m.data)), m.data...)
		if err := r.hold(int64(cap(m.data)) + heldOverhead); err != nil {
			r.hold(-int64(cap(m.data)) - heldOverhead)
			r.broken = &cut{-1, err}
			return nil
		}
		heap.Push(&r.heap, held{m, r.seq})
		r.seq++
	}
	return nil
}

func (r *reorder) hold(n int64) error {
	r.bytes += n
	return r.account.add(n)
}

func (r *reorder) buffer(n int) []byte {
	if k := len(r.spare); k > 0 {
		b := r.spare[k-1]
		r.spare = r.spare[:k-1]
		r.kept -= int64(cap(b))
		if cap(b) >= n && cap(b) <= 4*n+4096 {
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

func (r *reorder) recycle(b []byte) {
	if size := int64(cap(b)); len(r.spare) < 64 && r.kept+size <= r.account.m.share()/4 {
		r.spare = append(r.spare, b[:0])
		r.kept += size
	}
}

func (r *reorder) late() int64 { return r.missed + r.in.late() }

func (r *reorder) close() error {
	r.account.m.sorting--
	return r.in.close()
}
