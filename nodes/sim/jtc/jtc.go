// Package jtc executes joint trajectories with the timing, interpolation and
// goal handling of ros2_control's joint_trajectory_controller (Humble), so
// that what runs against the simulated arm runs against a real one.
//
// A Controller is a plain state machine without clock, goroutine or lock: its
// owner calls Accept, AcceptGoal, Cancel and Update one after another. Times
// are nanoseconds of one clock, angles radians; durations inside are seconds.
//
// What the original does and this leaves out: velocity and effort loops (PID),
// interpolation_method none, angle_wraparound, cmd_timeout and effort in
// points. Where it is stricter, it says so at the place.
package jtc

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Options are the controller's parameters, named after the original's. The
// zero value is the original's default but for stopped_velocity_tolerance,
// which is 0.01 there.
type Options struct {
	// AllowPartialJointsGoal takes trajectories for some of the joints; the
	// others stay where they were last commanded.
	AllowPartialJointsGoal bool
	// OpenLoopControl starts a trajectory from the last set-point instead of
	// the measured state.
	OpenLoopControl bool
	// AllowIntegrationInGoalTrajectories takes points without positions and
	// integrates their velocities or accelerations.
	AllowIntegrationInGoalTrajectories bool
	// RefuseNonzeroVelocityAtTrajectoryEnd is
	// allow_nonzero_velocity_at_trajectory_end: false.
	RefuseNonzeroVelocityAtTrajectoryEnd bool
	// VelocityCommand and AccelerationCommand say that these are command
	// interfaces too. Only then are their errors judged against tolerances.
	VelocityCommand, AccelerationCommand bool

	// Constraints; 0 is not judged.
	GoalTime                 int64     // how late the goal may be reached, ns; 0 waits forever
	StoppedVelocityTolerance float64   // rad/s, at the end
	PathTolerance            []float64 // rad per joint while moving; nil: all 0
	GoalTolerance            []float64 // rad per joint at the end; nil: all 0
}

// Point is a set-point of a trajectory. Velocities and Accelerations may be
// empty; what is there has one value per joint of the trajectory.
type Point struct {
	Positions, Velocities, Accelerations []float64 // rad, rad/s, rad/s^2
	TimeFromStart                        int64     // ns
}

// Trajectory is a trajectory_msgs/JointTrajectory.
type Trajectory struct {
	Joints []string
	Stamp  int64 // when it starts, ns; 0: with the first Update after it was accepted
	Points []Point
}

// State is the state of the controller's joints, in their order. As a measured
// state, Velocity and Acceleration may be empty.
type State struct {
	Position, Velocity, Acceleration []float64 // rad, rad/s, rad/s^2
}

// limit bounds every number, of points and of measured states, and keeps all
// arithmetic finite. No joint comes near it.
const limit = 1e9

// lastTime bounds stamps and times from start to what ROS messages can carry.
const lastTime = math.MaxInt32 * int64(1e9)

// ErrOptions is returned by New.
var ErrOptions = errors.New("the trajectory controller cannot be set up like this")

// Controller holds the trajectory in execution, the next one, and the goal.
type Controller struct {
	joints  []string
	opt     Options
	usual   tolerances // from the options
	judged  tolerances // of the latest goal; they stay for what follows it
	goal    *Goal      // active, or nil
	current *plan
	next    *plan // takes over at the next Update if waiting
	waiting bool

	started  bool // a first measured state was seen
	sampled  bool // current was
	holding  bool // no tolerance is judged
	start    int64
	segment  int   // the point before the last sample, or 0
	before   point // where the motion to the first point begins, and when
	since    int64
	measured point
	seen     bool  // measured holds something
	wanted   point // what the trajectory says now
	command  point // the last set-point
}

// New returns a controller of joints. Until its first Update it has no
// set-point, from then on it holds the position that it found.
func New(joints []string, opt Options) (*Controller, error) {
	n := len(joints)
	if n == 0 {
		return nil, fmt.Errorf("%w: it has no joints; name some", ErrOptions)
	}
	for i, name := range joints {
		if slices.Contains(joints[:i], name) {
			return nil, fmt.Errorf("%w: joint %q is named twice; name it once", ErrOptions, name)
		}
	}
	if opt.GoalTime < 0 || !(opt.StoppedVelocityTolerance >= 0) {
		return nil, fmt.Errorf("%w: goal time %d ns and stopped velocity tolerance %g must not be negative", ErrOptions, opt.GoalTime, opt.StoppedVelocityTolerance)
	}
	c := &Controller{joints: slices.Clone(joints), opt: opt, current: newPlan(n), next: newPlan(n)}
	c.usual = newTolerances(n)
	c.usual.goalTime = opt.GoalTime
	for _, l := range []struct {
		name string
		from []float64
		to   []tolerance
	}{{"path", opt.PathTolerance, c.usual.path}, {"goal", opt.GoalTolerance, c.usual.goal}} {
		if len(l.from) != 0 && len(l.from) != n {
			return nil, fmt.Errorf("%w: %d %s tolerances for %d joints; give one each or none", ErrOptions, len(l.from), l.name, n)
		}
		for j, v := range l.from {
			if !(v >= 0) {
				return nil, fmt.Errorf("%w: the %s tolerance of joint %q is %g; give 0 or more", ErrOptions, l.name, joints[j], v)
			}
			l.to[j].position = v
		}
	}
	for j := range c.usual.goal {
		c.usual.goal[j].velocity = opt.StoppedVelocityTolerance
	}
	c.judged = c.usual.clone()
	c.before, c.measured, c.wanted, c.command = newPoint(n), newPoint(n), newPoint(n), newPoint(n)
	return c, nil
}

