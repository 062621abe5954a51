// Package runner is the policy loop as a pure step machine, with the safety
// envelope on by default. Events go in (observations, ticks, chunks, a new
// policy, hold and stop), effects come out (start inference, command, report).
// There is no clock, no goroutine and no ROS inside: the same events give the
// same effects to the bit, so a scenario is a text file.
//
// Inference runs beside the machine. While it does, the chunk in flight goes
// on; when the next chunk is there, rows whose time has passed are skipped and
// the seam is continuous in position and velocity. Every set-point that comes
// out is within the position, velocity and acceleration limits at the control
// period, whatever a policy answers.
package runner

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Kind says what the columns of a chunk are.
type Kind uint8

const (
	// Position columns are joint set-points: rad or m.
	Position Kind = iota
	// Rate columns are velocities or a twist: holding means zero, limits bound
	// magnitude and rate of change, and there is no start to mismatch.
	Rate
)

// MaxHorizon bounds the rows of a chunk, maxColumns those of an action.
const (
	MaxHorizon = 1024
	maxColumns = 256
	maxReports = 64
)

// reportAgain is the quiet time, ns, after which an intervention that comes
// back is reported again; counters count it every time.
const reportAgain = 1e9

// ErrConfig is wrapped by the errors of New.
var ErrConfig = errors.New("runner config")

// Config describes the arm and how chunks are executed. Names, Period and
// RowPeriod are needed; zero values of the rest mean the defaults said below.
type Config struct {
	Names      []string // action columns
	Kind       Kind
	Period     int64 // control period, ns
	RowPeriod  int64 // time between a chunk's rows, ns
	StateIndex []int // column -> index in Observation.State of its measured position, -1: not measured; nil: none is
	// Limits are per column, by name: all columns (of Position kind) or none. A
	// velocity or acceleration that they leave out gets the default; the first
	// step reports for which columns, and which have no position limits.
	Limits Limits
	// EnvelopeOff takes the limits away (not the other interventions).
	EnvelopeOff       bool
	ReplanRows        int     // rows to execute before inference starts again; 0: half of the chunk
	Blend             int64   // length of a seam, ns; 0: two rows
	Ramp              int64   // ramp-in after arming, ns: the velocity limit rises from 0; 0: one second, negative: none
	StartTolerance    float64 // allowed distance between a chunk's start and the measured state; 0: 0.5
	MaxObservationAge int64   // ns; 0: four rows or four control periods, whichever is longer
}

type mode uint8

const (
	armed mode = iota
	held
	stopped
)

// Runner is the step machine. It is not safe for concurrent use.
type Runner struct {
	cfg   Config
	names []string
	env   *envelope

	mode       mode
	rearming   bool // re-armed while still braking after a stop
	reason     string
	generation uint64 // of the policy that answers from now on
	seq        uint64
	inFlight   bool
	discard    bool // the answer in flight belongs to a time before a hold or a stop

	start    string    // what the first step says about the limits
	measured []float64 // NaN: not measured
	observed bool
	obsStamp int64
	obsErr   error
	chunkErr error // why the last answer was no chunk

	active, next       *curve
	hasActive, hasNext bool
	tracking           bool         // the last tick followed the active chunk
	gap                Intervention // why there is no active chunk

	placed    bool // q and v hold what was commanded last
	q, v, ref []float64
	lastTick  int64
	ticked    bool
	rampStart int64
	ramping   bool

	took     uint64 // generation of the last chunk that was engaged
	counters Counters
	acting   [NumInterventions]bool // on the last tick
	now      [NumInterventions]bool // on this tick
	reported [NumInterventions]int64

	fx     Effects
	req    Request
	cmd    Command
	traj   Trajectory
	pq, pv []float64 // scratch of the plan
}

