package bags

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

// maxTicks bounds the clock grid of one bag: 115 days at 1 Hz.
const maxTicks = 1e7

// Frames that wait for their images.
const (
	maxDrafts     = 32       // enough for as many cores
	maxDraftBytes = 64 << 20 // of image messages, in those that wait
)

// draft is a frame without its images, which are being decoded.
type draft struct {
	frame    Frame
	pictures contract.Pictures
	bytes    int64
	err      error // of its action
}

// scan reads the messages once and fills frames, marks and rewards.
func (s *reader) scan() error {
	s.sampler.Help(min(runtime.GOMAXPROCS(0), maxDrafts))
	defer s.sampler.Stop()
	next, last, started := int64(0), int64(0), false
	err := s.each(func(*feed) bool { return true }, func(m *rosbag2.Message) error {
		if !started {
			next, started = (m.LogTime+s.period-1)/s.period*s.period, true
		}
		// Frames before this message know nothing of it.
		if err := s.ticks(&next, m.LogTime); err != nil {
			return err
		}
		last = m.LogTime
		s.take(m, next > s.hi && s.pending == nil)
		return s.room() // for rewards and marks
	})
	if err != nil || !started {
		return err
	}
	if err := s.ticks(&next, last+1); err != nil {
		return err
	}
	if err := s.settle(0, 0); err != nil {
		return err
	}
	if s.pending != nil && s.complete(s.pending) { // the recording ends before its action
		s.report.Ticks--
	}
	return nil
}

// ticks makes the frames before the time end.
func (s *reader) ticks(next *int64, end int64) error {
	if (end-*next)/s.period > maxTicks-int64(s.report.Ticks) {
		return fmt.Errorf("%s: %w: its messages span over %d frames at %g Hz; check its times or lower rate_hz", s.path, ErrTooLarge, int(maxTicks), s.c.RateHz)
	}
	for ; *next < end; *next += s.period {
		if err := s.goOn(); err != nil {
			return err
		}
		if err := s.act(*next); err != nil {
			return err
		}
		if *next >= s.lo && *next < s.hi {
			s.look(*next)
		}
		if err := s.room(); err != nil {
			return err
		}
	}
	return nil
}

// room refuses to keep more than is allowed.
func (s *reader) room() error {
	if s.bytes > s.opts.MaxBytes {
		return fmt.Errorf("%s: %w: its frames take over the %d MiB that are left for them; lower the image size or rate_hz in the contract, read a span of it, or allow more", s.path, ErrTooLarge, s.opts.MaxBytes>>20)
	}
	return nil
}

// look drafts the frame at t, which then waits for its action.
func (s *reader) look(t int64) {
	d := &draft{}
	if n := len(s.spare); n > 0 {
		d, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	err := s.sampler.Prepare(t, &d.frame.Observation, &d.pictures)
	s.report.Ticks++
	for _, u := range s.sampler.Samples() {
		f := s.feeds[u.Topic]
		if u.Age >= 0 {
			f.report.ages.add(int64(u.Age))
		}
		if u.Err != nil && f.seen != s.report.Ticks { // once per topic
			f.seen = s.report.Ticks
			f.spoil(u.Err)
		}
	}
	if err != nil {
		s.spare = append(s.spare, d)
		return
	}
	d.bytes = d.pictures.Bytes()
	s.pending = d
}

// act gives the waiting frame the action at t and puts it in the queue.
func (s *reader) act(t int64) error {
	d := s.pending
	if d == nil {
		return nil
	}
	s.pending = nil
	if len(d.frame.Action) == 0 {
		d.frame.Action = make([]float32, s.c.ActionDim())
	}
	d.err = s.sampler.Action(t, d.frame.Action)
	s.queue, s.queued = append(s.queue, d), s.queued+d.bytes
	return s.settle(maxDrafts, maxDraftBytes)
}

// settle completes the oldest frames until the others are within bounds. When
// does not depend on how fast images are decoded, so that no report does.
func (s *reader) settle(most int, bytes int64) error {
	for len(s.queue) > most || len(s.queue) > 0 && s.queued > bytes {
		if err := s.goOn(); err != nil {
			return err
		}
		d := s.queue[0]
		s.queue, s.queued = slices.Delete(s.queue, 0, 1), s.queued-d.bytes
		if s.complete(d) {
			s.keep(d)
		}
		s.spare = append(s.spare, d)
		if err := s.room(); err != nil {
			return err
		}
	}
	return nil
}

// complete gives a frame its images. false: they or the action are unusable,
// which is counted.
func (s *reader) complete(d *draft) bool {
	images := &d.frame.Images
	if s.light {
		images = &s.images
	}
	if err := s.sampler.Collect(&d.pictures, images); err != nil {
		var bad *contract.ImageError
		if errors.As(err, &bad) {
			s.feeds[bad.Topic].spoil(err)
		}
		return false
	}
	if d.err == nil {
		return true
	}
	topic := s.c.Action.Topic
	var stale *contract.StaleError
	if errors.As(d.err, &stale) { // also of the state that a next_state action is
		topic = stale.Topic
	}
	if f := s.feeds[topic]; f != nil {
		f.spoil(d.err)
	}
	return false
}

// keep appends a complete frame; light leaves its storage to the next draft.
func (s *reader) keep(d *draft) {
	f := d.frame
	if s.light {
		f = Frame{Observation: policy.Observation{Stamp: f.Stamp, Instruction: f.Instruction}}
	} else {
		d.frame = Frame{}
	}
	s.frames = append(s.frames, f)
	s.bytes += 160 + int64(4*(len(f.State)+len(f.Action)))
	for _, img := range f.Images {
		s.bytes += 48 + int64(len(img.Pix))
	}
}

// spoil counts a tick without a frame.
func (f *feed) spoil(err error) {
	reason := "unusable"
	var stale *contract.StaleError
	switch {
	case errors.As(err, &stale):
		reason = "stale"
	case errors.Is(err, contract.ErrNoSample):
		reason = "no message yet"
	case errors.Is(err, contract.ErrImage):
		reason = "undecodable"
	}
	f.report.Dropped[reason]++
}
