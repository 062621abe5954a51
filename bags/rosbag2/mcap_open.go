package rosbag2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/foxglove/mcap/go/mcap"
)

// mcapFile is what is known of an MCAP file before its messages are read.
type mcapFile struct {
	path     string
	opts     *options
	size     int64
	header   mcap.Header
	schemas  map[uint16]*mcap.Schema
	channels map[uint16]*mcap.Channel
	counts   map[uint16]int64
	chunks   []chunkRef // sorted by start
	loose    bool       // has messages outside of chunks
	start    int64
	end      int64
	timed    bool
	chunking string
	meta     *metadata
	cut      *cut // where it ends early
	damage   *cut // in the first of the chunks that are not whole, as far as scan looked
}

func openMCAP(path string, opts *options) (*mcapFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, IOError("open", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, IOError("open", path, err)
	}
	m := &mcapFile{path: path, opts: opts, size: info.Size()}
	m.clear()
	if ok, err := m.readSummary(f); err == nil && ok {
		return m, m.readIndexedMetadata(f)
	}
	m.clear()
	return m, m.scan(f)
}

func (m *mcapFile) clear() {
	m.schemas, m.channels, m.counts = map[uint16]*mcap.Schema{}, map[uint16]*mcap.Channel{}, map[uint16]int64{}
	m.chunks, m.loose, m.timed, m.meta, m.cut, m.damage, m.chunking = nil, false, false, nil, nil, nil, ""
}

// footerSize is the footer record and the closing magic.
const footerSize = recordHeader + 8 + 8 + 4 + 8

// readSummary takes everything from the summary section and reports whether
// that is complete: statistics, every channel and schema, every chunk's index.
func (m *mcapFile) readSummary(f *os.File) (bool, error) {
	if m.size < int64(len(mcap.Magic))+footerSize || !hasMagic(f, m.size-int64(len(mcap.Magic))) {
		return false, nil
	}
	var tail [footerSize]byte
	if _, err := f.ReadAt(tail[:], m.size-footerSize); err != nil {
		return false, err
	}
	start := int64(binary.LittleEndian.Uint64(tail[recordHeader:]))
	if mcap.OpCode(tail[0]) != mcap.OpFooter || start <= 0 || start > m.size-footerSize {
		return false, nil
	}
	if err := m.readHeader(newRecordReader(f, int64(len(mcap.Magic)), m.size, m.opts.Chunk)); err != nil {
		return false, err
	}
	var stats *mcap.Statistics
	rr := newRecordReader(f, start, m.size-footerSize, m.opts.Chunk)
	for {
		if err := rr.header(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return false, err
		}
		switch rr.op {
		case mcap.OpSchema, mcap.OpChannel, mcap.OpStatistics, mcap.OpChunkIndex:
		default:
			continue
		}
		body, err := rr.read()
		if err != nil {
			return false, err
		}
		switch rr.op {
		case mcap.OpStatistics:
			stats, err = mcap.ParseStatistics(body)
		case mcap.OpChunkIndex:
			err = m.addChunkIndex(body)
		default:
			err = m.declare(rr.op, body)
		}
		if err != nil {
			return false, err
		}
	}
	return m.useStatistics(stats), nil
}

func (m *mcapFile) addChunkIndex(body []byte) error {
	if len(body) < 32 {
		return fmt.Errorf("%w: short chunk index", ErrCorrupt)
	}
	c := chunkRef{int64(leUint64(body)), int64(leUint64(body[8:])), int64(leUint64(body[16:]))}
	if c.start < 0 || c.end < c.start || c.offset < int64(len(mcap.Magic)) || c.offset >= m.size {
		return fmt.Errorf("%w: a chunk index points outside of the file", ErrCorrupt)
	}
	// Some writers begin the statistics after time 0, so a chunk that has
	// messages, that is message indexes, extends them.
	if len(body) >= 36 && binary.LittleEndian.Uint32(body[32:]) > 0 {
		m.span(c.start)
		m.span(c.end)
	}
	if len(m.chunks) == 0 {
		idx, err := mcap.ParseChunkIndex(body)
		if err != nil {
			return fmt.Errorf("%w: chunk index: %v", ErrCorrupt, err)
		}
		m.chunking = cmp.Or(string(idx.Compression), "none")
	}
	m.chunks = append(m.chunks, c)
	return nil
}

func (m *mcapFile) useStatistics(s *mcap.Statistics) bool {
	if s == nil || int(s.ChannelCount) != len(m.channels) || int(s.ChunkCount) != len(m.chunks) {
		return false
	}
	for _, c := range m.channels {
		if c.SchemaID != 0 && m.schemas[c.SchemaID] == nil {
			return false
		}
	}
	var sum uint64
	for id, n := range s.ChannelMessageCounts {
		if m.channels[id] == nil || n > 1<<56 {
			return false
		}
		m.counts[id] = int64(n)
		sum += n
	}
	if sum != s.MessageCount || int64(s.MessageStartTime) < 0 || int64(s.MessageEndTime) < 0 {
		return false
	}
	m.loose = sum > 0 && len(m.chunks) == 0
	if sum > 0 {
		m.span(int64(s.MessageStartTime))
		m.span(int64(s.MessageEndTime))
	}
	m.sortChunks()
	return true
}

