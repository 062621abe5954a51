package rosbag2

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"arfm/policy/userfile"
)

// Topic is a stream of a bag. Two publishers of one name with different types
// are two topics.
type Topic struct {
	Name, Type         string // "/joint_states", "sensor_msgs/msg/JointState"
	Format             string // serialization format, "cdr" for all that can be decoded
	Count              int64  // messages
	Definition         string // text of the message definition, "" if the bag does not store it
	DefinitionEncoding string // "ros2msg" or "ros2idl"
	QoS                string // offered QoS profiles, a YAML list, as stored
	TypeHash           string // REP-2011 hash, "" if unknown
}

// Readable is nil for a CDR topic, else an error that wraps ErrFormat.
func (t *Topic) Readable() error {
	if t.Format == "cdr" {
		return nil
	}
	return fmt.Errorf("topic %s (%s): %w but %q; record it again with a CDR middleware, or convert the bag", Printable(t.Name), Printable(t.Type), ErrFormat, t.Format)
}

// IsServiceEvent tells the introspection stream of a service from an ordinary topic.
func (t *Topic) IsServiceEvent() bool { return strings.HasSuffix(t.Name, "/_service_event") }

// FileInfo is one file of a bag.
type FileInfo struct {
	Path       string // as the user knows it
	Size       int64  // bytes on disk
	Start, End int64  // log time in ns of the first and the last message, 0 if there is none
	Messages   int64  // -1: not counted
	Log        string // SQLite's unfinished log that was worked in, on a copy; "" if there is none
	Err        error  // why it, or its tail, cannot be read; nil for an intact file
}

// Info is what is known of a bag without reading its messages.
type Info struct {
	Path        string
	Storage     string // "mcap" or "sqlite3"
	Version     int    // of metadata.yaml, 0 without one
	Schema      int    // of the sqlite3 database, 1 to 4
	Distro      string // ROS distribution, "" if unknown
	Start, End  int64  // log time in ns of the first and the last message
	Duration    int64  // ns
	Messages    int64
	CountSource string // "storage"; "metadata" where counting would read the whole bag; "none" if that is damaged and no metadata.yaml helps
	Topics      []Topic
	Files       []FileInfo
	Compression string // "zstd file", "zstd message", "" or, of MCAP chunks, "zstd chunk", "lz4 chunk"
	Custom      map[string]string
	Missing     []string // files that metadata.yaml names and the folder does not have
	Mismatch    []string // where metadata.yaml disagrees with the storage, one sentence each
}

// split is one file of an open bag.
type split struct {
	storage
	name   string // as the user knows it
	topics map[int64]*Topic
	desc   fileDescription
	tail   error // the compressed file, or the log beside it, ended or broke here
	log    string
	fatal  error // cannot be read at all
	size   int64
}

// Bag is a recording opened for reading. Its methods may be called from several
// goroutines; each Iterator belongs to one.
type Bag struct {
	path   string
	opts   options
	meta   *metadata // nil without one
	splits []*split
	topics []*Topic
	info   Info
	temp   tempFiles
	mu     sync.Mutex
	closed bool
}

// Open opens a bag folder, or a single .mcap or .db3 file, either of them
// possibly compressed as .zstd or .zst. Nothing is written beside it; compressed files
// and databases with an unfinished log are copied to the temporary folder until
// Close. A damaged bag opens as long as one file of it can be read: see
// FileInfo.Err. Errors: ErrNotBag, ErrMetadata, ErrCorrupt, ErrTruncated,
// ErrTooLarge, ErrNoSpace, ErrPermission.
func Open(path string, opts ...Option) (*Bag, error) {
	b := &Bag{path: path, opts: newOptions(opts)}
	b.temp = tempFiles{parent: b.opts.tempDir, limit: b.opts.Temp}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.temp.close())
	}
	return b, nil
}

