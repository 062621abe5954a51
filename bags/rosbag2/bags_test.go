package rosbag2

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"arfm/bags/bagtest"
)

// got is a message whose data is kept.
type got struct {
	topic    string
	log, pub int64
	data     string
}

// readAll reads b to the end and checks that log times never decrease.
func readAll(t testing.TB, b *Bag, f Filter) (msgs []got, breaks []*BreakError) {
	t.Helper()
	it, err := b.Messages(f)
	if err != nil {
		t.Fatalf("Messages: %v", err)
	}
	defer it.Close()
	for {
		m, err := it.Next()
		var be *BreakError
		switch {
		case err == io.EOF:
			if _, err := it.Next(); err != io.EOF {
				t.Errorf("Next after the end: %v", err)
			}
			if it.Late() != 0 {
				t.Errorf("%d messages came too late", it.Late())
			}
			return msgs, breaks
		case errors.As(err, &be):
			if !errors.Is(err, ErrTruncated) {
				t.Errorf("%v is no ErrTruncated", err)
			}
			if breaks = append(breaks, be); len(breaks) > 1000 {
				t.Fatalf("no end of breaks: %v", err)
			}
			continue
		case err != nil:
			t.Fatalf("Next: %v", err)
		}
		if len(msgs) > 0 && m.LogTime < msgs[len(msgs)-1].log {
			t.Fatalf("log time %d after %d", m.LogTime, msgs[len(msgs)-1].log)
		}
		msgs = append(msgs, got{m.Topic.Name, m.LogTime, m.PublishTime, string(m.Data)})
	}
}

// findBags lists every bag folder and every recording that lies in none.
func findBags(t *testing.T, root string) (bags []string) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := IsRecording(d.Name())
		if !d.IsDir() && file {
			dir := filepath.Dir(path)
			if _, err := os.Stat(filepath.Join(dir, metadataFile)); err == nil {
				path = dir
			} else if _, err := guessFiles(dir); err == nil {
				path = dir
			}
			if !slices.Contains(bags, path) {
				bags = append(bags, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bags
}

func TestEveryBag(t *testing.T) {
	root := bagtest.Shared(t, "bags")
	bags := findBags(t, root)
	if len(bags) < 30 {
		t.Fatalf("only %d bags found", len(bags))
	}
	bags = append(bags, findBags(t, bagtest.Shared(t, "mcap_conformance/db3"))...)
	before := listing(t, root)
	refused := map[string]bool{}
	for _, path := range bags {
		rel, _ := filepath.Rel(root, path)
		t.Run(rel, func(t *testing.T) {
			b, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if checkTopics(t, b) {
				refused[rel] = true
			}
			info := b.Info()
			if info.CountSource != "storage" || len(info.Files) == 0 {
				t.Errorf("counts from %q, %d files", info.CountSource, len(info.Files))
			}
			for _, f := range info.Files {
				if f.Err != nil {
					t.Errorf("%s: %v", f.Path, f.Err)
				}
			}
			want := knownMismatches[rel]
			if len(info.Missing) != want[0] || len(info.Mismatch) != want[1] {
				t.Errorf("missing %q, mismatch %q; want %v", info.Missing, info.Mismatch, want)
			}
			if _, err := b.Registry(); err != nil {
				t.Errorf("definitions: %v", err)
			}
			t.Logf("%s v%d schema %d %s %s: %d topics %d messages %d files", info.Storage, info.Version, info.Schema, info.Distro, info.Compression, len(info.Topics), info.Messages, len(info.Files))
		})
	}
	if after := listing(t, root); before != after {
		t.Errorf("reading changed the folder:\n%s\n%s", before, after)
	}
	for _, want := range []string{"mcap", "sqlite3"} {
		if !refused["upstream/rosbag2_tests/resources/"+want+"/wrong_rmw_test"] {
			t.Errorf("the %s bag of a wrong format was not refused", want)
		}
	}
	t.Logf("%d bags", len(bags))
}

// checkTopics reads b and compares it with its Info; refused tells whether it
// has topics that are not CDR.
func checkTopics(t *testing.T, b *Bag) (refused bool) {
	t.Helper()
	info := b.Info()
	msgs, breaks := readAll(t, b, Filter{})
	for _, br := range breaks {
		t.Errorf("break: %v", br)
	}
	counts := map[string]int64{}
	for _, m := range msgs {
		counts[m.topic]++
	}
	for _, topic := range info.Topics {
		err := topic.Readable()
		if err == nil {
			if counts[topic.Name] != topic.Count {
				t.Errorf("%s: read %d of %d messages", topic.Name, counts[topic.Name], topic.Count)
			}
			continue
		}
		refused = true
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), topic.Name) || !strings.Contains(err.Error(), topic.Format) {
			t.Errorf("refusal %q does not say why", err)
		}
		if _, err := b.Messages(Filter{Topics: []string{topic.Name}}); !errors.Is(err, ErrFormat) {
			t.Errorf("Messages of %s: %v", topic.Name, err)
		}
	}
	if len(msgs) > 0 && (msgs[0].log != info.Start || msgs[len(msgs)-1].log != info.End) {
		t.Errorf("times %d..%d, info says %d..%d", msgs[0].log, msgs[len(msgs)-1].log, info.Start, info.End)
	}
	return refused
}

