package rosbag2

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/foxglove/mcap/go/mcap"

	"arfm/bags/cdr"
)

// WriterOptions changes how a bag is written. The zero value is good.
type WriterOptions struct {
	Compression string // of chunks: "zstd" (default), "lz4" or "none"
	ChunkSize   int64  // bytes before compression, default 768 KiB as in rosbag2

	open func(path string) (io.WriteCloser, error) // tests: a full disk
}

// TopicID names a topic of one Writer.
type TopicID int

// Writer writes a rosbag2 bag with MCAP storage and metadata.yaml version 5,
// which Humble and all later distributions read. The same calls give the same
// bytes. It belongs to one goroutine.
type Writer struct {
	dir    string // the bag to be
	temp   string // the folder that is renamed to it
	file   io.WriteCloser
	buf    *bufio.Writer
	mcap   *mcap.Writer
	topics []*written
	ids    map[string]TopicID
	types  map[string]uint16 // schema ids
	common *cdr.Registry
	start  int64
	end    int64
	count  int64
	err    error // sticky
}

type written struct {
	Topic
	qos      string
	sequence uint32
}

// Create starts a bag in the folder dir, which must not exist; its parent must.
// Everything goes into a temporary folder beside it that Close renames, so that
// dir is a whole bag or absent. Errors: ErrExists, ErrNoSpace, ErrPermission,
// ErrCompression.
func Create(dir string, opts WriterOptions) (*Writer, error) {
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("write bag %s: it %w; choose another name or remove it", dir, ErrExists)
	}
	o := mcap.WriterOptions{IncludeCRC: true, Chunked: true, ChunkSize: opts.ChunkSize, Compression: mcap.CompressionZSTD,
		CompressionLevel: mcap.CompressionLevelFastest, OverrideLibrary: true}
	if o.ChunkSize <= 0 {
		o.ChunkSize = 768 << 10
	}
	switch opts.Compression {
	case "", "zstd":
	case "lz4":
		o.Compression = mcap.CompressionLZ4
	case "none":
		o.Compression = mcap.CompressionNone
	default:
		return nil, fmt.Errorf("write bag %s: %w: %q; use zstd, lz4 or none", dir, ErrCompression, opts.Compression)
	}
	w := &Writer{dir: dir, ids: map[string]TopicID{}, types: map[string]uint16{}, common: cdr.NewRegistry()}
	if err := w.makeTemp(); err != nil {
		return nil, err
	}
	open := opts.open
	if open == nil {
		open = func(path string) (io.WriteCloser, error) {
			return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		}
	}
	var err error
	if w.file, err = open(filepath.Join(w.temp, w.fileName())); err != nil {
		return nil, w.fail(err)
	}
	w.buf = bufio.NewWriterSize(w.file, 1<<20)
	if w.mcap, err = mcap.NewWriter(w.buf, &o); err != nil {
		return nil, w.fail(err)
	}
	if err := w.mcap.WriteHeader(&mcap.Header{Profile: "ros2", Library: "arfm"}); err != nil {
		return nil, w.fail(err)
	}
	return w, nil
}

func (w *Writer) fileName() string { return filepath.Base(w.dir) + "_0.mcap" }

// makeTemp makes the folder that will be renamed; a hidden name keeps it from
// being taken for a bag.
func (w *Writer) makeTemp() error {
	for i := 0; ; i++ {
		w.temp = filepath.Join(filepath.Dir(w.dir), fmt.Sprintf(".%s.partial%d", filepath.Base(w.dir), i))
		err := os.Mkdir(w.temp, 0o777)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrExist) || i == 1000 {
			return IOError("write bag", w.dir, err)
		}
	}
}

// fail makes err final, and removes what has been written.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = IOError("write bag", w.dir, err)
		w.discard()
	}
	return w.err
}

func (w *Writer) discard() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	os.RemoveAll(w.temp)
}

