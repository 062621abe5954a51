package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/sim"
)

// RecordOptions says what is recorded.
type RecordOptions struct {
	Dir      string // where bags go; empty: none are made
	Episodes int    // in a bag
	Keep     int    // bags that stay; older ones are removed; 0: all
}

// markKind is what a recording has to know of the episodes.
type markKind int

const (
	markBegin markKind = iota + 1
	markEnd
	markDone // all that was said of the episode has come, also its pictures
)

// entry is a message or a mark on its way to the recording.
type entry struct {
	Message
	mark markKind
}

// recording writes episodes as rosbag2 bags: what is said on sim.Topics from an
// episode's beginning to its end.
type recording struct {
	o      *Options
	name   string // of the bags, before their number
	types  map[string]*cdr.Type
	number int
	rec    *bags.Recorder // nil: none is open
	held   int            // episodes in it
	moved  bool           // a command is in it
	begin  int64
	end    int64 // 0: the episode goes on
	inside bool  // an episode is being recorded
}

func newRecording(o *Options, begun time.Time) (*recording, error) {
	r := &recording{o: o, types: map[string]*cdr.Type{}, name: o.Suite.Name + "_" + begun.UTC().Format(stampLayout)}
	reg := cdr.NewRegistry()
	for _, t := range sim.Topics {
		var err error
		if r.types[t.Topic], err = reg.Type(t.Type); err != nil {
			return nil, fmt.Errorf("simulator: topic %s: %w", t.Topic, err)
		}
	}
	if o.Record.Dir == "" {
		return r, nil
	}
	if err := os.MkdirAll(o.Record.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("simulator: cannot make the folder for recordings: %w", err)
	}
	return r, nil
}

// take writes one entry. After an error nothing more is written until the next
// episode begins.
func (r *recording) take(e entry) error {
	switch e.mark {
	case markBegin:
		err := r.done()
		r.begin, r.end, r.inside = e.Time, 0, r.o.Record.Dir != ""
		return errors.Join(err, r.open())
	case markEnd:
		r.end = e.Time
		return nil
	case markDone:
		return r.done()
	}
	if !r.inside || r.rec == nil || e.Time < r.begin || r.end != 0 && e.Time > r.end || r.types[e.Topic] == nil {
		return nil
	}
	r.moved = r.moved || e.Topic == sim.TopicCommand
	return r.lost(r.rec.WriteEncoded(e.Topic, e.Time, e.Data))
}

// open begins a bag unless one is open.
func (r *recording) open() error {
	if !r.inside || r.rec != nil {
		return nil
	}
	path := filepath.Join(r.o.Record.Dir, fmt.Sprintf("%s_%06d", r.name, r.number))
	r.number++
	var err error
	if r.rec, err = bags.NewRecorder(path, rosbag2.WriterOptions{}); err != nil {
		r.rec = nil
		return err
	}
	for _, t := range sim.Topics {
		qos := ""
		if t.Topic == sim.TopicInstruction {
			qos = bags.Latched
		}
		if err := r.rec.Declare(t.Topic, r.types[t.Topic], qos); err != nil {
			return r.lost(err)
		}
	}
	return nil
}

// lost drops the bag after an error.
func (r *recording) lost(err error) error {
	if err == nil {
		return nil
	}
	err = errors.Join(err, r.rec.Abort())
	r.rec, r.held, r.inside, r.moved = nil, 0, false, false
	return err
}

// done counts the episode that has ended, and completes its bag if it is full.
func (r *recording) done() error {
	if !r.inside || r.rec == nil {
		return nil
	}
	r.inside = false
	if r.held++; r.held < r.o.Record.Episodes {
		return nil
	}
	return r.close()
}

// close completes the bag. One without a command teaches nothing and is dropped.
func (r *recording) close() error {
	if r.rec == nil {
		return nil
	}
	rec, moved := r.rec, r.moved
	r.rec, r.held, r.inside, r.moved = nil, 0, false, false
	if !moved {
		return rec.Abort()
	}
	if err := rec.Close(); err != nil {
		return err
	}
	return r.prune()
}

const stampLayout = "20060102T150405"

var bagName = regexp.MustCompile(`^[a-z]+_([0-9]{8}T[0-9]{6}_[0-9]{6})$`)

// prune removes the oldest bags beyond those that are to stay. Only bags of
// this recorder's names are looked at; a bag is there as a whole or not at all.
func (r *recording) prune() error {
	if r.o.Record.Keep == 0 {
		return nil
	}
	entries, err := os.ReadDir(r.o.Record.Dir)
	if err != nil {
		return fmt.Errorf("simulator: folder of recordings: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && bagName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	age := func(name string) string { _, stamp, _ := strings.Cut(name, "_"); return stamp }
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(age(a), age(b)) })
	for _, name := range names[:max(0, len(names)-r.o.Record.Keep)] {
		hidden := filepath.Join(r.o.Record.Dir, "."+name+".old")
		if err := os.Rename(filepath.Join(r.o.Record.Dir, name), hidden); err != nil {
			return fmt.Errorf("simulator: old recording: %w", err)
		}
		if err := os.RemoveAll(hidden); err != nil {
			return fmt.Errorf("simulator: old recording: %w", err)
		}
	}
	return nil
}
