package rosbag2

import (
	"encoding/binary"
	"io"
	"math/bits"
	"os"
	"slices"
)

// pageScan reads the rows of all tables of a database page by page, without the
// b-trees' interior pages: of a file that is cut off or damaged those often
// are what is missing. The rows of a table that only grew come nearly in rowid
// order. Memory: one window of the file, one payload, and two bits a page.
type pageScan struct {
	f      *os.File
	page   int64 // bytes of a page
	usable int   // bytes of it that SQLite uses
	size   int64 // of the file
	pages  int64 // in it, the last perhaps in part
	stated int64 // pages by the header; those behind belong to a transaction that was never finished
	limit  int64 // bytes of a payload that are read

	window   []byte
	windowAt int64
	number   int64 // the page under the scan
	p        dbPage
	next     int // its cell
	cell     dbCell
	open     bool // the cell's overflow pages have not been visited
	over     []byte
	buf      []byte

	used  bitmap // pages of overflow chains and free pages
	spoil bitmap // b-tree pages that contradict the format
	blank bitmap // pages that are no b-tree page, free or known to be overflow
}

// bitmap has a bit for every page.
type bitmap []byte

func newBitmap(n int64) bitmap       { return make(bitmap, n/8+1) }
func (b bitmap) has(page int64) bool { return b[page/8]>>(page%8)&1 != 0 }
func (b bitmap) set(page int64)      { b[page/8] |= 1 << (page % 8) }

// without returns the first page that is in b and not in c, and their number.
func (b bitmap) without(c bitmap) (first, n int64) {
	for i, x := range b {
		x &^= c[i]
		if x != 0 && n == 0 {
			first = int64(i)*8 + int64(bits.TrailingZeros8(x))
		}
		n += int64(bits.OnesCount8(x))
	}
	return first, n
}

const scanWindow = 256 << 10

// scan starts a page scan of the database.
func (s *sqliteFile) scan() (*pageScan, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, IOError("open", s.name, err)
	}
	pages := (s.size + s.page - 1) / s.page
	p := &pageScan{f: f, page: s.page, usable: s.usable, size: s.size, pages: pages, stated: s.stated, limit: s.opts.Message + 4096,
		used: newBitmap(pages), spoil: newBitmap(pages), blank: newBitmap(pages)}
	if p.stated == 0 {
		p.stated = pages
	}
	p.reserve()
	return p, nil
}

// reserve marks the pages that hold no rows whatever their bytes look like.
func (s *pageScan) reserve() {
	if lock := int64(1<<30)/s.page + 1; lock <= s.pages {
		s.used.set(lock)
	}
	var h [100]byte
	if _, err := s.f.ReadAt(h[:], 0); err != nil {
		return
	}
	if binary.BigEndian.Uint32(h[52:]) != 0 { // auto_vacuum has pointer maps
		for n := int64(2); n <= s.pages; n += int64(s.usable)/5 + 1 {
			s.used.set(n)
		}
	}
	// The list of free pages: each trunk page names the next and some leaves.
	for n := int64(binary.BigEndian.Uint32(h[32:])); n > 0 && n <= s.pages && !s.used.has(n); {
		trunk := s.read(n)
		if len(trunk) < s.usable {
			return
		}
		s.used.set(n)
		leaves := min(int(binary.BigEndian.Uint32(trunk[4:])), s.usable/4-2)
		for i := range max(leaves, 0) {
			if leaf := int64(binary.BigEndian.Uint32(trunk[8+4*i:])); leaf > 0 && leaf <= s.pages {
				s.used.set(leaf)
			}
		}
		n = int64(binary.BigEndian.Uint32(trunk))
	}
}

// read returns page n as far as the file has it, valid until the next call.
func (s *pageScan) read(n int64) []byte {
	at := (n - 1) * s.page
	if at >= s.windowAt && at+s.page <= s.windowAt+int64(len(s.window)) {
		return s.window[at-s.windowAt:][:s.page]
	}
	if s.over == nil {
		s.over = make([]byte, s.page)
	}
	k, _ := s.f.ReadAt(s.over, at)
	return s.over[:k]
}

