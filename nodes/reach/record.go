package reach

import (
	"context"
	"fmt"
	"math/rand/v2"

	"arfm/bags"
	"arfm/nodes/demonstration"
)

// Epoch is when recordings start, ns of ROS time.
const Epoch = demonstration.Epoch

// Record writes demonstrations as rosbag2 bags into the folder dir; see
// demonstration.Recording.
func Record(ctx context.Context, dir string, o demonstration.Options) (demonstration.Recorded, error) {
	s, err := newSpeaker()
	if err != nil {
		return demonstration.Recorded{}, err
	}
	r := demonstration.Recording{Arm: &shown{speaker: s}, Name: "reach", Period: Period, Cameras: []string{TopicImage}}
	out, err := r.Record(ctx, dir, o)
	if err != nil {
		return out, fmt.Errorf("reach: %w", err)
	}
	return out, nil
}

// shown is the arm in a demonstrator's hands.
type shown struct {
	*speaker
	demo      *demonstrator
	last, set [2]float64 // set-points at the beginning and the end of the period
}

var _ demonstration.Arm = (*shown)(nil)

// Messages implements demonstration.Arm.
func (a *shown) Messages() *bags.Messages { return a.msg }

// Begin implements demonstration.Arm.
func (a *shown) Begin(_ int, o *demonstration.Options, rng *rand.Rand) (demonstration.Quality, error) {
	a.w = NewWorld(rng)
	q := o.Draw(rng)
	a.demo, a.set = newDemonstrator(q, a.w, rng), a.w.Q
	return q, nil
}

// Instruction implements demonstration.Arm.
func (*shown) Instruction() string { return Instruction }

// Next implements demonstration.Arm: a trajectory from the set-point now to the
// one a period later.
func (a *shown) Next(t int64) (bool, error) {
	set, ok := a.demo.next()
	if !ok || a.w.Steps == MaxSteps {
		return false, nil
	}
	a.last, a.set = a.set, set
	a.msg.Stamp(TopicCommand, t)
	a.msg.Set(TopicCommand, "points.0.positions", a.last[:])
	a.msg.Set(TopicCommand, "points.1.positions", a.set[:])
	return true, a.msg.Err()
}

// Step implements demonstration.Arm.
func (a *shown) Step() (float64, error) { return a.w.Step(a.set), nil }

// Success implements demonstration.Arm.
func (a *shown) Success() bool { return a.w.Success() }