func (b *Bag) open() error {
	info, err := os.Stat(b.path)
	if err != nil {
		return IOError("open", b.path, err)
	}
	files := []string{b.path}
	if info.IsDir() {
		if files, err = b.listFolder(); err != nil {
			return err
		}
	}
	var failed []error
	for _, f := range files {
		s, err := b.openSplit(f)
		if err != nil {
			if errors.Is(err, ErrNoSpace) || len(files) == 1 {
				return err
			}
			failed = append(failed, err)
			s.fatal = err
		}
		b.splits = append(b.splits, s)
	}
	if len(failed) == len(files) {
		return fmt.Errorf("%s: none of its %d files can be read, the first: %w", b.path, len(files), failed[0])
	}
	if b.meta == nil {
		b.meta = b.splits[len(b.splits)-1].desc.meta
	} else {
		b.info.Version = b.meta.Version
	}
	b.merge()
	b.compare()
	return b.checkCompression()
}

// listFolder names the files of a bag folder, with or without metadata.yaml.
func (b *Bag) listFolder() ([]string, error) {
	meta, err := readMetadata(b.path)
	if err != nil {
		return nil, err
	}
	if meta == nil || len(meta.paths()) == 0 {
		b.meta = meta
		return guessFiles(b.path)
	}
	b.meta = meta
	var files []string
	for _, rel := range meta.paths() {
		path, ok := locate(b.path, rel)
		if !ok {
			b.info.Missing = append(b.info.Missing, rel)
		} else if !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w: none of the %d files that its metadata.yaml names is there; copy them beside it", b.path, ErrNotBag, len(b.info.Missing))
	}
	return files, nil
}

var storageSuffixes = []string{".mcap", ".db3", ".mcap.zstd", ".db3.zstd", ".mcap.zst", ".db3.zst"}

// IsRecording tells by its name whether a file is one that Open reads.
func IsRecording(name string) bool {
	return slices.ContainsFunc(storageSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// splitStem takes NAME and 3 off NAME_3.mcap; number is -1 where there is none.
func splitStem(file string) (stem, suffix string, number int, ok bool) {
	for _, s := range storageSuffixes {
		if stem, found := strings.CutSuffix(file, s); found {
			if i := strings.LastIndexByte(stem, '_'); i >= 0 && strings.Trim(stem[i+1:], "0123456789") == "" {
				if n, err := strconv.Atoi(stem[i+1:]); err == nil {
					return stem[:i], s, n, true
				}
			}
			return stem, s, -1, true
		}
	}
	return "", "", -1, false
}

// IsBagFolder tells a bag's folder from one that holds bags: it has recordings
// and a metadata.yaml, or its recordings are the splits NAME_0, NAME_1 ... of one
// storage, as a recorder that was killed leaves them.
func IsBagFolder(dir string) bool {
	files, n, err := recordings(dir)
	if err != nil || len(files) == 0 {
		return false
	}
	if info, err := os.Stat(filepath.Join(dir, metadataFile)); err == nil && info.Mode().IsRegular() {
		return true
	}
	numbers := map[int]bool{}
	for _, f := range files {
		_, _, n, _ := splitStem(filepath.Base(f))
		if n >= 0 && n < len(files) {
			numbers[n] = true
		}
	}
	return n == 1 && len(numbers) == len(files)
}

// recordings lists the recordings in dir and counts how many they are when
// files of one name and storage, but for their number, are one.
func recordings(dir string) (files []string, n int, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, IOError("read", dir, err)
	}
	stems := map[[2]string]bool{}
	for _, e := range list {
		stem, suffix, _, ok := splitStem(e.Name())
		path := filepath.Join(dir, e.Name())
		if !ok {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		stems[[2]string{stem, strings.TrimSuffix(strings.TrimSuffix(suffix, ".zstd"), ".zst")}] = true
		files = append(files, path)
	}
	return files, len(stems), nil
}

// guessFiles lists the splits in a folder without metadata.yaml, as a recorder
// that was killed leaves it.
func guessFiles(dir string) ([]string, error) {
	files, n, err := recordings(dir)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: %w: it holds no .mcap or .db3 file", dir, ErrNotBag)
	}
	if n > 1 {
		return nil, fmt.Errorf("%s: %w: it holds %d recordings and no metadata.yaml; open its files one by one", dir, ErrNotBag, n)
	}
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // _10 after _9
	})
	return files, nil
}

