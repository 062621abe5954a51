//go:build ros

package driver

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/loop"
	"arfm/nodes/ros"
	"arfm/policy"
	"arfm/policy/contract"
)

// Queues of the middleware: a joint state may wait for a decoder, a picture
// that another one follows is of no use.
const (
	stateDepth = 200
	imageDepth = 5
)

// sayAgain is how long a topic's refusals stay out of the log after one.
const sayAgain = 5 * time.Second

// source is the loop's source over topics. Messages are pushed from the
// goroutines of two groups, so that pictures hold up nothing else.
type source struct {
	c    *contract.Contract
	now  func() int64           // ROS time, ns
	step func() <-chan struct{} // see loop.Stepped
	log  Logger
	text func() string // an instruction that takes precedence over the topic's, or ""

	feeds []*feed
	subs  []*ros.Subscription

	mu       sync.Mutex
	resample *contract.Resampler
	latest   int64 // newest time of receipt, ns
	frames   [frameRing]frame
	spoken   string         // instruction of the last frame
	told     *cdr.Record    // the last message with one; it is not sent again
	age      loop.Histogram // from the input's stamp to the chunk
}

// frameRing is how many frames may pass until the chunk for one of them comes.
const frameRing = 64

// frame remembers the oldest stamp of the pictures in a frame, or of the other
// inputs where there are none.
type frame struct{ t, stamp int64 }

// feed is what came on a topic. Its counts are under the source's lock.
type feed struct {
	topic    string
	role     contract.Role
	typ      *ros.Type
	messages int64
	refused  int64
	reason   string    // of the last refusal
	said     time.Time // when a refusal was logged last
	unsaid   int64     // refusals since
}

var _ loop.Stepped = (*source)(nil)

// qosOf gives the profiles that a topic is subscribed to with.
func qosOf(role contract.Role) []ros.QoS {
	switch role {
	case contract.RoleImage:
		return []ros.QoS{{Depth: imageDepth}}
	case contract.RoleInstruction:
		// The first hears what publishers that latch have said before, the second
		// those of any kind from now on. In the other order Cyclone DDS gives the
		// one that latches nothing of before.
		return []ros.QoS{ros.Latched, {Depth: 10}}
	}
	return []ros.QoS{{Depth: stateDepth}}
}

// open subscribes to what the contract reads, pictures in one group and the rest
// in another.
func (s *source) open(n *ros.Node, pictures, states *ros.Group, c *contract.Contract) (err error) {
	s.c, s.resample, s.spoken = c, contract.NewResampler(c), c.Observation.Instruction.Default
	for _, use := range c.Topics() {
		switch use.Role {
		case contract.RoleAction, contract.RoleReward, contract.RoleEpisode:
			continue
		}
		if slices.ContainsFunc(s.feeds, func(f *feed) bool { return f.topic == use.Topic }) {
			continue // a topic that is read for two roles
		}
		typ, err := n.Context().Type(contract.NormalType(use.Type))
		if err != nil {
			return fmt.Errorf("topic %s: %w", use.Topic, err)
		}
		f := &feed{topic: use.Topic, role: use.Role, typ: typ}
		s.feeds = append(s.feeds, f)
		group := states
		if use.Role == contract.RoleImage {
			group = pictures
		}
		for _, q := range qosOf(use.Role) {
			sub, err := n.Subscribe(group, use.Topic, typ.Name(), q, func(m ros.Message) { s.take(f, m) })
			if err != nil {
				return err
			}
			s.subs = append(s.subs, sub)
		}
	}
	return nil
}

// close ends the subscriptions.
func (s *source) close() (err error) {
	for _, sub := range s.subs {
		err = errors.Join(err, sub.Close())
	}
	return err
}

// take decodes a message and pushes it; one that does not fit is counted.
func (s *source) take(f *feed, m ros.Message) {
	received := s.now()
	rec, err := f.typ.Decode(m.Data)
	s.push(f, received, rec, err)
}

func (s *source) push(f *feed, received int64, rec *cdr.Record, err error) {
	s.mu.Lock()
	if received < s.latest-s.slack() {
		s.restart()
	}
	s.latest = max(s.latest, received)
	if err != nil {
		err = fmt.Errorf("topic %s: %w", f.topic, err)
	} else {
		err = s.resample.Push(f.topic, received, rec)
	}
	if err == nil && f.role == contract.RoleInstruction {
		s.told = rec
	}
	f.messages++
	var say string
	if err != nil {
		f.refused++
		f.unsaid++
		f.reason = err.Error()
		if time.Since(f.said) >= sayAgain {
			say = fmt.Sprintf("a message is refused: %v", err)
			if f.unsaid > 1 {
				say += fmt.Sprintf(" (%d since the last such line)", f.unsaid)
			}
			f.said, f.unsaid = time.Now(), 0
		}
	}
	s.mu.Unlock()
	if say != "" {
		s.log.Warnf("%s", say)
	}
}

// slack is how far a message may come before another's time without the clock
// having been set back.
func (s *source) slack() int64 { return max(2*s.c.Period(), int64(500*time.Millisecond)) }

// restart forgets what was received, but not what to do: the clock was set back.
func (s *source) restart() {
	s.resample, s.latest, s.frames = contract.NewResampler(s.c), 0, [frameRing]frame{}
	if s.told != nil {
		_ = s.resample.Push(s.c.Observation.Instruction.Topic, 0, s.told) // it was good before
	}
}

// Now implements loop.Source.
func (s *source) Now() int64 { return s.now() }

// Moved implements loop.Stepped.
func (s *source) Moved() <-chan struct{} { return s.step() }

// Observe implements loop.Source.
func (s *source) Observe(t int64, obs *policy.Observation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.resample.Observe(t, obs)
	if err != nil {
		if errors.Is(err, contract.ErrPast) {
			s.restart()
		}
		return err
	}
	s.remember(t)
	if text := s.text(); text != "" {
		obs.Instruction = text
	}
	s.spoken = obs.Instruction
	return nil
}

// remember keeps the stamp that the latency of a chunk for t counts from.
func (s *source) remember(t int64) {
	oldest, picture := t, false
	for _, u := range s.resample.Samples() {
		stamp := t - int64(u.Age)
		switch {
		case u.Role == contract.RoleImage && !picture:
			oldest, picture = stamp, true
		case (u.Role == contract.RoleImage) == picture:
			oldest = min(oldest, stamp)
		}
	}
	s.frames[t/s.c.Period()%frameRing] = frame{t, oldest}
}

// answered counts how old the inputs of a chunk for the frame at t are now.
func (s *source) answered(t int64) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.frames[t/s.c.Period()%frameRing]; f.t == t && now >= f.stamp {
		s.age.Add(time.Duration(now - f.stamp))
	}
}

// topic is what came on a topic so far.
type topic struct {
	name, reason      string
	needed            bool // without it there is no frame
	messages, refused int64
	skipped           int64 // named none of the joints
}

// topics returns what came, the instruction in force and the age of inputs at
// their chunk.
func (s *source) topics() (list []topic, instruction string, age loop.Quantiles) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.resample.Counts()
	for _, f := range s.feeds {
		t := topic{name: f.topic, reason: f.reason, needed: f.role != contract.RoleInstruction, messages: f.messages, refused: f.refused}
		for _, c := range counts {
			if c.Topic == f.topic {
				t.skipped = c.Skipped
			}
		}
		list = append(list, t)
	}
	instruction = s.spoken
	if text := s.text(); text != "" {
		instruction = text
	}
	return list, instruction, s.age.Quantiles()
}
