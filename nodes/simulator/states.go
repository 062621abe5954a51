package simulator

import (
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/sim"
	"arfm/nodes/sim/jtc"
)

// Topics of the simulated robot beside those of package sim, which recordings
// do not hold.
const (
	TopicClock       = "/clock"
	TopicController  = "/joint_trajectory_controller/controller_state"
	TopicDescription = "/robot_description"
)

// stateTopics tell of the arm and its scene at every beat of the state.
var stateTopics = []string{sim.TopicJoints, sim.TopicTCP, sim.TopicObjects, sim.TopicFixtures, sim.TopicFixtureJoints}

var ownTopics = []bags.TopicType{
	{Topic: TopicClock, Type: "rosgraph_msgs/msg/Clock"},
	{Topic: TopicController, Type: "control_msgs/msg/JointTrajectoryControllerState"},
	{Topic: TopicDescription, Type: "std_msgs/msg/String"},
}

// prepare fills what stays the same in the world's messages.
func (w *world) prepare() {
	w.more.Set(TopicController, "joint_names", sim.JointNames)
	w.more.Set(TopicDescription, "data", Description())
}

// observe says what a topic of the speaker tells of the scene now.
func (w *world) observe(topic string) error {
	rec, err := w.talk.Observation(topic, w.now())
	if err != nil {
		return err
	}
	return w.tell(rec, topic)
}

// describe says the robot's description.
func (w *world) describe() error {
	return w.tell(w.more.Of(TopicDescription), TopicDescription)
}

func (w *world) clock(now int64) error {
	if !w.o.Clock {
		return nil
	}
	w.more.Set(TopicClock, "clock.sec", now/1e9)
	w.more.Set(TopicClock, "clock.nanosec", now%1e9)
	return w.tell(w.more.Of(TopicClock), TopicClock)
}

// states says how arm, scene and controller stand, as far as somebody wants to
// know.
func (w *world) states(now int64) error {
	for _, topic := range stateTopics {
		if !w.recording() && !w.sink.wanted(topic) {
			continue
		}
		if err := w.observe(topic); err != nil {
			return err
		}
	}
	if !w.sink.wanted(TopicController) {
		return nil
	}
	desired, actual := w.stand()
	w.more.Stamp(TopicController, now)
	for _, path := range []string{"reference", "desired", "output"} {
		fill(w.more.Of(TopicController), path, desired)
	}
	for _, path := range []string{"feedback", "actual"} {
		fill(w.more.Of(TopicController), path, actual)
	}
	fill(w.more.Of(TopicController), "error", apart(desired, actual))
	return w.tell(w.more.Of(TopicController), TopicController)
}

// fill sets the JointTrajectoryPoint at path of a record; that a point has the
// fields is sure.
func fill(rec *cdr.Record, path string, s jtc.State) {
	_ = rec.Set(path+".positions", s.Position)
	_ = rec.Set(path+".velocities", s.Velocity)
	if s.Acceleration != nil {
		_ = rec.Set(path+".accelerations", s.Acceleration)
	}
}

// stand returns the controller's set-point and what is measured.
func (w *world) stand() (desired, actual jtc.State) {
	q, v := w.e.Arena.Joint()
	return w.e.Arena.Desired(), jtc.State{Position: q[:], Velocity: v[:]}
}

// standing is a copy of it.
func (w *world) standing() Standing {
	desired, actual := w.stand()
	desired.Position, desired.Velocity = slices.Clone(desired.Position), slices.Clone(desired.Velocity)
	desired.Acceleration = slices.Clone(desired.Acceleration)
	return Standing{w.now(), desired, actual}
}

// apart is desired minus actual, of positions and velocities.
func apart(desired, actual jtc.State) jtc.State {
	minus := func(a, b []float64) []float64 {
		out := make([]float64, len(b))
		for j := range out {
			out[j] = a[j] - b[j]
		}
		return out
	}
	return jtc.State{Position: minus(desired.Position, actual.Position), Velocity: minus(desired.Velocity, actual.Velocity)}
}
