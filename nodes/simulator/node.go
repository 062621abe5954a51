//go:build ros

package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/nodes/ros/param"
	"arfm/nodes/sim"
)

// Action is the trajectory controller's action.
const Action = "/joint_trajectory_controller/follow_joint_trajectory"

// node is sim_node: a Simulator on ROS.
type node struct {
	ros      *ros.Node
	services *ros.Group // ~/reset
	commands *ros.Group

	sim    *Simulator // from configure to cleanup
	rate   float64
	pubs   map[string]*ros.Publisher
	sub    *ros.Subscription
	action *ros.ActionServer
	cancel context.CancelFunc // ends what runs
	ended  chan error         // how it ended
}

// Setup makes a ROS node into sim_node.
func Setup(_ context.Context, n *ros.Node) error {
	failed := func(err error) { n.Log.WarnEvery(time.Second, "%v", err) }
	s := &node{ros: n, services: n.Context().NewGroup(failed), commands: n.Context().NewGroup(failed), pubs: map[string]*ros.Publisher{}}
	if err := n.Declare(declarations()...); err != nil {
		return err
	}
	n.Params.OnSet(s.changeable)
	if _, err := n.Serve(s.services, "~/reset", "arfm/srv/Reset", s.reset); err != nil {
		return err
	}
	d, err := n.Diagnose("simulated UR5e")
	if err != nil {
		return err
	}
	d.Add("simulation", s.diagnose)
	return n.Lifecycle(ros.Callbacks{Configure: s.configure, Activate: s.activate, Deactivate: s.deactivate, Cleanup: s.cleanup,
		Error: func(error) error { return s.cleanup() }})
}

func declarations() []param.Declaration {
	integer := func(name string, value, from, to int64, description string) param.Declaration {
		return param.Declaration{Name: name, Default: param.Of(value), Description: description, IntegerRange: &param.IntegerRange{From: from, To: to}}
	}
	double := func(name string, value, from, to float64, description string) param.Declaration {
		return param.Declaration{Name: name, Default: param.Of(value), Description: description, DoubleRange: &param.DoubleRange{From: from, To: to}}
	}
	var suites []string
	for _, x := range sim.Suites {
		suites = append(suites, x.Name)
	}
	return []param.Declaration{
		{Name: "suite", Default: param.Of("object"), Description: "suite of tasks", OneOf: suites},
		{Name: "task_order", Default: param.Of(""), Description: "numbers of the tasks that take turns, such as 0,2; random: drawn from the seed; empty: all in turn"},
		integer("seed", 0, 0, math.MaxInt64, "of the scenes; the same gives the same"),
		integer("episodes", 0, 0, math.MaxInt32, "after which the arm rests; 0: no end"),
		double("rate", 1, 0, 1000, "simulated seconds a second; 0: as many as there can be"),
		double("state_hz", 100, 1, 500, "rate of joint states, poses and controller state, in simulated time"),
		double("camera_hz", 20, 0.1, 120, "rate of the pictures, in simulated time"),
		integer("camera_width", sim.ImageSide, 8, 640, "of the pictures, pixels"),
		integer("camera_height", sim.ImageSide, 8, 480, "of the pictures, pixels"),
		{Name: "publish_clock", Default: param.Of(true), Description: "publish the simulated time on /clock"},
		{Name: "record_dir", Default: param.Of(""), Description: "folder for bags of the episodes; empty: none are recorded"},
		integer("record_episodes", 1, 1, 1000, "episodes in a bag"),
		integer("record_keep", 200, 0, math.MaxInt32, "bags that stay in record_dir, older ones are removed; 0: all"),
	}
}

// changeable refuses to change what is read when the node is configured.
func (s *node) changeable(params []param.Parameter) error {
	if s.ros.State() == ros.Unconfigured {
		return nil
	}
	for _, p := range params {
		if slices.ContainsFunc(declarations(), func(d param.Declaration) bool { return d.Name == p.Name }) {
			return fmt.Errorf("%s is read when the node is configured: `ros2 lifecycle set %s cleanup` first (deactivate it if it is active)", p.Name, s.ros.FullName())
		}
	}
	return nil
}

