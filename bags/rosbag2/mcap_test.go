package rosbag2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
)

// variants are the ways in which programs write MCAP files.
var variants = map[string]mcap.WriterOptions{
	"zstd":           {Chunked: true, ChunkSize: 1000, Compression: mcap.CompressionZSTD, IncludeCRC: true},
	"lz4":            {Chunked: true, ChunkSize: 1000, Compression: mcap.CompressionLZ4, IncludeCRC: true},
	"none":           {Chunked: true, ChunkSize: 1000, IncludeCRC: true},
	"one chunk":      {Chunked: true, ChunkSize: 1 << 30, Compression: mcap.CompressionZSTD},
	"no chunk":       {},
	"no chunk index": {Chunked: true, ChunkSize: 1000, Compression: mcap.CompressionZSTD, SkipChunkIndex: true},
	"no statistics":  {Chunked: true, ChunkSize: 1000, Compression: mcap.CompressionLZ4, SkipStatistics: true},
	"no summary": {Chunked: true, ChunkSize: 1000, Compression: mcap.CompressionZSTD, SkipChunkIndex: true, SkipStatistics: true,
		SkipRepeatedChannelInfos: true, SkipRepeatedSchemas: true, SkipMetadataIndex: true, SkipSummaryOffsets: true},
	"no message index": {Chunked: true, ChunkSize: 1000, SkipMessageIndexing: true, SkipChunkIndex: true, SkipStatistics: true, SkipRepeatedChannelInfos: true},
}

func TestMCAPVariants(t *testing.T) {
	msgs := sample(500)
	byTopic := slices.Clone(msgs) // as converters write: one topic after the other
	slices.SortStableFunc(byTopic, func(a, b got) int { return strings.Compare(a.topic, b.topic) })
	for name, o := range variants {
		for order, list := range map[string][]got{"recorded": msgs, "by topic": byTopic} {
			path := filepath.Join(t.TempDir(), "x.mcap")
			writeMCAP(t, path, o, list)
			b := mustOpen(t, path)
			info := b.Info()
			all := sorted(list)
			if info.Messages != 500 || len(info.Topics) != 2 || info.Topics[1].Count != 250 || info.Topics[1].Definition != stringDefinition || info.Start != all[0].log || info.End != all[499].log {
				t.Errorf("%s, %s: %+v", name, order, info)
			}
			have, breaks := readAll(t, b, Filter{})
			equalMessages(t, have, all)
			if breaks != nil {
				t.Errorf("%s, %s: %v", name, order, breaks)
			}
		}
	}
}

// Chunks that overlap in time are read again rather than kept beyond the limit.
func TestMCAPOpenLimit(t *testing.T) {
	msgs := sample(400)
	slices.SortStableFunc(msgs, func(a, b got) int { return strings.Compare(a.topic, b.topic) })
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, variants["zstd"], msgs)
	b := mustOpen(t, path, WithLimits(Limits{Open: 1500}))
	have, breaks := readAll(t, b, Filter{})
	equalMessages(t, have, sorted(msgs))
	if breaks != nil {
		t.Error(breaks)
	}
}

// What a too small reorder buffer cannot sort is left out and counted.
func TestReorderLate(t *testing.T) {
	msgs := sample(300)
	slices.SortStableFunc(msgs, func(a, b got) int { return strings.Compare(a.topic, b.topic) })
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, mcap.WriterOptions{}, msgs)
	it, err := mustOpen(t, path, WithLimits(Limits{Reorder: 2000})).Messages(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n, last := int64(0), int64(0)
	for {
		m, err := it.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.LogTime < last {
			t.Fatalf("log time %d after %d", m.LogTime, last)
		}
		last = m.LogTime
		n++
	}
	if it.Late() == 0 || n+it.Late() != 300 {
		t.Errorf("%d messages and %d late of 300", n, it.Late())
	}
}

func record(op mcap.OpCode, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte{byte(op)}, uint64(len(body))), body...)
}

func chunkRecord(uncompressed, records uint64, compression string, data []byte) []byte {
	b := make([]byte, 16, 64)
	b = binary.LittleEndian.AppendUint64(b, uncompressed)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(compression)))
	b = append(b, compression...)
	b = binary.LittleEndian.AppendUint64(b, records)
	return record(mcap.OpChunk, append(b, data...))
}