// Reset forgets trajectory and set-point, as when the arm was put elsewhere or
// the clock was set back: the next Update starts from what is measured then.
// An active goal is aborted.
func (c *Controller) Reset() {
	c.finish(Aborted, InvalidGoal, "the controller was reset")
	c.judged = c.usual.clone()
	c.started, c.waiting, c.sampled, c.holding = false, false, false, false
}

// Update moves to time now and writes the set-point into desired, whose slices
// it fills or, where their length is another, replaces. measured is the state
// of the joints; a position that is not finite, or beyond 1e9, counts as not
// measured, and so does a state of another length. It returns false, and
// leaves desired alone, as long as no position was ever measured.
//
// After the last point the position stays, and velocity and acceleration are
// the last point's, 0 where it has none. Does not allocate once desired has
// its size.
func (c *Controller) Update(now int64, measured State, desired *State) bool {
	now = min(max(now, 0), math.MaxInt64/2) // sums with other times stay in range
	c.read(measured)
	if !c.started {
		if !c.seen {
			return false
		}
		c.started = true
		c.command.copy(&c.measured)
		c.command.fill()
		if !c.waiting {
			c.hold()
		}
	}
	if c.waiting {
		c.current, c.next = c.next, c.current
		c.waiting, c.sampled = false, false
		c.current.complete(c.command.pos)
	}
	c.step(now)
	c.command.write(desired)
	return true
}

func (c *Controller) read(m State) {
	n := len(c.joints)
	c.seen = sane(m.Position, n)
	c.measured.hasV = c.seen && sane(m.Velocity, n)
	c.measured.hasA = c.measured.hasV && sane(m.Acceleration, n)
	copy(c.measured.pos, m.Position)
	copy(c.measured.vel, m.Velocity)
	copy(c.measured.acc, m.Acceleration)
}

// sane says whether v is n finite numbers of a size that a joint can have.
func sane(v []float64, n int) bool {
	if len(v) != n {
		return false
	}
	for _, x := range v {
		if !(math.Abs(x) <= limit) {
			return false
		}
	}
	return true
}

// step samples the trajectory, judges the tolerances and moves the set-point.
func (c *Controller) step(now int64) {
	first := !c.sampled
	if first {
		c.begin(now)
	}
	if now < c.since {
		return // the clock went back: stay
	}
	moving, late := c.sample(now)
	violated, outside, inTime := c.judge(moving, first, late)
	if !violated && inTime {
		c.command.copy(&c.wanted)
	}
	switch {
	case violated:
		c.finish(Aborted, PathToleranceViolated, "the path tolerance was violated")
		c.hold()
	case !moving && !outside && c.goal != nil:
		c.finish(Succeeded, Successful, "the goal was reached")
		c.holding = true // where it ended, not where it was measured
	case !moving && !inTime:
		if c.goal != nil {
			c.finish(Aborted, GoalToleranceViolated, fmt.Sprintf("the goal was not reached %.3f s after its time", float64(late)/1e9))
		}
		c.hold()
	}
}

// begin fixes when the trajectory starts and from where.
func (c *Controller) begin(now int64) {
	c.sampled, c.segment, c.since = true, 0, now
	c.start = c.current.stamp
	if c.start == 0 {
		c.start = now
	}
	if c.opt.OpenLoopControl || !c.seen {
		c.before.copy(&c.command)
	} else {
		c.before.copy(&c.measured)
	}
	// Steep segments one after another could add up beyond all bounds.
	for _, v := range [...][]float64{c.before.pos, c.before.vel, c.before.acc} {
		for j := range v {
			v[j] = min(max(v[j], -limit), limit)
		}
	}
	// The way to the first point is of the degree of the rest.
	if c.current.hasV[0] && !c.before.hasV {
		clear(c.before.vel)
		c.before.hasV = true
	}
	if c.current.hasA[0] && !c.before.hasA {
		clear(c.before.acc)
		c.before.hasA = true
	}
	c.current.integrate(&c.before, c.start-now)
}

// hold makes the measured position the next trajectory, the last set-point
// where none is measured. No tolerance is judged against it.
func (c *Controller) hold() {
	c.next.reset()
	c.next.stamp = 0
	c.next.grow(0)
	from := c.command.pos
	if c.seen {
		from = c.measured.pos
	}
	copy(c.next.pos, from)
	c.next.hasP[0] = true
	c.waiting, c.holding = true, true
}

// judge compares what is wanted with what is measured. late is how long ago
// the last point passed was due, ns.
func (c *Controller) judge(moving, first bool, late int64) (violated, outside, inTime bool) {
	inTime = true
	if c.holding {
		return false, false, true
	}
	for j := range c.joints {
		e := c.miss(j)
		if (moving || first) && !c.judged.path[j].met(e) {
			violated = true
		}
		if !moving && !c.judged.goal[j].met(e) {
			outside = true
			if c.judged.goalTime != 0 && late > c.judged.goalTime {
				inTime = false
			}
		}
	}
	return violated, outside, inTime
}

// miss is the error of joint j. What is not measured counts as infinitely
// wrong in position (the original lets NaN pass every tolerance) and as right
// in the rest.
func (c *Controller) miss(j int) (e tolerance) {
	if !c.seen {
		return tolerance{position: math.Inf(1)}
	}
	e.position = math.Abs(c.wanted.pos[j] - c.measured.pos[j])
	if c.opt.VelocityCommand && c.measured.hasV {
		e.velocity = math.Abs(c.wanted.vel[j] - c.measured.vel[j])
	}
	if c.opt.AccelerationCommand && c.measured.hasA {
		e.acceleration = math.Abs(c.wanted.acc[j] - c.measured.acc[j])
	}
	return e
}
