// Package replay plays a recording as the source of the policy loop: the
// frames that the policy would have seen, at the recording's pace, at a
// multiple of it, or as fast as possible. What the policy answers is held
// against what was commanded in the recording.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
)

// Errors of Open and Observe.
var (
	ErrTopic   = errors.New("the bag lacks what the contract reads")
	ErrEmpty   = errors.New("the bag is too short to play")
	errRestart = errors.New("the bag starts again")
)

// Options says how to play.
type Options struct {
	Speed float64 // recorded seconds per second; 0: as fast as possible, in virtual time
	Loop  bool    // start again at the end
}

// Source plays one bag. It is a loop.Source and, as nothing moves, a loop.Sink.
type Source struct {
	c     *contract.Contract
	o     Options
	path  string
	bag   *rosbag2.Bag
	reg   *cdr.Registry
	types map[string]*cdr.Type // by topic, of what the resampler reads
	line  bags.Timeline

	it       *rosbag2.Iterator
	resample *contract.Resampler
	next     *rosbag2.Message // read, not yet due
	ended    bool
	start    int64 // time of the first frame, ns
	end      int64
	now      int64
	episode  int // of the last frame, in line
	begin    time.Time
	damage   []error
	counts   Counts

	errors tally
}

// Counts of what was played.
type Counts struct {
	Messages int64 `json:"messages"`
	Refused  int64 `json:"refused"` // undecodable, or not as the contract says
	Breaks   int64 `json:"breaks"`  // places where the bag is damaged
	Rounds   int64 `json:"rounds"`  // times that the bag came to its end
}

var (
	_ loop.Virtual = (*Source)(nil)
	_ loop.Paced   = (*Source)(nil)
	_ loop.Sink    = (*Source)(nil)
)

