package sim

import (
	"fmt"

	"arfm/nodes/sim/jtc"
	"arfm/nodes/sim/ur5e"
)

// Now returns the arena's time, ns: since Reset, unless SetTime gave it another
// origin.
func (a *Arena) Now() int64 { return a.now }

// SetTime lets time go on from t, ns. It is for an arm that follows nothing,
// such as after Reset.
func (a *Arena) SetTime(t int64) { a.now, a.end = t, t }

// Step moves the set-point to the given one within a period and lets the physics
// follow. velocity is the set-point's at the end of the period.
func (a *Arena) Step(setPoint, velocity [Joints]float64) error {
	p := &a.traj.Points[0]
	copy(p.Positions, setPoint[:])
	copy(p.Velocities, velocity[:])
	a.traj.Stamp = a.now
	if err := a.Follow(&a.traj); err != nil {
		return err
	}
	return a.Advance(Period)
}

// Follow takes a trajectory, as the topic of a joint_trajectory_controller does.
// Stamps are of the arena's time; 0 is now.
func (a *Arena) Follow(t *jtc.Trajectory) error {
	if err := a.ctl.Accept(a.now, t); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	a.taken(t)
	return nil
}

// FollowGoal takes a goal, as the action of a joint_trajectory_controller does.
// The goal that it returns changes in Advance until it is no longer executing.
func (a *Arena) FollowGoal(g *jtc.GoalRequest) (*jtc.Goal, error) {
	goal, err := a.ctl.AcceptGoal(a.now, g)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	a.taken(g.Trajectory)
	return goal, nil
}

// CheckTrajectory says why Follow and FollowGoal would refuse a trajectory now.
func (a *Arena) CheckTrajectory(t *jtc.Trajectory) error {
	if err := a.ctl.Check(a.now, t); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

// Cancel ends a goal, if it is the active one, on request: the arm holds.
func (a *Arena) Cancel(g *jtc.Goal) { a.ctl.Cancel(g) }

// Release ends the active goal, if there is one, in the way that is told.
func (a *Arena) Release(s jtc.Status, code jtc.Code, text string) { a.ctl.Release(s, code, text) }

// taken notes when a trajectory that was accepted ends.
func (a *Arena) taken(t *jtc.Trajectory) {
	a.end = a.now + t.Points[len(t.Points)-1].TimeFromStart
	if t.Stamp != 0 {
		a.end += t.Stamp - a.now
	}
}

// Desired returns the controller's set-point as of the last step of the physics.
// Its slices are the arena's own and change as it goes on.
func (a *Arena) Desired() jtc.State { return a.want }

// bandwidth of the servo: that of a critically damped second-order error, rad/s.
const bandwidth = 40

// Advance lets a time pass, ns, in steps of the physics, under computed-torque
// control: the servo knows the arm's inertia and gravity, as an industrial
// arm's does.
//
//	tau = M(q) (ddq* + 2 w (dq* - dq) + w^2 (q* - q)) + bias(q, dq)
func (a *Arena) Advance(time int64) error {
	w := a.w
	for until := a.now + time; a.now < until; a.now += a.timestep {
		w.Begin()
		for j := range Joints {
			a.measured.Position[j], a.measured.Velocity[j] = w.QPos[a.qpos[j]], w.QVel[a.dof[j]]
		}
		a.ctl.Update(a.now+a.timestep, a.measured, &a.want)
		if a.now >= a.end { // the controller repeats the last point's velocity: nothing to follow
			clear(a.want.Velocity)
			clear(a.want.Acceleration)
		}
		clear(a.accel)
		for j := range ur5e.Joints {
			e, de := a.want.Position[j]-a.measured.Position[j], a.want.Velocity[j]-a.measured.Velocity[j]
			a.accel[a.dof[j]] = a.want.Acceleration[j] + 2*bandwidth*de + bandwidth*bandwidth*e
		}
		w.MulInertia(a.force, a.accel)
		for j, l := range ur5e.Links {
			k := a.dof[j]
			w.Applied[k] = min(max(a.force[k]+w.Bias[k], -l.Effort), l.Effort)
		}
		w.Ctrl[0] = a.want.Position[ur5e.Joints]
		w.End()
	}
	w.Pose() // the last step moved on from the poses that it began with
	return w.Check()
}
