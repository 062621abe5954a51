package sim

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/demonstration"
)

// Topics of the simulated arm, as the contracts sim_state.yaml and
// sim_vision.yaml read them. A policy that looks gets the cameras and the joints;
// one that is told gets the poses instead of the cameras.
const (
	TopicJoints        = "/joint_states"
	TopicTCP           = "/tcp_pose"
	TopicObjects       = "/sim/objects"        // poses of the objects, MaxObjects of them, in the suite's order; absent ones at the origin
	TopicFixtures      = "/sim/fixtures"       // poses of the fixtures, in the order of Fixtures; absent ones at the origin
	TopicFixtureJoints = "/sim/fixture_states" // how far the drawer is open, m, and whether the button's light is on, 0 or 1
	TopicScene         = "/scene_camera/image_raw/compressed"
	TopicWrist         = "/wrist_camera/image_raw/compressed"
	TopicInstruction   = demonstration.TopicInstruction
	TopicCommand       = demonstration.TopicCommand
	TopicReward        = demonstration.TopicReward
	TopicEpisode       = demonstration.TopicEpisode
)

// CameraTopics are those of the cameras, CameraNames their names in the scene;
// a picture's frame is its camera's name with _camera.
var (
	CameraTopics = []string{TopicScene, TopicWrist}
	CameraNames  = []string{"scene", "wrist"}
)

// MaxObjects is how many poses TopicObjects carries.
const MaxObjects = 5

// ImageSide is the side of a camera's picture, pixels.
const ImageSide = 96

// Topics gives the type of each topic, in the order they are recorded.
var Topics = []bags.TopicType{
	{Topic: TopicInstruction, Type: "std_msgs/msg/String"},
	{Topic: TopicEpisode, Type: "arfm/msg/EpisodeEvent"},
	{Topic: TopicJoints, Type: "sensor_msgs/msg/JointState"},
	{Topic: TopicTCP, Type: "geometry_msgs/msg/PoseStamped"},
	{Topic: TopicObjects, Type: "geometry_msgs/msg/PoseArray"},
	{Topic: TopicFixtures, Type: "geometry_msgs/msg/PoseArray"},
	{Topic: TopicFixtureJoints, Type: "sensor_msgs/msg/JointState"},
	{Topic: TopicScene, Type: "sensor_msgs/msg/CompressedImage"},
	{Topic: TopicWrist, Type: "sensor_msgs/msg/CompressedImage"},
	{Topic: TopicReward, Type: "arfm/msg/Reward"},
	{Topic: TopicCommand, Type: "trajectory_msgs/msg/JointTrajectory"},
}

// Speaker makes an episode's messages. Its records are reused: a receiver
// copies what it keeps.
type Speaker struct {
	e    *Episode
	msg  *bags.Messages
	cam  map[string]*Camera // by topic
	jpeg bytes.Buffer
}

// NewSpeaker returns a speaker for the episodes that e becomes. Close frees
// its cameras.
func NewSpeaker(e *Episode) (*Speaker, error) {
	msg, err := bags.NewMessages(Topics)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	s := &Speaker{e: e, msg: msg, cam: map[string]*Camera{}}
	for topic, frame := range map[string]string{TopicTCP: "base_link", TopicObjects: "base_link", TopicFixtures: "base_link", TopicScene: "scene_camera", TopicWrist: "wrist_camera"} {
		msg.Set(topic, "header.frame_id", frame)
	}
	for _, topic := range CameraTopics {
		msg.Set(topic, "format", "jpeg")
	}
	msg.Set(TopicJoints, "name", JointNames)
	msg.Set(TopicFixtureJoints, "name", []string{"drawer_joint", "button_light"})
	if err := s.lists(); err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return s, msg.Err()
}

// lists makes the records that lie in lists.
func (s *Speaker) lists() error {
	fill := func(topic, path, typ string, n int) error {
		var recs []*cdr.Record
		for range n {
			r, err := s.msg.New(typ)
			if err != nil {
				return err
			}
			recs = append(recs, r)
		}
		s.msg.Set(topic, path, recs)
		return nil
	}
	for topic, n := range map[string]int{TopicObjects: MaxObjects, TopicFixtures: len(Fixtures)} {
		if err := fill(topic, "poses", "geometry_msgs/msg/Pose", n); err != nil {
			return err
		}
		for i := range n {
			s.msg.Set(topic, fmt.Sprintf("poses.%d.orientation.w", i), 1.0)
		}
	}
	if err := fill(TopicCommand, "points", "trajectory_msgs/msg/JointTrajectoryPoint", 1); err != nil {
		return err
	}
	s.msg.Set(TopicCommand, "joint_names", JointNames)
	s.msg.Set(TopicCommand, "points.0.time_from_start.nanosec", Period)
	return nil
}