// New checks the configuration and returns an armed runner without a policy.
func New(cfg Config) (*Runner, error) {
	n := len(cfg.Names)
	if n == 0 || n > maxColumns {
		return nil, fmt.Errorf("%w: %d action names, give 1 to %d", ErrConfig, n, maxColumns)
	}
	if cfg.Period < 1e5 || cfg.Period > 1e10 || cfg.RowPeriod < 1e5 || cfg.RowPeriod > 1e10 {
		return nil, fmt.Errorf("%w: control period %d ns and row period %d ns must lie between 0.1 ms and 10 s", ErrConfig, cfg.Period, cfg.RowPeriod)
	}
	if cfg.StateIndex != nil && len(cfg.StateIndex) != n {
		return nil, fmt.Errorf("%w: %d state indices for %d action names", ErrConfig, len(cfg.StateIndex), n)
	}
	if cfg.Blend == 0 {
		cfg.Blend = 2 * cfg.RowPeriod
	}
	if cfg.Ramp == 0 {
		cfg.Ramp = 1e9
	}
	if cfg.StartTolerance == 0 {
		cfg.StartTolerance = 0.5
	}
	if cfg.MaxObservationAge == 0 {
		cfg.MaxObservationAge = 4 * max(cfg.RowPeriod, cfg.Period)
	}
	if cfg.Blend < 0 || cfg.ReplanRows < 0 || cfg.MaxObservationAge < 0 || !(cfg.StartTolerance > 0) {
		return nil, fmt.Errorf("%w: blend, replan rows, observation age and start tolerance must not be negative", ErrConfig)
	}
	limits, start, err := cfg.limits()
	if err != nil {
		return nil, err
	}
	cfg.Limits = limits
	r := &Runner{cfg: cfg, names: cfg.Names, start: start, env: newEnvelope(limits, cfg.Kind == Rate, float64(cfg.Period)/1e9)}
	for _, p := range []*[]float64{&r.measured, &r.q, &r.v, &r.ref, &r.pq, &r.pv} {
		*p = make([]float64, n)
	}
	for j := range n {
		r.measured[j], r.q[j] = math.NaN(), math.NaN()
	}
	for i := range r.reported {
		r.reported[i] = math.MinInt64 / 2
	}
	r.active, r.next, r.gap = new(curve), new(curve), NotReady
	r.cmd = Command{SetPoint: make([]float64, n), Velocity: make([]float64, n)}
	r.fx.Reports = make([]Report, 0, maxReports)
	return r, nil
}

