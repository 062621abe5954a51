package runner

import (
	"fmt"

	"arfm/policy"
)

// Intervention names one way in which the safety envelope overrides the policy.
type Intervention uint8

// The interventions, in the order of their counters.
const (
	None              Intervention = iota // no intervention: the report only informs
	NotReady                              // no usable answer yet: no policy, no observation, a failed or misshapen chunk
	StaleObservation                      // the observation failed or is too old, or the chunk answers one that is
	NonFinite                             // NaN or infinity in the state or in a chunk
	PositionLimit                         // a set-point, or the way needed to brake, passed a position limit
	VelocityLimit                         // faster than the joint may move (Rate: larger than allowed)
	AccelerationLimit                     // a change of velocity that the joint may not make
	StartMismatch                         // the chunk starts too far from the measured state
	Starved                               // the chunk ran out before the next one came
	Held                                  // held on request
	Stopped                               // stopped on request, until re-armed
	NumInterventions
)

var interventionNames = [NumInterventions]string{
	"None", "NotReady", "StaleObservation", "NonFinite", "PositionLimit", "VelocityLimit",
	"AccelerationLimit", "StartMismatch", "Starved", "Held", "Stopped",
}

// String returns the intervention's name, as diagnostics carry it.
func (i Intervention) String() string {
	if i >= NumInterventions {
		return "Unknown"
	}
	return interventionNames[i]
}

type eventKind uint8

const (
	evTick eventKind = iota
	evObserved
	evObservationFailed
	evChunk
	evPolicy
	evHold
	evResume
	evStop
	evRearm
	evLost
)

// Event is one input of Step; make it with the functions below.
type Event struct {
	kind       eventKind
	now        int64
	obs        *policy.Observation
	chunk      *policy.ActionChunk
	err        error
	seq        uint64
	generation uint64
	reason     string
}

// Tick says that the control period starting at now (ns) begins: the command
// it yields is the set-point for now + Period.
func Tick(now int64) Event { return Event{kind: evTick, now: now} }

// Observed brings a new observation. It is read during the step only, but an
// effect may hand it on to inference.
func Observed(obs *policy.Observation) Event { return Event{kind: evObserved, obs: obs} }

// ObservationFailed says that no usable observation exists now, and why.
func ObservationFailed(err error) Event { return Event{kind: evObservationFailed, err: err} }

// ChunkReady is inference's answer to the request seq: a chunk, or the error
// that kept it from one. The chunk is copied.
func ChunkReady(seq uint64, chunk *policy.ActionChunk, err error) Event {
	return Event{kind: evChunk, seq: seq, chunk: chunk, err: err}
}

// NewPolicy says that requests are answered by the policy of this generation
// from now on; it takes over with the first chunk that it gives. Generations
// count from 1; 0 means that there is no policy.
func NewPolicy(generation uint64) Event { return Event{kind: evPolicy, generation: generation} }

// Hold brakes to rest and stays there until Resume. It has no effect on a
// stopped arm, but takes the place of a Rearm that still waits.
func Hold(reason string) Event { return Event{kind: evHold, reason: reason} }

// Resume ends a hold; motion starts again with the next chunk.
func Resume() Event { return Event{kind: evResume} }

// Stop brakes to rest, then commands nothing until Rearm. It takes back a Rearm
// that still waits.
func Stop(reason string) Event { return Event{kind: evStop, reason: reason} }

// Rearm ends a stop, once the arm has braked to rest; motion ramps in from the
// measured state.
func Rearm() Event { return Event{kind: evRearm} }

// Lost says that whoever moves the arm has stopped following, so that what was
// commanded means nothing any more: it holds without a command until Resume, and
// then starts from the measured state. It has no effect on a stopped arm but
// that nothing more is commanded.
func Lost(reason string) Event { return Event{kind: evLost, reason: reason} }

// Request asks the shell to run the policy on an observation.
type Request struct {
	Seq         uint64              // comes back with ChunkReady
	Generation  uint64              // of the policy that is to answer
	Observation *policy.Observation // the one just given to Step: copy it before the next
}

// Trajectory is the plan from here on, already inside the envelope, ending at
// rest: what the following ticks will command if nothing new happens.
type Trajectory struct {
	Stamp      int64     // when it starts, ns
	Times      []int64   // (N) absolute, ns
	Positions  []float64 // (N, A) set-points (positions or rates)
	Velocities []float64 // (N, A) their time derivatives
}

// Points returns N, the number of points.
func (t *Trajectory) Points() int { return len(t.Times) }

// Command is what the arm is to do in this control period.
type Command struct {
	Stamp      int64       // the tick's time, ns; the set-point is for Stamp + Period
	SetPoint   []float64   // (A) joint positions, or rates
	Velocity   []float64   // (A) time derivative of SetPoint: its change over this period
	Generation uint64      // of the policy whose chunk is executed; 0 while braking or holding
	ChunkStamp int64       // stamp of that chunk's observation, ns
	Trajectory *Trajectory // set only on ticks where the plan changed
}

// Report is a diagnostic: the beginning of an intervention, or, with None, the
// news that another policy took over (its Generation) or, once, what the limits
// leave to defaults (the Reason).
type Report struct {
	Intervention Intervention
	Stamp        int64   // ns
	Joint        string  // for limits and mismatches
	Value, Limit float64 // what was asked for and what is allowed
	Generation   uint64  // of the policy concerned
	Reason       string
	Err          error
}

// String is the diagnostic's one line.
func (r Report) String() string {
	if r.Intervention == None && r.Generation == 0 {
		return r.Reason
	}
	s := r.Intervention.String()
	if r.Intervention == None {
		s = fmt.Sprintf("policy generation %d took over", r.Generation)
	}
	if r.Intervention == StartMismatch {
		return fmt.Sprintf("%s: the chunk puts %s at %.4g, it is measured at %.4g", s, r.Joint, r.Value, r.Limit)
	}
	if r.Joint != "" {
		s += fmt.Sprintf(": %s asks for %.4g, allowed is %.4g", r.Joint, r.Value, r.Limit)
	}
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Effects is what the shell has to do after a step. It and all it points to
// stay valid until the next Step.
type Effects struct {
	Infer   *Request     // run the policy; nil: nothing to infer
	Command *Command     // send to the arm; nil: nothing is commanded
	Holding Intervention // why the arm is not following a chunk on this tick; None: it is
	Err     error        // what is behind Holding, where that is known
	Reports []Report     // diagnostics, at most maxReports a step
}

// Counter counts one intervention.
type Counter struct {
	Events uint64 `json:"events"` // times it began
	Ticks  uint64 `json:"ticks"`  // ticks on which it acted
}

// Counters holds a Counter per Intervention, indexed by it.
type Counters [NumInterventions]Counter

// Sum returns the events of every intervention but Held and Stopped, which are
// the operator's doing, not the policy's.
func (c *Counters) Sum() uint64 {
	var n uint64
	for i := NotReady; i < Held; i++ {
		n += c[i].Events
	}
	return n
}

// Map returns the counters that are not zero by name.
func (c *Counters) Map() map[string]Counter {
	m := map[string]Counter{}
	for i, n := range c {
		if n != (Counter{}) {
			m[Intervention(i).String()] = n
		}
	}
	return m
}
