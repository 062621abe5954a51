package rosbag2

import (
	"encoding/binary"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
)

// bigBag writes about total bytes of messages of size bytes that hardly compress.
func bigBag(t testing.TB, dir string, o WriterOptions, total, size int) {
	t.Helper()
	w, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.AddTopic(Topic{Name: "/camera", Type: "sensor_msgs/msg/CompressedImage"})
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	x := uint64(1)
	for i := range total / size {
		for k := 0; k+8 <= size; k += 8 {
			x = x*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(data[k:], x)
		}
		if err := w.Write(id, int64(i)*1e6, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// drain reads a bag and returns the bytes and messages, and the largest live heap.
func drain(t testing.TB, b *Bag, sampleHeap bool) (bytes, n int64, peak uint64) {
	t.Helper()
	it, err := b.Messages(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for {
		m, err := it.Next()
		if err == io.EOF {
			return bytes, n, peak
		}
		if err != nil {
			t.Fatal(err)
		}
		bytes += int64(len(m.Data))
		if n++; sampleHeap && n%256 == 0 {
			var s runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&s)
			peak = max(peak, s.HeapAlloc)
		}
	}
}

// Reading 64 MiB costs memory for a few chunks, whichever way they are written.
func TestMemory(t *testing.T) {
	const total, size = 64 << 20, 32 << 10
	dir := t.TempDir()
	bigBag(t, filepath.Join(dir, "chunked"), WriterOptions{}, total, size)
	var unchunked []got
	for i := range 400 {
		unchunked = append(unchunked, got{"/a", int64(i), int64(i), string(make([]byte, 4*size))})
	}
	writeMCAP(t, filepath.Join(dir, "unchunked.mcap"), mcap.WriterOptions{}, unchunked)
	writeSQLite(t, filepath.Join(dir, "x.db3"), 3, unchunked)
	unchunked = nil
	for _, c := range []struct {
		name        string
		bytes       int64
		live, churn uint64
	}{
		{"chunked", total, 12 << 20, 24 << 20},
		{"unchunked.mcap", 400 * 4 * size, 12 << 20, 24 << 20},
		{"x.db3", 400 * 4 * size, 12 << 20, 2 * 400 * 4 * size}, // the driver allocates every message
	} {
		b := mustOpen(t, filepath.Join(dir, c.name), WithLimits(Limits{Reorder: 4 << 20}))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		bytes, n, peak := drain(t, b, true)
		runtime.ReadMemStats(&after)
		if bytes != c.bytes {
			t.Errorf("%s: %d bytes of %d", c.name, bytes, c.bytes)
		}
		live, churn := peak-min(peak, before.HeapAlloc), after.TotalAlloc-before.TotalAlloc
		if live > c.live || churn > c.churn {
			t.Errorf("%s: %d bytes live, %d allocated in all, for %d messages", c.name, live, churn, n)
		}
		t.Logf("%s: %.1f MiB live, %.1f MiB allocated for %d MiB", c.name, float64(live)/(1<<20), float64(churn)/(1<<20), bytes>>20)
	}
}

func BenchmarkIngest(b *testing.B) {
	const total = 32 << 20
	for _, c := range []struct {
		name, compression string
		size              int
	}{{"mcap zstd 32KiB", "zstd", 32 << 10}, {"mcap none 32KiB", "none", 32 << 10}, {"mcap lz4 32KiB", "lz4", 32 << 10}, {"mcap zstd 200B", "zstd", 200}} {
		b.Run(c.name, func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "bag")
			bigBag(b, dir, WriterOptions{Compression: c.compression}, total, c.size)
			benchmarkDrain(b, dir)
		})
	}
	b.Run("sqlite3 8KiB", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "x.db3")
		msgs := make([]got, 2000)
		for i := range msgs {
			msgs[i] = got{"/a", int64(i), int64(i), string(make([]byte, 8<<10))}
		}
		writeSQLite(b, path, 3, msgs)
		benchmarkDrain(b, path)
	})
}

func benchmarkDrain(b *testing.B, path string) {
	bag := mustOpen(b, path)
	b.ReportAllocs()
	var n int64
	for b.Loop() {
		var bytes int64
		bytes, n, _ = drain(b, bag, false)
		b.SetBytes(bytes)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
