//go:build ros

package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/nodes/ros/param"
	"arfm/nodes/sim"
)

// Action is the trajectory controller's action.
const Action = "/joint_trajectory_controller/follow_joint_trajectory"

// node is sim_node: a Simulator on ROS. What it holds is there from configure to
// cleanup.
type node struct {
	*ros.Node
	sim   atomic.Pointer[Simulator]
	group *ros.Group
	pubs  map[string]*ros.Publisher
	undo  []func() error // what cleanup does, last first

	cancel context.CancelFunc // ends what runs, from activate to deactivate
	ended  chan error         // how it ended
}

// Setup makes a ROS node sim_node.
func Setup(_ context.Context, rn *ros.Node) error {
	n := &node{Node: rn}
	if err := rn.Declare(declarations()...); err != nil {
		return err
	}
	rn.Params.OnSet(n.changeable)
	d, err := rn.Diagnose("simulated UR5e")
	if err != nil {
		return err
	}
	d.Add("simulation", n.diagnose)
	return rn.Lifecycle(ros.Callbacks{Configure: n.configure, Activate: n.activate, Deactivate: n.deactivate, Cleanup: n.cleanup,
		Shutdown: func(from ros.State) (err error) {
			if from == ros.Active {
				err = n.deactivate()
			}
			return errors.Join(err, n.cleanup(), d.Close())
		},
		Error: func(error) error { return n.cleanup() }})
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
		{Name: "record_dir", Default: param.Of(""), Description: "folder for bags of the episodes in which the arm was commanded; empty: none are recorded"},
		integer("record_episodes", 1, 1, 1000, "episodes in a bag"),
		integer("record_keep", 200, 0, math.MaxInt32, "bags that stay in record_dir, older ones are removed; 0: all"),
	}
}

// changeable refuses to change what is read when the node is configured.
func (n *node) changeable(params []param.Parameter) error {
	if n.State() == ros.Unconfigured {
		return nil
	}
	for _, p := range params {
		if slices.ContainsFunc(declarations(), func(d param.Declaration) bool { return d.Name == p.Name }) {
			return fmt.Errorf("%s is read when the node is configured: `ros2 lifecycle set %s cleanup` first (deactivate it if it is active)", p.Name, n.FullName())
		}
	}
	return nil
}

// options reads the parameters.
func (n *node) options() (Options, error) {
	p := n.Params
	o := Options{
		Seed: uint64(param.Get[int64](p, "seed")), Episodes: int(param.Get[int64](p, "episodes")), Rate: param.Get[float64](p, "rate"),
		StateHz: param.Get[float64](p, "state_hz"), CameraHz: param.Get[float64](p, "camera_hz"),
		Width: int(param.Get[int64](p, "camera_width")), Height: int(param.Get[int64](p, "camera_height")), Clock: param.Get[bool](p, "publish_clock"),
		Record:  RecordOptions{Dir: param.Get[string](p, "record_dir"), Episodes: int(param.Get[int64](p, "record_episodes")), Keep: int(param.Get[int64](p, "record_keep"))},
		Publish: n.publish, Listened: n.listened, Log: n.log,
	}
	var err error
	if o.Suite, err = sim.FindSuite(param.Get[string](p, "suite")); err != nil {
		return o, err
	}
	return o, o.SetOrder(param.Get[string](p, "task_order"))
}

func (n *node) log(level Level, text string) {
	if level == Warn {
		kind, rest, _ := strings.Cut(text, ":") // each kind is throttled by itself
		n.Log.WarnEvery(5*time.Second, strings.ReplaceAll(kind, "%", "%%")+":%s", rest)
		return
	}
	n.Log.Infof("%s", text)
}

func (n *node) configure() (err error) {
	o, err := n.options()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.cleanup())
		}
	}()
	sm, err := New(o)
	if err != nil {
		return err
	}
	n.sim.Store(sm)
	n.later(func() error { n.sim.Store(nil); sm.Close(); return nil })
	if err = n.speak(); err != nil {
		return err
	}
	n.group = n.Context().NewGroup(func(err error) { n.Log.WarnEvery(time.Second, "%v", err) })
	n.later(func() error { n.group.Close(); return nil })
	return n.listen(sm)
}

func (n *node) later(f func() error) { n.undo = append(n.undo, f) }

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

// speak makes the publishers.
func (n *node) speak() error {
	n.pubs = map[string]*ros.Publisher{}
	for t, qos := range outputs() {
		switch pub, err := n.Publisher(t.Topic, t.Type, qos); {
		case errors.Is(err, ros.ErrNotInstalled) && strings.HasPrefix(t.Type, "control_msgs/"):
			n.Log.Warnf("%v: %s is left out", err, t.Topic)
		case err != nil:
			return err
		default:
			n.pubs[t.Topic] = pub
			n.later(pub.Close)
		}
	}
	return nil
}

