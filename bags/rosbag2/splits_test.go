package rosbag2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
)

const metaHead = "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: %s\n  message_count: 300\n  compression_format: \"%s\"\n  compression_mode: \"%s\"\n  relative_file_paths:\n"

func metaYAML(storage, format, mode string, files ...string) string {
	return fmt.Sprintf(metaHead, storage, format, mode) + "    - " + strings.Join(files, "\n    - ") + "\n"
}

// threeSplits gives the bytes of three files of one storage; their times overlap.
func threeSplits(t *testing.T, suffix string, msgs []got) (files [3]string) {
	for i := range files {
		path := filepath.Join(t.TempDir(), "x"+suffix)
		part := msgs[i*100 : i*100+100]
		if suffix == ".db3" {
			writeSQLite(t, path, 3, part)
		} else {
			writeMCAP(t, path, variants["zstd"], part)
		}
		files[i] = string(readFile(t, path))
	}
	return files
}

func TestSplitsAndCompression(t *testing.T) {
	msgs := sample(300)
	for _, suffix := range []string{".mcap", ".db3"} {
		f := threeSplits(t, suffix, msgs)
		storage := map[string]string{".mcap": "mcap", ".db3": "sqlite3"}[suffix]
		z := func(i int) string { return string(zstdBytes(t, []byte(f[i]))) }
		n := func(i int, more string) string { return fmt.Sprint("b_", i, suffix, more) }
		for name, files := range map[string]map[string]string{
			"whole":         {metadataFile: metaYAML(storage, "", "", n(2, ""), n(0, ""), n(1, "")), n(0, ""): f[0], n(1, ""): f[1], n(2, ""): f[2]},
			"no metadata":   {n(0, ""): f[0], n(1, ""): f[1], n(2, ""): f[2]},
			"old paths":     {metadataFile: metaYAML(storage, "", "", "old/"+n(0, ""), "/abs/"+n(1, ""), "../"+n(2, "")), n(0, ""): f[0], n(1, ""): f[1], n(2, ""): f[2]},
			"zstd files":    {metadataFile: metaYAML(storage, "zstd", "FILE", n(0, ".zstd"), n(1, ".zstd"), n(2, ".zstd")), n(0, ".zstd"): z(0), n(1, ".zstd"): z(1), n(2, ".zstd"): z(2)},
			"suffix absent": {metadataFile: metaYAML(storage, "zstd", "file", n(0, ""), n(1, ""), n(2, "")), n(0, ".zstd"): z(0), n(1, ".zstd"): z(1), n(2, ".zstd"): z(2)},
			"zstd, no meta": {n(0, ".zstd"): z(0), n(1, ".zstd"): z(1), n(2, ".zstd"): z(2)},
		} {
			temp := t.TempDir()
			b, err := Open(writeFiles(t, files), WithTempDir(temp))
			if err != nil {
				t.Errorf("%s%s: %v", name, suffix, err)
				continue
			}
			if info := b.Info(); info.Messages != 300 || info.Topics[0].Count != 150 || info.Storage != storage || len(info.Files) != 3 || strings.Contains(name, "zstd") != (info.Compression == "zstd file") && name != "suffix absent" {
				t.Errorf("%s%s: %+v", name, suffix, info)
			}
			have, breaks := readAll(t, b, Filter{})
			equalMessages(t, have, sorted(msgs))
			if breaks != nil {
				t.Errorf("%s%s: %v", name, suffix, breaks)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("%s%s: %s is left", name, suffix, left[0].Name())
			}
		}
	}
}