// limits returns the limits column by column, completed and checked, and what
// was not given.
func (cfg *Config) limits() (Limits, string, error) {
	if cfg.EnvelopeOff {
		return unlimited(cfg.Names), "", nil
	}
	// The columns of a twist are no joints: a robot description says nothing of them.
	if len(cfg.Limits.Names) > 0 && cfg.Kind == Position {
		if err := cfg.Limits.cover(cfg.Names); err != nil {
			return Limits{}, "", fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	l := cfg.Limits.Select(cfg.Names)
	var said []string
	if filled := l.FillMissing(); len(filled) > 0 {
		said = append(said, fmt.Sprintf("default limits, velocity %g and acceleration %g where none is given, for %s",
			DefaultVelocity, DefaultAcceleration, list(filled)))
	}
	if free := l.free(); len(free) > 0 && cfg.Kind == Position {
		said = append(said, "no position limits for "+list(free))
	}
	if err := l.Check(); err != nil {
		return l, "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return l, strings.Join(said, "; "), nil
}

// Limits returns the limits in force, per column.
func (r *Runner) Limits() Limits { return r.cfg.Limits }

// Counters returns how often each intervention began and acted so far.
func (r *Runner) Counters() Counters { return r.counters }

// Step feeds one event and returns its effects, valid until the next Step.
func (r *Runner) Step(ev Event) *Effects {
	r.fx = Effects{Reports: r.fx.Reports[:0]}
	if r.start != "" {
		r.report(Report{Stamp: ev.now, Reason: r.start})
		r.start = ""
	}
	switch ev.kind {
	case evTick:
		r.tick(ev.now)
	case evObserved:
		r.observe(ev)
	case evObservationFailed:
		r.obsErr = ev.err
		if r.obsErr == nil {
			r.obsErr = errors.New("no reason given")
		}
	case evChunk:
		r.chunk(ev)
	case evPolicy:
		r.generation = ev.generation
	case evHold:
		if r.mode == armed || r.rearming {
			r.mode, r.reason, r.rearming = held, ev.reason, false
			r.forget()
		}
	case evLost:
		if r.mode != stopped || r.rearming {
			r.mode, r.reason, r.rearming = held, ev.reason, false
		}
		r.forget()
		r.placed, r.observed, r.tracking = false, false, false
	case evStop:
		r.mode, r.reason, r.rearming = stopped, ev.reason, false
		r.forget()
	case evResume:
		if r.mode == held {
			r.mode, r.ramping = armed, false
		}
	case evRearm:
		if r.mode == stopped {
			r.rearming = true
			r.rearm()
		}
	}
	return &r.fx
}

// rearm ends a stop once the arm rests: before, its set-points would have to
// jump to a standing start.
func (r *Runner) rearm() {
	if !r.rearming || r.placed && !r.still() {
		return
	}
	r.mode, r.rearming, r.ramping = armed, false, false
	// The arm may have been moved meanwhile: start from a new measurement.
	r.placed, r.observed = false, false
}

// forget drops every chunk and the answer in flight.
func (r *Runner) forget() {
	r.hasActive, r.hasNext, r.gap = false, false, NotReady
	r.discard = r.inFlight
}

func (r *Runner) observe(ev Event) {
	if ev.obs.Stamp < 0 || ev.obs.Stamp > math.MaxInt64/2 {
		r.obsErr = fmt.Errorf("the observation's stamp %d ns is no ROS time", ev.obs.Stamp)
		return
	}
	for _, x := range ev.obs.State {
		if x-x != 0 {
			r.obsErr = errNonFiniteState
			r.happened(NonFinite, Report{Stamp: ev.obs.Stamp, Err: errNonFiniteState})
			return
		}
	}
	for j, i := range r.cfg.StateIndex {
		if i >= len(ev.obs.State) {
			r.obsErr = fmt.Errorf("state has %d elements, %s is expected at %d", len(ev.obs.State), r.names[j], i)
			return
		}
		if i >= 0 {
			r.measured[j] = float64(ev.obs.State[i])
		}
	}
	r.observed, r.obsStamp, r.obsErr = true, ev.obs.Stamp, nil
	if r.mode != armed || r.inFlight || r.hasNext || r.generation == 0 || !r.due(ev.obs.Stamp) {
		return
	}
	r.seq++
	r.inFlight, r.discard = true, false
	r.req = Request{Seq: r.seq, Generation: r.generation, Observation: ev.obs}
	r.fx.Infer = &r.req
}

var (
	errNonFiniteState = errors.New("the state holds NaN or infinity")
	errNonFiniteChunk = errors.New("the chunk holds NaN or infinity")
)

// due says whether enough rows of the active chunk have been executed.
func (r *Runner) due(stamp int64) bool {
	if !r.hasActive {
		return true
	}
	rows := r.cfg.ReplanRows
	if rows == 0 {
		rows = max(1, r.active.rows/2)
	}
	return stamp-r.active.stamp >= int64(min(rows, r.active.rows))*r.cfg.RowPeriod
}

func (r *Runner) chunk(ev Event) {
	if !r.inFlight || ev.seq != r.seq {
		return
	}
	r.inFlight = false
	if r.discard {
		r.discard = false
		return
	}
	c := ev.chunk
	switch {
	case ev.err != nil:
		r.chunkErr = ev.err
		r.happened(NotReady, Report{Reason: "no chunk", Err: ev.err})
		return
	case c == nil || c.Dim != len(r.names) || len(c.Values) == 0 || len(c.Values)%c.Dim != 0 ||
		len(c.Values)/c.Dim > MaxHorizon || c.Period != r.cfg.RowPeriod || c.Stamp < 0 || c.Stamp > math.MaxInt64/2:
		r.happened(NotReady, Report{Reason: "the chunk's shape, period or stamp is not the contract's"})
		return
	}
	for _, x := range c.Values {
		if x-x != 0 {
			r.happened(NonFinite, Report{Stamp: c.Stamp, Generation: r.req.Generation, Err: errNonFiniteChunk})
			return
		}
	}
	r.next.load(c, r.req.Generation)
	r.hasNext, r.chunkErr = true, nil
}