// turn goes to the next b-tree page, or returns io.EOF.
func (s *pageScan) turn() error {
	for s.number++; s.number <= s.pages; s.number++ {
		at := (s.number - 1) * s.page
		if at >= s.windowAt+int64(len(s.window)) {
			if s.window == nil {
				s.window = make([]byte, scanWindow)
			}
			n, err := s.f.ReadAt(s.window[:scanWindow], at)
			if err != nil && err != io.EOF {
				return &cut{at, IOError("read", s.f.Name(), err)}
			}
			if n == 0 { // the file has become shorter
				return io.EOF
			}
			s.window, s.windowAt = s.window[:n], at
		}
		if s.used.has(s.number) {
			continue
		}
		data := s.window[at-s.windowAt:]
		var f fitness
		s.p, f = parsePage(s.number, data[:min(len(data), s.usable)], s.usable)
		if f == spoiled && s.p.kind == 0 {
			s.blank.set(s.number)
		} else if f == spoiled {
			s.spoil.set(s.number)
		}
		if s.p.cells > 0 {
			s.next = 0
			return nil
		}
	}
	return io.EOF
}

// tableRow is a row of some table.
type tableRow struct {
	rowid int64
	size  int64  // bytes of its payload
	local []byte // the part of it that lies in the page
	cols  []dbColumn
}

// row finds the next row of any table, or returns io.EOF.
func (s *pageScan) row(r *tableRow) error {
	for {
		if s.open {
			s.follow(nil)
		}
		if s.next >= s.p.cells {
			if err := s.turn(); err != nil {
				return err
			}
			continue
		}
		var f fitness
		s.cell, f = s.p.cell(s.next)
		s.next++
		if f != fine {
			if f == spoiled {
				s.spoil.set(s.number)
			}
			continue
		}
		s.open = s.cell.overflow != 0
		if s.p.kind != pageTableLeaf {
			continue
		}
		var ok bool
		if r.cols, ok = parseRecord(s.cell.local, s.cell.payload, r.cols); !ok {
			s.spoil.set(s.number)
			continue
		}
		r.rowid, r.size, r.local = s.cell.rowid, s.cell.payload, s.cell.local
		return nil
	}
}

// payload returns the whole payload of the current row, valid until the next
// call; false where it is longer than the limit or part of it is lost.
func (s *pageScan) payload(r *tableRow) ([]byte, bool) {
	if r.size == int64(len(r.local)) {
		return r.local, true
	}
	if r.size > s.limit || !s.open {
		return nil, false
	}
	s.buf = append(s.buf[:0], r.local...)
	ok := s.follow(&s.buf)
	return s.buf, ok
}

// whole reports whether all of the current row's payload is there.
func (s *pageScan) whole(r *tableRow) bool {
	return r.size == int64(len(r.local)) || s.open && s.follow(nil)
}

// follow visits the overflow pages of the current cell and appends them to out.
// No page belongs to two chains, so that all chains together are no longer than the file.
func (s *pageScan) follow(out *[]byte) bool {
	s.open = false
	rest := s.cell.payload - int64(len(s.cell.local))
	for n := s.cell.overflow; ; {
		if n == 0 || n > s.pages || s.used.has(n) {
			// Of a short file the chain may end behind the cut.
			if n == 0 || n <= s.pages || n > s.stated {
				s.spoil.set(s.number)
			}
			return false
		}
		s.used.set(n)
		data := s.read(n)
		part := min(rest, int64(s.usable-4))
		if int64(len(data)) < 4+part {
			return false
		}
		if out != nil {
			*out = append(*out, data[4:4+part]...)
		}
		if rest -= part; rest == 0 {
			return true
		}
		n = int64(binary.BigEndian.Uint32(data))
	}
}

// damage tells of the pages that could not be used: where the first lies and
// how many there are. With lost also those count that neither are in a b-tree
// nor belong to a row, as when a page was overwritten.
func (s *pageScan) damage(lost bool) (offset, pages int64) {
	bad := slices.Clone(s.spoil)
	for i := range bad {
		if lost {
			bad[i] |= s.blank[i]
		}
	}
	for n := s.stated + 1; n <= s.pages; n++ {
		s.used.set(n)
	}
	first, n := bad.without(s.used)
	return (first - 1) * s.page, n
}

func (s *pageScan) close() error { return s.f.Close() }
