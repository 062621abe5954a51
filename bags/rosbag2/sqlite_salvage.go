package rosbag2

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// layout tells which column of messages holds what.
type layout struct{ topic, time, sent, data int } // sent -1: none

// usualLayout is the table of schemas 1 to 4.
var usualLayout = layout{topic: 1, time: 2, sent: -1, data: 3}

// layoutOf finds the columns by their names.
func layoutOf(cols []string) layout {
	return layout{slices.Index(cols, "topic_id"), slices.Index(cols, "timestamp"), slices.Index(cols, "send_timestamp"), slices.Index(cols, "data")}
}

// message reads a row as one of messages: that is decided by the serial types,
// since a leaf page does not tell its table. m.data stays empty.
func (l *layout) message(r *tableRow, m *raw) bool {
	if len(r.cols) <= max(l.topic, l.time, l.sent, l.data) || r.cols[l.data].kind < serialBlob {
		return false
	}
	var ok, timed bool
	m.id, ok = r.cols[l.topic].number(r.local)
	m.log, timed = r.cols[l.time].number(r.local)
	m.pub = m.log
	if l.sent >= 0 {
		if sent, ok := r.cols[l.sent].number(r.local); ok {
			m.pub = sent
		}
	}
	return ok && timed
}

// Bounds of one row of topics and of all.
const (
	maxTopicRow  = 1 << 18
	maxTopicRows = 64 << 20
)

// topicRow reads a row as one of topics: an id, which is the rowid, then name,
// type and serialization format, then QoS and hash as the schema has them.
func topicRow(s *pageScan, r *tableRow) (t fileTopic, ok bool) {
	if len(r.cols) < 4 || len(r.cols) > 6 || r.cols[0].kind != 0 || r.size > maxTopicRow {
		return t, false
	}
	for _, c := range r.cols[1:] {
		if !c.text() && c.size > 0 {
			return t, false
		}
	}
	if name := r.cols[1].bytes(r.local); len(name) == 0 || name[0] != '/' {
		return t, false
	}
	payload, ok := s.payload(r)
	if !ok {
		return t, false
	}
	t.id = r.rowid
	for i, field := range []*string{&t.Name, &t.Type, &t.Format, &t.QoS, &t.TypeHash}[:len(r.cols)-1] {
		*field = string(r.cols[i+1].bytes(payload))
	}
	return t, strings.Contains(t.Type, "/")
}

// tally counts the messages of one topic.
type tally struct{ n, first, last int64 }

// survey is what the page scan finds in a database.
type survey struct {
	topics  []fileTopic
	tallies map[int64]*tally   // by topic id
	strays  map[position]int64 // their pages
	size    int64              // bytes of topics
	scan    *pageScan
	before  sighting // the row before last
	last    sighting // counted once the next one is known
}

// sighting is a row of messages.
type sighting struct {
	position
	id, page int64
	seen     bool
}

// A row that lies an hour and more from both of its neighbours, which are close
// to each other, has a damaged timestamp; it would stretch the recording to years.
const strayTime = int64(3600e9)

// maxStrays bounds what is remembered of them.
const maxStrays = 1 << 16

func apart(a, b sighting) bool {
	d := uint64(max(a.log, b.log)) - uint64(min(a.log, b.log))
	return d > uint64(strayTime)
}

// survey reads all pages, without keeping messages.
func (s *sqliteFile) survey() (*survey, error) {
	scan, err := s.scan()
	if err != nil {
		return nil, err
	}
	defer scan.close()
	v := &survey{tallies: map[int64]*tally{}, strays: map[position]int64{}, scan: scan}
	var r tableRow
	var m raw
	for {
		err := scan.row(&r)
		if errors.Is(err, io.EOF) {
			v.settle(sighting{})
			return v, nil
		}
		if err != nil {
			return nil, s.explain(err)
		}
		if s.layout.message(&r, &m) {
			if r.cols[s.layout.data].size <= s.opts.Message && scan.whole(&r) {
				v.settle(sighting{position{m.log, r.rowid}, m.id, scan.number, true})
			}
		} else if t, ok := topicRow(scan, &r); ok && len(v.topics) < maxTopics && v.size+r.size <= maxTopicRows {
			v.topics, v.size = append(v.topics, t), v.size+r.size
		}
	}
}

// settle counts the last row now that the next one is known.
func (v *survey) settle(next sighting) {
	c := v.last
	v.last = next
	switch {
	case !c.seen:
		return
	case v.before.seen && next.seen && apart(c, v.before) && apart(c, next) && !apart(v.before, next) && len(v.strays) < maxStrays:
		v.strays[c.position] = c.page
		return
	}
	v.before = c
	t := v.tallies[c.id]
	if t == nil {
		if len(v.tallies) == maxTopics {
			return
		}
		t = &tally{0, c.log, c.log}
		v.tallies[c.id] = t
	}
	t.n++
	t.first, t.last = min(t.first, c.log), max(t.last, c.log)
}

