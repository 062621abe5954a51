package cdr

import (
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite"

	"arfm/bags/bagtest"
)

// recorded is a message or, without data, a definition of a real recording.
type recorded struct {
	file, typ, encoding, definition string
	format                          string
	registry                        *Registry // with the file's definitions
	data                            []byte
}

// eachRecorded calls visit for every definition and message of the shared
// recordings.
func eachRecorded(t *testing.T, visit func(recorded)) {
	t.Helper()
	root := bagtest.Shared(t, "bags")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch filepath.Ext(path) {
		case ".mcap":
			readMCAP(t, path, visit)
		case ".db3":
			if !d.IsDir() {
				readSQLite(t, path, visit)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readMCAP(t *testing.T, path string, visit func(recorded)) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := mcap.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	it, err := r.Messages(mcap.UsingIndex(false), mcap.InOrder(mcap.FileOrder))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	registries := make(map[uint16]*Registry)
	for {
		schema, channel, msg, err := it.NextInto(nil)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Logf("%s: %v", path, err) // cut off on purpose
			return
		}
		m := recorded{file: path, typ: schema.Name, encoding: schema.Encoding, definition: string(schema.Data), format: channel.MessageEncoding}
		if registries[schema.ID] == nil {
			registries[schema.ID] = NewRegistry()
			m.addTo(t, registries[schema.ID])
			visit(m)
		}
		m.registry = registries[schema.ID]
		m.data = inflate(t, msg.Data)
		visit(m)
	}
}

// inflate undoes rosbag2's message-level compression.
func inflate(t *testing.T, data []byte) []byte {
	if len(data) < 4 || string(data[:4]) != "\x28\xb5\x2f\xfd" {
		return data
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readSQLite(t *testing.T, path string, visit func(recorded)) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	registry := NewRegistry()
	if rows, err := db.Query("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"); err == nil {
		for rows.Next() {
			m := recorded{file: path}
			if err := rows.Scan(&m.typ, &m.encoding, &m.definition); err != nil {
				t.Fatal(err)
			}
			m.addTo(t, registry)
			visit(m)
		}
	}
	rows, err := db.Query("SELECT t.type, t.serialization_format, m.data FROM messages m JOIN topics t ON m.topic_id = t.id")
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		m := recorded{file: path, registry: registry}
		if err := rows.Scan(&m.typ, &m.format, &m.data); err != nil {
			t.Fatal(err)
		}
		m.data = inflate(t, m.data)
		visit(m)
	}
}

// TestCarriedDefinitions compares what we carry with what recordings store.
func TestCarriedDefinitions(t *testing.T) {
	ours := NewRegistry()
	compared := make(map[string]bool)
	eachRecorded(t, func(m recorded) {
		if m.data != nil || m.encoding == "" {
			return
		}
		theirs := &Registry{defs: map[string]*definition{}, scopes: map[string]map[string]*definition{}, compiled: map[string]*Type{}}
		m.addTo(t, theirs)
		for _, name := range theirs.Names() {
			our, their := ours.defs[name], theirs.defs[name]
			if our == nil {
				continue
			}
			compared[name] = true
			if got, want := layout(our), layout(their); got != want {
				t.Errorf("%s: carried %s is\n%sbut %s stores\n%s", m.file, name, got, m.typ, want)
			}
		}
	})
	if len(compared) < 90 {
		t.Errorf("only %d types were compared", len(compared))
	}
	t.Logf("%d types compared", len(compared))
}

func layout(d *definition) string {
	var b strings.Builder
	for _, f := range d.fields {
		b.WriteString(f.ref.String() + " " + f.name + "\n")
	}
	return b.String()
}

// TestRecordings decodes every message whose type is known, and encodes it
// again to the same bytes.
func TestRecordings(t *testing.T) {
	decoded, unknown := 0, make(map[string]int)
	types := make(map[string]bool)
	eachRecorded(t, func(m recorded) {
		if m.data == nil || m.format != "cdr" {
			return
		}
		typ, err := m.registry.Type(m.typ)
		if errors.Is(err, ErrUnknownType) {
			unknown[m.typ]++
			return
		}
		if err != nil {
			t.Errorf("%s: %v", m.file, err)
			return
		}
		r, err := typ.Decode(m.data)
		if err != nil {
			t.Errorf("%s: %v", m.file, err)
			return
		}
		decoded++
		types[typ.Name()] = true
		checkEncode(t, m, typ, r)
	})
	if decoded < 82000 || len(types) < 115 {
		t.Errorf("only %d messages of %d types were decoded", decoded, len(types))
	}
	t.Logf("%d messages of %d types decoded, unknown: %v", decoded, len(types), unknown)
}

// addTo adds a stored definition. One of rosbag2's own recordings has two that
// are cut down to a line; those are left to the carried ones.
func (m recorded) addTo(t *testing.T, r *Registry) {
	if filepath.Base(m.file) == "talker.db3" && len(m.definition) < 40 && strings.HasPrefix(m.typ, "rcl_interfaces/") {
		return
	}
	if err := r.AddDefinition(m.typ, m.encoding, m.definition); err != nil {
		t.Errorf("%s: %v", m.file, err)
	}
}

func checkEncode(t *testing.T, m recorded, typ *Type, r *Record) {
	t.Helper()
	out, err := typ.Encode(r)
	if err != nil {
		t.Errorf("%s: %v", m.file, err)
		return
	}
	if m.data[1] != 1 {
		return
	}
	same := len(out) <= len(m.data) && len(m.data)-len(out) <= maxPadding
	for i := headerSize; same && i < len(out); i++ {
		// Fast CDR leaves in its padding what was there before.
		same = out[i] == m.data[i] || out[i] == 0
	}
	if !same {
		t.Errorf("%s: %s is encoded as\n%x\nrecorded was\n%x", m.file, typ.Name(), out[:min(len(out), 200)], m.data[:min(len(m.data), 200)])
	}
}
