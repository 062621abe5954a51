package rosbag2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/bags/bagtest"
)

// noise is n random bytes.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// mixed is a stream with rows within a page and rows over many of them.
func mixed(n int) []got {
	rng := rand.New(rand.NewPCG(7, 8))
	sizes := []int{60, 200, 64, 1900, 90, 120, 48, 9000}
	msgs := make([]got, n)
	for i := range msgs {
		log := 1e18 + int64(i)*1e6 + rng.Int64N(3e6)
		msgs[i] = got{[]string{"/a", "/b"}[i%2], log, log, noise(rng, sizes[i%len(sizes)])}
	}
	return msgs
}

// ends finds where each message's last byte lies in a database, by its bytes
// alone: they are random, so that six of them are found once.
func ends(t *testing.T, data []byte, msgs []got) []int {
	t.Helper()
	const n = 6
	at := make(map[string]int, len(data))
	for i := range len(data) - n + 1 {
		at[string(data[i:i+n])] = i + n
	}
	out := make([]int, len(msgs))
	for i, m := range msgs {
		for k := 0; k+n <= len(m.data); k++ { // pieces across two pages are not found
			out[i] = max(out[i], at[m.data[k:k+n]])
		}
		if at[m.data[len(m.data)-n:]] == 0 {
			t.Fatalf("message %d ends less than %d bytes into a page; change its size", i, n)
		}
	}
	return out
}

// TestSalvageEveryPage cuts databases at and within every page: what is read is
// what lies before the cut, no message less.
func TestSalvageEveryPage(t *testing.T) {
	for _, page := range []int{512, 4096, 65536} {
		msgs := mixed(120)
		path := filepath.Join(t.TempDir(), "x.db3")
		writeSQLite(t, path, 4, msgs, fmt.Sprintf("PRAGMA page_size=%d", page))
		data := readFile(t, path)
		end := ends(t, data, msgs)
		short := filepath.Join(t.TempDir(), "short.db3")
		opened, step := 0, page/2
		if testing.Short() {
			step = page * 5 / 2
		}
		for at := page; at < len(data); at += step {
			if err := os.WriteFile(short, data[:at], 0o666); err != nil {
				t.Fatal(err)
			}
			var want []got
			for i, m := range msgs {
				if end[i] <= at {
					want = append(want, m)
				}
			}
			b, err := Open(short)
			if err != nil {
				if !errors.Is(err, ErrTruncated) || len(want) > 0 {
					t.Errorf("page %d, cut at %d: %v; %d messages lie before", page, at, err, len(want))
				}
				continue
			}
			opened++
			have, breaks := readAll(t, b, Filter{})
			equalMessages(t, have, sorted(want))
			info := b.Info()
			if len(breaks) != 1 || breaks[0].Offset != int64(at) || info.Messages != int64(len(want)) || info.Files[0].Err == nil {
				t.Errorf("page %d, cut at %d: breaks %v, info %+v", page, at, breaks, info)
			}
			if len(want) > 0 {
				f := Filter{Topics: []string{"/b"}, Start: want[len(want)/2].log}
				some, _ := readAll(t, b, f)
				equalMessages(t, some, slices.DeleteFunc(sorted(want), func(m got) bool { return m.topic != "/b" || m.log < f.Start }))
			}
			b.Close()
		}
		if opened < len(data)/step/2 {
			t.Errorf("page %d: only %d of %d cuts could be opened", page, opened, len(data)/step)
		}
	}
}