// options reads the parameters.
func (s *node) options() (Options, error) {
	p := s.ros.Params
	o := Options{
		Seed: uint64(param.Get[int64](p, "seed")), Episodes: int(param.Get[int64](p, "episodes")), Rate: param.Get[float64](p, "rate"),
		StateHz: param.Get[float64](p, "state_hz"), CameraHz: param.Get[float64](p, "camera_hz"),
		Width: int(param.Get[int64](p, "camera_width")), Height: int(param.Get[int64](p, "camera_height")), Clock: param.Get[bool](p, "publish_clock"),
		Record:  RecordOptions{Dir: param.Get[string](p, "record_dir"), Episodes: int(param.Get[int64](p, "record_episodes")), Keep: int(param.Get[int64](p, "record_keep"))},
		Publish: s.publish, Listened: s.listened, Log: s.log,
	}
	var err error
	if o.Suite, err = sim.FindSuite(param.Get[string](p, "suite")); err != nil {
		return o, err
	}
	return o, o.SetOrder(param.Get[string](p, "task_order"))
}

func (s *node) log(level Level, text string) {
	if level == Warn {
		s.ros.Log.WarnEvery(5*time.Second, "%s", text)
		return
	}
	s.ros.Log.Infof("%s", text)
}

func (s *node) configure() error {
	o, err := s.options()
	if err != nil {
		return err
	}
	s.rate = o.Rate
	if s.sim, err = New(o); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return errors.Join(err, s.cleanup())
	}
	return nil
}

// outputs are the topics that the node publishes, with their QoS.
func outputs() map[bags.TopicType]ros.QoS {
	out := map[bags.TopicType]ros.QoS{}
	for _, t := range append(slices.Clone(sim.Topics), ownTopics...) {
		switch t.Topic {
		case sim.TopicCommand: // that comes in
		case sim.TopicInstruction, TopicDescription:
			out[t] = ros.Latched
		case sim.TopicScene, sim.TopicWrist:
			out[t] = ros.SensorData
			out[bags.TopicType{Topic: RawTopic(t.Topic), Type: "sensor_msgs/msg/Image"}] = ros.SensorData
			out[bags.TopicType{Topic: InfoTopic(t.Topic), Type: "sensor_msgs/msg/CameraInfo"}] = ros.SensorData
		default:
			out[t] = ros.Default
		}
	}
	return out
}

// connect makes what the node says and hears.
func (s *node) connect() (err error) {
	for t, qos := range outputs() {
		switch pub, err := s.ros.Publisher(t.Topic, t.Type, qos); {
		case errors.Is(err, ros.ErrNotInstalled) && strings.HasPrefix(t.Type, "control_msgs/"):
			s.ros.Log.Warnf("%v: %s is left out", err, t.Topic)
		case err != nil:
			return err
		default:
			s.pubs[t.Topic] = pub
		}
	}
	typ, err := s.ros.Context().Type("trajectory_msgs/msg/JointTrajectory")
	if err != nil {
		return err
	}
	s.sub, err = s.ros.Subscribe(s.commands, sim.TopicCommand, typ.Name(), ros.Default, func(m ros.Message) {
		rec, err := typ.Decode(m.Data)
		if err == nil {
			err = s.sim.Follow(rec)
		}
		if err != nil {
			s.ros.Log.WarnEvery(5*time.Second, "a trajectory is ignored: %v", err)
		}
	})
	if err != nil {
		return err
	}
	s.action, err = s.ros.ServeAction(s.commands, Action, "control_msgs/action/FollowJointTrajectory", ros.Goals{
		Accept:  func(goal *cdr.Record) error { return s.sim.CheckGoal(goal) },
		Execute: s.execute,
	})
	if errors.Is(err, ros.ErrNotInstalled) {
		s.ros.Log.Warnf("%v: %s is left out", err, Action)
		return nil
	}
	return err
}

func (s *node) publish(m Message) {
	if pub := s.pubs[m.Topic]; pub != nil {
		if err := pub.PublishEncoded(m.Data); err != nil {
			s.ros.Log.WarnEvery(time.Second, "%v", err)
		}
	}
}