var (
	sqliteMagic = []byte("SQLite format 3\x00")
	zstdMagic   = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// openSplit opens one file by what it contains, whatever its name says.
func (b *Bag) openSplit(name string) (*split, error) {
	s := &split{name: name}
	path, head, err := name, []byte(nil), error(nil)
	if info, err := os.Stat(name); err == nil {
		s.size = info.Size()
	}
	if head, err = fileHead(name); err != nil {
		return s, err
	}
	private := false
	if strings.HasPrefix(string(head), string(zstdMagic)) {
		if path, s.tail, err = b.temp.decompress(name); err != nil {
			return s, err
		}
		b.info.Compression, private = "zstd file", true
		if head, err = fileHead(path); err != nil {
			return s, err
		}
	}
	switch {
	case strings.HasPrefix(string(head), string(sqliteMagic)):
		err = s.openSQLite(b, path, private)
	case strings.HasPrefix(string(head), "\x89MCAP0\r\n"):
		var m *mcapFile
		if m, err = openMCAP(path, &b.opts); err == nil {
			s.storage = m
		}
	case s.size == 0:
		err = fmt.Errorf("%s: %w: the file is empty", name, ErrTruncated)
	case s.tail != nil:
		err = fmt.Errorf("%s: %w", name, s.tail)
	default:
		err = fmt.Errorf("%s: %w: it is neither MCAP nor a SQLite database", name, ErrNotBag)
	}
	if err != nil {
		return s, err
	}
	s.desc = s.describe()
	return s, nil
}

func (s *split) openSQLite(b *Bag, path string, private bool) error {
	if logs := unfinishedLogs(path); !private && len(logs) > 0 {
		copied, err := b.temp.copyWithLogs(path, logs)
		if err != nil {
			return err
		}
		path, s.tail, s.log = copied, workIn(copied, s.name, logs), logNames(s.name, logs)
	}
	q, err := openSQLite(path, s.name, b.meta, &b.opts)
	if err == nil {
		s.storage = q
	}
	return err
}

func fileHead(path string) ([]byte, error) {
	f, _, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, IOError("read", path, err)
	}
	return head[:n], nil
}

// OpenRegular opens a regular file and returns its size in bytes; all else is
// refused, wrapping ErrNotRegular.
func OpenRegular(path string) (*os.File, int64, error) {
	f, size, err := userfile.Open(path)
	var not *userfile.NotRegular
	switch {
	case errors.As(err, &not):
		return nil, 0, fmt.Errorf("open %s: %w", path, ErrNotRegular)
	case err != nil:
		return nil, 0, IOError("open", path, err)
	}
	return f, size, nil
}

// checkCompression refuses what rosbag2 has no decompressor for.
func (b *Bag) checkCompression() error {
	if b.meta == nil || b.meta.Mode == "" {
		return nil
	}
	if b.meta.Mode != "FILE" && b.meta.Mode != "MESSAGE" {
		return fmt.Errorf("%s: %w: compression_mode %q", b.path, ErrCompression, b.meta.Mode)
	}
	if b.meta.Compression != "zstd" {
		return fmt.Errorf("%s: %w: compression_format %q, only zstd is known", b.path, ErrCompression, b.meta.Compression)
	}
	if b.meta.Mode == "MESSAGE" {
		b.info.Compression = "zstd message"
	}
	return nil
}

// Close removes the bag's temporary files. Iterators end with ErrClosed.
func (b *Bag) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.temp.close()
}

func (b *Bag) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
