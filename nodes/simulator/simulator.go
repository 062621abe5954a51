package simulator

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/sim/jtc"
)

// Stats says how the simulation runs.
type Stats struct {
	Time       int64   // simulated, ns
	RealTime   float64 // simulated seconds a second, over the last one
	Late       uint64  // slices of the physics that came over 10 ms late
	Rendered   uint64  // pictures
	Skipped    uint64  // pictures not made because the cameras were busy
	Camera     string  // why there are no pictures; empty: there are
	Refused    uint64  // trajectories and goals
	Unrecorded uint64  // errors of the recording
	Task       string
	Phase      string        // idle, running, returning, finished
	Silence    time.Duration // simulated, since a command came or the episode began, while one runs
	eval.LiveResults
}

// Simulator runs a simulation. Its methods may be called from any goroutine,
// Run and Close one after another.
type Simulator struct {
	o     Options
	w     *world
	cams  *cameras
	rec   *recording
	inbox chan func()
	out   chan entry // to be published and recorded, in order
	ended atomic.Pointer[chan struct{}]

	refused, unrecorded atomic.Uint64
	mu                  sync.Mutex
	stats               Stats
}

// New builds the scene; Run begins. Errors wrap ErrOptions, or those of package
// sim: mujoco.ErrUnavailable says that this build has no simulator.
func New(o Options) (*Simulator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Simulator{o: o, inbox: make(chan func())}
	var err error
	if s.rec, err = newRecording(&s.o, time.Now()); err != nil {
		return nil, err
	}
	if s.w, err = newWorld(&s.o, s); err != nil {
		return nil, err
	}
	if s.cams, err = newCameras(&s.o, s); err != nil {
		s.w.close()
		return nil, err
	}
	return s, nil
}

// Close frees the scene; Run must have returned.
func (s *Simulator) Close() {
	s.cams.close()
	s.w.close()
}

// buffer is how many messages wait to be published, or to be recorded, before
// the simulation waits for them.
const buffer = 512

// Run lets time pass, from an episode's beginning on, until ctx is done or the
// simulation fails. Time is near the wall clock's, so that stamps are of use to
// nodes without /clock, and never goes back, also from one Run to the next.
func (s *Simulator) Run(ctx context.Context) error {
	ended := make(chan struct{})
	s.out = make(chan entry, buffer)
	record := make(chan entry, buffer)
	var consumers sync.WaitGroup
	consumers.Go(func() { s.publish(record) })
	consumers.Go(func() { s.record(record) })
	s.cams.run()
	s.ended.Store(&ended)
	err := s.run(ctx)
	s.ended.Store(nil)
	close(ended)
	s.cams.stop()
	close(s.out)
	consumers.Wait()
	return err
}

func (s *Simulator) run(ctx context.Context) error {
	from := max(time.Now().UnixNano(), s.w.now())
	if err := s.w.start((from/sim.Period + 1) * sim.Period); err != nil {
		return err
	}
	err := s.w.describe()
	for p := newPace(s.o.Rate, s.w.now()); err == nil; {
		until := s.w.due()
		if !s.wait(ctx, p, until) {
			break
		}
		err = s.w.advance(until)
		s.count(p)
	}
	return errors.Join(err, s.w.stop())
}

// wait does what is asked for until the time has come; false: ctx is done.
func (s *Simulator) wait(ctx context.Context, p *pace, until int64) bool {
	var timer <-chan time.Time
	if d := p.left(until); d > 0 {
		timer = time.After(d)
	} else {
		done := make(chan time.Time)
		close(done)
		timer = done
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case f := <-s.inbox:
			f()
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return false
		case f := <-s.inbox:
			f()
		case <-timer:
			return true
		}
	}
}

// do has f done by the simulation, between two steps, and waits for it.
func (s *Simulator) do(f func(w *world) error) error {
	ended := s.ended.Load()
	if ended == nil {
		return errIdle
	}
	result := make(chan error, 1)
	select {
	case s.inbox <- func() { result <- f(s.w) }:
		return <-result
	case <-*ended:
		return errIdle
	}
}

// Follow takes a trajectory_msgs/JointTrajectory as from the topic.
func (s *Simulator) Follow(rec *cdr.Record) error {
	return s.refuse(s.do(func(w *world) error { return w.follow(rec) }))
}