func TestMessageCompression(t *testing.T) {
	msgs := sample(300)
	packed := slices.Clone(msgs)
	for i := range packed {
		packed[i].data = string(zstdBytes(t, []byte(packed[i].data)))
	}
	big := got{"/a", 2e18, 2e18, string(zstdBytes(t, make([]byte, 1<<20)))}
	plain := got{"/a", 3e18, 3e18, "not compressed"}
	last := got{"/b", 4e18, 4e18, packed[0].data}
	packed = append(packed, big, plain, last)
	for _, suffix := range []string{".mcap", ".db3"} {
		path := filepath.Join(t.TempDir(), "x"+suffix)
		storage := "mcap"
		if suffix == ".db3" {
			storage = "sqlite3"
			writeSQLite(t, path, 3, packed)
		} else {
			writeMCAP(t, path, mcap.WriterOptions{}, packed)
		}
		dir := writeFiles(t, map[string]string{"x_0" + suffix: string(readFile(t, path)), metadataFile: metaYAML(storage, "zstd", "MESSAGE", "x_0"+suffix)})
		b := mustOpen(t, dir, WithLimits(Limits{Message: 1 << 18}))
		if c := b.Info().Compression; c != "zstd message" {
			t.Errorf("compression %q", c)
		}
		have, breaks := readAll(t, b, Filter{})
		equalMessages(t, have, append(sorted(msgs), got{"/b", 4e18, 4e18, msgs[0].data}))
		if len(breaks) != 2 || breaks[0].Messages != 300 {
			t.Errorf("a bomb and a plain message gave %v", breaks)
		}
	}
}

