package contract

import (
	"errors"
	"fmt"
	"time"

	"arfm/policy"
)

// Errors of Observe and Action.
var (
	ErrNoSample = errors.New("no message yet; check that it is published") // also where all are of later than the frame
	ErrPast     = errors.New("frame is out of the history that is kept")
	ErrImage    = errors.New("image cannot be decoded")
)

// maxTime bounds times, so that sums and differences cannot overflow.
const maxTime = 1 << 62

// Resampler turns messages as they arrive into frames on the contract's clock
// grid. Offline and live use the same calls: Push in the order of arrival,
// Observe at multiples of the period. It is not for concurrent use.
type Resampler struct {
	c       *Contract
	period  int64
	latest  int64 // newest time of arrival
	byTopic map[string]*feed
	inputs  []*stream // state fields in order, then cameras by name
	text    *stream   // instruction, or nil
	action  *stream   // or nil for next_state
	next    []int     // state indices of a next_state action
	used    []Sample
	scratch []float32
	staged  []staged
	counts  []*TopicCount

	decoder  decoder
	helpers  *helpers // or nil
	pictures Pictures // of Observe
}

// staged is a sample on its way into a stream.
type staged struct {
	s *stream
	x sample
}

// feed is what happens to the messages of one topic.
type feed struct {
	TopicCount
	typ       string
	streams   []*stream
	lastStamp int64
}

// TopicCount counts what arrived on a topic.
type TopicCount struct {
	Topic      string
	Messages   int64  // pushed
	Unstamped  int64  // header stamp zero or absent where the clock is header: receive time was used
	OutOfOrder int64  // stamped before the message before
	Ahead      int64  // stamped over half a period after it was received: the sender's clock is another
	Refused    int64  // wrong type, missing field, NaN, undecodable image
	Skipped    int64  // named none of the joints: of another publisher on the topic
	Reason     string // of the last refusal
	Others     string // the joints that the first skipped message names
}

// Sample says which sample of an input the last frame used.
type Sample struct {
	Topic string
	Role  Role
	Age   time.Duration // between the frame and the sample's stamp; -1: no sample
	Err   error         // why it made no frame; nil: it is usable
}

// NewResampler returns a resampler for a validated contract.
func NewResampler(c *Contract) *Resampler {
	r := &Resampler{c: c, period: c.Period(), byTopic: map[string]*feed{}, scratch: make([]float32, c.StateDim())}
	for i := range c.Observation.State {
		f := &c.Observation.State[i]
		s := &stream{role: RoleState, align: f.Align, maxAge: ms(f.MaxAgeMS), dim: f.Dim(), extract: newExtractor(f.Selection)}
		r.inputs = append(r.inputs, r.add(s, f.Topic, f.Type, f.Clock))
	}
	for _, cam := range c.Cameras() {
		f := c.Observation.Images[cam.Name]
		s := &stream{role: RoleImage, align: f.Align, maxAge: ms(f.MaxAgeMS), camera: newCamera(f)}
		r.inputs = append(r.inputs, r.add(s, f.Topic, f.Type, f.Clock))
	}
	if in := c.Observation.Instruction; in.Topic != "" {
		r.text = r.add(&stream{role: RoleInstruction, align: AlignHold}, in.Topic, in.Type, ClockReceive)
	}
	if a := &c.Action; a.From == NextState {
		r.next, _ = c.stateIndex() // Validate has checked it
	} else {
		s := &stream{role: RoleAction, align: AlignHold, maxAge: ms(a.MaxAgeMS), dim: a.Dim()}
		if a.Type == typeTrajectory {
			s.names, s.vel = a.Names, a.Field == "velocities"
		} else {
			s.extract = newExtractor(a.Selection)
		}
		r.action = r.add(s, a.Topic, a.Type, a.Clock)
	}
	r.used = make([]Sample, len(r.inputs))
	for i, s := range r.inputs {
		r.used[i] = Sample{Topic: s.topic, Role: s.role, Age: -1}
	}
	return r
}

func ms(x float64) int64 { return int64(x * 1e6) }

func (r *Resampler) add(s *stream, topic, typ, clock string) *stream {
	if clock == "" {
		clock = r.c.Clock
	}
	s.topic, s.header = topic, clock == ClockHeader
	f := r.byTopic[topic]
	if f == nil {
		f = &feed{typ: typ, TopicCount: TopicCount{Topic: topic}}
		r.byTopic[topic] = f
		r.counts = append(r.counts, &f.TopicCount)
	}
	f.streams = append(f.streams, s)
	return s
}

