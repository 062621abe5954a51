package eval

import (
	"errors"
	"sync"
	"time"

	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
)

// Continuer is a Stage whose next episode may begin where the arm is: only the
// task changes. A Live stage then never stops between episodes.
type Continuer interface {
	Continue(seed, episode uint64) error
}

// Homer is a Stage whose arm goes back to its start before the next episode
// begins. Home moves it on by one control period and says whether it is still
// under way. Where a stage has neither Continue nor Home, Begin puts the arm
// where it is to be.
type Homer interface {
	Home() (busy bool, err error)
}

// ErrBetween is what a Live stage answers for a frame between two episodes.
var ErrBetween = errors.New("between episodes")

// recentEpisodes are those of LiveResults.Recent.
const recentEpisodes = 20

// Tally counts episodes one after another.
type Tally struct {
	LiveResults
	recent []bool
}

// Add counts an episode.
func (t *Tally) Add(success bool) {
	t.Episodes++
	if success {
		t.Successes++
	}
	if t.recent = append(t.recent, success); len(t.recent) > recentEpisodes {
		t.recent = t.recent[1:]
	}
	n := 0
	for _, ok := range t.recent {
		if ok {
			n++
		}
	}
	t.Recent = float64(n) / float64(len(t.recent))
}

// LiveOptions says how a stage is driven.
type LiveOptions struct {
	Seed uint64        // of the episodes
	Wall bool          // time is the wall clock's, else virtual
	Each func(Outcome) // called at the end of each episode, from the loop: must not block; interventions are the loop's to count; may be nil
}

// LiveResults counts the episodes of a Live stage.
type LiveResults struct {
	Episodes  int     `json:"episodes"`
	Successes int     `json:"successes"`
	Recent    float64 `json:"recent"` // success rate of the last 20 episodes
}

// Live drives a stage as a loop.Source and its loop.Sink, one episode after
// another. Where the arm is put or brought back to a start in between, the
// runner is stopped first, its commands are not followed, and it is re-armed
// when the next episode has begun, so that it ramps in from the state that it
// then measures.
type Live struct {
	stage  Stage
	home   Homer     // nil: it has none
	more   Continuer // nil: it has none
	o      LiveOptions
	period int64
	begin  time.Time
	t      int64 // time that the stage has come to, a multiple of the period
	now    int64 // virtual time
	number uint64
	over   bool // the episode is: the runner is to stop, the arm goes home
	busy   bool // the arm is on its way home
	events chan runner.Event
	held   runner.Command // what the last tick commanded
	cmd    *runner.Command
	err    error // the stage failed

	mu      sync.Mutex
	results Tally
}

var (
	_ loop.Virtual = (*Live)(nil)
	_ loop.Sink    = (*Live)(nil)
)

// NewLive begins the first episode. The stage is the Live's from now on.
func NewLive(stage Stage, o LiveOptions) (*Live, error) {
	if err := stage.Begin(o.Seed, 0); err != nil {
		return nil, errors.Join(err, stage.Close())
	}
	l := &Live{stage: stage, o: o, period: stage.RunnerConfig(0).Period, begin: time.Now(), t: stage.Start(), now: stage.Start(), events: make(chan runner.Event, 4)}
	l.home, _ = stage.(Homer)
	l.more, _ = stage.(Continuer)
	return l, nil
}

// LoopConfig returns the loop configuration that fits the stage. Its Control
// channel is the Live's, which stops and re-arms the runner between episodes.
func (l *Live) LoopConfig(replanRows int) loop.Config {
	return loop.Config{Runner: l.stage.RunnerConfig(replanRows), Virtual: !l.o.Wall, Control: l.events}
}

// Results returns the count so far; it may be called from any goroutine.
func (l *Live) Results() LiveResults {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results.LiveResults
}

// Close closes the stage; the loop must have ended.
func (l *Live) Close() error { return l.stage.Close() }

// Now implements loop.Source.
func (l *Live) Now() int64 {
	if l.o.Wall {
		return l.stage.Start() + int64(time.Since(l.begin))
	}
	return l.now
}

// Advance implements loop.Virtual.
func (l *Live) Advance(t int64) (int64, error) {
	l.now = t
	return t, l.run(t)
}

// Observe implements loop.Source: the stage moves on to t, then is looked at.
func (l *Live) Observe(t int64, obs *policy.Observation) error {
	if err := l.run(t); err != nil {
		return err // and Command ends the loop with it
	}
	if l.over {
		return ErrBetween
	}
	return l.stage.Observe(t, obs)
}

// Command implements loop.Sink: what the servo does from now on.
func (l *Live) Command(fx *runner.Effects) error {
	if err := l.run(l.Now()); err != nil {
		return err
	}
	if l.over {
		if !l.busy && fx.Holding == runner.Stopped && fx.Command == nil { // at rest
			return l.next()
		}
		return nil
	}
	if fx.Command != nil { // the first of an episode comes after re-arming
		l.held.SetPoint = append(l.held.SetPoint[:0], fx.Command.SetPoint...)
		l.held.Velocity = append(l.held.Velocity[:0], fx.Command.Velocity...)
		l.held.Stamp, l.held.Generation, l.held.ChunkStamp = fx.Command.Stamp, fx.Command.Generation, fx.Command.ChunkStamp
		l.cmd = &l.held
	}
	return nil
}

// run moves the stage on to time t.
func (l *Live) run(t int64) error {
	for l.err == nil && l.t+l.period <= t {
		l.t += l.period
		l.err = l.step()
	}
	return l.err
}

// step moves the stage on by one period.
func (l *Live) step() (err error) {
	if l.over {
		if l.busy {
			l.busy, err = l.home.Home()
		}
		return err
	}
	_, err = l.stage.Step(l.cmd)
	l.cmd = nil // the servo keeps it
	if e := l.stage.Episode(); err == nil && e.Done {
		err = l.end(e)
	}
	return err
}

// end counts an episode, and goes on to the next or asks the runner to stop.
func (l *Live) end(e Episode) error {
	l.count(e.Success)
	if l.o.Each != nil {
		l.o.Each(outcome(int(l.number), e, l.period, nil))
	}
	l.number++
	if l.more != nil {
		return l.more.Continue(l.o.Seed, l.number)
	}
	l.over, l.busy = true, l.home != nil
	l.tell(runner.Stop(ErrBetween.Error()))
	return nil
}

// next begins an episode once arm and runner are ready for it.
func (l *Live) next() error {
	if l.err = l.stage.Begin(l.o.Seed, l.number); l.err == nil {
		l.over = false
		l.tell(runner.Rearm())
	}
	return l.err
}

// tell sends the runner an event. Never more than two wait, unless nobody
// listens.
func (l *Live) tell(ev runner.Event) {
	select {
	case l.events <- ev:
	default:
	}
}

func (l *Live) count(success bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results.Add(success)
}
