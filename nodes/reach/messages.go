package reach

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/demonstration"
	"arfm/policy/contract"
)

// Topics that the arm speaks, as launch/contracts/reach_2dof.yaml reads them.
const (
	TopicState       = "/joint_states"
	TopicTarget      = "/target"
	TopicImage       = "/camera/image_raw/compressed"
	TopicInstruction = demonstration.TopicInstruction
	TopicCommand     = demonstration.TopicCommand
	TopicReward      = demonstration.TopicReward
	TopicEpisode     = demonstration.TopicEpisode
)

// topicTypes gives the type of each topic, in the order they are recorded.
var topicTypes = []bags.TopicType{
	{Topic: TopicInstruction, Type: "std_msgs/msg/String"},
	{Topic: TopicEpisode, Type: "arfm/msg/EpisodeEvent"},
	{Topic: TopicState, Type: "sensor_msgs/msg/JointState"},
	{Topic: TopicTarget, Type: "geometry_msgs/msg/PointStamped"},
	{Topic: TopicImage, Type: "sensor_msgs/msg/CompressedImage"},
	{Topic: TopicReward, Type: "arfm/msg/Reward"},
	{Topic: TopicCommand, Type: "trajectory_msgs/msg/JointTrajectory"},
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
			found = found || t.Topic == use.Topic && t.Type == contract.NormalType(use.Type)
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
	msg  *bags.Messages
	w    *World // whose messages they are
	img  *image.RGBA
	jpeg bytes.Buffer
}

func newSpeaker() (*speaker, error) {
	m, err := bags.NewMessages(topicTypes)
	if err != nil {
		return nil, fmt.Errorf("reach: %w", err)
	}
	var points []*cdr.Record // now and a period later
	for range 2 {
		p, err := m.New("trajectory_msgs/msg/JointTrajectoryPoint")
		if err != nil {
			return nil, fmt.Errorf("reach: %w", err)
		}
		points = append(points, p)
	}
	m.Set(TopicCommand, "joint_names", JointNames)
	m.Set(TopicCommand, "points", points)
	m.Set(TopicCommand, "points.1.time_from_start.nanosec", Period)
	m.Set(TopicState, "name", JointNames)
	m.Set(TopicTarget, "header.frame_id", "base_link")
	m.Set(TopicImage, "header.frame_id", "scene_camera")
	m.Set(TopicImage, "format", "jpeg")
	m.Set(TopicInstruction, "data", Instruction)
	return &speaker{msg: m}, m.Err()
}

// Observation fills and returns the record of a topic that tells of the world,
// stamped t. Other topics give nil.
func (s *speaker) Observation(topic string, t int64) (*cdr.Record, error) {
	m, w := s.msg, s.w
	switch topic {
	case TopicInstruction:
		return m.Of(topic), m.Err()
	case TopicState:
		m.Set(topic, "position", w.Q[:])
		m.Set(topic, "velocity", w.V[:])
	case TopicTarget:
		m.Set(topic, "point.x", w.Target.X)
		m.Set(topic, "point.y", w.Target.Y)
	case TopicImage:
		s.img = Render(w, s.img)
		s.jpeg.Reset()
		if err := jpeg.Encode(&s.jpeg, s.img, &jpeg.Options{Quality: 90}); err != nil {
			return nil, fmt.Errorf("reach: %w", err)
		}
		m.Set(topic, "data", s.jpeg.Bytes())
	default:
		return nil, nil
	}
	m.Stamp(topic, t)
	return m.Of(topic), m.Err()
}

// feed pushes what the contract reads of the world at time t.
func (s *speaker) feed(r *contract.Resampler, topics []string, t int64) error {
	for _, topic := range topics {
		rec, err := s.Observation(topic, t)
		if err != nil {
			return err
		}
		if err := r.Push(topic, t, rec); err != nil {
			return fmt.Errorf("reach: %w", err)
		}
	}
	return nil
}

// inputs returns the topics that make observations, once each.
func inputs(c *contract.Contract) (topics []string) {
	for _, use := range c.Topics() {
		switch use.Role {
		case contract.RoleState, contract.RoleImage, contract.RoleInstruction:
			if !slices.Contains(topics, use.Topic) {
				topics = append(topics, use.Topic)
			}
		}
	}
	return topics
}
