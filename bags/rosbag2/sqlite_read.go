package rosbag2

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sqliteSource reads the messages table through the timestamp index. Where
// SQLite finds a damaged page, the page scan goes on with what lies behind.
type sqliteSource struct {
	file    *sqliteFile
	db      *database
	rows    *sql.Rows
	q       query
	account *account
	held    int64 // bytes of the row
	given   bool
	last    position // of the row given last
	rest    source   // once SQLite has given up
	ended   bool
}

func (s *sqliteFile) messages(q query, a *account) (source, error) {
	if s.scanned {
		return s.salvage(q, a, nil, nil)
	}
	db, err := s.connect()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(s.query(&q), q.start, q.end)
	if err != nil {
		db.Close()
		if isCorrupt(err) {
			return s.salvage(q, a, nil, err)
		}
		return nil, s.explain(err)
	}
	return &sqliteSource{file: s, db: db, rows: rows, q: q, account: a}, nil
}

func (s *sqliteFile) query(q *query) string {
	ids := make([]string, 0, len(q.ids))
	for id := range q.ids {
		ids = append(ids, fmt.Sprint(id))
	}
	slices.Sort(ids)
	sent := "timestamp"
	if s.layout.sent >= 0 {
		sent = "coalesce(send_timestamp, timestamp)"
	}
	// The unary plus keeps the planner from looking for an index on topic_id.
	return fmt.Sprintf("SELECT rowid, topic_id, timestamp, %s, length(data), CASE WHEN length(data) <= %d THEN CAST(data AS BLOB) END "+
		"FROM messages WHERE timestamp >= ? AND timestamp < ? AND +topic_id IN (%s) ORDER BY timestamp, rowid", sent, s.opts.Message, strings.Join(ids, ","))
}

func (s *sqliteSource) next(m *raw) error {
	for s.rest == nil {
		if s.ended {
			return io.EOF
		}
		if !s.rows.Next() {
			if err := s.end(s.rows.Err()); err != nil {
				return err
			}
			continue
		}
		var rowid int64
		var size sql.NullInt64
		var data sql.RawBytes
		if err := s.rows.Scan(&rowid, &m.id, &m.log, &m.pub, &size, &data); err != nil {
			return cutf(-1, ErrCorrupt, "a message row: %v", err)
		}
		s.given, s.last = true, position{m.log, rowid}
		if data == nil && size.Int64 > s.file.opts.Message {
			return cutf(-1, ErrTooLarge, "a message of %d bytes, limit %d", size.Int64, s.file.opts.Message)
		}
		if !s.q.wants(m.id, m.log) {
			continue
		}
		n := int64(len(data)) - s.held
		s.held += n
		if err := s.account.add(n); err != nil {
			return &cut{-1, err}
		}
		m.data = data
		return nil
	}
	return s.rest.next(m)
}

// end tells a proper end from damage, of which the page scan makes the best.
func (s *sqliteSource) end(err error) error {
	s.ended = true
	switch {
	case err == nil:
		return io.EOF
	case !isCorrupt(err):
		return &cut{-1, err}
	}
	var after *position
	if s.given {
		after = &s.last
	}
	s.rest, err = s.file.salvage(s.q, s.account, after, err)
	return err
}

func (s *sqliteSource) late() int64 {
	if s.rest != nil {
		return s.rest.late()
	}
	return 0
}

func (s *sqliteSource) close() error {
	err := errors.Join(s.rows.Close(), s.db.Close())
	if s.rest != nil {
		err = errors.Join(err, s.rest.close())
	}
	return err
}
