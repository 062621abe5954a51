package rosbag2

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// killed returns a database and its write-ahead log as a recorder leaves them
// that is killed: the first messages are in the database, others in the log.
func killed(t *testing.T, msgs []got) (db, wal []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db3")
	c := sqliteBag(t, path, 3, msgs[:len(msgs)/2], "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0")
	defer c.Close()
	if _, err := c.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	insert(t, c, msgs[len(msgs)/2:])
	return readFile(t, path), readFile(t, path+"-wal")
}

// interrupted returns a database that was killed in a transaction, and its
// rollback journal; the transaction has reached the file in part.
func interrupted(t *testing.T, msgs []got) (db, journal []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db3")
	c := sqliteBag(t, path, 3, msgs, "PRAGMA journal_mode=DELETE", "PRAGMA cache_size=5")
	defer c.Close()
	if _, err := c.Exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec("UPDATE messages SET data = zeroblob(length(data))"); err != nil {
		t.Fatal(err)
	}
	return readFile(t, path), readFile(t, path+"-journal")
}

// TestUnfinishedLogs puts logs of every kind beside a database: what they hold
// is read, and what cannot be read is told.
func TestUnfinishedLogs(t *testing.T) {
	msgs := sample(400)
	db, wal := killed(t, msgs)
	spoilt := slices.Clone(wal)
	spoilt[len(spoilt)/2] ^= 1
	other, _ := killed(t, msgs[:100])
	hot, journal := interrupted(t, msgs)
	whole := filepath.Join(t.TempDir(), "x.db3")
	writeSQLite(t, whole, 3, msgs)
	closed := readFile(t, whole)
	if bytes.Equal(hot, closed) {
		t.Fatal("the interrupted transaction has not reached the file")
	}
	for name, c := range map[string]struct {
		db, log     []byte
		suffix      string
		least, most int    // messages
		breaks      string // in what the break says, "" if there is none
	}{
		"whole log":                 {db, wal, "-wal", 400, 400, ""},
		"log cut in a frame":        {db, wal[:len(wal)/2], "-wal", 200, 399, "-wal breaks off at byte"},
		"log spoilt in the middle":  {db, spoilt, "-wal", 200, 399, "-wal breaks off at byte"},
		"text for a log":            {db, []byte("this is no write-ahead log at all, but longer than its header"), "-wal", 200, 200, "-wal breaks off at byte 0"},
		"empty log":                 {db, nil, "-wal", 200, 200, ""},
		"log of another, truncated": {other, wal[:40], "-wal", 50, 50, "-wal breaks off at byte 32"},
		"hot journal":               {hot, journal, "-journal", 400, 400, ""},
		"text for a journal":        {closed, []byte("this is no journal"), "-journal", 400, 400, "-journal breaks off at byte 0"},
		"finished journal":          {closed, make([]byte, 600), "-journal", 400, 400, ""},
		"cut database, whole log":   {db[:len(db)/2], wal, "-wal", 50, 399, "x.db3 "},
	} {
		dir := writeFiles(t, map[string]string{"x.db3": string(c.db), "x.db3" + c.suffix: string(c.log)})
		before, temp := listing(t, dir), t.TempDir()
		b, err := Open(dir, WithTempDir(temp))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		have, breaks := readAll(t, b, Filter{})
		info := b.Info()
		if len(have) < c.least || len(have) > c.most || info.Messages != int64(len(have)) {
			t.Errorf("%s: %d messages, info %d, want %d to %d", name, len(have), info.Messages, c.least, c.most)
		}
		all := map[got]bool{}
		for _, m := range msgs {
			all[m] = true
		}
		for _, m := range have {
			if !all[m] {
				t.Fatalf("%s: a message that was not recorded: %.100v", name, m)
			}
		}
		file := info.Files[0]
		if (file.Log == "") != (len(c.log) == 0) || (file.Err == nil) != (c.breaks == "") || len(breaks) != min(1, len(c.breaks)) {
			t.Errorf("%s: log %q, damaged %v, breaks %v", name, file.Log, file.Err, breaks)
		} else if c.breaks != "" && (!strings.Contains(file.Err.Error(), c.breaks) || !strings.Contains(breaks[0].Error(), c.breaks)) {
			t.Errorf("%s: %v, %v, want %q", name, file.Err, breaks[0], c.breaks)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: the bag's folder changed:\n%s\n%s", name, before, after)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s: %s is left", name, left[0].Name())
		}
		if _, err := Open(dir, WithTempDir(temp), WithLimits(Limits{Temp: 1000})); len(c.log) > 0 && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: a copy beyond the limit: %v", name, err)
		}
	}
}
