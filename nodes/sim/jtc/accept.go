package jtc

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Why a trajectory is refused.
var (
	ErrJoints        = errors.New("the trajectory does not name the controller's joints")
	ErrUnknownJoint  = errors.New("the trajectory names a joint that the controller does not have")
	ErrRepeatedJoint = errors.New("the trajectory names a joint twice")
	ErrNoPoints      = errors.New("the trajectory has no points")
	ErrPast          = errors.New("the trajectory ends in the past")
	ErrMovingEnd     = errors.New("the trajectory does not end at rest")
	ErrTimes         = errors.New("the trajectory's times are wrong")
	ErrLengths       = errors.New("a point of the trajectory does not have one value for each joint")
	ErrNotFinite     = errors.New("the trajectory holds a number that is not finite or is far too large")
)

// Accept makes tr, which is copied, the trajectory from the next Update on, in
// place of the one in execution. A refused one changes nothing. As in the
// original, an active goal stays and is judged by the new trajectory.
func (c *Controller) Accept(now int64, tr *Trajectory) error {
	order, err := c.check(now, tr)
	if err != nil {
		return err
	}
	c.take(tr, order)
	return nil
}

// Check says why Accept and AcceptGoal would refuse a trajectory now.
func (c *Controller) Check(now int64, tr *Trajectory) error {
	_, err := c.check(now, tr)
	return err
}

func (c *Controller) take(tr *Trajectory, order []int) {
	c.next.load(tr, order)
	c.waiting, c.holding = true, false
}

// check finds the controller's number of each of the trajectory's joints. It
// refuses what the original refuses and, beyond that, joints named twice,
// numbers that are not finite or beyond 1e9, and times that no message holds.
func (c *Controller) check(now int64, tr *Trajectory) ([]int, error) {
	if tr == nil || len(tr.Points) == 0 {
		return nil, fmt.Errorf("%w; send at least one", ErrNoPoints)
	}
	order, err := c.order(tr.Joints)
	if err != nil {
		return nil, err
	}
	if err := checkTimes(now, tr); err != nil {
		return nil, err
	}
	for i := range tr.Points {
		if err := c.checkPoint(i, &tr.Points[i], len(order)); err != nil {
			return nil, err
		}
	}
	if c.opt.RefuseNonzeroVelocityAtTrajectoryEnd {
		for k, v := range tr.Points[len(tr.Points)-1].Velocities {
			if math.Abs(v) > epsilon32 {
				return nil, fmt.Errorf("%w: joint %q has %g rad/s at the last point; give it 0", ErrMovingEnd, tr.Joints[k], v)
			}
		}
	}
	return order, nil
}

// epsilon32 is the spacing of float32 at 1, the original's idea of zero.
const epsilon32 = 0x1p-23

func (c *Controller) order(joints []string) ([]int, error) {
	if len(joints) == 0 || !c.opt.AllowPartialJointsGoal && len(joints) != len(c.joints) {
		return nil, fmt.Errorf("%w: it has %d joints where the controller has %d; name all of them", ErrJoints, len(joints), len(c.joints))
	}
	if len(joints) > len(c.joints) {
		return nil, fmt.Errorf("%w: it has %d joints where the controller has %d", ErrRepeatedJoint, len(joints), len(c.joints))
	}
	order := make([]int, len(joints))
	for k, name := range joints {
		j := slices.Index(c.joints, name)
		if j < 0 {
			return nil, fmt.Errorf("%w: %.64q; it has %q", ErrUnknownJoint, name, c.joints)
		}
		if slices.Contains(order[:k], j) {
			return nil, fmt.Errorf("%w: %q; name it once", ErrRepeatedJoint, name)
		}
		order[k] = j
	}
	return order, nil
}

func checkTimes(now int64, tr *Trajectory) error {
	if tr.Stamp < 0 || tr.Stamp > lastTime {
		return fmt.Errorf("%w: its stamp is %d ns; give 0 for at once, or a time of the controller's clock", ErrTimes, tr.Stamp)
	}
	for i, p := range tr.Points {
		if p.TimeFromStart < -lastTime || p.TimeFromStart > lastTime {
			return fmt.Errorf("%w: point %d is %d ns from the start; a message cannot say so", ErrTimes, i, p.TimeFromStart)
		}
		if i > 0 && p.TimeFromStart <= tr.Points[i-1].TimeFromStart {
			return fmt.Errorf("%w: point %d at %d ns does not come after point %d at %d ns; let times increase", ErrTimes, i, p.TimeFromStart, i-1, tr.Points[i-1].TimeFromStart)
		}
	}
	if end := tr.Stamp + tr.Points[len(tr.Points)-1].TimeFromStart; tr.Stamp != 0 && end < now {
		return fmt.Errorf("%w: it ends at %d ns and now is %d ns; stamp it with the controller's clock, or 0", ErrPast, end, now)
	}
	return nil
}

func (c *Controller) checkPoint(i int, p *Point, n int) error {
	integrated := c.opt.AllowIntegrationInGoalTrajectories
	if integrated && len(p.Positions)+len(p.Velocities)+len(p.Accelerations) == 0 {
		return fmt.Errorf("%w: point %d has neither positions nor velocities nor accelerations", ErrLengths, i)
	}
	for _, f := range [...]struct {
		name   string
		values []float64
		must   bool
	}{{"positions", p.Positions, !integrated}, {"velocities", p.Velocities, false}, {"accelerations", p.Accelerations, false}} {
		if len(f.values) == 0 && !f.must {
			continue
		}
		if len(f.values) != n {
			return fmt.Errorf("%w: point %d has %d %s for %d joints", ErrLengths, i, len(f.values), f.name, n)
		}
		if !sane(f.values, n) {
			return fmt.Errorf("%w: the %s of point %d", ErrNotFinite, f.name, i)
		}
	}
	return nil
}
