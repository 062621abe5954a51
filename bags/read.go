package bags

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

// ReadEpisodes reads the episodes of a bag through a contract. Topics that the
// contract does not name are not read, and a frame is there only if every
// input and the action are usable. The report comes with the error too, unless
// the bag cannot be opened; errors wrap ErrTopic, ErrType, ErrNoFrame,
// ErrTooLarge, ErrSpan, ErrSidecar, those of package rosbag2, or ctx.Err() where
// ctx ends before the bag does. A recording that breaks off is read up to
// there, with a note in the report. Images are decoded on as many goroutines as
// Go may run at once; the result does not depend on how many.
func ReadEpisodes(ctx context.Context, path string, c *contract.Contract, opts Options) ([]Episode, *CheckReport, error) {
	bag, err := rosbag2.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer bag.Close()
	s, err := newReader(ctx, bag, path, c, opts)
	if err != nil {
		return nil, nil, err
	}
	if err := s.report.Err(); err != nil {
		return nil, s.report, err
	}
	if err := s.scan(); err != nil {
		return nil, s.report, err
	}
	eps, err := s.episodes()
	if err != nil {
		return nil, s.report, err
	}
	s.summary(eps)
	s.report.Bytes = s.bytes
	if err := s.report.Err(); err != nil {
		return nil, s.report, err
	}
	return eps, s.report, nil
}

// Check reports how a contract fits a bag: what ReadEpisodes would make of it,
// without keeping the frames. Where the contract does not fit, the report says
// why (CheckReport.Err); the error is about a bag that cannot be read, or wraps
// ctx.Err().
func Check(ctx context.Context, path string, c *contract.Contract) (*CheckReport, error) {
	bag, err := rosbag2.Open(path)
	if err != nil {
		return nil, err
	}
	defer bag.Close()
	s, err := newReader(ctx, bag, path, c, Options{})
	if err != nil {
		return nil, err
	}
	s.light = true
	if err := s.scan(); err != nil {
		return s.report, err
	}
	eps, err := s.episodes()
	if err != nil {
		return s.report, err
	}
	s.summary(eps)
	return s.report, nil
}

// reader makes frames of one bag's messages.
type reader struct {
	ctx    context.Context // of the one call that the reader lives for
	path   string
	c      *contract.Contract
	opts   Options
	bag    *rosbag2.Bag
	report *CheckReport
	period int64
	lo, hi int64 // frames lie in [lo, hi)
	light  bool  // keep no states, images and actions

	feeds   map[string]*feed
	sampler *contract.Resampler
	pending *draft   // waits for its action, at its stamp + period
	queue   []*draft // wait for their images, in order
	queued  int64    // bytes of image messages in the queue
	spare   []*draft
	images  []policy.Image // of light, not kept
	frames  []Frame
	bytes   int64
	marks   []mark
	rewards []point
}

// feed is a topic that is read.
type feed struct {
	typ     *cdr.Type
	report  *TopicReport
	push    bool // to the resampler
	reward  bool
	episode bool
	seen    int // last tick + 1 that it spoilt
}

func newReader(ctx context.Context, bag *rosbag2.Bag, path string, c *contract.Contract, opts Options) (_ *reader, err error) {
	info := bag.Info()
	s := &reader{
		ctx: ctx, path: path, c: c, opts: opts, bag: bag, period: c.Period(), sampler: contract.NewResampler(c), feeds: map[string]*feed{},
		report: &CheckReport{Bag: path, Seconds: round3(float64(info.Duration) * 1e-9), RateHz: c.RateHz, Outcomes: map[string]int{}, Rewards: map[string]int{}},
	}
	s.opts.MaxBytes = cmp.Or(opts.MaxBytes, DefaultMaxBytes)
	if s.lo, s.hi, err = opts.Span.resolve(info.Start, info.End); err != nil {
		return nil, err
	}
	for _, name := range info.Missing {
		s.report.note("file missing", "%s: the file %s of the bag is missing", path, rosbag2.Printable(name))
	}
	for _, m := range info.Mismatch {
		s.report.note("metadata", "%s", m)
	}
	reg, err := bag.Registry()
	if err != nil {
		s.report.note("definitions", "%v", err)
	}
	for _, use := range c.Topics() {
		f := s.feeds[use.Topic]
		if f == nil {
			f = &feed{report: &TopicReport{Topic: use.Topic, Type: use.Type, Dropped: map[string]int{}}}
			s.feeds[use.Topic] = f
			s.report.Topics = append(s.report.Topics, f.report)
		}
		f.report.Roles = append(f.report.Roles, string(use.Role))
		f.report.needed = f.report.needed || required(use.Role)
		topic, err := fit(path, info.Topics, reg, use)
		switch {
		case err == nil:
			f.typ, _ = reg.Type(topic.Type) // fit has compiled it
			f.use(use.Role)
		case required(use.Role) || errors.Is(err, ErrType):
			s.report.fail(err)
		default:
			s.report.note("no "+use.Topic, "%v", err)
		}
	}
	for _, t := range info.Topics {
		if s.feeds[t.Name] == nil {
			s.report.Unused = append(s.report.Unused, t.Name)
		}
	}
	return s, nil
}

