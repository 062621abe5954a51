package rosbag2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const namedQoS = "- history: keep_last\n  depth: 10\n  reliability: best_effort\n  durability: volatile\n  liveliness: automatic\n"

func TestWriterRoundTrip(t *testing.T) {
	msgs := sample(1000)
	for _, compression := range []string{"", "lz4", "none"} {
		dir := filepath.Join(t.TempDir(), "bag")
		writeBag(t, dir, WriterOptions{Compression: compression, ChunkSize: 10000}, msgs)
		b := mustOpen(t, dir)
		info := b.Info()
		all := sorted(msgs)
		if info.Storage != "mcap" || info.Version != 5 || info.Messages != 1000 || info.Start != all[0].log || info.Duration != all[999].log-all[0].log || info.Mismatch != nil || info.Missing != nil {
			t.Errorf("%q: %+v", compression, info)
		}
		if top := info.Topics[0]; top.Name != "/a" || top.Definition != stringDefinition || top.DefinitionEncoding != "ros2msg" || top.Format != "cdr" || top.Count != 500 {
			t.Errorf("%q: %+v", compression, top)
		}
		have, breaks := readAll(t, b, Filter{})
		equalMessages(t, have, all)
		if breaks != nil {
			t.Error(breaks)
		}
		// The record inside of the file says the same as metadata.yaml.
		if m := b.splits[0].desc.meta; m == nil || m.Count != 1000 || m.Version != 5 || len(m.Topics) != 2 {
			t.Errorf("%q: metadata record %+v", compression, m)
		}
	}
}

func TestWriterDeterministic(t *testing.T) {
	msgs := sample(20000)
	var first map[string][]byte
	for range 2 {
		dir := filepath.Join(t.TempDir(), "bag")
		writeBag(t, dir, WriterOptions{}, msgs)
		files := map[string][]byte{}
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			files[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
		}
		if len(files) != 2 || files["bag_0.mcap"] == nil || files[metadataFile] == nil {
			t.Fatalf("files %v", list)
		}
		if first == nil {
			first = files
		}
		for name, data := range files {
			if !bytes.Equal(data, first[name]) {
				t.Errorf("%s differs from the first time", name)
			}
		}
	}
}

// Every key that Humble's reader demands is there, and QoS is numeric.
func TestWriterMetadata(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bag")
	w, err := Create(dir, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.AddTopic(Topic{Name: "/tf", Type: "geometry_msgs/msg/Twist", QoS: namedQoS})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(id, 5, []byte{0, 1, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var doc map[string]map[string]any
	if err := yaml.Unmarshal(readFile(t, filepath.Join(dir, metadataFile)), &doc); err != nil {
		t.Fatal(err)
	}
	info := doc["rosbag2_bagfile_information"]
	for _, key := range []string{"version", "storage_identifier", "duration", "starting_time", "message_count", "topics_with_message_count", "compression_format", "compression_mode", "relative_file_paths", "files"} {
		if _, ok := info[key]; !ok {
			t.Errorf("no %s", key)
		}
	}
	topic := mustOpen(t, dir).Info().Topics[0]
	want := "- history: 1\n  depth: 10\n  reliability: 2\n  durability: 2\n  liveliness: 1"
	if strings.ReplaceAll(topic.QoS, "    ", "  ") != want {
		t.Errorf("QoS %q", topic.QoS)
	}
	if !strings.Contains(topic.Definition, "MSG: geometry_msgs/Vector3") {
		t.Errorf("definition %q is not complete", topic.Definition)
	}
	reg, err := mustOpen(t, dir).Registry()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Type("geometry_msgs/msg/Twist"); err != nil {
		t.Error(err)
	}
}

// brokenFile fails like a full disk after some bytes.
type brokenFile struct {
	io.WriteCloser
	left int
}

func (f *brokenFile) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		defer full.Close()
		return full.Write(b)
	}
	return f.WriteCloser.Write(b)
}

func TestWriterFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	for _, left := range []int{0, 50000, 1 << 21} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "bag")
		open := func(path string) (io.WriteCloser, error) {
			f, err := os.Create(path)
			return &brokenFile{f, left}, err
		}
		w, err := Create(dir, WriterOptions{Compression: "none", open: open})
		if err != nil {
			t.Fatal(err)
		}
		id, err := w.AddTopic(Topic{Name: "/a", Type: "std_msgs/msg/String"})
		for i := int64(0); err == nil && i < 4000; i++ {
			err = w.Write(id, i, make([]byte, 1000))
		}
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), dir) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%d bytes left: %v", left, err)
		}
		if err2 := w.Close(); err2 != err && left > 0 {
			t.Errorf("Close after the failure: %v", err2)
		}
		if list, _ := os.ReadDir(parent); len(list) != 0 {
			t.Errorf("%d bytes left: %s is left behind", left, list[0].Name())
		}
	}
}

func TestWriterErrors(t *testing.T) {
	parent := t.TempDir()
	exists := filepath.Join(parent, "there")
	if err := os.Mkdir(exists, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(exists, WriterOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("existing: %v", err)
	}
	if _, err := Create(filepath.Join(parent, "bag"), WriterOptions{Compression: "rar"}); !errors.Is(err, ErrCompression) {
		t.Errorf("compression: %v", err)
	}
	if _, err := Create(filepath.Join(parent, "absent", "bag"), WriterOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no parent: %v", err)
	}
	locked := filepath.Join(parent, "locked")
	if err := os.Mkdir(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 { // root may write anywhere
		if _, err := Create(filepath.Join(locked, "bag"), WriterOptions{}); !errors.Is(err, ErrPermission) {
			t.Errorf("locked: %v", err)
		}
	}
}

func TestWriterTopics(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "bag")
	w, err := Create(dir, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.AddTopic(Topic{Name: "/a", Type: "std_msgs/msg/String"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Topic{{Name: "/a", Type: "x/msg/Y"}, {Name: "/b"}, {Type: "x/msg/Y"}, {Name: "/c", Type: "x/msg/Y", QoS: "- history: often"}, {Name: "/d", Type: "x/msg/Y", QoS: "a: ["}} {
		if _, err := w.AddTopic(bad); !errors.Is(err, ErrTopic) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := w.Write(id+1, 0, nil); !errors.Is(err, ErrTopic) {
		t.Errorf("unknown id: %v", err)
	}
	if err := w.Write(id, -1, nil); !errors.Is(err, ErrTopic) {
		t.Errorf("negative time: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if err := w.Write(id, 0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Abort: %v", err)
	}
	// Someone else makes the folder while we write.
	if w, err = Create(dir, WriterOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrExists) {
		t.Errorf("raced: %v", err)
	}
	list, err := os.ReadDir(parent)
	if err != nil || !slices.EqualFunc(list, []string{"bag"}, func(e os.DirEntry, n string) bool { return e.Name() == n }) {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestEmptyBag(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bag")
	writeBag(t, dir, WriterOptions{}, nil)
	b := mustOpen(t, dir)
	if have, breaks := readAll(t, b, Filter{}); have != nil || breaks != nil || len(b.Info().Topics) != 2 {
		t.Errorf("%v %v %+v", have, breaks, b.Info())
	}
}
