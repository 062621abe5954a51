package rosbag2

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sorted(msgs []got) []got {
	msgs = slices.Clone(msgs)
	slices.SortStableFunc(msgs, func(a, b got) int { return cmp.Compare(a.log, b.log) })
	return msgs
}

func equalMessages(t *testing.T, have, want []got) {
	t.Helper()
	if slices.Equal(have, want) {
		return
	}
	for i := range min(len(have), len(want)) {
		if have[i] != want[i] {
			t.Fatalf("message %d is %+v, want %+v", i, have[i], want[i])
		}
	}
	t.Fatalf("%d messages, want %d", len(have), len(want))
}

func TestSQLiteSchemas(t *testing.T) {
	msgs := sample(200)
	for schema := 1; schema <= 4; schema++ {
		path := filepath.Join(t.TempDir(), "x.db3")
		writeSQLite(t, path, schema, msgs)
		b := mustOpen(t, path)
		info := b.Info()
		if info.Schema != schema || info.Storage != "sqlite3" || info.Messages != 200 || len(info.Topics) != 2 || info.Topics[0].Count != 100 {
			t.Errorf("schema %d: %+v", schema, info)
		}
		top := info.Topics[0]
		if (top.QoS != "") != (schema >= 2) || (top.TypeHash != "") != (schema >= 4) || (top.Definition == stringDefinition) != (schema >= 4) {
			t.Errorf("schema %d: topic %+v", schema, top)
		}
		if want := []string{"", "", "humble", "jazzy"}[schema-1]; info.Distro != want {
			t.Errorf("schema %d: distro %q", schema, info.Distro)
		}
		have, breaks := readAll(t, b, Filter{})
		equalMessages(t, have, sorted(msgs))
		if breaks != nil {
			t.Errorf("breaks %v", breaks)
		}
	}
}

func TestFilter(t *testing.T) {
	msgs := sample(300)
	dir := t.TempDir()
	writeSQLite(t, filepath.Join(dir, "x.db3"), 3, msgs)
	writeBag(t, filepath.Join(dir, "bag"), WriterOptions{ChunkSize: 2000}, msgs)
	all := sorted(msgs)
	f := Filter{Topics: []string{"/b", "/absent"}, Start: all[70].log, End: all[220].log}
	var want []got
	for _, m := range all {
		if m.topic == "/b" && m.log >= f.Start && m.log < f.End {
			want = append(want, m)
		}
	}
	for _, path := range []string{"x.db3", "bag"} {
		have, _ := readAll(t, mustOpen(t, filepath.Join(dir, path)), f)
		equalMessages(t, have, want)
		if have, _ := readAll(t, mustOpen(t, filepath.Join(dir, path)), Filter{Topics: []string{"/absent"}}); len(have) != 0 {
			t.Errorf("%s: an absent topic has %d messages", path, len(have))
		}
	}
}

func TestSQLiteHostile(t *testing.T) {
	endless := "CREATE VIEW messages AS WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id+1 FROM c) SELECT id, 1 topic_id, id timestamp, x'00' data FROM c"
	for name, c := range map[string]struct {
		statements []string
		want       error
		text       string
	}{
		"endless view": {append(schemas[2], endless), ErrNotBag, "messages"},
		"no topics":    {[]string{"CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data)"}, ErrNotBag, "topics"},
		"other tables": {[]string{"CREATE TABLE fruit(name)"}, ErrNotBag, "messages"},
	} {
		path := filepath.Join(t.TempDir(), "x.db3")
		execAll(t, path, c.statements...)
		if _, err := Open(path); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.db3")
	writeSQLite(t, path, 3, sample(10))
	execAll(t, path, "INSERT INTO messages VALUES(100, 1, 5, zeroblob(2000))", "INSERT INTO messages VALUES(101, 1, 'noon', x'00')",
		"INSERT INTO messages VALUES(102, 77, 6, x'00')", "DROP INDEX timestamp_idx")
	have, breaks := readAll(t, mustOpen(t, path, WithLimits(Limits{Message: 1000})), Filter{})
	equalMessages(t, have, sorted(sample(10)))
	if len(breaks) != 1 || !errors.Is(breaks[0], ErrTooLarge) {
		t.Errorf("a message beyond the limit: %v", breaks)
	}
}

func execAll(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := sqliteOpen(t, path)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// A large database is not counted when metadata.yaml has counts, and Info says so.
func TestSQLiteCountFromMetadata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db3")
	msgs := sample(100)
	writeSQLite(t, path, 3, msgs)
	topics := "  topics_with_message_count:\n    - message_count: 300\n      topic_metadata: {name: /a, type: std_msgs/msg/String, serialization_format: cdr}\n"
	dir := writeFiles(t, map[string]string{"b_0.db3": string(readFile(t, path)), metadataFile: metaYAML("sqlite3", "", "", "b_0.db3") + topics})
	info := mustOpen(t, dir, func(o *options) { o.countBelow = 1 }).Info()
	all := sorted(msgs)
	if info.CountSource != "metadata" || info.Messages != 300 || info.Topics[0].Count != 300 || info.Start != all[0].log || info.End != all[99].log {
		t.Errorf("%+v", info)
	}
	info = mustOpen(t, dir).Info()
	if info.CountSource != "storage" || info.Messages != 100 || info.Topics[0].Count != 50 || len(info.Mismatch) != 2 {
		t.Errorf("%+v", info)
	}
}