// Open opens a bag (a folder or a file) for a contract and reads its episodes,
// whose tasks are the instructions that the policy gets, as in training. It
// refuses a bag that lacks an observation topic or has it with another type
// (ErrTopic), and one shorter than ten frames (ErrEmpty); other errors are
// those of bags.ReadTimeline.
func Open(ctx context.Context, path string, c *contract.Contract, o Options) (*Source, error) {
	if o.Speed < 0 || o.Speed != o.Speed || o.Speed > 1000 {
		return nil, fmt.Errorf("replay: speed %g is not between 0 and 1000", o.Speed)
	}
	b, err := rosbag2.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Source{c: c, o: o, path: path, bag: b, types: map[string]*cdr.Type{}}
	s.errors.init(c)
	if err := s.prepare(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) prepare(ctx context.Context) (err error) {
	info := s.bag.Info()
	// A definition that cannot be parsed matters only if it is read: Type tells.
	s.reg, _ = s.bag.Registry()
	for _, use := range s.c.Topics() {
		if use.Role == contract.RoleReward || use.Role == contract.RoleEpisode {
			continue
		}
		found := false
		for _, t := range info.Topics {
			found = found || t.Name == use.Topic && contract.NormalType(t.Type) == contract.NormalType(use.Type) && t.Readable() == nil
		}
		if !found {
			if use.Role == contract.RoleState || use.Role == contract.RoleImage {
				return fmt.Errorf("replay %s: %w: topic %s of type %s", s.path, ErrTopic, use.Topic, use.Type)
			}
			continue
		}
		typ, err := s.reg.Type(contract.NormalType(use.Type))
		if err != nil {
			return fmt.Errorf("replay %s: topic %s: %w", s.path, use.Topic, err)
		}
		s.types[use.Topic] = typ
	}
	if s.line, err = bags.ReadTimeline(ctx, s.bag, s.path, s.c); err != nil {
		return err
	}
	period := s.c.Period()
	s.start, s.end = (info.Start+period-1)/period*period, info.End
	if s.end-s.start < 10*period {
		return fmt.Errorf("replay %s: %w: %v", s.path, ErrEmpty, time.Duration(info.Duration))
	}
	return s.restart()
}

// restart goes to the bag's start.
func (s *Source) restart() error {
	if s.it != nil {
		if err := s.it.Close(); err != nil {
			return err
		}
	}
	it, err := s.bag.Messages(rosbag2.Filter{Topics: slices.Sorted(maps.Keys(s.types))})
	if err != nil {
		return err
	}
	s.it, s.next, s.ended = it, nil, false
	s.resample = contract.NewResampler(s.c)
	s.now, s.begin = s.start, time.Now()
	s.errors.forget()
	return nil
}

// Close closes the bag.
func (s *Source) Close() error {
	return errors.Join(s.it.Close(), s.bag.Close())
}

// LoopConfig returns the loop configuration that fits the recording.
func (s *Source) LoopConfig(limits runner.Limits, replanRows int) loop.Config {
	cfg := loop.RunnerConfig(s.c, limits)
	cfg.ReplanRows = replanRows
	return loop.Config{Runner: cfg, Virtual: s.o.Speed == 0, Chunk: s.Chunk}
}

// Now implements loop.Source.
func (s *Source) Now() int64 {
	if s.o.Speed == 0 {
		return s.now
	}
	return s.start + int64(float64(time.Since(s.begin))*s.o.Speed)
}

// Speed implements loop.Paced.
func (s *Source) Speed() float64 { return s.o.Speed }

// Span returns the time of the first frame and of the last message, ns.
func (s *Source) Span() (start, end int64) { return s.start, s.end }

// Counts returns what was played so far.
func (s *Source) Counts() Counts { return s.counts }

// Damage returns where the bag broke off, if it did.
func (s *Source) Damage() []error { return s.damage }

// Advance implements loop.Virtual.
func (s *Source) Advance(t int64) (int64, error) {
	if t > s.end {
		if err := s.over(); err != nil {
			return s.now, err
		}
		return s.now, nil
	}
	s.now = t
	return t, nil
}

// over ends the bag, or starts it again.
func (s *Source) over() error {
	s.counts.Rounds++
	if !s.o.Loop {
		return io.EOF
	}
	return s.restart()
}

// Observe implements loop.Source: all messages received by t are read.
func (s *Source) Observe(t int64, obs *policy.Observation) error {
	if t > s.end {
		if err := s.over(); err != nil {
			return err
		}
		return errRestart
	}
	if err := s.read(t); err != nil {
		return err
	}
	if i := s.line.Index(t); i != s.episode {
		s.episode = i
		s.errors.forget() // what was foreseen does not reach into the next episode
	}
	s.errors.compare(t, s.resample)
	if err := s.resample.Observe(t, obs); err != nil {
		return err
	}
	s.line.Instruct(obs)
	return nil
}

// read pushes the messages up to time t.
func (s *Source) read(t int64) error {
	for !s.ended {
		if s.next == nil {
			m, err := s.it.Next()
			var cut *rosbag2.BreakError
			switch {
			case errors.Is(err, io.EOF):
				s.ended = true
				return nil
			case errors.As(err, &cut):
				s.counts.Breaks++
				if len(s.damage) < 16 {
					s.damage = append(s.damage, err)
				}
				continue
			case err != nil:
				return fmt.Errorf("replay %s: %w", s.path, err)
			}
			s.next = m
		}
		if s.next.LogTime > t {
			return nil
		}
		s.push(s.next)
		s.next = nil
	}
	return nil
}

// push decodes a message and gives it to the resampler; one that does not fit
// is counted, as it is on the robot.
func (s *Source) push(m *rosbag2.Message) {
	s.counts.Messages++
	typ := s.types[m.Topic.Name]
	if typ == nil || contract.NormalType(m.Topic.Type) != typ.Name() {
		s.counts.Refused++
		return
	}
	rec, err := typ.Decode(m.Data)
	if err != nil {
		s.counts.Refused++
		return
	}
	if err := s.resample.Push(m.Topic.Name, m.LogTime, rec); err != nil {
		s.counts.Refused++
	}
}

// Command implements loop.Sink: a recording cannot be moved.
func (s *Source) Command(*runner.Effects) error { return nil }

// Chunk takes a chunk to compare with the recorded actions as they come; it
// is what loop.Config.Chunk wants.
func (s *Source) Chunk(_ uint64, chunk *policy.ActionChunk) { s.errors.add(chunk) }

// Errors returns how far the policy's chunks are from the recorded actions.
func (s *Source) Errors() Errors { return s.errors.result() }