// Close frees the cameras.
func (s *Speaker) Close() {
	for _, c := range s.cam {
		c.Close()
	}
}

// Messages holds the speaker's records, one for each of Topics.
func (s *Speaker) Messages() *bags.Messages { return s.msg }

// Observation fills and returns the record of a topic that tells of the
// episode's state, stamped t. Other topics give nil.
func (s *Speaker) Observation(topic string, t int64) (*cdr.Record, error) {
	m, a := s.msg, s.e.Arena
	switch topic {
	case TopicInstruction:
		m.Set(topic, "data", s.e.Instruction())
		return m.Of(topic), m.Err()
	case TopicJoints:
		q, v := a.Joint()
		m.Set(topic, "position", q[:])
		m.Set(topic, "velocity", v[:])
	case TopicTCP:
		s.place(topic, "pose", a.TCP())
		s.turn(topic, "pose", quaternion(a.Tool()))
	case TopicObjects:
		for i := range s.e.Objects {
			s.place(topic, fmt.Sprintf("poses.%d", i), a.Object(i))
			s.turn(topic, fmt.Sprintf("poses.%d", i), a.ObjectTurn(i))
		}
	case TopicFixtures:
		for i, f := range Fixtures {
			if slices.Contains(s.e.Fixtures, f) {
				s.place(topic, fmt.Sprintf("poses.%d", i), a.Fixture(f))
			}
		}
	case TopicFixtureJoints:
		m.Set(topic, "position", s.e.fixtureStates())
	case TopicScene, TopicWrist:
		data, err := s.picture(topic)
		if err != nil {
			return nil, err
		}
		m.Set(topic, "data", data)
	default:
		return nil, nil
	}
	m.Stamp(topic, t)
	return m.Of(topic), m.Err()
}

// quaternion is the unit quaternion w x y z of a rotation (Shepperd 1978): its
// largest part comes from the diagonal, the others from that one.
func quaternion(r rotation) (q [4]float64) {
	diagonal := [4]float64{r[0] + r[4] + r[8], r[0], r[4], r[8]}
	k := 0
	for i, d := range diagonal {
		if d > diagonal[k] {
			k = i
		}
	}
	if k == 0 {
		w := math.Sqrt(1+diagonal[0]) / 2
		return [4]float64{w, (r[7] - r[5]) / (4 * w), (r[2] - r[6]) / (4 * w), (r[3] - r[1]) / (4 * w)}
	}
	i, j, l := k-1, k%3, (k+1)%3 // the axes, in cyclic order
	x := math.Sqrt(1+r[4*i]-r[4*j]-r[4*l]) / 2
	q[0] = (r[3*l+j] - r[3*j+l]) / (4 * x)
	q[1+i] = x
	q[1+j] = (r[3*j+i] + r[3*i+j]) / (4 * x)
	q[1+l] = (r[3*l+i] + r[3*i+l]) / (4 * x)
	return q
}

func (s *Speaker) turn(topic, path string, q [4]float64) {
	for i, part := range []string{".orientation.w", ".orientation.x", ".orientation.y", ".orientation.z"} {
		s.msg.Set(topic, path+part, q[i])
	}
}

func (s *Speaker) place(topic, path string, p vec) {
	for i, axis := range []string{".position.x", ".position.y", ".position.z"} {
		s.msg.Set(topic, path+axis, p[i])
	}
}

// fixtureStates are the drawer's opening, m, and the button's light, 0 or 1.
func (e *Episode) fixtureStates() []float64 {
	out := []float64{0, 0}
	if e.Arena.drawer >= 0 {
		out[0] = e.Arena.DrawerOpening()
	}
	if e.lit {
		out[1] = 1
	}
	return out
}

// picture is what a camera sees, as JPEG; the bytes are reused.
func (s *Speaker) picture(topic string) ([]byte, error) {
	c := s.cam[topic]
	if c == nil {
		var err error
		if c, err = s.e.Arena.Camera(CameraNames[slices.Index(CameraTopics, topic)], ImageSide, ImageSide); err != nil {
			return nil, err
		}
		s.cam[topic] = c
	}
	if err := c.render(); err != nil {
		return nil, err
	}
	s.jpeg.Reset()
	err := EncodeJPEG(&s.jpeg, c.img)
	return s.jpeg.Bytes(), err
}

// EncodeJPEG writes a picture as the arm's cameras send it.
func EncodeJPEG(w io.Writer, img image.Image) error {
	return jpeg.Encode(w, img, &jpeg.Options{Quality: 90})
}
