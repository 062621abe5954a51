package simulator

import (
	"fmt"

	"arfm/bags/cdr"
	"arfm/nodes/sim"
	"arfm/nodes/sim/jtc"
	"arfm/policy/contract"
)

// maxPoints bounds the points of a trajectory.
const maxPoints = 10000

// trajectory reads a trajectory_msgs/JointTrajectory.
func trajectory(rec *cdr.Record) (*jtc.Trajectory, error) {
	t := &jtc.Trajectory{Stamp: contract.Stamp(rec)}
	t.Joints = list[string](rec, "joint_names")
	points := list[*cdr.Record](rec, "points")
	if len(points) > maxPoints {
		return nil, fmt.Errorf("simulator: a trajectory of %d points, send %d at most", len(points), maxPoints)
	}
	for i, p := range points {
		if len(list[float64](p, "effort")) > 0 {
			return nil, fmt.Errorf("simulator: point %d has efforts, the arm takes positions", i)
		}
		t.Points = append(t.Points, jtc.Point{
			Positions: list[float64](p, "positions"), Velocities: list[float64](p, "velocities"),
			Accelerations: list[float64](p, "accelerations"), TimeFromStart: duration(p, "time_from_start"),
		})
	}
	return t, nil
}

// request reads the goal of a control_msgs/FollowJointTrajectory.
func request(rec *cdr.Record) (*jtc.GoalRequest, error) {
	v, _ := rec.Lookup("trajectory")
	tr, ok := v.(*cdr.Record)
	if !ok {
		return nil, fmt.Errorf("simulator: the goal has no trajectory")
	}
	t, err := trajectory(tr)
	if err != nil {
		return nil, err
	}
	return &jtc.GoalRequest{
		Trajectory: t, PathTolerance: tolerances(rec, "path_tolerance"), GoalTolerance: tolerances(rec, "goal_tolerance"),
		GoalTime: duration(rec, "goal_time_tolerance"),
	}, nil
}

func tolerances(rec *cdr.Record, path string) (out []jtc.JointTolerance) {
	for _, r := range list[*cdr.Record](rec, path) {
		name, _ := r.Lookup("name")
		t := jtc.JointTolerance{}
		t.Name, _ = name.(string)
		t.Position, _ = contract.Number(r, "position")
		t.Velocity, _ = contract.Number(r, "velocity")
		t.Acceleration, _ = contract.Number(r, "acceleration")
		out = append(out, t)
	}
	return out
}

func list[T any](rec *cdr.Record, path string) []T {
	v, _ := rec.Lookup(path)
	out, _ := v.([]T)
	return out
}

// duration is a builtin_interfaces/Duration, ns.
func duration(rec *cdr.Record, path string) int64 {
	sec, _ := contract.Number(rec, path+".sec")
	ns, _ := contract.Number(rec, path+".nanosec")
	return int64(sec)*1e9 + int64(ns)
}

// active refuses commands while the arm is not the commander's.
func (w *world) active() error {
	switch w.phase {
	case running:
		return nil
	case returning:
		return fmt.Errorf("simulator: %w between two episodes: the arm goes to its start by itself, go on with the START on %s", ErrNotActive, sim.TopicEpisode)
	case finished:
		return fmt.Errorf("simulator: %w: all %d episodes are done, ~/reset begins another", ErrNotActive, w.o.Episodes)
	}
	return errIdle
}

// errIdle is what commands get while no time passes.
var errIdle = fmt.Errorf("simulator: %w: the node is not active", ErrNotActive)

// follow takes a trajectory from the topic; rec is the message.
func (w *world) follow(rec *cdr.Record) error {
	t, err := trajectory(rec)
	if err == nil {
		err = w.active()
	}
	if err == nil {
		err = w.e.Arena.Follow(t)
	}
	if err != nil {
		return err
	}
	w.heard = w.now()
	return w.came(rec)
}

// came notes a trajectory that is followed from now on, for recordings.
func (w *world) came(rec *cdr.Record) error {
	if !w.recording() {
		return nil
	}
	return w.tell(rec, sim.TopicCommand)
}

// goal is a goal on its way; done is closed when it has ended.
type goal struct {
	*jtc.Goal
	done chan struct{}
}

// check says why a goal would be refused.
func (w *world) check(rec *cdr.Record) error {
	r, err := request(rec)
	if err == nil {
		err = w.active()
	}
	if err != nil {
		return err
	}
	return w.e.Arena.CheckTrajectory(r.Trajectory)
}

// pursue takes a goal from the action.
func (w *world) pursue(rec *cdr.Record) (*goal, error) {
	r, err := request(rec)
	if err == nil {
		err = w.active()
	}
	if err != nil {
		return nil, err
	}
	g, err := w.e.Arena.FollowGoal(r)
	if err != nil {
		return nil, err
	}
	w.watch() // the goal before has ended
	w.heard = w.now()
	w.goal = &goal{g, make(chan struct{})}
	v, _ := rec.Lookup("trajectory")
	return w.goal, w.came(v.(*cdr.Record))
}

// cancel ends a goal on request.
func (w *world) cancel(g *goal) error {
	if g != w.goal {
		return nil // it has ended
	}
	w.e.Arena.Cancel(g.Goal)
	w.watch()
	return w.held()
}

// release ends the goal that is followed, if there is one: its end will not be
// reached. That is no mistake of the goal, so that its sender may go on by itself
// when the next episode begins.
func (w *world) release(why string) {
	w.e.Arena.Release(jtc.Aborted, jtc.GoalToleranceViolated, why)
	w.watch()
}

// watch sees the goal end, and says whether it was aborted.
func (w *world) watch() (aborted bool) {
	g := w.goal
	if g == nil || g.Status == jtc.Executing {
		return false
	}
	w.goal = nil
	close(g.done)
	return g.Status == jtc.Aborted
}

// held tells a recording that from now on the arm holds where it is.
func (w *world) held() error {
	q, _ := w.e.Arena.Joint()
	m := w.talk.Messages()
	m.Stamp(sim.TopicCommand, w.now())
	m.Set(sim.TopicCommand, "points.0.positions", q[:])
	m.Set(sim.TopicCommand, "points.0.velocities", make([]float64, sim.Joints))
	return w.came(m.Of(sim.TopicCommand))
}
