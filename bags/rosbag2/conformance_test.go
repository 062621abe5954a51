package rosbag2

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"arfm/bags/bagtest"
)

// conformanceRecord is a record of the suite's JSON: numbers are strings.
type conformanceRecord struct {
	Type   string               `json:"type"`
	Fields [][2]json.RawMessage `json:"fields"`
}

func (r *conformanceRecord) raw(t *testing.T, name string) json.RawMessage {
	for _, f := range r.Fields {
		if string(f[0]) == strconv.Quote(name) {
			return f[1]
		}
	}
	t.Fatalf("%s has no field %s", r.Type, name)
	return nil
}

func (r *conformanceRecord) text(t *testing.T, name string) string {
	var s string
	if err := json.Unmarshal(r.raw(t, name), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *conformanceRecord) number(t *testing.T, name string) int64 {
	n, err := strconv.ParseInt(r.text(t, name), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *conformanceRecord) bytes(t *testing.T, name string) string {
	var list []string
	if err := json.Unmarshal(r.raw(t, name), &list); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(list))
	for i, s := range list {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = byte(n)
	}
	return string(out)
}

// conformanceWant is what the suite says that our reader should give.
func conformanceWant(t *testing.T, path string) (topics []Topic, msgs []got) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Records []conformanceRecord }
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	schemas := map[int64]Topic{}
	channels := map[int64]*Topic{}
	order := []int64{}
	for i := range doc.Records {
		r := &doc.Records[i]
		switch r.Type {
		case "Schema":
			schemas[r.number(t, "id")] = Topic{Type: r.text(t, "name"), Definition: r.bytes(t, "data"), DefinitionEncoding: r.text(t, "encoding")}
		case "Channel":
			id := r.number(t, "id")
			if channels[id] == nil {
				c := schemas[r.number(t, "schema_id")]
				c.Name, c.Format = r.text(t, "topic"), r.text(t, "message_encoding")
				channels[id] = &c
				order = append(order, id)
			}
		case "Message":
			c := channels[r.number(t, "channel_id")]
			c.Count++
			msgs = append(msgs, got{c.Name, r.number(t, "log_time"), r.number(t, "publish_time"), r.bytes(t, "data")})
		}
	}
	for _, id := range order {
		topics = append(topics, *channels[id])
	}
	slices.SortStableFunc(msgs, func(a, b got) int { return cmp.Compare(a.log, b.log) })
	return topics, msgs
}

func TestConformance(t *testing.T) {
	root := bagtest.Shared(t, "mcap_conformance")
	files, err := filepath.Glob(filepath.Join(root, "data", "*", "*.mcap"))
	if err != nil || len(files) != 416 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	messages := 0
	for _, path := range files {
		topics, want := conformanceWant(t, strings.TrimSuffix(path, ".mcap")+".json")
		b, err := Open(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		info := b.Info()
		if !slices.Equal(info.Topics, topics) {
			t.Errorf("%s: topics %+v, want %+v", path, info.Topics, topics)
		}
		msgs, breaks := readAll(t, b, Filter{AnyFormat: true})
		if len(breaks) > 0 {
			t.Errorf("%v", breaks[0])
		}
		if !slices.Equal(msgs, want) {
			t.Errorf("%s: messages %v, want %v", path, msgs, want)
		}
		if info.Messages != int64(len(want)) {
			t.Errorf("%s: info counts %d of %d", path, info.Messages, len(want))
		}
		messages += len(msgs)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if messages == 0 {
		t.Error("no message was read")
	}
	t.Logf("%d files, %d messages", len(files), messages)
}
