package simulator

import (
	"errors"
	"fmt"
	"strings"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/sim/jtc"
)

// Message is a serialized message of a topic at a time of the simulation, ns.
type Message struct {
	Topic string
	Time  int64
	Data  []byte
}

// ErrNotActive is wrapped where a trajectory is refused because the arm follows
// nobody just now, as those of a controller that is inactive are.
var ErrNotActive = errors.New("the trajectory controller is not active")

// phase is what the world is about.
type phase int

const (
	idle      phase = iota // nothing has begun, or it was ended
	running                // an episode is under way
	returning              // the arm goes to where the next episode begins
	finished               // all episodes are done
)

func (p phase) String() string { return [...]string{"idle", "running", "returning", "finished"}[p] }

// What the arm does by itself between two episodes.
const (
	homeSpeed = 1.0 // greatest speed of a joint, rad/s
	homeLeast = sim.RateHz
	settle    = sim.RateHz     // periods of rest before the next episode
	quantum   = int64(4e6)     // a command waits at most that long for the physics, ns
	afterEnd  = sim.RateHz / 2 // periods until a recording has all of an episode
)

// world is the arm with its episodes in simulated time. It belongs to one
// goroutine. What it says goes out through say, which must not keep the records.
type world struct {
	o    *Options
	e    *sim.Episode
	talk *sim.Speaker
	more *bags.Messages // of the topics that are not the speaker's
	sink sink

	seed   uint64
	number uint64 // of the episode since the seed
	count  int    // of episodes since the beginning, or the last reset
	task   int    // of the episode
	phase  phase
	wait   int   // periods from one episode to the next
	spent  int   // of them
	heard  int64 // when the episode began, or the last command came

	state, frame, camera beat
	goal                 *goal // being followed, or nil
	results              eval.Tally
}

// sink is where the world's messages go.
type sink interface {
	// wanted says whether somebody listens to a topic.
	wanted(topic string) bool
	say(Message)
	// mark tells that an episode begins, ends, or that all of it has been said.
	mark(kind markKind, t int64)
	// shoot asks for pictures of the arena as it is.
	shoot(a *sim.Arena, t int64, recording bool)
}

// beat is what happens again and again, at times that are phase modulo period.
type beat struct{ period, phase, next int64 }

func newBeat(hz float64, share float64) beat {
	period := int64(1e9 / hz)
	return beat{period: period, phase: int64(share * float64(period))}
}

// after sets the first time that lies after t.
func (b *beat) after(t int64) { b.next = ((t-b.phase)/b.period+1)*b.period + b.phase }

// due says whether the time has come, and sets the next.
func (b *beat) due(t int64) bool {
	if t < b.next {
		return false
	}
	b.after(t)
	return true
}

func newWorld(o *Options, s sink) (*world, error) {
	w := &world{o: o, sink: s, seed: o.Seed}
	var err error
	if w.more, err = bags.NewMessages(ownTopics); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	if w.e, err = o.Suite.NewEpisode(); err != nil {
		return nil, err
	}
	if w.talk, err = sim.NewSpeaker(w.e); err != nil {
		w.e.Close()
		return nil, err
	}
	w.prepare()
	// States and pictures keep off the control periods' boundaries: a sample
	// that lies on one belongs to the frame before or after by the luck of its
	// way.
	w.state, w.camera = newBeat(o.StateHz, 0.5), newBeat(o.CameraHz, 0.5)
	w.frame = beat{period: sim.Period}
	return w, nil
}

func (w *world) close() {
	w.talk.Close()
	w.e.Close()
}

func (w *world) now() int64 { return w.e.Arena.Now() }

// start begins with an episode at time t, a multiple of the control period.
func (w *world) start(t int64) error {
	w.e.Arena.SetTime(t)
	w.count = 0
	w.task = w.o.turn(w.seed, w.number)
	return w.begin()
}

// begin starts the episode of a task. Nothing of what it draws depends on the
// episodes before; no time passes.
func (w *world) begin() error {
	t := w.now()
	w.release("a new episode begins")
	if err := w.e.Begin(w.task, eval.Rand(w.seed, w.number)); err != nil {
		return err
	}
	w.e.Arena.SetTime(t)
	w.state.after(t)
	w.frame.after(t)
	w.camera.after(t)
	w.phase, w.heard = running, t
	w.count++
	w.sink.mark(markBegin, t)
	if err := w.observe(sim.TopicInstruction); err != nil {
		return err
	}
	return w.event("START")
}

// end closes the episode; the event says how it went.
func (w *world) end(event string) error {
	if w.phase != running {
		return nil
	}
	err := w.event(event)
	w.sink.mark(markEnd, w.now())
	w.phase = idle
	w.number++
	return err
}

