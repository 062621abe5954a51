package rosbag2

import (
	"encoding/binary"
	"math"
)

// Kinds of b-tree page. What is none of them is an overflow or a free page.
const (
	pageIndexInterior = 0x02
	pageTableInterior = 0x05
	pageIndexLeaf     = 0x0a
	pageTableLeaf     = 0x0d
)

// fitness of a page or cell.
type fitness int

const (
	fine    fitness = iota
	beyond          // it reaches behind the end of a short file
	spoiled         // it contradicts the format
)

// dbPage is a b-tree page. Its data ends early where the file does.
type dbPage struct {
	data   []byte
	usable int // bytes of a page that SQLite uses
	kind   byte
	array  int // offset of the cell pointers
	cells  int
	room   int // bytes that further cells may have
}

// parsePage reads the head of a page, which on page 1 follows the file's. A page
// that is spoiled may have cells all the same; its kind is 0 if it is no b-tree page.
func parsePage(number int64, data []byte, usable int) (dbPage, fitness) {
	p := dbPage{data: data, usable: usable}
	head := 0
	if number == 1 {
		head = 100
	}
	if len(data) < head+12 {
		return p, beyond
	}
	p.array = head + 8
	switch data[head] {
	case pageIndexInterior, pageTableInterior:
		p.array += 4
	case pageIndexLeaf, pageTableLeaf:
	default:
		return p, spoiled
	}
	p.kind = data[head]
	cells := int(binary.BigEndian.Uint16(data[head+3:]))
	if p.array+2*cells > usable {
		return p, spoiled
	}
	p.cells = cells
	// Cells do not overlap. One with a damaged size may seem to, but thousands
	// on the same bytes would make a small file endless.
	p.room = 4 * usable
	content := int(binary.BigEndian.Uint16(data[head+5:]))
	if content == 0 {
		content = 65536
	}
	if p.array+2*cells > content || content > usable {
		return p, spoiled
	}
	return p, fine
}

// dbCell is a cell of a b-tree page.
type dbCell struct {
	payload  int64 // bytes in all
	rowid    int64
	local    []byte // the part of the payload that lies in the page
	overflow int64  // the page that has the rest, 0 if there is none
}

// cell reads the i-th cell. Those of an interior table page have no payload.
func (p *dbPage) cell(i int) (c dbCell, f fitness) {
	at := p.array + 2*i
	if at+2 > len(p.data) {
		return c, beyond
	}
	at = int(binary.BigEndian.Uint16(p.data[at:]))
	if at < p.array+2*p.cells || at > p.usable-4 {
		return c, spoiled
	}
	start := at
	if p.kind == pageTableInterior || p.kind == pageIndexInterior {
		at += 4 // the child
	}
	if p.kind == pageTableInterior {
		return c, fine
	}
	if at >= len(p.data) {
		return c, beyond
	}
	// What a varint lacks at the end of a page is damage, at the end of the file the cut.
	short := spoiled
	if len(p.data) < p.usable {
		short = beyond
	}
	v, n := dbVarint(p.data[at:])
	if at += n; n == 0 {
		return c, short
	}
	if v < 0 || v > math.MaxInt32 {
		return c, spoiled
	}
	c.payload = v
	if p.kind == pageTableLeaf {
		if c.rowid, n = dbVarint(p.data[at:]); n == 0 {
			return c, short
		}
		at += n
	}
	local := p.local(c.payload)
	end := at + local
	if int64(local) < c.payload {
		end += 4
	}
	switch p.room -= end - start; {
	case end > p.usable || p.room < 0:
		return c, spoiled
	case end > len(p.data):
		return c, beyond
	}
	c.local = p.data[at : at+local]
	if int64(local) < c.payload {
		c.overflow = int64(binary.BigEndian.Uint32(p.data[at+local:]))
	}
	return c, fine
}

// local is how many bytes of a payload lie in the page, by the file format's formula.
func (p *dbPage) local(payload int64) int {
	most := p.usable - 35
	if p.kind != pageTableLeaf {
		most = (p.usable-12)*64/255 - 23
	}
	if payload <= int64(most) {
		return int(payload)
	}
	least := (p.usable-12)*32/255 - 23
	if k := least + int((payload-int64(least))%int64(p.usable-4)); k <= most {
		return k
	}
	return least
}

// dbVarint decodes SQLite's big-endian varint; n is 0 if b ends in it.
func dbVarint(b []byte) (v int64, n int) {
	for i := 0; i < min(len(b), 9); i++ {
		if i == 8 {
			return v<<8 | int64(b[i]), 9
		}
		v = v<<7 | int64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// Serial types from 12 on: even ones are blobs, odd ones texts.
const serialBlob = 12

// dbColumn is a value of a record: its serial type and where it lies in the payload.
type dbColumn struct{ kind, at, size int64 }

func (c dbColumn) integer() bool { return c.kind >= 1 && c.kind <= 6 || c.kind == 8 || c.kind == 9 }
func (c dbColumn) text() bool    { return c.kind > serialBlob && c.kind%2 == 1 }

// bytes of the value, nil where payload ends before.
func (c dbColumn) bytes(payload []byte) []byte {
	if c.at+c.size > int64(len(payload)) {
		return nil
	}
	return payload[c.at : c.at+c.size]
}

// number is the value of an integer column.
func (c dbColumn) number(payload []byte) (int64, bool) {
	b := c.bytes(payload)
	if !c.integer() || b == nil {
		return 0, false
	}
	if c.kind == 9 {
		return 1, true
	}
	var v int64
	for i, x := range b {
		if i == 0 {
			v = int64(int8(x))
			continue
		}
		v = v<<8 | int64(x)
	}
	return v, true
}

func serialSize(kind int64) (int64, bool) {
	switch {
	case kind < 0 || kind == 10 || kind == 11:
		return 0, false
	case kind >= serialBlob:
		return (kind - serialBlob) / 2, true
	}
	return [...]int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind], true
}

// maxColumns of a row that may be one of ours.
const maxColumns = 32

// parseRecord reads the serial types of a record of size bytes from its local
// part. It returns false where they contradict size, and no columns where there
// are too many of them for a row of ours.
func parseRecord(local []byte, size int64, cols []dbColumn) ([]dbColumn, bool) {
	cols = cols[:0]
	head, n := dbVarint(local)
	if n == 0 || head < int64(n) || head > size {
		return cols, false
	}
	if head > int64(len(local)) {
		return cols, true
	}
	at := head
	for off := int64(n); off < head; {
		kind, n := dbVarint(local[off:head])
		width, ok := serialSize(kind)
		if n == 0 || !ok || width > size-at {
			return cols, false
		}
		if len(cols) < maxColumns {
			cols = append(cols, dbColumn{kind, at, width})
		}
		off, at = off+int64(n), at+width
	}
	return cols, at == size
}
