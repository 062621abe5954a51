package jtc

import (
	"math"
	"slices"
)

// JointTolerance is a control_msgs/JointTolerance: 0 leaves the controller's
// own, -1 lifts it.
type JointTolerance struct {
	Name                             string
	Position, Velocity, Acceleration float64 // rad, rad/s, rad/s^2
}

// GoalRequest is the goal of a control_msgs/FollowJointTrajectory.
type GoalRequest struct {
	Trajectory    *Trajectory
	PathTolerance []JointTolerance
	GoalTolerance []JointTolerance
	GoalTime      int64 // ns; 0 leaves the controller's own, -1e9 (a second) lifts it
}

// Status is how far a goal is; the values are those of
// action_msgs/GoalStatus.
type Status int8

const (
	Executing Status = 2
	Succeeded Status = 4
	Canceled  Status = 5
	Aborted   Status = 6
)

// Code is the error code of a FollowJointTrajectory result.
type Code int32

const (
	Successful            Code = 0
	InvalidGoal           Code = -1
	PathToleranceViolated Code = -4
	GoalToleranceViolated Code = -5
)

// Goal is an accepted goal. Its fields change inside the controller's methods
// until Status is no longer Executing.
type Goal struct {
	Status Status
	Code   Code
	Text   string // what happened, for people
}

// AcceptGoal makes the request's trajectory the one in execution from the next
// Update on and returns the goal to watch. A goal before it is canceled. A
// refused request, for the reasons that Accept has, changes nothing.
// Tolerances that name an unknown joint or are negative (but for -1) or not
// finite are all replaced by the controller's own, as in the original. They
// stay in force after the goal, until another one comes.
func (c *Controller) AcceptGoal(now int64, g *GoalRequest) (*Goal, error) {
	order, err := c.check(now, g.Trajectory)
	if err != nil {
		return nil, err
	}
	c.finish(Canceled, InvalidGoal, "a new goal came")
	c.take(g.Trajectory, order)
	var ok bool
	if c.judged, ok = c.usual.with(g, c.joints); !ok {
		c.judged = c.usual.clone()
	}
	c.goal = &Goal{Status: Executing}
	return c.goal, nil
}

// Cancel cancels the goal, if it is the active one, and holds the position
// that was measured last.
func (c *Controller) Cancel(g *Goal) {
	if g == nil || g != c.goal {
		return
	}
	c.finish(Canceled, Successful, "the goal was canceled on request")
	if c.started {
		c.hold()
	} else {
		c.waiting = false // it never began
	}
}

// Release ends the active goal, if there is one, in the way that is told, where
// the controller's owner takes the arm. On deactivation the original ends it as
// Canceled with InvalidGoal.
func (c *Controller) Release(s Status, code Code, text string) { c.finish(s, code, text) }

// finish ends the active goal, if there is one.
func (c *Controller) finish(s Status, code Code, text string) {
	if c.goal != nil {
		c.goal.Status, c.goal.Code, c.goal.Text = s, code, text
		c.goal = nil
	}
}

// tolerance bounds the error of one joint; 0 is no bound.
type tolerance struct{ position, velocity, acceleration float64 }

// met says whether the error e is within the tolerance.
func (t *tolerance) met(e tolerance) bool {
	within := func(bound, e float64) bool { return bound == 0 || e <= bound }
	return within(t.position, e.position) && within(t.velocity, e.velocity) && within(t.acceleration, e.acceleration)
}

type tolerances struct {
	path, goal []tolerance // per joint
	goalTime   int64       // ns
}

func newTolerances(n int) tolerances {
	return tolerances{path: make([]tolerance, n), goal: make([]tolerance, n)}
}

func (t tolerances) clone() tolerances {
	t.path, t.goal = slices.Clone(t.path), slices.Clone(t.goal)
	return t
}

// with applies a goal's own tolerances; not ok if one of them is illegal.
func (t tolerances) with(g *GoalRequest, joints []string) (tolerances, bool) {
	t = t.clone()
	late, ok := resolve(float64(t.goalTime)/1e9, float64(g.GoalTime)/1e9)
	if !ok {
		return t, false
	}
	switch {
	case g.GoalTime > 0:
		t.goalTime = g.GoalTime
	case late == 0:
		t.goalTime = 0
	}
	for _, l := range [...]struct {
		from []JointTolerance
		to   []tolerance
	}{{g.PathTolerance, t.path}, {g.GoalTolerance, t.goal}} {
		for _, from := range l.from {
			j := slices.Index(joints, from.Name)
			if j < 0 {
				return t, false
			}
			to := &l.to[j]
			var a, b, c bool
			to.position, a = resolve(to.position, from.Position)
			to.velocity, b = resolve(to.velocity, from.Velocity)
			to.acceleration, c = resolve(to.acceleration, from.Acceleration)
			if !a || !b || !c {
				return t, false
			}
		}
	}
	return t, true
}

// resolve is the tolerance in force where usual is the controller's and asked
// the goal's.
func resolve(usual, asked float64) (float64, bool) {
	switch {
	case asked > 0 && !math.IsInf(asked, 1):
		return asked, true
	case asked == 0:
		return usual, true
	case math.Abs(asked+1) < epsilon32:
		return 0, true
	}
	return usual, false
}
