package reach

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
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

// speaks is the arm as contracts see it.
var speaks = eval.Interface{Topics: topicTypes, Joints: JointNames, RateHz: RateHz, Contracts: "reach_2dof.yaml"}

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