func (s *Simulator) refuse(err error) error {
	if err != nil {
		s.refused.Add(1)
	}
	return err
}

// Reset ends the episode and begins one of a task, by its instruction or number,
// or the next. A seed other than 0 takes the place of the one in use. It returns
// the instruction.
func (s *Simulator) Reset(task string, seed uint64) (instruction string, err error) {
	err = s.do(func(w *world) (err error) { instruction, err = w.reset(task, seed); return err })
	return instruction, err
}

// Stats returns how the simulation runs.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Rendered, st.Skipped = s.cams.rendered.Load(), s.cams.skipped.Load()
	st.Refused, st.Unrecorded = s.refused.Load(), s.unrecorded.Load()
	if text := s.cams.failed.Load(); text != nil {
		st.Camera = *text
	}
	return st
}

// count keeps what Stats tells.
func (s *Simulator) count(p *pace) {
	p.count(s.w.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Time, s.stats.RealTime, s.stats.Late = s.w.now(), p.factor, p.late
	s.stats.LiveResults = s.w.results.LiveResults
	s.stats.Task, s.stats.Phase = s.w.e.Instruction(), s.w.phase.String()
	s.stats.Silence = 0
	if s.w.phase == running && s.w.goal == nil {
		s.stats.Silence = time.Duration(s.w.now() - s.w.heard)
	}
}

// wanted implements sink.
func (s *Simulator) wanted(topic string) bool { return s.o.Listened(topic) }

// say implements sink.
func (s *Simulator) say(m Message) { s.out <- entry{Message: m} }

// mark implements sink.
func (s *Simulator) mark(kind markKind, t int64) { s.out <- entry{Message{Time: t}, kind} }

// shoot implements sink.
func (s *Simulator) shoot(a *sim.Arena, t int64, recording bool) { s.cams.ask(a, t, recording) }

// publish sends what was said, and passes it on to be recorded.
func (s *Simulator) publish(record chan<- entry) {
	defer close(record)
	for e := range s.out {
		if e.mark == 0 {
			s.o.Publish(e.Message)
		}
		if s.o.Record.Dir != "" {
			record <- e
		}
	}
}

// record writes bags beside it, because a disk may take its time.
func (s *Simulator) record(entries <-chan entry) {
	tell := func(err error) {
		if err != nil {
			s.unrecorded.Add(1)
			s.o.Log(Warn, "the recording lacks an episode: "+err.Error())
		}
	}
	for e := range entries {
		tell(s.rec.take(e))
	}
	tell(s.rec.close())
}

// CheckGoal says why the goal of a control_msgs/FollowJointTrajectory would be
// refused now.
func (s *Simulator) CheckGoal(rec *cdr.Record) error {
	return s.refuse(s.do(func(w *world) error { return w.check(rec) }))
}

// Standing is how the controller stands while it follows a goal.
type Standing struct {
	Time            int64 // ns
	Desired, Actual jtc.State
}

// feedbackEvery is how often a goal's follower hears how it goes, of wall time:
// action_monitor_rate of the original.
const feedbackEvery = 50 * time.Millisecond

// FollowGoal takes a goal and returns when it has ended. It is canceled when ctx
// is done. feedback may be nil.
func (s *Simulator) FollowGoal(ctx context.Context, rec *cdr.Record, feedback func(Standing)) jtc.Goal {
	var g *goal
	if err := s.refuse(s.do(func(w *world) (err error) { g, err = w.pursue(rec); return err })); err != nil {
		return jtc.Goal{Status: jtc.Aborted, Code: jtc.InvalidGoal, Text: err.Error()}
	}
	tick := time.NewTicker(feedbackEvery)
	defer tick.Stop()
	for canceled := ctx.Done(); ; {
		select {
		case <-g.done:
			return *g.Goal
		case <-canceled:
			canceled = nil
			// An error says that the simulation ended, and so has the goal.
			_ = s.do(func(w *world) error { return w.cancel(g) })
		case <-tick.C:
			var at Standing
			if err := s.do(func(w *world) error { at = w.standing(); return nil }); err == nil && feedback != nil {
				feedback(at)
			}
		}
	}
}
