package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"arfm/nodes/demonstration"
)

// Epoch is when recordings start, ns of ROS time.
const Epoch = demonstration.Epoch

// Record writes demonstrations of a suite, whose tasks take turns, as rosbag2
// bags into the folder dir; see demonstration.Recording.
func Record(ctx context.Context, dir string, suite *Suite, o demonstration.Options) (demonstration.Recorded, error) {
	if suite == nil {
		return demonstration.Recorded{}, errors.New("sim: no suite to record")
	}
	e, err := suite.NewEpisode()
	if err != nil {
		return demonstration.Recorded{}, err
	}
	defer e.Close()
	s, err := NewSpeaker(e)
	if err != nil {
		return demonstration.Recorded{}, err
	}
	defer s.Close()
	r := demonstration.Recording{Arm: &shown{Speaker: s}, Name: suite.Name, Period: Period, Cameras: CameraTopics}
	out, err := r.Record(ctx, dir, o)
	if err != nil {
		return out, fmt.Errorf("sim: %w", err)
	}
	return out, nil
}

// shown is the arm in a demonstrator's hands.
type shown struct {
	*Speaker
	demo          *Demonstrator
	set, velocity [Joints]float64 // at the end of the period
}

var _ demonstration.Arm = (*shown)(nil)

// Begin implements demonstration.Arm.
func (a *shown) Begin(index int, o *demonstration.Options, rng *rand.Rand) (demonstration.Quality, error) {
	q := o.Draw(rng)
	if err := a.e.Begin(index%len(a.e.Tasks), rng); err != nil {
		return q, err
	}
	a.demo = NewDemonstrator(q, a.e, rng)
	return q, nil
}

// Instruction implements demonstration.Arm.
func (a *shown) Instruction() string { return a.e.Instruction() }

// Next implements demonstration.Arm: a trajectory to a set-point a period later.
func (a *shown) Next(t int64) (more bool, err error) {
	if a.set, a.velocity, more = a.demo.Next(); !more || a.e.Steps == a.e.TimeLimit {
		return false, nil
	}
	a.msg.Stamp(TopicCommand, t)
	a.msg.Set(TopicCommand, "points.0.positions", a.set[:])
	a.msg.Set(TopicCommand, "points.0.velocities", a.velocity[:])
	return true, a.msg.Err()
}

// Step implements demonstration.Arm.
func (a *shown) Step() (float64, error) { return a.e.Step(a.set, a.velocity) }

// Success implements demonstration.Arm.
func (a *shown) Success() bool { return a.e.Success() }