// stop ends the episode under way, its success unknown, and lets go of the arm.
func (w *world) stop() error {
	err := w.end("END")
	w.e.Arena.Release(jtc.Canceled, jtc.InvalidGoal, "the node is deactivated")
	w.watch()
	w.sink.mark(markDone, w.now())
	w.phase = idle
	return err
}

// goHome lets the arm go to where the next episode begins. A quintic from the
// motion in which the episode ended brings it there.
func (w *world) goHome() error {
	w.release("the episode is over, the arm goes to its next start by itself")
	to := sim.Home()
	w.phase = finished
	if w.o.Episodes == 0 || w.count < w.o.Episodes {
		w.phase, w.task = returning, w.o.turn(w.seed, w.number)
		var err error
		if to, err = w.o.Suite.Start(w.task, eval.Rand(w.seed, w.number)); err != nil {
			return err
		}
	}
	from, _ := w.e.Arena.Joint()
	way := 0.0
	for j := range to {
		way = max(way, to[j]-from[j], from[j]-to[j])
	}
	steps := demonstration.Duration(way, homeSpeed, sim.RateHz, homeLeast)
	w.wait, w.spent = steps+settle, 0
	still := make([]float64, sim.Joints)
	return w.e.Arena.Follow(&jtc.Trajectory{Joints: sim.JointNames, Points: []jtc.Point{
		{TimeFromStart: int64(steps) * sim.Period, Positions: to[:], Velocities: still, Accelerations: still},
	}})
}

// reset ends the episode and begins one of the named task at once, with another
// seed if it is not 0.
func (w *world) reset(task string, seed uint64) (string, error) {
	number := -1
	if task != "" {
		var err error
		if number, err = w.o.find(task); err != nil {
			return "", err
		}
	}
	if err := w.end("END"); err != nil {
		return "", err
	}
	w.sink.mark(markDone, w.now())
	if seed != 0 {
		w.seed, w.number = seed, 0
	}
	if w.count, w.task = 0, number; number < 0 {
		w.task = w.o.turn(w.seed, w.number)
	}
	if err := w.begin(); err != nil {
		return "", err
	}
	return w.e.Instruction(), nil
}

// due is the time of the next that is to be done.
func (w *world) due() int64 {
	return min(w.state.next, w.frame.next, w.camera.next, w.now()+quantum)
}

// advance moves on to time t, at most the one that is due, and does what has
// become due. Steps of the physics are never cut, so it may go a little beyond.
func (w *world) advance(t int64) error {
	if err := w.e.Arena.Advance(t - w.now()); err != nil {
		return err
	}
	now := w.now()
	if w.watch() {
		if err := w.held(); err != nil {
			return err
		}
	}
	state, frame, camera := w.state.due(now), w.frame.due(now), w.camera.due(now)
	if state || frame || camera {
		if err := w.clock(now); err != nil {
			return err
		}
	}
	if state {
		if err := w.states(now); err != nil {
			return err
		}
	}
	if camera {
		w.sink.shoot(w.e.Arena, now, w.recording())
	}
	if frame {
		return w.period(now)
	}
	return nil
}

// recording says whether what is said now goes into a recording.
func (w *world) recording() bool { return w.o.Record.Dir != "" && w.phase == running }

// period does what every control period brings: the reward, or the next step of
// the time between two episodes.
func (w *world) period(now int64) error {
	switch w.phase {
	case running:
		value := w.e.Judge()
		if err := w.tell(demonstration.Reward(w.talk.Messages(), now, value), sim.TopicReward); err != nil {
			return err
		}
		if !w.e.Done() {
			return nil
		}
		return w.judged()
	case returning, finished:
		if w.spent++; w.spent == afterEnd {
			w.sink.mark(markDone, now)
		}
		if w.phase == returning && w.spent >= w.wait {
			return w.begin()
		}
	}
	return nil
}

// judged counts the episode that has just been decided.
func (w *world) judged() error {
	w.results.Add(w.e.Success())
	event := "FAILURE"
	if w.e.Success() {
		event = "SUCCESS"
	}
	w.o.Log(Info, fmt.Sprintf("episode %d, %q: %s after %.1f s", w.results.Episodes, w.e.Instruction(), strings.ToLower(event), float64(w.e.Steps)/sim.RateHz))
	if err := w.end(event); err != nil {
		return err
	}
	return w.goHome()
}

func (w *world) event(name string) error {
	return w.tell(demonstration.Event(w.talk.Messages(), w.now(), name, w.e.Instruction()), sim.TopicEpisode)
}

// tell says a record on a topic.
func (w *world) tell(rec *cdr.Record, topic string) error {
	if err := errors.Join(w.talk.Messages().Err(), w.more.Err()); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	data, err := rec.Type().Encode(rec)
	if err != nil {
		return fmt.Errorf("simulator: topic %s: %w", topic, err)
	}
	w.sink.say(Message{topic, w.now(), data})
	return nil
}