// listen takes commands for a simulator.
func (n *node) listen(sm *Simulator) error {
	service, err := n.Serve(n.group, "~/reset", "arfm/srv/Reset", func(req, resp *cdr.Record) error { return reset(sm, req, resp) })
	if err != nil {
		return err
	}
	n.later(service.Close)
	typ, err := n.Context().Type("trajectory_msgs/msg/JointTrajectory")
	if err != nil {
		return err
	}
	sub, err := n.Subscribe(n.group, sim.TopicCommand, typ.Name(), ros.Default, func(m ros.Message) {
		rec, err := typ.Decode(m.Data)
		if err == nil {
			err = sm.Follow(rec)
		}
		if err != nil {
			n.Log.WarnEvery(5*time.Second, "a trajectory is ignored: %v", err)
		}
	})
	if err != nil {
		return err
	}
	n.later(sub.Close)
	action, err := n.ServeAction(n.group, Action, "control_msgs/action/FollowJointTrajectory", ros.Goals{
		Accept: sm.CheckGoal,
		Execute: func(ctx context.Context, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
			return n.execute(ctx, sm, g, result)
		},
	})
	if errors.Is(err, ros.ErrNotInstalled) {
		n.Log.Warnf("%v: %s is left out", err, Action)
		return nil
	}
	if err == nil {
		n.later(action.Close)
	}
	return err
}

func (n *node) publish(m Message) {
	if pub := n.pubs[m.Topic]; pub != nil {
		if err := pub.PublishEncoded(m.Data); err != nil {
			n.Log.WarnEvery(time.Second, "%v", err)
		}
	}
}

func (n *node) listened(topic string) bool {
	pub := n.pubs[topic]
	return pub != nil && pub.Subscribers() > 0
}

func (n *node) activate() error {
	ctx, cancel := context.WithCancel(context.Background())
	sm, ended := n.sim.Load(), make(chan error, 1)
	n.cancel, n.ended = cancel, ended
	go func() {
		err := sm.Run(ctx)
		ended <- err
		if ctx.Err() == nil { // it failed by itself
			_ = n.Trigger("deactivate") // which logs why
		}
	}()
	return nil
}

// deactivate ends the episode under way; the next activation begins another.
func (n *node) deactivate() error {
	n.cancel()
	if err := <-n.ended; err != nil {
		return fmt.Errorf("%w: %w", ros.ErrBroken, err)
	}
	return nil
}

// cleanup lets go of what configure made, or a part of it.
func (n *node) cleanup() (err error) {
	for _, f := range slices.Backward(n.undo) {
		err = errors.Join(err, f())
	}
	n.undo, n.group, n.pubs = nil, nil, nil
	return err
}

// reset serves ~/reset.
func reset(sm *Simulator, req, resp *cdr.Record) error {
	task, _ := req.Lookup("task")
	seed, _ := req.Lookup("seed")
	name, _ := task.(string)
	number, _ := seed.(uint64)
	instruction, err := sm.Reset(name, number)
	if err != nil {
		return resp.Set("message", err.Error())
	}
	return errors.Join(resp.Set("success", true), resp.Set("task", instruction))
}

// execute follows a goal of the action.
func (n *node) execute(ctx context.Context, sm *Simulator, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
	ended := sm.FollowGoal(ctx, g.Description, func(at Standing) {
		err := g.Feedback(func(fb *cdr.Record) error {
			fill(fb, "desired", at.Desired)
			fill(fb, "actual", at.Actual)
			fill(fb, "error", apart(at.Desired, at.Actual))
			return errors.Join(fb.Set("joint_names", sim.JointNames), fb.Set("header.stamp.sec", at.Time/1e9), fb.Set("header.stamp.nanosec", at.Time%1e9))
		})
		if err != nil {
			n.Log.WarnEvery(time.Second, "feedback: %v", err)
		}
	})
	if err := errors.Join(result.Set("error_code", int32(ended.Code)), result.Set("error_string", ended.Text)); err != nil {
		n.Log.Warnf("result: %v", err)
	}
	if ended.Code != 0 {
		n.Log.Warnf("a goal ended: %s", ended.Text)
	}
	return ros.GoalStatus(ended.Status)
}

// quiet is how long, in simulated time, no command may come before that is told.
const quiet = 2 * time.Second

// diagnose tells how the simulation runs.
func (n *node) diagnose(out *ros.Status) {
	sm := n.sim.Load()
	if sm == nil || n.State() != ros.Active {
		out.Summary(ros.OK, "%s", n.State())
		return
	}
	st := sm.Stats()
	out.Summary(ros.OK, "%s", st.Phase)
	if sm.o.Rate > 0 && st.RealTime > 0 && st.RealTime < 0.9*sm.o.Rate {
		out.Merge(ros.Warn, "time passes at %.2f of the clock's where %g is wanted", st.RealTime, sm.o.Rate)
	}
	if st.Silence > quiet {
		out.Merge(ros.Warn, "the arm holds: no trajectory for %.0f s", st.Silence.Seconds())
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
