package rosbag2

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"
)

const stringDefinition = "string data\n"

// cdrString is std_msgs/msg/String in CDR.
func cdrString(s string) []byte {
	b := []byte{0, 1, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)+1))
	return append(append(b, s...), 0)
}

// sample is a stream of messages of two topics, times slightly out of order.
func sample(n int) []got {
	rng := rand.New(rand.NewPCG(1, 2))
	msgs := make([]got, n)
	for i := range msgs {
		log := 1e18 + int64(i)*1e6 + rng.Int64N(5e6)
		msgs[i] = got{[]string{"/a", "/b"}[i%2], log, log, string(cdrString(fmt.Sprint("message ", i, " ", rng.Uint64())))}
	}
	return msgs
}

// writeBag writes msgs with the package's own writer.
func writeBag(t testing.TB, dir string, o WriterOptions, msgs []got) {
	t.Helper()
	w, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]TopicID{}
	for _, name := range []string{"/a", "/b"} {
		if ids[name], err = w.AddTopic(Topic{Name: name, Type: "std_msgs/msg/String", Definition: stringDefinition}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range msgs {
		if err := w.Write(ids[m.topic], m.log, []byte(m.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeMCAP writes msgs in their order with the library, as other programs do.
func writeMCAP(t testing.TB, path string, o mcap.WriterOptions, msgs []got) {
	t.Helper()
	var buf bytes.Buffer
	w, err := mcap.NewWriter(&buf, &o)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	check(w.WriteHeader(&mcap.Header{Profile: "ros2"}))
	check(w.WriteSchema(&mcap.Schema{ID: 1, Name: "std_msgs/msg/String", Encoding: "ros2msg", Data: []byte(stringDefinition)}))
	for i, name := range []string{"/a", "/b"} {
		check(w.WriteChannel(&mcap.Channel{ID: uint16(i), SchemaID: 1, Topic: name, MessageEncoding: "cdr"}))
	}
	for _, m := range msgs {
		id := uint16(0)
		if m.topic == "/b" {
			id = 1
		}
		check(w.WriteMessage(&mcap.Message{ChannelID: id, LogTime: uint64(m.log), PublishTime: uint64(m.pub), Data: []byte(m.data)}))
	}
	check(w.Close())
	check(os.WriteFile(path, buf.Bytes(), 0o666))
}

// schemas are the statements that rosbag2 created its tables with.
var schemas = map[int][]string{
	1: {"CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL)"},
	2: {"CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL)"},
	3: {"CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL)", "INSERT INTO schema VALUES(3, 'humble')",
		"CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL)",
		"CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL)"},
	4: {"CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL)", "INSERT INTO schema VALUES(4, 'jazzy')",
		"CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL)",
		"CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL, type_description_hash TEXT NOT NULL)",
		"CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL)",
		"INSERT INTO message_definitions VALUES(1, 'std_msgs/msg/String', 'ros2msg', '" + stringDefinition + "', 'RIHS01_0')"},
}

// sqliteBag returns an open database of that schema that holds msgs.
func sqliteBag(t testing.TB, path string, schema int, msgs []got, extra ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Exec(q, args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	for _, q := range extra {
		exec(q)
	}
	for _, q := range schemas[schema] {
		exec(q)
	}
	exec("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL)")
	exec("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
	for i, name := range []string{"/a", "/b"} {
		switch schema {
		case 1:
			exec("INSERT INTO topics VALUES(?, ?, 'std_msgs/msg/String', 'cdr')", i+1, name)
		case 2, 3:
			exec("INSERT INTO topics VALUES(?, ?, 'std_msgs/msg/String', 'cdr', '- history: 1')", i+1, name)
		case 4:
			exec("INSERT INTO topics VALUES(?, ?, 'std_msgs/msg/String', 'cdr', '- history: keep_last', 'RIHS01_0')", i+1, name)
		}
	}
	exec("BEGIN")
	insert(t, db, msgs)
	exec("COMMIT")
	return db
}

// insert adds messages to a database of sqliteBag.
func insert(t testing.TB, db *sql.DB, msgs []got) {
	t.Helper()
	for _, m := range msgs {
		id := 1
		if m.topic == "/b" {
			id = 2
		}
		if _, err := db.Exec("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", id, m.log, []byte(m.data)); err != nil {
			t.Fatal(err)
		}
	}
}

func writeSQLite(t testing.TB, path string, schema int, msgs []got, extra ...string) {
	t.Helper()
	if err := sqliteBag(t, path, schema, msgs, extra...).Close(); err != nil {
		t.Fatal(err)
	}
}

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
})

func zstdBytes(t testing.TB, data []byte) []byte {
	t.Helper()
	e, err := encoder()
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(data, nil)
}

func mustOpen(t testing.TB, path string, opts ...Option) *Bag {
	t.Helper()
	b, err := Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// writeFiles makes a bag folder of the given files.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bag")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sqliteOpen(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