func (s *node) listened(topic string) bool {
	pub := s.pubs[topic]
	return pub != nil && pub.Subscribers() > 0
}

func (s *node) activate() error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.cancel, s.ended = cancel, ended
	go func() {
		err := s.sim.Run(ctx)
		ended <- err
		if ctx.Err() == nil { // it failed by itself
			_ = s.ros.Trigger("deactivate") // which logs why
		}
	}()
	return nil
}

// deactivate ends the episode under way; the next activation begins another.
func (s *node) deactivate() error {
	s.cancel()
	if err := <-s.ended; err != nil {
		return fmt.Errorf("%w: %w", ros.ErrBroken, err)
	}
	return nil
}

func (s *node) cleanup() (err error) {
	if s.action != nil {
		err = errors.Join(err, s.action.Close())
		s.action = nil
	}
	if s.sub != nil {
		err = errors.Join(err, s.sub.Close())
		s.sub = nil
	}
	for topic, pub := range s.pubs {
		err = errors.Join(err, pub.Close())
		delete(s.pubs, topic)
	}
	if s.sim != nil {
		s.sim.Close()
		s.sim = nil
	}
	return err
}

// reset serves ~/reset.
func (s *node) reset(req, resp *cdr.Record) error {
	task, _ := req.Lookup("task")
	seed, _ := req.Lookup("seed")
	name, _ := task.(string)
	number, _ := seed.(uint64)
	if s.ros.State() != ros.Active {
		return resp.Set("message", errIdle.Error())
	}
	instruction, err := s.sim.Reset(name, number)
	if err != nil {
		return resp.Set("message", err.Error())
	}
	return errors.Join(resp.Set("success", true), resp.Set("task", instruction))
}

// execute follows a goal of the action.
func (s *node) execute(ctx context.Context, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
	ended := s.sim.FollowGoal(ctx, g.Description, func(at Standing) {
		err := g.Feedback(func(fb *cdr.Record) error {
			fill(fb, "desired", at.Desired)
			fill(fb, "actual", at.Actual)
			fill(fb, "error", apart(at.Desired, at.Actual))
			return errors.Join(fb.Set("joint_names", sim.JointNames), fb.Set("header.stamp.sec", at.Time/1e9), fb.Set("header.stamp.nanosec", at.Time%1e9))
		})
		if err != nil {
			s.ros.Log.WarnEvery(time.Second, "feedback: %v", err)
		}
	})
	if err := errors.Join(result.Set("error_code", int32(ended.Code)), result.Set("error_string", ended.Text)); err != nil {
		s.ros.Log.Warnf("result: %v", err)
	}
	if ended.Code != 0 {
		s.ros.Log.Warnf("a goal ended: %s", ended.Text)
	}
	return ros.GoalStatus(ended.Status)
}

// diagnose tells how the simulation runs.
func (s *node) diagnose(out *ros.Status) {
	if s.ros.State() != ros.Active {
		out.Summary(ros.OK, "%s", s.ros.State())
		return
	}
	st := s.sim.Stats()
	out.Summary(ros.OK, "%s", st.Phase)
	if s.rate > 0 && st.RealTime > 0 && st.RealTime < 0.9*s.rate {
		out.Merge(ros.Warn, "time passes at %.2f of the clock's where %g is wanted", st.RealTime, s.rate)
	}
	if st.Camera != "" {
		out.Merge(ros.Warn, "no pictures: %s", st.Camera)
	}
	if st.Unrecorded > 0 {
		out.Merge(ros.Warn, "%d errors of the recording", st.Unrecorded)
	}
	for _, v := range []struct {
		key   string
		value any
	}{
		{"Real-time factor", st.RealTime}, {"Late steps", st.Late}, {"Pictures", st.Rendered}, {"Pictures skipped", st.Skipped},
		{"Trajectories refused", st.Refused}, {"Task", st.Task}, {"Episodes", st.Episodes}, {"Successes", st.Successes}, {"Success rate of the last 20", st.Recent},
	} {
		out.Add(v.key, v.value)
	}
}