// AddTopic declares a topic: Name, Type and Definition (full text with its
// dependencies) with DefinitionEncoding, default "ros2msg". The definition of a
// common type may be left out: package cdr supplies it. Format defaults to
// "cdr"; QoS is a YAML list of profiles or "". Error: ErrTopic.
func (w *Writer) AddTopic(t Topic) (TopicID, error) {
	if w.err != nil {
		return 0, w.err
	}
	bad := func(format string, args ...any) (TopicID, error) {
		return 0, fmt.Errorf("write bag %s: %w %q: %s", w.dir, ErrTopic, t.Name, fmt.Sprintf(format, args...))
	}
	if t.Name == "" || t.Type == "" || strings.ContainsAny(t.Name+t.Type, "\n\x00") {
		return bad("it needs a name and a type")
	}
	if _, ok := w.ids[t.Name]; ok {
		return bad("declared twice")
	}
	if len(w.topics) >= math.MaxUint16 {
		return bad("more than %d topics", math.MaxUint16)
	}
	if t.Format == "" {
		t.Format = "cdr"
	}
	if t.Definition == "" {
		if typ, err := w.common.Type(t.Type); err == nil {
			t.Definition, t.DefinitionEncoding = typ.Definition(), "ros2msg"
		}
	}
	t.DefinitionEncoding = cmp.Or(t.DefinitionEncoding, "ros2msg")
	qos, err := numericQoS(t.QoS)
	if err != nil {
		return bad("%v", err)
	}
	schema, ok := w.types[t.Type]
	if !ok {
		schema = uint16(len(w.types) + 1)
		w.types[t.Type] = schema
		if err := w.mcap.WriteSchema(&mcap.Schema{ID: schema, Name: t.Type, Encoding: t.DefinitionEncoding, Data: []byte(t.Definition)}); err != nil {
			return 0, w.fail(err)
		}
	}
	id := TopicID(len(w.topics))
	err = w.mcap.WriteChannel(&mcap.Channel{ID: uint16(id), SchemaID: schema, Topic: t.Name, MessageEncoding: t.Format,
		Metadata: map[string]string{"offered_qos_profiles": qos, "topic_type_hash": t.TypeHash}})
	if err != nil {
		return 0, w.fail(err)
	}
	t.Count = 0
	w.topics = append(w.topics, &written{Topic: t, qos: qos})
	w.ids[t.Name] = id
	return id, nil
}

// Write appends a message received at logTime (ns). Times may come in any
// order; data is copied.
func (w *Writer) Write(id TopicID, logTime int64, data []byte) error {
	if w.err != nil {
		return w.err
	}
	if id < 0 || int(id) >= len(w.topics) {
		return fmt.Errorf("write bag %s: %w: id %d was not given by AddTopic", w.dir, ErrTopic, id)
	}
	t := w.topics[id]
	if logTime < 0 {
		return fmt.Errorf("write bag %s: %w %q: log time %d is before 1970", w.dir, ErrTopic, t.Name, logTime)
	}
	err := w.mcap.WriteMessage(&mcap.Message{ChannelID: uint16(id), Sequence: t.sequence, LogTime: uint64(logTime), PublishTime: uint64(logTime), Data: data})
	if err != nil {
		return w.fail(err)
	}
	if w.count == 0 || logTime < w.start {
		w.start = logTime
	}
	if w.count == 0 || logTime > w.end {
		w.end = logTime
	}
	w.count++
	t.Count++
	t.sequence++
	return nil
}

// Close completes the bag and gives it its name. After an error nothing is left.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	inner, outer, err := w.metadata()
	if err != nil {
		return w.fail(err)
	}
	err = w.mcap.WriteMetadata(&mcap.Metadata{Name: "rosbag2", Metadata: map[string]string{"serialized_metadata": string(inner)}})
	if err == nil {
		err = w.mcap.Close()
	}
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil {
		err = syncClose(w.file)
		w.file = nil
	}
	if err == nil {
		err = writeSynced(filepath.Join(w.temp, metadataFile), outer)
	}
	if err == nil {
		err = syncDir(w.temp)
	}
	if err != nil {
		return w.fail(err)
	}
	if _, err := os.Lstat(w.dir); err == nil {
		return w.fail(fmt.Errorf("it %w since; what was written is removed", ErrExists))
	}
	if err := os.Rename(w.temp, w.dir); err != nil {
		return w.fail(err)
	}
	w.err = fmt.Errorf("write bag %s: %w", w.dir, ErrClosed)
	return IOError("write bag", w.dir, syncDir(filepath.Dir(w.dir)))
}

// Abort removes what was written. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.err == nil {
		w.err = fmt.Errorf("write bag %s: %w", w.dir, ErrClosed)
		w.discard()
	}
	return nil
}

func syncClose(f io.WriteCloser) error {
	var err error
	if s, ok := f.(interface{ Sync() error }); ok {
		err = s.Sync()
	}
	return errors.Join(err, f.Close())
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, syncClose(f))
}

// syncDir makes a rename or a new file durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
