package rosbag2

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Info describes the bag: counts and times are the storage's own where they
// are cheap, else metadata.yaml's, as CountSource says. The caller owns it.
func (b *Bag) Info() Info {
	i := b.info
	i.Topics = make([]Topic, len(b.topics))
	for k, t := range b.topics {
		i.Topics[k] = *t
	}
	i.Files, i.Missing, i.Mismatch = slices.Clone(i.Files), slices.Clone(i.Missing), slices.Clone(i.Mismatch)
	i.Custom = maps.Clone(i.Custom)
	return i
}

// fullTypeName inserts the "msg" that old writers leave out.
func fullTypeName(name, format string) string {
	if pkg, base, ok := strings.Cut(name, "/"); ok && format == "cdr" && !strings.Contains(base, "/") {
		return pkg + "/msg/" + base
	}
	return name
}

// merge joins the topics, times and counts of the splits.
func (b *Bag) merge() {
	type key struct{ name, kind, format string }
	byKey := map[key]*Topic{}
	i := &b.info
	i.Path, i.CountSource = b.path, "storage"
	timed := false
	for _, s := range b.splits {
		d := &s.desc
		s.topics = make(map[int64]*Topic, len(d.topics))
		for k := range d.topics {
			ft := d.topics[k]
			ft.Type = fullTypeName(ft.Type, ft.Format)
			id := key{ft.Name, ft.Type, ft.Format}
			t := byKey[id]
			if t == nil {
				t = &Topic{Name: ft.Name, Type: ft.Type, Format: ft.Format}
				byKey[id] = t
				b.topics = append(b.topics, t)
			}
			t.Count += ft.Count
			t.QoS, t.TypeHash = cmp.Or(t.QoS, ft.QoS), cmp.Or(t.TypeHash, ft.TypeHash)
			if t.Definition == "" {
				t.Definition, t.DefinitionEncoding = ft.Definition, ft.DefinitionEncoding
			}
			s.topics[ft.id] = t
		}
		timed = i.addFile(s, timed)
	}
	i.Duration = i.End - i.Start
	b.sortTopics()
}

func (b *Bag) sortTopics() {
	slices.SortStableFunc(b.topics, func(a, c *Topic) int {
		return cmp.Or(cmp.Compare(a.Name, c.Name), cmp.Compare(a.Type, c.Type))
	})
}

// Printable quotes a name from a recording that a terminal could not show as it
// is, and returns any other unchanged.
func Printable(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return name
	}
	return strconv.Quote(name)
}

// addFile adds what a split contributes; timed tells whether Start and End hold
// a time already.
func (i *Info) addFile(s *split, timed bool) bool {
	d := &s.desc
	fi := FileInfo{Path: s.name, Size: s.size, Start: d.start, End: d.end, Messages: d.messages, Log: s.log, Err: s.fatal}
	if fi.Err == nil && d.cut != nil {
		fi.Err = &BreakError{File: s.name, Offset: d.cut.offset, LastTime: d.end, Messages: max(d.messages, 0), Err: d.cut.err}
	}
	if fi.Err == nil && d.damage != nil {
		fi.Err = &BreakError{File: s.name, Offset: d.damage.offset, Err: d.damage.err} // messages lie before and behind it
	}
	if fi.Err == nil && s.tail != nil {
		fi.Err = s.tailError(d.end, max(d.messages, 0))
	}
	i.Files = append(i.Files, fi)
	if s.fatal != nil {
		return timed
	}
	i.Storage, i.Schema, i.Distro = cmp.Or(i.Storage, d.storage), max(i.Schema, d.schema), cmp.Or(i.Distro, d.distro)
	if d.compression != "" && d.compression != "none" && i.Compression == "" {
		i.Compression = d.compression + " chunk"
	}
	if d.messages < 0 {
		i.CountSource = "metadata"
	}
	i.Messages += max(d.messages, 0)
	if d.messages == 0 {
		return timed
	}
	if !timed || d.start < i.Start {
		i.Start = d.start
	}
	if !timed || d.end > i.End {
		i.End = d.end
	}
	return true
}

// mismatch notes a fault of metadata.yaml. The record inside of a storage is
// written before the recording ends: that it lags behind is none.
func (i *Info) mismatch(format string, args ...any) {
	if i.Version > 0 {
		i.Mismatch = append(i.Mismatch, fmt.Sprintf(format, args...))
	}
}

// compare fills in what only metadata.yaml knows, and notes where it disagrees.
func (b *Bag) compare() {
	m, i := b.meta, &b.info
	if m == nil {
		if i.CountSource == "metadata" { // nothing to fall back on
			i.CountSource = "none"
		}
		return
	}
	if i.Version > newestVersion {
		i.mismatch("metadata.yaml has version %d, known are 1 to %d: what is new in it is not read", i.Version, newestVersion)
	}
	i.Distro, i.Custom = cmp.Or(i.Distro, m.Distro), m.Custom
	if i.CountSource == "metadata" {
		i.Messages = m.Count
	}
	if m.Storage != "" && i.Storage != m.Storage {
		i.mismatch("metadata.yaml says storage %s, the files are %s", Printable(m.Storage), i.Storage)
	}
	listed := map[string]bool{}
	for k := range m.Topics {
		mt := &m.Topics[k]
		name := mt.Topic.Name
		listed[name] = true
		at := slices.IndexFunc(b.topics, func(t *Topic) bool { return t.Name == name })
		if at < 0 {
			if mt.Count > 0 {
				i.mismatch("metadata.yaml counts %d messages of %s, the storage does not have that topic", mt.Count, Printable(name))
				continue
			}
			// MCAP does not store a channel without a message.
			format := cmp.Or(mt.Topic.Format, "cdr")
			b.topics = append(b.topics, &Topic{Name: name, Type: fullTypeName(mt.Topic.Type, format), Format: format, QoS: qosText(&mt.Topic.QoS), TypeHash: mt.Topic.TypeHash})
			continue
		}
		t := b.topics[at]
		t.QoS, t.TypeHash = cmp.Or(t.QoS, qosText(&mt.Topic.QoS)), cmp.Or(t.TypeHash, mt.Topic.TypeHash)
		// A recorder that converts writes the true format here only; rosbag2
		// goes by it as well.
		if f := mt.Topic.Format; f != "" && f != t.Format {
			i.mismatch("metadata.yaml gives %s the serialization format %q, the storage %q", Printable(name), f, t.Format)
			if t.Format == "cdr" {
				t.Format = f
			}
		}
		if i.CountSource == "metadata" {
			t.Count = mt.Count
		} else if t.Count != mt.Count {
			i.mismatch("metadata.yaml counts %d messages of %s, the storage has %d", mt.Count, Printable(name), t.Count)
		}
	}
	for _, t := range b.topics {
		if !listed[t.Name] && t.Count > 0 {
			i.mismatch("metadata.yaml does not list %s, the storage has %d messages of it", Printable(t.Name), t.Count)
		}
	}
	b.sortTopics()
}
