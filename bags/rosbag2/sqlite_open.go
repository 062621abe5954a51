package rosbag2

import (
	"cmp"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"modernc.org/sqlite" // also registers the driver "sqlite"
	"modernc.org/sqlite/vfs"
)

const (
	sqliteCorrupt = 11 // SQLITE_CORRUPT
	sqliteNotADB  = 26 // SQLITE_NOTADB
	maxDefinition = 16 << 20
	maxTopics     = 1 << 16
)

// sqliteFile is a .db3 file: tables topics and messages; since schema 2
// offered_qos_profiles, since 3 the table schema, since 4 message_definitions,
// metadata and type_description_hash.
type sqliteFile struct {
	path    string // where it is read
	name    string // as the user knows it
	opts    *options
	size    int64 // bytes
	page    int64 // bytes of a page
	usable  int   // bytes of it that SQLite uses
	stated  int64 // pages by the header, 0 if it does not say
	missing int64 // bytes that the header counts and the file does not have
	desc    fileDescription
	layout  layout             // of messages
	sorted  bool               // an index gives timestamp order
	scanned bool               // SQLite cannot read it in full: its pages are scanned
	strays  map[position]int64 // rows that the scan leaves out
}

// openSQLite opens a database that nobody writes to. If meta has counts, the
// messages of large files are not counted (then messages is -1).
func openSQLite(path, name string, meta *metadata, opts *options) (*sqliteFile, error) {
	s := &sqliteFile{path: path, name: name, opts: opts, layout: usualLayout}
	if err := s.measure(); err != nil {
		return nil, err
	}
	db, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	s.desc = fileDescription{storage: "sqlite3"}
	why, err := s.describeTables(db)
	if err != nil {
		return nil, err
	}
	small := s.size <= opts.countBelow
	if s.missing == 0 && why == nil {
		if why = s.count(db, small || meta == nil || len(meta.Topics) == 0); why != nil && !isCorrupt(why) {
			return nil, s.explain(why)
		}
	}
	if s.missing == 0 && why == nil && !small {
		return s, nil
	}
	v, err := s.survey()
	if err != nil {
		return nil, err
	}
	// SQLite reads an overwritten page without a word as long as it looks like one.
	if _, pages := v.scan.damage(false); s.missing > 0 || why != nil || pages > 0 {
		return s, s.adopt(v, meta, why)
	}
	return s, nil
}

// describeTables reads the small tables. Of a database that is damaged it takes
// what it can get and returns why that is not all.
func (s *sqliteFile) describeTables(db *database) (why, err error) {
	for _, step := range []func(*database) error{s.readSchema, s.readTopics, s.readDefinitions, s.readMetadata} {
		if err := step(db); err != nil {
			if s.missing == 0 && !isCorrupt(err) {
				return nil, s.explain(err)
			}
			why = cmp.Or(why, err)
		}
	}
	return why, nil
}

// measure compares the size that page 1 states with the file's.
func (s *sqliteFile) measure() error {
	f, err := os.Open(s.path)
	if err != nil {
		return IOError("open", s.name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return IOError("open", s.name, err)
	}
	s.size = info.Size()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return fmt.Errorf("%s: %w: the file ends in the database header", s.name, ErrTruncated)
	}
	if s.page = int64(binary.BigEndian.Uint16(h[16:])); s.page == 1 {
		s.page = 65536
	}
	if s.usable = int(s.page) - int(h[20]); s.page < 512 || s.page&(s.page-1) != 0 || s.usable < 480 {
		return fmt.Errorf("%s: %w: a page size of %d; take another copy of the file", s.name, ErrCorrupt, s.page)
	}
	// The page count only holds when its version stamp equals the change counter.
	if binary.BigEndian.Uint32(h[24:]) == binary.BigEndian.Uint32(h[92:]) {
		s.stated = int64(binary.BigEndian.Uint32(h[28:]))
		s.missing = max(0, s.page*s.stated-s.size)
	}
	return nil
}