// Push takes a message that was received at the time received (ROS time, ns).
// It copies what it keeps; images stay undecoded until a frame uses them. An
// error (ErrTopic, ErrType, ErrField, ErrNotFinite, ErrImage) means that the
// message is refused and counted; the next one is as welcome as ever.
func (r *Resampler) Push(topic string, received int64, m Message) error {
	f := r.byTopic[topic]
	if f == nil {
		return fmt.Errorf("%w: %s", ErrTopic, topic)
	}
	f.Messages++
	if received < 0 || received > maxTime {
		return f.refuse(fmt.Errorf("%w: received at %d ns", ErrField, received))
	}
	if t := m.TypeName(); t != f.typ && NormalType(t) != f.typ {
		return f.refuse(fmt.Errorf("%w: %s, not %s", ErrType, t, f.typ))
	}
	r.latest = max(r.latest, received)
	stamp, byHeader := int64(0), false
	for _, s := range f.streams {
		byHeader = byHeader || s.header
	}
	if byHeader {
		if stamp = Stamp(m); stamp == 0 {
			f.Unstamped++
			stamp = received
		}
		if stamp < f.lastStamp {
			f.OutOfOrder++
		}
		if stamp-received > r.period/2 { // less can be that /clock came after the message
			f.Ahead++
		}
		f.lastStamp = stamp
	}
	r.staged = r.staged[:0]
	for _, s := range f.streams {
		x := sample{received: received, stamp: received}
		if s.header {
			x.stamp = stamp
		}
		err := r.read(s, &x, m)
		if errors.Is(err, errOtherJoints) {
			f.skip(err)
			continue
		}
		if err != nil { // nothing of a bad message is kept, in any stream
			for _, p := range r.staged {
				p.s.recycle(&p.x)
			}
			return f.refuse(err)
		}
		r.staged = append(r.staged, staged{s, x})
	}
	if len(r.staged) == 0 {
		f.Skipped++
	}
	for _, p := range r.staged {
		p.s.push(p.x, r.latest-2*r.period)
	}
	return nil
}

// skip keeps the names of the first message that is skipped.
func (f *feed) skip(err error) {
	var others otherJoints
	if f.Others == "" && errors.As(err, &others) {
		f.Others = nameList(others)
	}
}

func (f *feed) refuse(err error) error {
	f.Refused++
	err = fmt.Errorf("topic %s: %w", f.Topic, err)
	f.Reason = err.Error()
	return err
}

// read fills x with what the stream takes from m.
func (r *Resampler) read(s *stream, x *sample, m Message) error {
	var err error
	switch {
	case s.camera != nil:
		x.image = s.image()
		if err = s.camera.read(m, x.image); err != nil {
			s.recycle(x)
		}
		return err
	case s.role == RoleInstruction:
		v, _ := m.Lookup("data")
		text, ok := v.(string)
		if !ok || len(text) > 1024 {
			return fmt.Errorf("%w: the instruction is no text of at most 1024 bytes", ErrField)
		}
		x.text = text
	case s.names != nil:
		if x.traj, err = newTrajectory(m, s.names, x.stamp); err != nil {
			return err
		}
		now := max(x.stamp, x.received)
		if k, err := s.pick(now, r.period); err == nil {
			x.traj.follow(s.history[k].traj, now)
		}
	default:
		x.values = s.values()
		if err = s.extract.take(m, x.values); err != nil {
			s.recycle(x)
		}
		return err
	}
	return nil
}

// Observe fills obs with the frame at time t, reusing its storage. It uses
// only messages received by t, and the last two periods can be asked for. The
// error is the first input's that is not usable (*StaleError, ErrNoSample,
// ErrImage) or ErrPast; obs is then not to be used. Samples tells of every
// input.
func (r *Resampler) Observe(t int64, obs *policy.Observation) error {
	if err := r.Prepare(t, obs, &r.pictures); err != nil {
		return err
	}
	failed, err := r.collect(&r.pictures, &obs.Images)
	if err != nil {
		r.used[failed].Err = err
	}
	return err
}

// inReach says whether the history still covers time t.
func (r *Resampler) inReach(t int64) error {
	if t < r.latest-2*r.period || t > maxTime {
		return fmt.Errorf("%w: it is asked for %d ns, the newest message came at %d ns", ErrPast, t, r.latest)
	}
	return nil
}

// choose picks the sample of every input for time t.
func (r *Resampler) choose(t int64) error {
	var first error
	for i, s := range r.inputs {
		u := &r.used[i]
		s.chosen, u.Err = s.pick(t, r.period)
		u.Age = -1
		if s.chosen >= 0 {
			u.Age = time.Duration(s.age(s.chosen, t))
		}
		if u.Err != nil && first == nil {
			first = u.Err
		}
	}
	return first
}

// Action fills dst (A) with the absolute command in force at time t, of the
// messages received by t. The action of the frame at t0 is Action(t0+period).
func (r *Resampler) Action(t int64, dst []float32) error {
	if len(dst) != r.c.ActionDim() {
		return fmt.Errorf("action has %d elements, the destination %d", r.c.ActionDim(), len(dst))
	}
	if err := r.inReach(t); err != nil {
		return err
	}
	if r.action == nil {
		return r.nextState(t, dst)
	}
	s := r.action
	k, err := s.pick(t, r.period)
	if err != nil {
		return err
	}
	if s.names == nil {
		copy(dst, s.history[k].values)
		return nil
	}
	for j := range dst {
		pos, vel := s.history[k].traj.at(t, j)
		if s.vel {
			pos = vel
		}
		if err := store(dst, j, pos, "trajectory of "+s.topic); err != nil {
			return err
		}
	}
	return nil
}

// nextState takes an action from the measured state at time t.
func (r *Resampler) nextState(t int64, dst []float32) error {
	at := 0
	for _, s := range r.inputs[:len(r.c.Observation.State)] {
		k, err := s.pick(t, r.period)
		if err != nil {
			return err
		}
		at += copy(r.scratch[at:], s.history[k].values)
	}
	for a, k := range r.next {
		dst[a] = r.scratch[k]
	}
	return nil
}

// Samples returns, for every state field and then every camera, the sample
// that the last Observe looked at. The slice is valid until the next call.
func (r *Resampler) Samples() []Sample { return r.used }

// Counts returns what arrived on each topic so far.
func (r *Resampler) Counts() []TopicCount {
	out := make([]TopicCount, len(r.counts))
	for i, c := range r.counts {
		out[i] = *c
	}
	return out
}

// grow returns s with length n, reusing its storage.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