func TestMCAPHostile(t *testing.T) {
	start := string(mcap.Magic) + string(record(mcap.OpHeader, make([]byte, 8)))
	huge := func(op mcap.OpCode) string { return string(record(op, nil)[:1]) + "\xff\xff\xff\xff\xff\xff\xff\x7f" }
	bomb := zstdBytes(t, make([]byte, 1<<20))
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"empty":                {"", ErrTruncated},
		"other":                {"hello, this is no bag at all", ErrNotBag},
		"magic only":           {string(mcap.Magic), ErrTruncated},
		"no header":            {string(mcap.Magic) + string(record(mcap.OpChannel, nil)), ErrCorrupt},
		"huge header":          {string(mcap.Magic) + huge(mcap.OpHeader), ErrTruncated},
		"huge schema":          {start + huge(mcap.OpSchema), ErrTruncated},
		"huge chunk":           {start + huge(mcap.OpChunk), ErrTruncated},
		"huge message":         {start + huge(mcap.OpMessage), ErrTruncated},
		"record of type 0":     {start + string(record(0, nil)), ErrCorrupt},
		"undeclared channel":   {start + string(record(mcap.OpMessage, make([]byte, 30))), ErrCorrupt},
		"short message":        {start + string(record(mcap.OpMessage, make([]byte, 3))), ErrCorrupt},
		"short chunk":          {start + string(record(mcap.OpChunk, make([]byte, 3))), ErrCorrupt},
		"chunk too large":      {start + string(chunkRecord(1<<60, 0, "", nil)), ErrTooLarge},
		"bomb":                 {start + string(chunkRecord(100, uint64(len(bomb)), "zstd", bomb)), ErrCorrupt},
		"bomb, honest":         {start + string(chunkRecord(1<<20, uint64(len(bomb)), "zstd", bomb)), ErrTooLarge},
		"short chunk data":     {start + string(chunkRecord(100, 5, "", make([]byte, 5))), ErrCorrupt},
		"records beyond chunk": {start + string(chunkRecord(5, 1<<62, "", make([]byte, 5))), ErrCorrupt},
		"unknown compression":  {start + string(chunkRecord(5, 5, "rar", make([]byte, 5))), ErrCompression},
		"cut records in chunk": {start + string(chunkRecord(5, 5, "", []byte{5, 1, 1, 1, 1})), ErrCorrupt},
		"no end":               {start, ErrTruncated},
	} {
		path := filepath.Join(t.TempDir(), "x.mcap")
		if err := os.WriteFile(path, []byte(c.file), 0o666); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path, WithLimits(Limits{Chunk: 1 << 19}))
		if err == nil {
			var breaks []*BreakError
			_, breaks = readAll(t, b, Filter{})
			if len(breaks) > 0 {
				err = breaks[0]
			}
			b.Close()
		}
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A damaged chunk costs its own messages, not those behind it.
func TestMCAPBadChunk(t *testing.T) {
	msgs := sorted(sample(200))
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, mcap.WriterOptions{Chunked: true, ChunkSize: 1000, IncludeCRC: true}, msgs)
	data := readFile(t, path)
	data[len(data)/4] ^= 1
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	have, breaks := readAll(t, mustOpen(t, path), Filter{})
	if len(breaks) != 1 || !errors.Is(breaks[0], ErrCorrupt) || breaks[0].Offset <= 0 || breaks[0].LastTime == 0 {
		t.Fatalf("breaks %v", breaks)
	}
	if len(have) < 180 || len(have) >= 200 || have[len(have)-1] != msgs[199] {
		t.Errorf("%d messages are left of 200", len(have))
	}
}

// Info of a file without summary says what reading would find.
func TestMCAPBadChunkInfo(t *testing.T) {
	msgs := sorted(sample(200))
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, mcap.WriterOptions{Chunked: true, ChunkSize: 1000, IncludeCRC: true, SkipMessageIndexing: true, SkipStatistics: true, SkipRepeatedSchemas: true, SkipRepeatedChannelInfos: true, SkipChunkIndex: true}, msgs)
	whole := readFile(t, path)
	for name, at := range map[string]int{"first": strings.Index(string(whole), "message 0 "), "middle": len(whole) / 2} {
		data := slices.Clone(whole)
		data[at] ^= 1
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		b := mustOpen(t, path)
		info := b.Info()
		have, breaks := readAll(t, b, Filter{})
		var broken *BreakError
		if !errors.As(info.Files[0].Err, &broken) || !errors.Is(broken, ErrCorrupt) || len(breaks) == 0 || broken.Offset != breaks[0].Offset {
			t.Fatalf("%s: info says %v, reading %v", name, info.Files[0].Err, breaks)
		}
		if info.Messages != int64(len(have)) || len(have) >= 200 || strings.Contains(broken.Error()+breaks[0].Error(), "before any message") {
			t.Errorf("%s: %d messages, info %d, %v, %v", name, len(have), info.Messages, broken, breaks[0])
		}
	}
}

// A file may hold messages outside of chunks and chunks as well; cut in the
// chunk it breaks once.
func TestMCAPMixed(t *testing.T) {
	msgs := sorted(sample(40))
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, mcap.WriterOptions{}, msgs[:20])
	loose := readFile(t, path)
	end := strings.LastIndex(string(loose), msgs[19].data) + len(msgs[19].data)
	var inner []byte
	for _, m := range msgs[20:] {
		body := make([]byte, messageHeader)
		if m.topic == "/b" {
			body[0] = 1
		}
		binary.LittleEndian.PutUint64(body[6:], uint64(m.log))
		binary.LittleEndian.PutUint64(body[14:], uint64(m.pub))
		inner = append(inner, record(mcap.OpMessage, append(body, m.data...))...)
	}
	file := append(loose[:end:end], chunkRecord(uint64(len(inner)), uint64(len(inner)), "", inner)...)
	file = append(file, record(mcap.OpDataEnd, make([]byte, 4))...)
	for _, missing := range []int{0, len(inner) / 2} {
		if err := os.WriteFile(path, file[:len(file)-missing], 0o666); err != nil {
			t.Fatal(err)
		}
		b := mustOpen(t, path)
		have, breaks := readAll(t, b, Filter{})
		if missing == 0 {
			equalMessages(t, have, msgs)
		} else {
			equalMessages(t, have, msgs[:len(have)])
		}
		if len(breaks) != min(missing, 1) || len(have) < 25 || int64(len(have)) != b.Info().Messages {
			t.Errorf("%d bytes missing: %d messages, info %d, breaks %v", missing, len(have), b.Info().Messages, breaks)
		}
	}
}