// connect opens the database so that SQLite neither writes nor locks beside it.
func (s *sqliteFile) connect() (*database, error) {
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return nil, IOError("open", s.name, err)
	}
	d := &database{}
	v := url.Values{"_pragma": {"trusted_schema(0)", "cell_size_check(1)", "temp_store(1)"}, "mode": {"ro"}, "immutable": {"1"}}
	name := (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath()
	if s.missing > 0 {
		var system string
		if system, d.vfs, err = vfs.New(shortFS{abs, s.size - s.size%s.page}); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		name = shortName
		v.Set("vfs", system)
		v.Add("_pragma", "writable_schema(1)") // else SQLite refuses a short file altogether
	}
	if d.DB, err = sql.Open("sqlite", "file:"+name+"?"+v.Encode()); err != nil {
		return nil, s.explain(err)
	}
	d.SetMaxOpenConns(1)
	return d, nil
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func isCorrupt(err error) bool {
	c := sqliteCode(err)
	return c == sqliteCorrupt || c == sqliteNotADB || errors.Is(err, ErrCorrupt)
}

func (s *sqliteFile) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case s.missing > 0:
		return fmt.Errorf("%s: %w: %d bytes are missing at its end (%v)", s.name, ErrTruncated, s.missing, err)
	case isCorrupt(err):
		return fmt.Errorf("%s: %w: %v", s.name, ErrCorrupt, err)
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// columns of a table, empty where it is none. A view of that name could make
// SQLite compute for ever and is not a table.
func columns(db *database, table string) ([]string, error) {
	var kind string
	err := db.QueryRow("SELECT type FROM sqlite_master WHERE name = ? AND sql NOT LIKE 'CREATE VIRTUAL%'", table).Scan(&kind)
	if errors.Is(err, sql.ErrNoRows) || err == nil && kind != "table" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cols []string
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	return cols, rows.Err()
}

func (s *sqliteFile) readSchema(db *database) error {
	cols, err := columns(db, "messages")
	if err != nil {
		return err
	}
	for _, need := range []string{"topic_id", "timestamp", "data"} {
		if !slices.Contains(cols, need) {
			return fmt.Errorf("%w: the database has no table messages with a column %s", ErrNotBag, need)
		}
	}
	s.layout = layoutOf(cols)
	var n int
	err = db.QueryRow("SELECT count(*) FROM pragma_index_list('messages') l, pragma_index_info(l.name) i WHERE i.seqno = 0 AND i.name = 'timestamp'").Scan(&n)
	if err != nil {
		return err
	}
	s.sorted = n > 0
	s.desc.schema = 1
	if cols, err = columns(db, "schema"); err != nil || len(cols) == 0 {
		return err
	}
	var distro any
	err = db.QueryRow("SELECT schema_version, ros_distro FROM schema ORDER BY schema_version DESC").Scan(&s.desc.schema, &distro)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	s.desc.distro, _ = distro.(string)
	return err
}

func (s *sqliteFile) readTopics(db *database) error {
	cols, err := columns(db, "topics")
	if err != nil {
		return err
	}
	if len(cols) == 0 {
		return fmt.Errorf("%w: the database has no table topics", ErrNotBag)
	}
	pick := func(c string) string {
		if slices.Contains(cols, c) {
			return fmt.Sprintf("CAST(substr(%s, 1, 65536) AS TEXT)", c)
		}
		return "''"
	}
	if s.desc.schema == 1 && slices.Contains(cols, "offered_qos_profiles") {
		s.desc.schema = 2
	}
	rows, err := db.Query(fmt.Sprintf("SELECT id, %s, %s, %s, coalesce(%s, ''), coalesce(%s, '') FROM topics ORDER BY id LIMIT %d",
		pick("name"), pick("type"), pick("serialization_format"), pick("offered_qos_profiles"), pick("type_description_hash"), maxTopics))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t fileTopic
		if err := rows.Scan(&t.id, &t.Name, &t.Type, &t.Format, &t.QoS, &t.TypeHash); err != nil {
			return fmt.Errorf("%w: topics: %w", ErrCorrupt, err)
		}
		s.desc.topics = append(s.desc.topics, t)
	}
	return rows.Err()
}

func (s *sqliteFile) readDefinitions(db *database) error {
	cols, err := columns(db, "message_definitions")
	if err != nil || len(cols) == 0 {
		return err
	}
	rows, err := db.Query(fmt.Sprintf("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions WHERE length(encoded_message_definition) <= %d LIMIT %d", maxDefinition, maxTopics))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, encoding, text string
		if err := rows.Scan(&name, &encoding, &text); err != nil {
			return fmt.Errorf("%w: message_definitions: %w", ErrCorrupt, err)
		}
		for i := range s.desc.topics {
			if t := &s.desc.topics[i]; t.Type == name && t.Definition == "" {
				t.Definition, t.DefinitionEncoding = text, encoding
			}
		}
	}
	return rows.Err()
}

func (s *sqliteFile) readMetadata(db *database) error {
	cols, err := columns(db, "metadata")
	if err != nil || !slices.Contains(cols, "metadata") {
		return err
	}
	var text string
	err = db.QueryRow(fmt.Sprintf("SELECT CAST(substr(metadata, 1, %d) AS TEXT) FROM metadata ORDER BY rowid DESC LIMIT 1", maxMetadataBytes)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if m, err := parseMetadata([]byte(text)); err == nil && strings.TrimSpace(text) != "" {
		s.desc.meta = m
	}
	return nil
}

// count finds the span, and the messages per topic if all is set: that reads
// every page of the table, so it is left out for large files. The index must
// have as many entries as the table has rows.
func (s *sqliteFile) count(db *database, all bool) error {
	s.desc.messages = -1
	var first, last sql.NullInt64
	if s.sorted {
		if err := db.QueryRow("SELECT (SELECT min(timestamp) FROM messages), (SELECT max(timestamp) FROM messages)").Scan(&first, &last); err != nil {
			return err
		}
		s.desc.start, s.desc.end = first.Int64, last.Int64
		if !first.Valid {
			s.desc.messages = 0
		}
		if !all {
			return nil
		}
		var entries, rows int64
		if err := db.QueryRow("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM messages NOT INDEXED)").Scan(&entries, &rows); err != nil {
			return err
		}
		if entries != rows {
			return fmt.Errorf("%w: the index of messages has %d entries, the table %d", ErrCorrupt, entries, rows)
		}
	}
	return s.tally(db)
}

// tally counts the messages of each topic in SQLite.
func (s *sqliteFile) tally(db *database) error {
	rows, err := db.Query("SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages WHERE typeof(timestamp) = 'integer' GROUP BY topic_id")
	if err != nil {
		return err
	}
	defer rows.Close()
	at := map[int64]*fileTopic{}
	for i := range s.desc.topics {
		at[s.desc.topics[i].id] = &s.desc.topics[i]
	}
	s.desc.messages = 0
	for rows.Next() {
		var id, n, first, last int64
		if err := rows.Scan(&id, &n, &first, &last); err != nil {
			return fmt.Errorf("%w: messages: %w", ErrCorrupt, err)
		}
		if at[id] == nil {
			continue
		}
		if s.desc.messages == 0 || first < s.desc.start {
			s.desc.start = first
		}
		if s.desc.messages == 0 || last > s.desc.end {
			s.desc.end = last
		}
		at[id].Count += n
		s.desc.messages += n
	}
	return rows.Err()
}

func (s *sqliteFile) describe() fileDescription { return s.desc }