func TestFileCompressionRefused(t *testing.T) {
	msgs := sample(300)
	f := threeSplits(t, ".mcap", msgs)
	z := zstdBytes(t, []byte(f[0]))
	temp := t.TempDir()
	for name, c := range map[string]struct {
		files map[string]string
		want  error
	}{
		"beyond the limit": {map[string]string{"b_0.mcap.zstd": string(zstdBytes(t, make([]byte, 1<<20)))}, ErrTooLarge},
		"no bag inside":    {map[string]string{"b_0.mcap.zstd": string(zstdBytes(t, []byte("not a bag, only text")))}, ErrNotBag},
		"nothing left":     {map[string]string{"b_0.mcap.zstd": string(z[:12])}, ErrTruncated},
		"lz4 files":        {map[string]string{"b_0.mcap": f[0], metadataFile: metaYAML("mcap", "lz4", "FILE", "b_0.mcap")}, ErrCompression},
		"unknown mode":     {map[string]string{"b_0.mcap": f[0], metadataFile: metaYAML("mcap", "zstd", "TOPIC", "b_0.mcap")}, ErrCompression},
		"files missing":    {map[string]string{metadataFile: metaYAML("mcap", "", "", "b_0.mcap")}, ErrNotBag},
		"two recordings":   {map[string]string{"a_0.mcap": f[0], "b_0.mcap": f[1]}, ErrNotBag},
		"empty folder":     {map[string]string{"notes.txt": "x"}, ErrNotBag},
		"bad metadata":     {map[string]string{"b_0.mcap": f[0], metadataFile: "a: [b"}, ErrMetadata},
	} {
		if _, err := Open(writeFiles(t, c.files), WithTempDir(temp), WithLimits(Limits{Temp: 200000})); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	if _, err := Open(filepath.Join(temp, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent path: %v", err)
	}
}

// The middle split is gone bad in every way; the others are read in full.
func TestSplitDamaged(t *testing.T) {
	msgs := sorted(sample(300))
	for _, suffix := range []string{".mcap", ".db3"} {
		f := threeSplits(t, suffix, msgs)
		storage := map[string]string{".mcap": "mcap", ".db3": "sqlite3"}[suffix]
		whole := string(zstdBytes(t, []byte(f[1])))
		for name, c := range map[string]struct {
			middle string
			breaks int
		}{
			"absent":       {"", 0},
			"empty":        {"", 1},
			"text":         {"something quite different", 1},
			"half":         {f[1][:len(f[1])/2], 1},
			"half of zstd": {whole[:len(whole)/2], 1},
		} {
			files := map[string]string{metadataFile: metaYAML(storage, "", "", "b_0"+suffix, "b_1"+suffix, "b_2"+suffix), "b_0" + suffix: f[0], "b_1" + suffix: c.middle, "b_2" + suffix: f[2]}
			if name == "absent" {
				delete(files, "b_1"+suffix)
			}
			b := mustOpen(t, writeFiles(t, files))
			have, breaks := readAll(t, b, Filter{})
			if len(breaks) != c.breaks {
				t.Fatalf("%s%s: breaks %v", name, suffix, breaks)
			}
			if c.breaks > 0 && (!strings.Contains(breaks[0].Error(), "b_1"+suffix) || b.Info().Files[1].Err == nil) {
				t.Errorf("%s%s: %v, info %v", name, suffix, breaks[0], b.Info().Files[1].Err)
			}
			if len(have) < 200 || len(have) >= 300 {
				t.Errorf("%s%s: %d messages", name, suffix, len(have))
			}
			equalMessages(t, have[:100], msgs[:100])
			equalMessages(t, have[len(have)-100:], msgs[200:])
			if name == "absent" && len(b.Info().Missing) != 1 {
				t.Errorf("%s: missing %q", suffix, b.Info().Missing)
			}
		}
	}
}

// What only metadata.yaml knows of topics is told; the record that an MCAP file
// keeps of its beginning is not held against it.
func TestMetadataTopics(t *testing.T) {
	const entry = "\n    - topic_metadata: {name: %s, type: std_msgs/msg/String, serialization_format: cdr, offered_qos_profiles: \"\"}\n      message_count: %d"
	topics := "  topics_with_message_count:" + fmt.Sprintf(entry, "/silent", 0) + fmt.Sprintf(entry, "/a", 0) + "\n"
	meta := metaYAML("mcap", "", "", "b_0.mcap") + topics
	path := filepath.Join(t.TempDir(), "x.mcap")
	writeMCAP(t, path, variants["zstd"], sample(300))
	file := string(readFile(t, path))
	early := filepath.Join(t.TempDir(), "early.mcap")
	head := len(mcap.Magic) + recordHeader + int(file[len(mcap.Magic)+1]) // of a file with a short header
	inner := strings.ReplaceAll(strings.TrimPrefix(meta, "rosbag2_bagfile_information:\n"), "\n  ", "\n")
	body := []byte{7, 0, 0, 0}
	body = append(body, "rosbag2"...)
	pair := binary.LittleEndian.AppendUint32(nil, uint32(len("serialized_metadata")))
	pair = append(pair, "serialized_metadata"...)
	pair = binary.LittleEndian.AppendUint32(pair, uint32(len(inner)-2))
	pair = append(pair, inner[2:]...)
	body = append(binary.LittleEndian.AppendUint32(body, uint32(len(pair))), pair...)
	end := strings.LastIndexByte(file, byte(mcap.OpFooter))
	if err := os.WriteFile(early, []byte(file[:head]+string(record(mcap.OpMetadata, body))+file[head:end]), 0o666); err != nil {
		t.Fatal(err)
	}
	whole := mustOpen(t, writeFiles(t, map[string]string{metadataFile: meta, "b_0.mcap": file})).Info()
	if n := len(whole.Mismatch); n != 2 { // counts of /a, no /b
		t.Errorf("mismatch %q", whole.Mismatch)
	}
	for name, b := range map[string]*Bag{"metadata.yaml": mustOpen(t, writeFiles(t, map[string]string{metadataFile: meta, "b_0.mcap": file})), "early record": mustOpen(t, early)} {
		info := b.Info()
		if b.meta == nil || len(info.Topics) != 3 || info.Topics[2].Name != "/silent" || info.Topics[2].Count != 0 || info.Topics[2].Type != "std_msgs/msg/String" {
			t.Errorf("%s: topics %+v", name, info.Topics)
		}
		if name == "early record" && len(info.Mismatch) > 0 {
			t.Errorf("%s: mismatch %q", name, info.Mismatch)
		}
		have, _ := readAll(t, b, Filter{})
		equalMessages(t, have, sorted(sample(300)))
	}
	later := strings.Replace(meta, "version: 5", "version: 99", 1)
	info := mustOpen(t, writeFiles(t, map[string]string{metadataFile: later, "b_0.mcap": file})).Info()
	if len(info.Mismatch) != 3 || !strings.Contains(info.Mismatch[0], "version 99") {
		t.Errorf("mismatch %q", info.Mismatch)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"/joint_states": "/joint_states", "/grüße 机": "/grüße 机", "/a\x1b[2J": `"/a\x1b[2J"`, "/a\n": `"/a\n"`, "\xff": `"\xff"`} {
		if got := Printable(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}