// adopt makes the survey the description of a database that SQLite cannot read
// in full, for the reason why; later the page scan reads its messages.
func (s *sqliteFile) adopt(v *survey, meta *metadata, why error) error {
	s.scanned, s.strays = true, v.strays
	for _, page := range v.strays {
		v.scan.spoil.set(page)
	}
	if len(s.desc.topics) == 0 {
		s.desc.topics = v.topics
	}
	if len(s.desc.topics) == 0 {
		s.desc.topics = v.named(cmp.Or(meta, s.desc.meta))
	}
	offset, pages := v.scan.damage(why != nil)
	switch {
	case s.missing > 0:
		s.desc.cut = cutf(s.size, ErrTruncated, "the database is %d bytes short", s.missing)
	case pages > 0:
		s.desc.cut = cutf(offset, ErrCorrupt, "%d of its %d pages cannot be read in full", pages, v.scan.pages)
	default:
		s.desc.cut = cutf(-1, ErrCorrupt, "%v", why)
	}
	if len(s.desc.topics) == 0 {
		return fmt.Errorf("%s: %w, and its topics are lost; put the bag's metadata.yaml beside it, or another copy in its place", s.name, s.desc.cut)
	}
	s.desc.messages, s.desc.start, s.desc.end = 0, 0, 0
	for i := range s.desc.topics {
		t := &s.desc.topics[i]
		found := v.tallies[t.id]
		if t.Count = 0; found == nil {
			continue
		}
		if s.desc.messages == 0 {
			s.desc.start, s.desc.end = found.first, found.last
		}
		t.Count = found.n
		s.desc.messages += found.n
		s.desc.start, s.desc.end = min(s.desc.start, found.first), max(s.desc.end, found.last)
	}
	return nil
}

// named gives the topic ids that were found the names of metadata.yaml. That
// does not keep ids, so a topic is known by its count of messages where no
// other has as many, or by being the only one.
func (v *survey) named(meta *metadata) []fileTopic {
	if meta == nil {
		return nil
	}
	stated, found := map[int64][]int{}, map[int64]int{} // by count
	for i := range meta.Topics {
		n := meta.Topics[i].Count
		stated[n] = append(stated[n], i)
	}
	for _, t := range v.tallies {
		found[t.n]++
	}
	var topics []fileTopic
	for id, t := range v.tallies {
		fit := stated[t.n]
		if len(meta.Topics) == 1 && len(v.tallies) == 1 {
			fit = []int{0}
		}
		if len(fit) == 1 && found[t.n] == 1 {
			t := &meta.Topics[fit[0]].Topic
			topics = append(topics, fileTopic{id, Topic{Name: t.Name, Type: t.Type, Format: cmp.Or(t.Format, "cdr"), QoS: qosText(&t.QoS), TypeHash: t.TypeHash}})
		}
	}
	slices.SortFunc(topics, func(a, b fileTopic) int { return cmp.Compare(a.id, b.id) })
	return topics
}

// pageSource reads the messages of a database that SQLite cannot walk, in the
// order of its pages, and tells of the damage at the end.
type pageSource struct {
	file    *sqliteFile
	scan    *pageScan
	q       query
	r       tableRow
	after   *position // only messages behind it
	why     error     // what SQLite said, if it came this far
	account *account
	held    int64 // bytes of the scan's payload
	ended   bool
}

// position of a message in the order of timestamp and rowid.
type position struct{ log, rowid int64 }

func (p *position) before(log, rowid int64) bool {
	return p == nil || log > p.log || log == p.log && rowid > p.rowid
}

// salvage reads by page scan what lies behind a position, nil for all.
func (s *sqliteFile) salvage(q query, a *account, after *position, why error) (source, error) {
	scan, err := s.scan()
	if err != nil {
		return nil, err
	}
	return newReorder(&pageSource{file: s, scan: scan, q: q, after: after, why: why, account: a}, a), nil
}

func (s *pageSource) next(m *raw) error {
	l := &s.file.layout
	for !s.ended {
		err := s.scan.row(&s.r)
		if errors.Is(err, io.EOF) {
			s.ended = true
			return s.end()
		}
		if err != nil {
			s.ended = true
			return err
		}
		if !l.message(&s.r, m) || !s.q.wants(m.id, m.log) || !s.after.before(m.log, s.r.rowid) {
			continue
		}
		if _, stray := s.file.strays[position{m.log, s.r.rowid}]; stray {
			continue
		}
		if n := s.r.cols[l.data].size; n > s.file.opts.Message {
			return cutf((s.scan.number-1)*s.scan.page, ErrTooLarge, "a message of %d bytes, limit %d", n, s.file.opts.Message)
		}
		if payload, ok := s.scan.payload(&s.r); ok {
			n := int64(cap(s.scan.buf)) - s.held
			s.held += n
			if err := s.account.add(n); err != nil {
				s.scan.buf = nil
				return &cut{(s.scan.number - 1) * s.scan.page, err}
			}
			m.data = s.r.cols[l.data].bytes(payload)
			return nil
		}
	}
	return io.EOF
}

func (s *pageSource) end() error {
	if c := s.file.desc.cut; c != nil {
		return c
	}
	if offset, pages := s.scan.damage(true); pages > 0 {
		return cutf(offset, ErrCorrupt, "%d of its %d pages cannot be read in full", pages, s.scan.pages)
	}
	return cutf(-1, ErrCorrupt, "%v", s.why)
}

func (s *pageSource) late() int64  { return 0 }
func (s *pageSource) close() error { return s.scan.close() }
