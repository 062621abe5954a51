package sim

import (
	"fmt"
	"math/rand/v2"
)

// staySteps is for how many periods a task's goals must hold for success.
const staySteps = 3

// home is where the tool centre point starts, before jitter.
var home = vec{0.42, 0, 0.24}

const (
	homeJitter = 0.05 // m, uniform within +- in each direction
	homeTilt   = 0.04 // rad, of the tool about the horizontal axes, likewise
	homeTurn   = 0.12 // rad, about the vertical one
	gripOpen   = 0.04 // travel of a finger of an open gripper, m

	// gripClosed is what a demonstrator closes to: thinner than anything there
	// is to take, and so far from the joint's limit that a policy that imitates
	// it is not stopped there all the time.
	gripClosed = 0.003
)

// Episode is one task on its way.
type Episode struct {
	*Suite
	Arena *Arena
	Task  int // which of the suite's tasks
	Steps int // periods since the start

	goals    []goal
	target   int
	objects  []Object
	tool     rotation // how the tool was turned at the start
	lit      bool     // the button's light
	stayed   int
	success  bool
	progress float64
	returns  float64
}

// NewEpisode returns an episode of the suite that has not begun: Begin draws
// one. Close frees it.
func (s *Suite) NewEpisode() (*Episode, error) {
	a, err := NewArena(s.Objects, s.Fixtures)
	if err != nil {
		return nil, err
	}
	return &Episode{Suite: s, Arena: a, objects: s.Objects}, nil
}

// Close frees the episode's arena.
func (e *Episode) Close() { e.Arena.Close() }

// start is how an episode begins.
type start struct {
	*layout
	goals []goal
	tool  rotation
	joint [Joints]float64
}

// begin draws the start of an episode of a task from rng.
func (s *Suite) begin(task int, rng *rand.Rand) (*start, error) {
	if task < 0 || task >= len(s.Tasks) {
		return nil, fmt.Errorf("sim: suite %s has %d tasks, there is none with number %d", s.Name, len(s.Tasks), task)
	}
	t := &s.Tasks[task]
	l := s.draw(t, rng)
	about := func(width float64) float64 { return width * (2*rng.Float64() - 1) }
	at := home
	for i := range at {
		at[i] += about(homeJitter)
	}
	tool := turned(about(homeTilt), about(homeTilt), about(homeTurn))
	return &start{l, t.goals(l), tool, ready(at, tool)}, nil
}

// Start returns the joint positions that Begin, with the same task and random
// numbers, puts the arm into.
func (s *Suite) Start(task int, rng *rand.Rand) ([Joints]float64, error) {
	b, err := s.begin(task, rng)
	if err != nil {
		return [Joints]float64{}, err
	}
	return b.joint, nil
}

// Begin draws the start of an episode of a task from rng.
func (e *Episode) Begin(task int, rng *rand.Rand) error {
	b, err := e.begin(task, rng)
	if err != nil {
		return err
	}
	*e = Episode{Suite: e.Suite, Arena: e.Arena, Task: task, objects: e.objects, goals: b.goals, target: b.target, tool: b.tool}
	if err := e.Arena.Reset(b.joint, b.fixtures, b.objects); err != nil {
		return err
	}
	if e.Arena.button >= 0 {
		e.Arena.Light(false)
	}
	e.progress = e.measure()
	return nil
}

// ready are the joint positions of an arm with an open gripper at a place that
// it reaches.
func ready(at vec, tool rotation) (q [Joints]float64) {
	arm, ok := reach(elbowUp, at, tool)
	if !ok {
		panic(fmt.Sprintf("sim: the arm does not reach its start %v", at))
	}
	copy(q[:], arm[:])
	q[Joints-1] = gripOpen
	return q
}

// Home returns the joint positions that episodes start from, before jitter.
func Home() [Joints]float64 { return ready(home, down) }

// Instruction is the task in words.
func (e *Episode) Instruction() string { return e.Tasks[e.Task].Instruction }

// Step moves the arm's set-point within a period and returns the reward that
// Judge gives.
func (e *Episode) Step(setPoint, velocity [Joints]float64) (float64, error) {
	if err := e.Arena.Step(setPoint, velocity); err != nil {
		return 0, err
	}
	return e.Judge(), nil
}

// Judge counts a period that the arena has moved on by and returns the reward,
// the progress made in units of the task per second:
//
//	r = RateHz (p_t - p_(t-1)),  p = (goals done + progress of the next) / goals
func (e *Episode) Judge() float64 {
	e.Steps++
	if e.Arena.button >= 0 && e.Arena.ButtonPressed() > pressed {
		e.lit = true
		e.Arena.Light(true)
	}
	p := e.measure()
	r := RateHz * (p - e.progress)
	e.progress = p
	e.returns += r
	e.stayed++
	if p < 1 {
		e.stayed = 0
	}
	e.success = e.success || e.stayed >= staySteps
	return r
}

// measure is the task's progress, 0..1.
func (e *Episode) measure() float64 {
	sum, next := 0.0, true
	for _, g := range e.goals {
		switch {
		case g.done(e):
			sum++
		case next:
			sum += g.progress(e)
			next = false
		}
	}
	return sum / float64(len(e.goals))
}

// Progress returns how far the task has come, 0..1.
func (e *Episode) Progress() float64 { return e.progress }

// Success reports whether the task's goals held for a moment.
func (e *Episode) Success() bool { return e.success }

// Done reports whether the episode is over: success, or time is up.
func (e *Episode) Done() bool { return e.success || e.Steps >= e.TimeLimit }

// Return is the mean reward per step so far.
func (e *Episode) Return() float64 { return e.returns / float64(max(e.Steps, 1)) }