// span extends the file's times by one of them.
func (m *mcapFile) span(log int64) {
	if !m.timed || log < m.start {
		m.start = log
	}
	if !m.timed || log > m.end {
		m.end = log
	}
	m.timed = true
}

func (m *mcapFile) sortChunks() {
	slices.SortStableFunc(m.chunks, func(a, b chunkRef) int { return cmp.Compare(a.start, b.start) })
}

// readIndexedMetadata fetches the "rosbag2" record through its index.
func (m *mcapFile) readIndexedMetadata(f *os.File) error {
	var tail [footerSize]byte
	if _, err := f.ReadAt(tail[:], m.size-footerSize); err != nil {
		return IOError("read", m.path, err)
	}
	rr := newRecordReader(f, int64(binary.LittleEndian.Uint64(tail[recordHeader:])), m.size-footerSize, m.opts.Chunk)
	for rr.header() == nil {
		if rr.op != mcap.OpMetadataIndex {
			continue
		}
		body, err := rr.read()
		if err != nil {
			return nil // the messages do not depend on it
		}
		idx, err := mcap.ParseMetadataIndex(body)
		if err != nil || idx.Name != "rosbag2" || idx.Offset >= uint64(m.size) {
			continue
		}
		at := newRecordReader(f, int64(idx.Offset), m.size, maxMetadataBytes)
		if at.header() == nil && at.op == mcap.OpMetadata {
			if body, err := at.read(); err == nil {
				m.useMetadata(body)
			}
		}
	}
	return nil
}

// useMetadata keeps the metadata that rosbag2 stores in the file itself.
func (m *mcapFile) useMetadata(body []byte) {
	record, err := mcap.ParseMetadata(body)
	if err != nil || record.Name != "rosbag2" {
		return
	}
	if meta, err := parseMetadata([]byte(record.Metadata["serialized_metadata"])); err == nil {
		m.meta = meta
	}
}

func (m *mcapFile) readHeader(rr *recordReader) error {
	if err := rr.header(); err != nil {
		if err == io.EOF {
			return cutf(rr.start, ErrTruncated, "the file ends after its magic")
		}
		return err
	}
	if rr.op != mcap.OpHeader {
		return cutf(rr.start, ErrCorrupt, "the first record is a %s, not a header", rr.op)
	}
	body, err := rr.read()
	if err != nil {
		return err
	}
	h, err := mcap.ParseHeader(body)
	if err != nil {
		return cutf(rr.start, ErrCorrupt, "%v", err)
	}
	m.header = *h
	return nil
}

// declare takes a schema or channel record. A repeated id keeps its first
// meaning, as the format demands that both are equal.
func (m *mcapFile) declare(op mcap.OpCode, body []byte) error {
	switch op {
	case mcap.OpSchema:
		s, err := mcap.ParseSchema(body)
		if err != nil {
			return fmt.Errorf("%w: schema: %v", ErrCorrupt, err)
		}
		if s.ID != 0 && m.schemas[s.ID] == nil {
			m.schemas[s.ID] = s
		}
	case mcap.OpChannel:
		c, err := mcap.ParseChannel(body)
		if err != nil {
			return fmt.Errorf("%w: channel: %v", ErrCorrupt, err)
		}
		if m.channels[c.ID] == nil {
			m.channels[c.ID] = c
		}
	}
	return nil
}

func (m *mcapFile) describe() fileDescription {
	d := fileDescription{storage: "mcap", compression: m.chunking, meta: m.meta, cut: m.cut, damage: m.damage}
	if m.timed {
		d.start, d.end = m.start, m.end
	}
	for _, c := range m.channels {
		t := fileTopic{id: int64(c.ID), Topic: Topic{Name: c.Topic, Format: c.MessageEncoding, Count: m.counts[c.ID],
			QoS: c.Metadata["offered_qos_profiles"], TypeHash: c.Metadata["topic_type_hash"]}}
		if s := m.schemas[c.SchemaID]; s != nil {
			t.Type, t.Definition, t.DefinitionEncoding = s.Name, string(s.Data), s.Encoding
		}
		d.topics = append(d.topics, t)
		d.messages += t.Count
	}
	slices.SortFunc(d.topics, func(a, b fileTopic) int { return cmp.Compare(a.id, b.id) })
	if m.meta != nil {
		d.distro = m.meta.Distro
	}
	return d
}
