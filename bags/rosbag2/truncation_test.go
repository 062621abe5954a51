package rosbag2

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/bags/bagtest"
)

// TestTruncation cuts recordings anywhere: what is read must be messages of the
// whole recording in its order, more the later the cut, and the break be told.
func TestTruncation(t *testing.T) {
	msgs := sample(2000)
	dir := t.TempDir()
	writeBag(t, filepath.Join(dir, "written"), WriterOptions{ChunkSize: 20000}, msgs)
	writeSQLite(t, filepath.Join(dir, "written.db3"), 4, msgs)
	files := []string{filepath.Join(dir, "written", "written_0.mcap"), filepath.Join(dir, "written.db3")}
	for name, o := range variants {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".mcap")
		writeMCAP(t, path, o, msgs[:500])
		files = append(files, path)
	}
	cuts := 25
	if testing.Short() {
		cuts = 5
	}
	for _, path := range files {
		truncate(t, path, cuts)
	}
	t.Run("real", func(t *testing.T) {
		root := bagtest.Shared(t, "bags")
		for _, rel := range []string{
			"arm/ros2bag_ats_2025-12-02_12-44-28/ros2bag_ats_2025-12-02_12-44-28_0.mcap",
			"arm/ros2bag_2025-05-16_11-11-13/ros2bag_2025-05-16_11-11-13_0.db3",
			"arm/ros2bag_2025-03-19_14-24-45.db3/ros2bag_2025-03-19_14-24-45.db3_0.db3",
			"types/rosbags-rs/test_bag_mcap/test_bag_mcap.mcap",
			"types/rosbags-rs/test_bag_sqlite3/test_bag_sqlite3.db3",
			"upstream/rosbag2_py/test/resources/mcap/wbag/wbag_0.mcap",
			"upstream/rosbag2_py/test/resources/sqlite3/wbag/wbag_0.db3",
			"camera/soccer_goal/soccer_goal_12.mcap",
		} {
			truncate(t, filepath.Join(root, rel), cuts)
		}
	})
}

func truncate(t *testing.T, path string, cuts int) {
	t.Helper()
	data := readFile(t, path)
	name := filepath.Base(path)
	early := strings.HasSuffix(path, ".mcap") || name == "written.db3" // topics come first
	whole, _ := readAll(t, mustOpen(t, path), Filter{})
	index := map[got]int{}
	for _, m := range whole {
		index[m]++
	}
	rng := rand.New(rand.NewPCG(3, uint64(len(data))))
	short := filepath.Join(t.TempDir(), "cut"+filepath.Ext(path))
	saved := 0
	for range cuts {
		n := rng.IntN(len(data))
		if err := os.WriteFile(short, data[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		b, err := Open(short)
		if err != nil {
			if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrNotBag) && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
			if n > 20000 && early {
				t.Errorf("%s cut at %d of %d does not open: %v", name, n, len(data), err)
			}
			continue
		}
		have, breaks := readAll(t, b, Filter{})
		info := b.Info()
		b.Close()
		seen := map[got]int{}
		for _, m := range have {
			if seen[m]++; seen[m] > index[m] {
				t.Fatalf("%s cut at %d: a message that the whole does not have: %s at %d, %d bytes %.60q", name, n, m.topic, m.log, len(m.data), m.data)
			}
		}
		saved += len(have)
		if len(have) < len(whole) && (len(breaks) != 1 || breaks[0].Messages != int64(len(have)) || breaks[0].Offset > int64(n)) {
			t.Errorf("%s cut at %d of %d: %d of %d messages, breaks %v", name, n, len(data), len(have), len(whole), breaks)
		}
		if info.Messages != int64(len(have)) && info.CountSource == "storage" {
			t.Errorf("%s cut at %d: info counts %d, read %d", name, n, info.Messages, len(have))
		}
	}
	// Cuts are uniform, so about half of the messages should be saved.
	if early && name != "soccer_goal_12.mcap" && name != "one_chunk.mcap" && saved < len(whole)*cuts/4 {
		t.Errorf("%s: %d of about %d messages saved", name, saved, len(whole)*cuts/2)
	}
	t.Logf("%s: %d%% of the messages saved on average", name, 100*saved/max(1, len(whole)*cuts))
}

// TestDamage flips bytes: whatever comes of it, reading ends without a panic
// and in log-time order, and of MCAP files with checksums no message is wrong.
func TestDamage(t *testing.T) {
	msgs := sample(300)
	dir := t.TempDir()
	writeBag(t, filepath.Join(dir, "bag"), WriterOptions{ChunkSize: 3000}, msgs)
	writeMCAP(t, filepath.Join(dir, "loose.mcap"), variants["no chunk"], msgs)
	writeSQLite(t, filepath.Join(dir, "x.db3"), 4, msgs)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	original := map[got]bool{}
	for _, m := range msgs {
		original[m] = true
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, rel := range []string{"bag/bag_0.mcap", "loose.mcap", "x.db3"} {
		data := readFile(t, filepath.Join(dir, rel))
		bad := filepath.Join(t.TempDir(), "bad"+filepath.Ext(rel))
		opened := 0
		for range rounds {
			spoilt := append([]byte(nil), data...)
			at := make([]int, 1+rng.IntN(8))
			for i := range at {
				at[i] = rng.IntN(len(data))
				spoilt[at[i]] ^= byte(1 + rng.IntN(255))
			}
			if err := os.WriteFile(bad, spoilt, 0o666); err != nil {
				t.Fatal(err)
			}
			b, err := Open(bad, WithLimits(Limits{Message: 1 << 20, Chunk: 1 << 20}))
			if err != nil {
				continue
			}
			opened++
			readSpoilt(t, b, func(m got) {
				// A hit in the summary may rename a channel; the chunks are checked.
				if rel == "bag/bag_0.mcap" && (m.topic == "/a" || m.topic == "/b") && !original[m] {
					t.Fatalf("%s spoilt at %d: a message that was not recorded: %.100v", rel, at, m)
				}
			})
			b.Close()
		}
		if opened < rounds/2 {
			t.Errorf("%s: %d of %d open", rel, opened, rounds)
		}
	}
}

// readSpoilt reads to the end, which must come, over any number of breaks.
func readSpoilt(t *testing.T, b *Bag, each func(got)) {
	t.Helper()
	it, err := b.Messages(Filter{AnyFormat: true})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	last := int64(math.MinInt64)
	for range 10000 {
		m, err := it.Next()
		switch {
		case err == io.EOF:
			return
		case errors.Is(err, ErrTruncated):
			continue
		case err != nil:
			t.Fatal(err)
		case m.LogTime < last:
			t.Fatalf("log time %d after %d", m.LogTime, last)
		}
		last = m.LogTime
		each(got{m.Topic.Name, m.LogTime, m.PublishTime, string(m.Data)})
	}
	t.Fatal("no end")
}
