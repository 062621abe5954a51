package rosbag2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
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
		if errors.Is(err, ErrTruncated) {
			continue
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
	whole := readFile(t, filepath.Join(dir, "x.db3"))
	if err := os.WriteFile(filepath.Join(dir, "cut.db3"), whole[:len(whole)-4096], 0o666); err != nil {
		t.Fatal(err)
	}
	unchunked, whole = nil, nil
	for _, c := range []struct {
		name        string
		bytes       int64
		live, churn uint64
	}{
		{"chunked", total, 12 << 20, 24 << 20},
		{"unchunked.mcap", 400 * 4 * size, 12 << 20, 24 << 20},
		{"cut.db3", 399 * 4 * size, 12 << 20, 24 << 20},
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

// chunksOf writes messages of size bytes, all of times start, start+step, ..., in chunks of that size.
func chunksOf(t *testing.T, path string, chunk int64, messages, size int, start, step int64) {
	t.Helper()
	msgs := make([]got, messages)
	for i := range msgs {
		log := start + int64(i)*step
		msgs[i] = got{"/a", log, log, string(make([]byte, size))}
	}
	writeMCAP(t, path, mcap.WriterOptions{Chunked: true, ChunkSize: chunk, Compression: mcap.CompressionZSTD}, msgs)
}

// Files of a bag whose times overlap share one budget: eight of them cost no more than one.
func TestMemoryOfSplits(t *testing.T) {
	const splits = 8
	limits := Limits{Open: 8 << 20, Chunk: 8 << 20, Reorder: 1 << 20, Message: 8 << 20}
	loose := func(t *testing.T, path string, k int) {
		var msgs []got
		for i := range 300 {
			log := int64(i*splits + k)
			msgs = append(msgs, got{"/a", log, log, string(make([]byte, 32<<10))})
		}
		writeMCAP(t, path, mcap.WriterOptions{}, msgs)
	}
	for name, c := range map[string]struct {
		write func(t *testing.T, path string, k int)
		all   bool // of the messages can be read
		n     int
		live  uint64
	}{
		"small chunks":        {func(t *testing.T, path string, k int) { chunksOf(t, path, 64<<10, 300, 8<<10, int64(k), splits) }, true, 300, 12 << 20},
		"chunks of the limit": {func(t *testing.T, path string, k int) { chunksOf(t, path, 7<<20, 900, 8<<10, int64(k), splits) }, false, 900, 32 << 20},
		"messages as large":   {func(t *testing.T, path string, k int) { chunksOf(t, path, 1<<20, 4, 7<<20, int64(k), splits) }, false, 4, 32 << 20},
		"no chunks":           {loose, true, 300, 12 << 20},
	} {
		dir := t.TempDir()
		for k := range splits {
			c.write(t, filepath.Join(dir, fmt.Sprintf("b_%d.mcap", k)), k)
		}
		b := mustOpen(t, dir, WithLimits(limits))
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		n, refused, peak := int64(0), 0, uint64(0)
		it, err := b.Messages(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for k := 0; ; k++ {
			_, err := it.Next()
			if k%64 == 0 || err != nil {
				var s runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&s)
				peak = max(peak, s.HeapAlloc-min(s.HeapAlloc, before.HeapAlloc))
			}
			if err == io.EOF {
				break
			}
			if errors.Is(err, ErrTooLarge) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			} else {
				n++
			}
		}
		if it.Late() > 0 || c.all && (n != int64(splits*c.n) || refused > 0) || !c.all && (n < int64(c.n) || refused == 0) {
			t.Errorf("%s: %d of %d messages, %d refusals, %d late", name, n, splits*c.n, refused, it.Late())
		}
		if peak > c.live {
			t.Errorf("%s: %.1f MiB live", name, float64(peak)/(1<<20))
		}
		t.Logf("%s: %d messages, %d refusals, %.1f MiB live", name, n, refused, float64(peak)/(1<<20))
		if err := it.Close(); err != nil {
			t.Error(err)
		}
		if it.memory.used != 0 {
			t.Errorf("%s: %d bytes are still accounted for", name, it.memory.used)
		}
	}
}
