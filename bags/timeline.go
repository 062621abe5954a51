package bags

import (
	"context"
	"errors"
	"io/fs"
	"sort"

	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

// Timeline says which episode of a bag a time belongs to.
type Timeline struct {
	segments []segment // in order of time, disjoint
}

// ReadTimeline reads the episodes of an open bag at path, those that
// ReadEpisodes makes: from the contract's episode topic or, where that says
// nothing, from the sidecar file. Errors wrap ErrTooLarge, ErrSidecar, those of
// package rosbag2, or ctx.Err().
func ReadTimeline(ctx context.Context, bag *rosbag2.Bag, path string, c *contract.Contract) (Timeline, error) {
	s, err := newReader(ctx, bag, path, c, Options{})
	if err != nil {
		return Timeline{}, err
	}
	err = s.each(func(f *feed) bool { return f.episode }, func(m *rosbag2.Message) error {
		s.take(m, true)
		return s.room()
	})
	if err != nil {
		return Timeline{}, err
	}
	line, _, err := s.timeline()
	return line, err
}

// Index returns the number of the episode that a time in ns belongs to,
// counted from 0 and including those without a usable frame; -1 is none.
func (l Timeline) Index(stamp int64) int {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].end > stamp })
	if i == len(l.segments) || l.segments[i].start > stamp {
		return -1
	}
	return i
}

// Instruct gives an observation the instruction that it has in training: the
// task of its episode, if that names one.
func (l Timeline) Instruct(obs *policy.Observation) {
	if i := l.Index(obs.Stamp); i >= 0 {
		l.segments[i].instruct(obs)
	}
}

func (s *segment) instruct(obs *policy.Observation) {
	if s.task != "" {
		obs.Instruction = s.task
	}
}

// timeline joins the events that were read with the sidecar file, whose labels
// it returns too.
func (s *reader) timeline() (Timeline, []Label, error) {
	path := SidecarPath(s.path, s.c.Reward.File)
	labels, err := ReadSidecar(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if s.c.Reward.File != "" {
			s.report.note("no sidecar", "there is no sidecar file %s; arfm bag label writes it", path)
		}
	case err != nil:
		return Timeline{}, nil, err
	}
	marks := s.marks
	if len(marks) == 0 {
		marks = eventsOf(labels)
	}
	return Timeline{segments(marks)}, labels, nil
}

// eventsOf returns the events among labels.
func eventsOf(labels []Label) []mark {
	var marks []mark
	for _, l := range labels {
		if l.Event != EventNone {
			marks = append(marks, mark{l.Stamp, l.Event, l.Task})
		}
	}
	return marks
}