func (f *feed) use(role contract.Role) {
	switch role {
	case contract.RoleReward:
		f.reward = true
	case contract.RoleEpisode:
		f.episode = true
	default:
		f.push = true
	}
}

// each calls f with the messages of the feeds that are wanted and there, in
// order of their receive time.
func (s *reader) each(want func(*feed) bool, f func(*rosbag2.Message) error) error {
	var topics []string
	for name, f := range s.feeds {
		if f.typ != nil && want(f) {
			topics = append(topics, name)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	it, err := s.bag.Messages(rosbag2.Filter{Topics: topics})
	if err != nil {
		return err
	}
	defer it.Close()
	for {
		if err := s.goOn(); err != nil {
			return err
		}
		m, err := it.Next()
		var cut *rosbag2.BreakError
		switch {
		case errors.Is(err, io.EOF):
			s.late(it.Late())
			return nil
		case errors.As(err, &cut):
			s.report.note("break", "%v", err)
			continue
		case err != nil:
			return err
		}
		if m.LogTime < 0 || m.LogTime > 1<<62 {
			s.refuse(m, fmt.Errorf("it was received at %d ns", m.LogTime))
			continue
		}
		if err := f(m); err != nil {
			return err
		}
	}
}

// goOn returns an error once ctx has ended.
func (s *reader) goOn() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%s: reading was stopped: %w", s.path, s.ctx.Err())
}

// late reports the messages that the iterator left out.
func (s *reader) late(n int64) {
	if s.report.Late = n; n > 0 {
		s.report.note("late", "%d messages are left out because they were recorded too far out of order to be sorted; sort the bag's files by time, as mcap sort does", n)
	}
}

// refuse counts a message that is not used.
func (s *reader) refuse(m *rosbag2.Message, err error) {
	f := s.feeds[m.Topic.Name]
	f.report.Refused++
	f.report.Reason = fmt.Sprintf("topic %s: %v", m.Topic.Name, err)
}

// take decodes one message and passes it to those who read it. After the span
// only rewards and the ends of episodes count.
func (s *reader) take(m *rosbag2.Message, after bool) {
	f := s.feeds[m.Topic.Name]
	if f == nil || f.typ == nil || contract.NormalType(m.Topic.Type) != f.report.Type {
		return // the topic is there under a second type
	}
	if after && !f.reward && !f.episode {
		return
	}
	f.report.arrived(m.LogTime)
	rec, err := f.typ.Decode(m.Data)
	if err != nil {
		s.refuse(m, err)
		return
	}
	if f.push {
		_ = s.sampler.Push(m.Topic.Name, m.LogTime, rec) // refusals are counted there
	}
	stamp := m.LogTime
	if s.c.Clock == contract.ClockHeader {
		stamp = cmp.Or(contract.Stamp(rec), stamp)
	}
	if f.reward {
		v, ok := contract.Number(rec, s.c.Reward.Field)
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
			s.refuse(m, fmt.Errorf("%s is no finite number", s.c.Reward.Field))
			return
		}
		s.rewards = append(s.rewards, point{stamp, v})
		s.bytes += 16
	}
	if f.episode {
		event, _ := contract.Number(rec, "event")
		task, _ := rec.Lookup("task")
		text, ok := task.(string)
		if !ok || !validTask(text) || event < 0 || event > 3 {
			s.refuse(m, fmt.Errorf("event %v, task %.40q", event, text))
			return
		}
		name := [...]Event{EventStart, EventEnd, EventSuccess, EventFailure}[int(event)]
		s.marks = append(s.marks, mark{stamp, name, text})
		s.bytes += 32 + int64(len(text))
	}
}

