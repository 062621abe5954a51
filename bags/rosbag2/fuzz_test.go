package rosbag2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
)

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(metaYAML("sqlite3", "zstd", "FILE", "a_0.db3.zstd")))
	f.Add([]byte("version: 1\nmessage_count: 3\nrelative_file_paths: [a.db3]\nduration: {nanoseconds: 9223372036854775807}\nstarting_time: {nanoseconds_since_epoch: 1}"))
	f.Add([]byte("rosbag2_bagfile_information: {version: 9, files: [{path: ../x}], custom_data: {a: b}, topics_with_message_count: [{message_count: 1, topic_metadata: {name: /a, offered_qos_profiles: [{history: keep_last}]}}]}"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("version: 1\nrelative_file_paths: [..]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMetadata(data)
		if err != nil {
			if !errors.Is(err, ErrMetadata) {
				t.Errorf("%v", err)
			}
			return
		}
		dir := t.TempDir()
		for _, p := range m.paths() {
			path, _ := locate(dir, p)
			if rel, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("%q leads outside of the bag: %q", p, path)
			}
		}
		for i := range m.Topics {
			text := qosText(&m.Topics[i].Topic.QoS)
			if numeric, err := numericQoS(text); err == nil {
				if again, err := numericQoS(numeric); err != nil || again != numeric {
					t.Errorf("QoS %q becomes %q and then %q, %v", text, numeric, again, err)
				}
			}
		}
	})
}

func FuzzOpenMCAP(f *testing.F) {
	dir := f.TempDir()
	for name, o := range variants {
		path := filepath.Join(dir, "x.mcap")
		o.ChunkSize = 200
		writeMCAP(f, path, o, sample(6))
		data := readFile(f, path)
		f.Add(data)
		if name == "zstd" {
			f.Add(data[:len(data)/2])
		}
	}
	f.Add(append(bytes.Clone(mcap.Magic), record(mcap.OpHeader, make([]byte, 8))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		path := filepath.Join(t.TempDir(), "x.mcap")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path, WithLimits(Limits{Message: 1 << 20, Chunk: 1 << 20, Open: 1 << 16, Reorder: 1 << 16, Temp: 1 << 20}))
		if err != nil {
			return
		}
		defer b.Close()
		it, err := b.Messages(Filter{AnyFormat: true})
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		last := int64(-1)
		// The file's own bytes bound what it can hold, decompression included.
		for range 1 << 20 {
			m, err := it.Next()
			if err == io.EOF {
				return
			}
			var be *BreakError
			if errors.As(err, &be) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.LogTime < last {
				t.Fatalf("log time %d after %d", m.LogTime, last)
			}
			last = m.LogTime
		}
		t.Fatal("no end")
	})
}

// TestMetadataErrors: what is wrong is told on one line, without Go types.
func TestMetadataErrors(t *testing.T) {
	for _, text := range []string{"[1, 2]", "{version: [1], files: 7}", "a: [", "rosbag2_bagfile_information: {version: x, files: y}"} {
		if _, err := parseMetadata([]byte(text)); !errors.Is(err, ErrMetadata) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "rosbag2.") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
