package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/demonstration"
)

// readOut is what the reader in testdata prints.
type readOut struct {
	Statistics string
	Topics     map[string]*readTopic
}

type readTopic struct {
	Schema, Encoding string
	Count            int
	First, Last      string
	Message          json.RawMessage
}

// mcapReader installs the reader of MCAP's authors and returns the script.
func mcapReader(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s: the recordings are not read by MCAP's own reader", tool)
		}
	}
	// A folder that stays, so that npm has nothing to do the next time.
	dir := filepath.Join("..", "..", "build", "mcap_reader")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "read.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", "mcap_reader", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.Command("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install MCAP's own reader: %.200s", bytes.ReplaceAll(out, []byte("\n"), []byte(" ")))
	}
	return filepath.Join(dir, "read.mjs")
}

// TestOtherReader: MCAP's own reader sees the same topics, times and messages.
func TestOtherReader(t *testing.T) {
	needsMuJoCo(t)
	script := mcapReader(t)
	needsCameras(t)
	out := record(t, "goal", demonstration.Options{Episodes: 1, Quality: demonstration.Expert})
	files, err := filepath.Glob(filepath.Join(out.Bags[0], "*.mcap"))
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
	cmd := exec.Command("node", script, files[0], TopicJoints, TopicScene, TopicCommand)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs readOut
	if err := json.Unmarshal(text, &theirs); err != nil {
		t.Fatal(err)
	}
	ours, last, total := readOurs(t, out.Bags[0])
	if theirs.Statistics != strconv.Itoa(total) || len(theirs.Topics) != len(ours) || len(ours) != len(Topics) {
		t.Errorf("they count %s messages of %d topics, we %d of %d", theirs.Statistics, len(theirs.Topics), total, len(ours))
	}
	for topic, got := range theirs.Topics {
		want := ours[topic]
		if want == nil {
			t.Errorf("they read a topic %s", topic)
			continue
		}
		if g := (readTopic{got.Schema, got.Encoding, got.Count, got.First, got.Last, nil}); !reflect.DeepEqual(g, *want) {
			t.Errorf("%s: they read %+v, we %+v", topic, g, *want)
		}
	}
	compare(t, theirs.Topics[TopicJoints].Message, last[TopicJoints], "header.stamp.sec", "header.stamp.nanosec", "name", "position", "velocity")
	compare(t, theirs.Topics[TopicScene].Message, last[TopicScene], "header.stamp.sec", "header.frame_id", "format", "data")
	compare(t, theirs.Topics[TopicCommand].Message, last[TopicCommand], "joint_names", "points.0.positions", "points.0.velocities", "points.0.time_from_start.nanosec")
}

// readOurs is the same by our reader, with the last message of each topic.
func readOurs(t *testing.T, path string) (topics map[string]*readTopic, last map[string]*cdr.Record, total int) {
	t.Helper()
	bag, err := rosbag2.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer bag.Close()
	reg, err := bag.Registry()
	if err != nil {
		t.Fatal(err)
	}
	it, err := bag.Messages(rosbag2.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	topics, last = map[string]*readTopic{}, map[string]*cdr.Record{}
	for {
		m, err := it.Next()
		if errors.Is(err, io.EOF) {
			return topics, last, total
		}
		if err != nil {
			t.Fatal(err)
		}
		total++
		at := strconv.FormatInt(m.LogTime, 10)
		r := topics[m.Topic.Name]
		if r == nil {
			r = &readTopic{Schema: m.Topic.Type, Encoding: m.Topic.Format, First: at}
			topics[m.Topic.Name] = r
		}
		r.Count, r.Last = r.Count+1, at
		typ, err := reg.Type(m.Topic.Type)
		if err != nil {
			t.Fatal(err)
		}
		if last[m.Topic.Name], err = typ.Decode(bytes.Clone(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
}

// compare holds fields of their decoded message against those of ours, as JSON
// writes them.
func compare(t *testing.T, theirs json.RawMessage, ours *cdr.Record, fields ...string) {
	t.Helper()
	var tree any
	if err := json.Unmarshal(theirs, &tree); err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		v, ok := ours.Lookup(field)
		if !ok {
			t.Errorf("%s has no %s", ours.TypeName(), field)
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got := lookup(tree, field); got == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s of %s: they read %.80v, we %.80v", field, ours.TypeName(), got, want)
		}
	}
}

// lookup follows a path of names and numbers through decoded JSON.
func lookup(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(node) {
				return nil
			}
			v = node[i]
		default:
			return nil
		}
	}
	return v
}