// episodes cuts the frames into episodes and gives them their rewards.
func (s *reader) episodes() ([]Episode, error) {
	line, labels, err := s.timeline()
	if err != nil {
		return nil, err
	}
	sources := []rewards{{RewardTopic, s.rewards}, {name: RewardFile}}
	for _, l := range labels {
		if l.Reward != nil {
			sources[1].points = append(sources[1].points, point{l.Stamp, *l.Reward})
		}
	}
	eps, ends, outside := split(s.path, s.frames, line.segments)
	s.report.Outside = outside
	for i := range ends {
		ends[i] = min(ends[i], s.hi)
	}
	lost, n := reward(eps, ends, sources, s.period), len(sources[1].points)
	switch {
	case s.opts.Span != (Span{}):
	case n > 0 && lost[1] == n:
		s.report.note("sidecar elsewhere", "none of the %d rewards in %s falls into a frame, so the file rewards nothing; do its stamps have the recording's clock?", n, SidecarPath(s.path, s.c.Reward.File))
	case lost[0]+lost[1] > 0:
		s.report.note("rewards lost", "%d of %d rewards belong to no frame", lost[0]+lost[1], len(sources[0].points)+n)
	}
	return eps, nil
}

// summary completes the report.
func (s *reader) summary(eps []Episode) {
	r := s.report
	r.Frames = len(s.frames)
	r.Episodes = len(eps)
	for _, e := range eps {
		r.Outcomes[e.Outcome.String()]++
		r.Rewards[e.RewardSource]++
	}
	for _, n := range s.sampler.Counts() {
		t := s.feeds[n.Topic].report
		t.Unstamped, t.OutOfOrder, t.Ahead, t.Skipped = n.Unstamped, n.OutOfOrder, n.Ahead, n.Skipped
		t.Refused += n.Refused
		t.Reason = cmp.Or(n.Reason, t.Reason)
		t.others = n.Others
	}
	worst, drops := "", 0
	for _, t := range r.Topics {
		t.finish()
		for _, reason := range slices.Sorted(maps.Keys(t.Dropped)) {
			if n := t.Dropped[reason]; n > drops {
				worst, drops = fmt.Sprintf("%d lack %s (%s)", n, t.Topic, reason), n
			}
		}
		if t.Count > 0 && t.Refused == t.Count && t.needed {
			r.fail(fmt.Errorf("%s: %w: every message is refused: %s", s.path, ErrType, t.Reason))
		} else if t.Refused > 0 {
			r.note("refused "+t.Topic, "%d of %d messages are refused: %s", t.Refused, t.Count, t.Reason)
		}
		if t.Count > 0 && t.Skipped == t.Count {
			r.fail(fmt.Errorf("%s: %w: no message of %s names any of the contract's joints; its names are %s", s.path, ErrType, t.Topic, t.others))
		}
		if t.Ahead > 0 {
			r.note("ahead "+t.Topic, "%d of %d messages of %s are stamped after they were received: synchronise the clocks, or set clock: receive", t.Ahead, t.Count, t.Topic)
		}
		if t.ages.n > 0 && t.ages.quantile(0.5) > int64(time.Hour) {
			r.note("clock of "+t.Topic, "the stamps of %s are far from their receive times: another clock, or simulated time? set clock: receive", t.Topic)
		}
	}
	if len(eps) == 0 && r.problem == nil {
		if worst == "" {
			worst = "the recording is too short, the span is empty, or no frame lies in an episode"
		}
		r.fail(fmt.Errorf("%s: %w: of %d frames, %s", s.path, ErrNoFrame, r.Ticks, worst))
	}
}
