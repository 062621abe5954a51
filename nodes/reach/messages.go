package reach

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"arfm/bags/cdr"
	"arfm/policy/contract"
)

// Topics that the arm speaks, as launch/contracts/reach_2dof.yaml reads them.
const (
	TopicState       = "/joint_states"
	TopicTarget      = "/target"
	TopicImage       = "/camera/image_raw/compressed"
	TopicInstruction = "/arfm/instruction"
	TopicCommand     = "/joint_trajectory_controller/joint_trajectory"
	TopicReward      = "/arfm/reward"
	TopicEpisode     = "/arfm/episode"
)

// topicTypes gives the type of each topic, in the order they are recorded.
var topicTypes = []struct{ topic, typ string }{
	{TopicInstruction, "std_msgs/msg/String"},
	{TopicEpisode, "arfm/msg/EpisodeEvent"},
	{TopicState, "sensor_msgs/msg/JointState"},
	{TopicTarget, "geometry_msgs/msg/PointStamped"},
	{TopicImage, "sensor_msgs/msg/CompressedImage"},
	{TopicReward, "arfm/msg/Reward"},
	{TopicCommand, "trajectory_msgs/msg/JointTrajectory"},
}

// ErrContract is wrapped where a contract asks for what the arm has not.
var ErrContract = errors.New("the reach arm does not fit the contract")

// checkContract refuses contracts whose inputs the arm cannot give or whose
// actions it cannot take.
func checkContract(c *contract.Contract) error {
	for _, use := range c.Topics() {
		if use.Role == contract.RoleAction || use.Role == contract.RoleReward || use.Role == contract.RoleEpisode {
			continue
		}
		found := false
		for _, t := range topicTypes {
			found = found || t.topic == use.Topic && t.typ == contract.NormalType(use.Type)
		}
		if !found {
			return fmt.Errorf("%w: it publishes no %s of type %s; start from reach_2dof.yaml", ErrContract, use.Topic, use.Type)
		}
	}
	_, err := actionColumns(c)
	return err
}

// actionColumns returns which column of an action commands each joint.
func actionColumns(c *contract.Contract) (col [2]int, err error) {
	names := c.ActionNames()
	if c.Action.Unit != contract.UnitPosition || len(names) != 2 || c.Period() != Period {
		return col, fmt.Errorf("%w: it takes positions of %v at %d Hz", ErrContract, JointNames, RateHz)
	}
	for j, joint := range JointNames {
		col[j] = -1
		for i, n := range names {
			if n == joint {
				col[j] = i
			}
		}
		if col[j] < 0 {
			return col, fmt.Errorf("%w: the action has no %s", ErrContract, joint)
		}
	}
	return col, nil
}

// speaker makes the arm's messages. The records are reused: a receiver copies.
type speaker struct {
	types map[string]*cdr.Type // by topic
	recs  map[string]*cdr.Record
	img   *image.RGBA
	jpeg  bytes.Buffer
	err   error // of the first Set that failed
}

func newSpeaker() (*speaker, error) {
	s := &speaker{types: map[string]*cdr.Type{}, recs: map[string]*cdr.Record{}}
	reg := cdr.NewRegistry()
	for _, t := range topicTypes {
		typ, err := reg.Type(t.typ)
		if err != nil {
			return nil, fmt.Errorf("reach: %w", err)
		}
		s.types[t.topic], s.recs[t.topic] = typ, typ.New()
	}
	point, err := reg.Type("trajectory_msgs/msg/JointTrajectoryPoint")
	if err != nil {
		return nil, fmt.Errorf("reach: %w", err)
	}
	now, next := point.New(), point.New()
	s.set(next, "time_from_start.nanosec", Period)
	s.set(s.recs[TopicCommand], "joint_names", JointNames)
	s.set(s.recs[TopicCommand], "points", []*cdr.Record{now, next})
	s.set(s.recs[TopicState], "name", JointNames)
	s.set(s.recs[TopicTarget], "header.frame_id", "base_link")
	s.set(s.recs[TopicImage], "header.frame_id", "scene_camera")
	s.set(s.recs[TopicImage], "format", "jpeg")
	s.set(s.recs[TopicInstruction], "data", Instruction)
	return s, s.err
}

func (s *speaker) set(r *cdr.Record, path string, v any) {
	if err := r.Set(path, v); err != nil && s.err == nil {
		s.err = fmt.Errorf("reach: %w", err)
	}
}

// at stamps a topic's record.
func (s *speaker) at(topic string, t int64) *cdr.Record {
	r := s.recs[topic]
	s.set(r, "header.stamp.sec", t/1e9)
	s.set(r, "header.stamp.nanosec", t%1e9)
	return r
}

func (s *speaker) state(w *World, t int64) *cdr.Record {
	r := s.at(TopicState, t)
	s.set(r, "position", []float64{w.Q[0], w.Q[1]})
	s.set(r, "velocity", []float64{w.V[0], w.V[1]})
	return r
}

func (s *speaker) target(w *World, t int64) *cdr.Record {
	r := s.at(TopicTarget, t)
	s.set(r, "point.x", w.Target.X)
	s.set(r, "point.y", w.Target.Y)
	return r
}

func (s *speaker) image(w *World, t int64) *cdr.Record {
	r := s.at(TopicImage, t)
	s.img = Render(w, s.img)
	s.jpeg.Reset()
	if err := jpeg.Encode(&s.jpeg, s.img, &jpeg.Options{Quality: 90}); err != nil && s.err == nil {
		s.err = fmt.Errorf("reach: %w", err)
	}
	s.set(r, "data", s.jpeg.Bytes())
	return r
}

// command is a trajectory from the set-point now to the one a period later.
func (s *speaker) command(now, next [2]float64, t int64) *cdr.Record {
	r := s.at(TopicCommand, t)
	s.set(r, "points.0.positions", []float64{now[0], now[1]})
	s.set(r, "points.1.positions", []float64{next[0], next[1]})
	return r
}

func (s *speaker) reward(value float64, t int64) *cdr.Record {
	r := s.at(TopicReward, t)
	s.set(r, "value", value)
	return r
}

// event is an EpisodeEvent by the name of its constant.
func (s *speaker) event(name string, t int64) *cdr.Record {
	r := s.at(TopicEpisode, t)
	v, ok := s.types[TopicEpisode].Constant(name)
	if !ok && s.err == nil {
		s.err = fmt.Errorf("reach: arfm/msg/EpisodeEvent has no constant %s", name)
	}
	s.set(r, "event", v)
	s.set(r, "task", Instruction)
	return r
}

// feed pushes what the contract reads of the world at time t.
func (s *speaker) feed(r *contract.Resampler, uses []contract.TopicUse, w *World, t int64) error {
	for _, use := range uses {
		var rec *cdr.Record
		switch use.Topic {
		case TopicState:
			rec = s.state(w, t)
		case TopicTarget:
			rec = s.target(w, t)
		case TopicImage:
			rec = s.image(w, t)
		case TopicInstruction:
			rec = s.recs[TopicInstruction]
		default:
			continue
		}
		if err := r.Push(use.Topic, t, rec); err != nil {
			return fmt.Errorf("reach: %w", err)
		}
	}
	return s.err
}

// inputs returns the topics that make observations, once each.
func inputs(c *contract.Contract) []contract.TopicUse {
	var out []contract.TopicUse
	seen := map[string]bool{}
	for _, use := range c.Topics() {
		switch use.Role {
		case contract.RoleState, contract.RoleImage, contract.RoleInstruction:
			if !seen[use.Topic] {
				out = append(out, use)
			}
			seen[use.Topic] = true
		}
	}
	return out
}
