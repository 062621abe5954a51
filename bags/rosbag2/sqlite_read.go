package rosbag2

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sqliteSource reads the messages table: through the timestamp index, or, of a
// database that is cut off, in rowid order up to the cut, since the pages of
// the table lie nearly in that order and the index's pages anywhere.
type sqliteSource struct {
	file  *sqliteFile
	db    *database
	rows  *sql.Rows
	q     query
	ended bool
}

func (s *sqliteFile) messages(q query) (source, error) {
	db, err := s.connect()
	if err != nil {
		return nil, err
	}
	src := &sqliteSource{file: s, db: db, q: q}
	src.rows, err = db.Query(s.query(&q), q.start, q.end)
	if err != nil {
		db.Close()
		return nil, s.explain(err)
	}
	if s.missing > 0 {
		return &reorder{in: src, limit: s.opts.Reorder}, nil
	}
	return src, nil
}

func (s *sqliteFile) query(q *query) string {
	ids := make([]string, 0, len(q.ids))
	for id := range q.ids {
		ids = append(ids, fmt.Sprint(id))
	}
	slices.Sort(ids)
	sent := "timestamp"
	if s.sent {
		sent = "coalesce(send_timestamp, timestamp)"
	}
	table, order := "messages", "timestamp, rowid"
	if s.missing > 0 {
		table, order = "messages NOT INDEXED", "rowid"
	}
	// The unary plus keeps the planner from looking for an index on topic_id.
	return fmt.Sprintf("SELECT topic_id, timestamp, %s, length(data), CASE WHEN length(data) <= %d THEN CAST(data AS BLOB) END "+
		"FROM %s WHERE timestamp >= ? AND timestamp < ? AND +topic_id IN (%s) ORDER BY %s", sent, s.opts.Message, table, strings.Join(ids, ","), order)
}

func (s *sqliteSource) next(m *raw) error {
	if s.ended {
		return io.EOF
	}
	for {
		if !s.rows.Next() {
			s.ended = true
			return s.end(s.rows.Err())
		}
		var size sql.NullInt64
		var data sql.RawBytes
		if err := s.rows.Scan(&m.id, &m.log, &m.pub, &size, &data); err != nil {
			return cutf(-1, ErrCorrupt, "a message row: %v", err)
		}
		if data == nil && size.Int64 > s.file.opts.Message {
			return cutf(-1, ErrTooLarge, "a message of %d bytes, limit %d", size.Int64, s.file.opts.Message)
		}
		if !s.q.wants(m.id, m.log) {
			continue
		}
		m.data = data
		return nil
	}
}

// end tells a proper end from a break.
func (s *sqliteSource) end(err error) error {
	switch {
	case s.file.missing > 0:
		// Whatever SQLite says of it, the file ends here.
		return s.file.desc.cut
	case err == nil:
		return io.EOF
	case isCorrupt(err):
		return cutf(-1, ErrCorrupt, "%v", err)
	}
	return &cut{-1, err}
}

func (s *sqliteSource) late() int64 { return 0 }

func (s *sqliteSource) close() error {
	return errors.Join(s.rows.Close(), s.db.Close())
}