// rootPage of a table or index of a database.
func rootPage(t *testing.T, path, name string) int {
	t.Helper()
	db := sqliteOpen(t, path)
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT rootpage FROM sqlite_master WHERE name = ?", name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSalvageDamage spoils single pages: what is not read is told, with its place.
func TestSalvageDamage(t *testing.T) {
	const page = 4096
	msgs := sample(3000)
	path := filepath.Join(t.TempDir(), "x.db3")
	writeSQLite(t, path, 3, msgs)
	data := readFile(t, path)
	leaf := 0
	for n := len(data)/page/2 + 1; leaf == 0; n++ {
		if data[(n-1)*page] == pageTableLeaf {
			leaf = n
		}
	}
	index := 0
	for n := len(data)/page/2 + 1; index == 0; n++ {
		if data[(n-1)*page] == pageIndexLeaf {
			index = n
		}
	}
	counts := "  topics_with_message_count:\n    - message_count: %d\n      topic_metadata: {name: /a, type: std_msgs/msg/String, serialization_format: cdr}\n" +
		"    - message_count: %d\n      topic_metadata: {name: /b, type: std_msgs/msg/String, serialization_format: cdr}\n"
	zero := func(n int) func([]byte) { return func(b []byte) { clear(b[(n-1)*page : n*page]) } }
	for name, c := range map[string]struct {
		page  int // that is spoiled
		spoil func([]byte)
		lost  int // most messages that may be missing
		meta  string
		want  error // of Open
	}{
		"root of messages":  {rootPage(t, path, "messages"), zero(rootPage(t, path, "messages")), 0, "", nil},
		"root of the index": {rootPage(t, path, "timestamp_idx"), zero(rootPage(t, path, "timestamp_idx")), 0, "", nil},
		"leaf of messages":  {leaf, zero(leaf), 80, "", nil},
		"leaf of the index": {index, zero(index), 0, "", nil},
		"random bytes": {leaf, func(b []byte) {
			rng := rand.New(rand.NewPCG(1, 1))
			copy(b[(leaf-1)*page+1000:], noise(rng, 400))
		}, 80, "", nil},
		"kind of a page":  {leaf, func(b []byte) { b[(leaf-1)*page] = 0x77 }, 80, "", nil},
		"number of cells": {leaf, func(b []byte) { b[(leaf-1)*page+3] = 0xff }, 80, "", nil},
		"a cell pointer":  {leaf, func(b []byte) { b[(leaf-1)*page+9]++ }, 2, "", nil},
		"topics, counted in metadata": {rootPage(t, path, "topics"), zero(rootPage(t, path, "topics")), 0,
			fmt.Sprintf(counts, 1499, 1500), nil},
		"topics, equal counts": {rootPage(t, path, "topics"), zero(rootPage(t, path, "topics")), 0, fmt.Sprintf(counts, 1500, 1500), ErrCorrupt},
		"topics, no metadata":  {rootPage(t, path, "topics"), zero(rootPage(t, path, "topics")), 0, "", ErrCorrupt},
		"schema":               {1, func(b []byte) { clear(b[100:page]) }, 0, "", nil},
	} {
		from := slices.Clone(msgs)
		spoilt := slices.Clone(data)
		if strings.Contains(name, "counted") { // one message less of /a
			short := filepath.Join(t.TempDir(), "y.db3")
			from = from[1:]
			writeSQLite(t, short, 3, from)
			spoilt = readFile(t, short)
		}
		c.spoil(spoilt)
		files := map[string]string{"x_0.db3": string(spoilt)}
		if c.meta != "" {
			files[metadataFile] = metaYAML("sqlite3", "", "", "x_0.db3") + c.meta
		}
		b, err := Open(writeFiles(t, files))
		if c.want != nil || err != nil {
			if !errors.Is(err, c.want) || c.want == nil || !strings.Contains(err.Error(), "x_0.db3") || !strings.Contains(err.Error(), fmt.Sprint((c.page-1)*page)) {
				t.Errorf("%s: %v, want %v at byte %d", name, err, c.want, (c.page-1)*page)
			}
			continue
		}
		have, breaks := readAll(t, b, Filter{})
		index := map[got]bool{}
		for _, m := range from {
			index[m] = true
		}
		wrong := 0
		for _, m := range have {
			if !index[m] {
				wrong++
			}
		}
		if len(have) < len(from)-c.lost || len(have) > len(from) || wrong > 5 || c.lost == 0 && wrong > 0 {
			t.Errorf("%s: %d of %d messages, %d of them changed", name, len(have), len(from), wrong)
		}
		info := b.Info()
		if info.Messages != int64(len(have)) || info.Files[0].Err == nil {
			t.Errorf("%s: %d messages read; info %d, damaged %v", name, len(have), info.Messages, info.Files[0].Err)
		}
		if len(breaks) != 1 || breaks[0].Offset != int64(c.page-1)*page || !errors.Is(breaks[0], ErrCorrupt) {
			t.Errorf("%s: breaks %v, want one at %d", name, breaks, (c.page-1)*page)
		}
		b.Close()
	}
}

// A database that is too large to be looked through when it is opened gives the
// messages before and behind the damage, each once.
func TestSalvageTakesOver(t *testing.T) {
	const page = 4096
	msgs := sorted(sample(3000))
	path := filepath.Join(t.TempDir(), "x.db3")
	writeSQLite(t, path, 3, msgs)
	data := readFile(t, path)
	for n := len(data) / page / 2; ; n++ {
		if data[(n-1)*page] == pageIndexLeaf {
			clear(data[(n-1)*page : n*page])
			break
		}
	}
	topics := "  topics_with_message_count:\n    - message_count: 300\n      topic_metadata: {name: /a, type: std_msgs/msg/String, serialization_format: cdr}\n"
	dir := writeFiles(t, map[string]string{"x_0.db3": string(data), metadataFile: metaYAML("sqlite3", "", "", "x_0.db3") + topics})
	b := mustOpen(t, dir, func(o *options) { o.countBelow = 1 })
	if b.Info().CountSource != "metadata" {
		t.Fatalf("it was counted: %+v", b.Info())
	}
	have, breaks := readAll(t, b, Filter{})
	equalMessages(t, have, msgs)
	if len(breaks) != 1 || breaks[0].Offset < 0 || breaks[0].Messages != int64(len(msgs)) {
		t.Errorf("breaks %v", breaks)
	}
}

// A timestamp that damage moved by years does not stretch the recording.
func TestSalvageStray(t *testing.T) {
	const page = 4096
	msgs := sample(3000)
	path := filepath.Join(t.TempDir(), "x.db3")
	writeSQLite(t, path, 3, msgs)
	data := readFile(t, path)
	root := rootPage(t, path, "messages")
	for n := root + 1; ; n++ {
		if data[(n-1)*page] == pageTableLeaf {
			p, _ := parsePage(int64(n), data[(n-1)*page:n*page], page)
			c, _ := p.cell(p.cells / 2)
			cols, _ := parseRecord(c.local, c.payload, nil)
			binary.BigEndian.PutUint64(c.local[cols[2].at:], 8e18)
			break
		}
	}
	clear(data[(root-1)*page : root*page])
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	b := mustOpen(t, path)
	have, _ := readAll(t, b, Filter{})
	if info := b.Info(); len(have) != 2999 || info.Messages != 2999 || info.Duration > 1e10 {
		t.Errorf("%d messages read, %d counted over %d ns", len(have), info.Messages, info.Duration)
	}
}

// The real recordings, cut: as many messages as SQLite knows to lie before.
func TestSalvageReal(t *testing.T) {
	path := filepath.Join(bagtest.Shared(t, "bags"), "arm/ros2bag_2025-03-19_14-25-15.db3/ros2bag_2025-03-19_14-25-15.db3_0.db3")
	data := readFile(t, path)
	whole, _ := readAll(t, mustOpen(t, path), Filter{})
	index := map[got]bool{}
	for _, m := range whole {
		index[m] = true
	}
	short := filepath.Join(t.TempDir(), "short.db3")
	for _, percent := range []int{20, 40, 60, 80, 95} {
		if err := os.WriteFile(short, data[:len(data)*percent/100], 0o666); err != nil {
			t.Fatal(err)
		}
		b := mustOpen(t, short)
		have, _ := readAll(t, b, Filter{})
		for _, m := range have {
			if !index[m] {
				t.Fatalf("%d%%: a message that was not recorded: %.100v", percent, m)
			}
		}
		// Some pages hold the index and the rows of topics, so a little less lies before the cut.
		if len(have) < len(whole)*(percent-6)/100 {
			t.Errorf("%d%% of the file: %d of %d messages", percent, len(have), len(whole))
		}
		t.Logf("%d%% of the file: %d of %d messages", percent, len(have), len(whole))
	}
}

// FuzzPageScan reads arbitrary bytes as a database without SQLite: it ends, in
// log-time order, with bytes of messages in proportion to the file's, and with
// the messages that were counted.
func FuzzPageScan(f *testing.F) {
	for _, page := range []int{512, 4096} {
		path := filepath.Join(f.TempDir(), "x.db3")
		writeSQLite(f, path, 3, mixed(16), fmt.Sprintf("PRAGMA page_size=%d", page))
		data := readFile(f, path)
		f.Add(data)
		f.Add(data[:len(data)*2/3])
	}
	path := filepath.Join(f.TempDir(), "x.db3")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<18 {
			return
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		o := newOptions([]Option{WithLimits(Limits{Message: 1 << 17, Reorder: 1 << 19})})
		s := &sqliteFile{path: path, name: "x.db3", opts: &o, layout: usualLayout}
		if s.measure() != nil {
			return
		}
		v, err := s.survey()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.adopt(v, nil, ErrCorrupt); err != nil {
			return
		}
		q := query{ids: map[int64]bool{}, start: -1 << 63, end: 1<<63 - 1}
		for _, topic := range s.desc.topics {
			q.ids[topic.id] = true
		}
		src, err := s.salvage(q, &account{m: newMemory(&o)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer src.close()
		checkScan(t, src, s, int64(len(data)))
	})
}

func checkScan(t *testing.T, src source, s *sqliteFile, size int64) {
	var n, bytes int64
	last := int64(-1 << 63)
	for broken := 0; ; {
		var m raw
		err := src.next(&m)
		if err == io.EOF {
			break
		}
		if err != nil {
			if broken++; broken > 1 && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%d breaks, the last %v", broken, err)
			}
			continue
		}
		if m.log < last {
			t.Fatalf("log time %d after %d", m.log, last)
		}
		last = m.log
		n++
		bytes += int64(len(m.data))
	}
	if bytes > 5*size {
		t.Fatalf("%d bytes of messages in a file of %d", bytes, size)
	}
	if have := n + src.late(); have < s.desc.messages-2 || have > s.desc.messages+2 {
		t.Fatalf("%d messages read, %d counted", n, s.desc.messages)
	}
}