// knownMismatches: files missing, and sentences of disagreement, of bags whose
// metadata.yaml is not true.
var knownMismatches = map[string][2]int{
	"camera/soccer_goal":                                      {12, 1}, // the last of 13 splits
	"camera/soccer_goal_bgr8_old":                             {12, 1},
	"upstream/rosbag2_tests/resources/sqlite3/wrong_rmw_test": {0, 2}, // wrong_format, the database says cdr
}

func listing(t *testing.T, root string) string {
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Errors of the operating system say what to do.
func TestIOError(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.mcap")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, absent := Open(filepath.Join(dir, "absent"))
	_, below := Open(filepath.Join(file, "below"))
	_, long := Open(filepath.Join(dir, strings.Repeat("x", 300)))
	_, create := Create(filepath.Join(dir, "absent", "bag"), WriterOptions{})
	for name, c := range map[string]struct {
		err  error
		is   error
		want string
	}{
		"absent":        {absent, fs.ErrNotExist, "absent: no such file or directory; check the path"},
		"below a file":  {below, syscall.ENOTDIR, "below: not a directory; check the path"},
		"a long name":   {long, syscall.ENAMETOOLONG, "; check the path"},
		"to be created": {create, fs.ErrNotExist, "; check the path"},
		"rights":        {IOError("read", "x", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}), ErrPermission, "check the rights"},
		"disk full":     {IOError("write", "x", syscall.ENOSPC), ErrNoSpace, "choose another folder"},
		"files":         {IOError("open", "x", syscall.EMFILE), syscall.EMFILE, "ulimit -n"},
		"in the way":    {IOError("write", "x", &os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.ENOTEMPTY}), syscall.ENOTEMPTY, "move it away"},
		"broken disk":   {IOError("read", "x", syscall.EIO), syscall.EIO, "check the disk"},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(c.err.Error(), c.want) || strings.Count(c.err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
}

// A pipe would be waited for, a device read without end.
func TestNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "x.mcap")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero"} {
		if _, err := Open(path); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotBag) {
		t.Errorf("a folder with a pipe: %v", err)
	}
}

func TestIsBagFolder(t *testing.T) {
	for name, c := range map[string]struct {
		files string
		want  bool
	}{
		"metadata":        {"metadata.yaml a.mcap b.mcap", true},
		"metadata alone":  {"metadata.yaml", false},
		"one split":       {"x_0.db3", true},
		"splits":          {"x_0.db3 x_1.db3 x_2.db3.zstd notes.txt", true},
		"a recording":     {"x.mcap", false},
		"days":            {"may_1.mcap may_2.mcap", false},
		"two recordings":  {"x_0.mcap y_1.mcap", false},
		"two storages":    {"x_0.mcap x_1.db3", false},
		"a split missing": {"x_0.mcap x_2.mcap", false},
	} {
		files := map[string]string{}
		for _, f := range strings.Fields(c.files) {
			files[f] = ""
		}
		if got := IsBagFolder(writeFiles(t, files)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
