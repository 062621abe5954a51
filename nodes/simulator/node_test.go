//go:build ros

package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/nodes/sim"
)

// robot is a sim_node under test, and a node beside it that listens.
type robot struct {
	t     *testing.T
	node  *ros.Node
	ear   *ros.Node
	group *ros.Group

	mu    sync.Mutex
	heard map[string]*cdr.Record // the last of each topic
	count map[string]int
}

// startRobot runs sim_node with the given parameters, name:=value, until the
// test ends.
func startRobot(t *testing.T, params ...string) *robot {
	t.Helper()
	if !sim.Available {
		t.Skip("built without MuJoCo: add -tags mujoco")
	}
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	args := []string{"--ros-args"}
	for _, p := range params {
		args = append(args, "-p", p)
	}
	c, _, err := ros.NewContext(args)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Type("arfm/msg/EpisodeEvent"); errors.Is(err, ros.ErrNotInstalled) {
		t.Skip("the workspace with arfm's interfaces is not sourced; make test-ros does that")
	}
	r := &robot{t: t, heard: map[string]*cdr.Record{}, count: map[string]int{}}
	if r.node, err = c.NewNode("sim_node"); err != nil {
		t.Fatal(err)
	}
	if r.ear, err = c.NewNode("listener"); err != nil {
		t.Fatal(err)
	}
	r.group = c.NewGroup(func(err error) { t.Error(err) })
	ctx, stop := context.WithCancel(context.Background())
	if err := Setup(ctx, r.node); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		r.group.Close()
		if err := errors.Join(<-done, r.ear.Close(), r.node.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	within(t, "the node is active", func() bool { return r.node.State() == ros.Active })
	return r
}

// listen keeps the last message of a topic.
func (r *robot) listen(topic, typ string, qos ros.QoS) {
	r.t.Helper()
	take, err := r.ear.Context().Type(typ)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.ear.Subscribe(r.group, topic, typ, qos, func(m ros.Message) {
		rec, err := take.Decode(m.Data)
		if err != nil {
			r.t.Error(err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.heard[topic] = rec
		r.count[topic]++
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// get is a field of the last message of a topic, nil before the first.
func (r *robot) get(topic, path string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard[topic] == nil {
		return nil
	}
	v, _ := r.heard[topic].Lookup(path)
	return v
}

func (r *robot) at(q []float64) bool {
	have, _ := r.get(sim.TopicJoints, "position").([]float64)
	return near(have, q, 0.01)
}

// ros2 runs the command line tool; it may fail.
func ros2(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	out, err := exec.CommandContext(ctx, "ros2", args...).CombinedOutput()
	if err != nil {
		t.Errorf("ros2 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// yaml is a trajectory as the command line takes it.
func yaml(names []string, q []float64, sec int) string {
	text := func(v any) string { return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(v), "[]")), ", ") }
	return fmt.Sprintf("{joint_names: [%s], points: [{positions: [%s], time_from_start: {sec: %d}}]}", text(names), text(q), sec)
}

// TestTopics: everything that a robot says can be heard, with real tools too.
func TestTopics(t *testing.T) {
	r := startRobot(t)
	all := outputs()
	for topic, qos := range all {
		r.listen(topic.Topic, topic.Type, qos)
	}
	var last float64
	within(t, "a message on each topic", func() bool {
		now, _ := r.get(TopicClock, "clock.sec").(int32)
		if float64(now) < last {
			t.Fatal("/clock goes back")
		}
		last = float64(now)
		missing := 0
		for topic := range all {
			if topic.Topic != sim.TopicEpisode && r.get(topic.Topic, "header.stamp.sec") == nil && r.get(topic.Topic, "data") == nil && r.get(topic.Topic, "clock.sec") == nil {
				missing++
			}
		}
		return missing == 0
	})
	for _, topic := range sim.CameraTopics {
		img, err := jpeg.DecodeConfig(bytes.NewReader(r.get(topic, "data").([]uint8)))
		if err != nil || img.Width != sim.ImageSide {
			t.Errorf("%s: %v, %+v", topic, err, img)
		}
		if raw := r.get(RawTopic(topic), "data").([]uint8); len(raw) != 3*sim.ImageSide*sim.ImageSide {
			t.Errorf("%s: %d bytes", RawTopic(topic), len(raw))
		}
		if k := r.get(InfoTopic(topic), "k").([]float64); k[0] < 10 || k[0] != k[4] {
			t.Errorf("%s: %v", InfoTopic(topic), k)
		}
	}
	if q := r.get(TopicController, "reference.positions").([]float64); !r.at(q) {
		t.Errorf("the controller's set-point is %v", q)
	}
	if out := ros2(t, "topic", "echo", "--once", "--full-length", TopicDescription); !strings.Contains(out, "shoulder_pan_joint") {
		t.Error(out)
	}
	out, _ := exec.Command("timeout", "-s", "INT", "4", "ros2", "topic", "hz", sim.TopicJoints).CombinedOutput()
	if !strings.Contains(string(out), "average rate") {
		t.Errorf("ros2 topic hz: %s", out)
	}
	t.Logf("%s", out)
}

// TestCommands: trajectories by topic and by action, with the real tools.
func TestCommands(t *testing.T) {
	r := startRobot(t)
	r.listen(sim.TopicJoints, "sensor_msgs/msg/JointState", ros.Default)
	home := sim.Home()
	q := home[:]
	q[0] += 0.4
	ros2(t, "topic", "pub", "--once", sim.TopicCommand, "trajectory_msgs/msg/JointTrajectory", yaml(sim.JointNames, q, 1))
	within(t, "the arm follows the topic", func() bool { return r.at(q) })
	reset := ros2(t, "service", "call", "/sim_node/reset", "arfm/srv/Reset", "{task: put the white ball into the basket, seed: 5}")
	if !strings.Contains(reset, "success=True") || !strings.Contains(reset, "white ball") {
		t.Error(reset)
	}
	const typ = "control_msgs/action/FollowJointTrajectory"
	q[0] -= 0.6
	out := ros2(t, "action", "send_goal", "-f", Action, typ, "{trajectory: "+yaml(sim.JointNames[:1], q[:1], 1)+"}")
	if have := r.get(sim.TopicJoints, "position").([]float64); !strings.Contains(out, "SUCCEEDED") || !strings.Contains(out, "Feedback:") || !near(have[:1], q[:1], 0.01) {
		t.Errorf("%s\nthe arm is at %v", out, have)
	}
	out = ros2(t, "action", "send_goal", Action, typ, "{trajectory: "+yaml([]string{"elbow"}, []float64{1}, 1)+"}")
	if !strings.Contains(out, "rejected") {
		t.Errorf("unknown joint: %s", out)
	}
}

// TestActionEnds: cancel, pre-emption and a violated tolerance, with results.
func TestActionEnds(t *testing.T) {
	r := startRobot(t)
	client, err := r.ear.ActionClient(r.group, Action, "control_msgs/action/FollowJointTrajectory")
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the server is seen", client.Ready)
	send := func(by float64, sec int64, change func(goal *cdr.Record)) *ros.SentGoal {
		t.Helper()
		q := sim.Home()
		q[0] += by
		rec := client.Goal.New()
		if err := rec.Set("trajectory", command(t, sim.JointNames, q[:], sec*1e9)); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(rec)
		}
		g, err := client.Send(t.Context(), rec, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	result := func(g *ros.SentGoal) (ros.GoalStatus, int32, string) {
		t.Helper()
		status, rec, err := g.Result(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		code, _ := rec.Lookup("error_code")
		text, _ := rec.Lookup("error_string")
		return status, code.(int32), text.(string)
	}
	first := send(1, 60, nil)
	second := send(-1, 60, nil)
	if status, code, text := result(first); status == ros.GoalSucceeded || code != -1 || !strings.Contains(text, "new goal") {
		t.Errorf("pre-empted: %v, %d, %q", status, code, text)
	}
	if err := second.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _, text := result(second); status != ros.GoalCanceled {
		t.Errorf("canceled: %v, %q", status, text)
	}
	third := send(2, 1, func(goal *cdr.Record) {
		typ, err := cdr.NewRegistry().Type("control_msgs/msg/JointTolerance")
		if err != nil {
			t.Fatal(err)
		}
		tol := typ.New()
		if err := errors.Join(tol.Set("name", sim.JointNames[0]), tol.Set("position", 1e-4), goal.Set("path_tolerance", []*cdr.Record{tol})); err != nil {
			t.Fatal(err)
		}
	})
	if status, code, text := result(third); status != ros.GoalAborted || code != -4 {
		t.Errorf("out of tolerance: %v, %d, %q", status, code, text)
	}
}

// TestRecordedOnROS: what is recorded while a robot is commanded over ROS fits
// the contract, and deactivating closes the bag.
func TestRecordedOnROS(t *testing.T) {
	dir := t.TempDir()
	r := startRobot(t, "record_dir:="+dir, "seed:=4")
	home := sim.Home()
	ros2(t, "topic", "pub", "--once", sim.TopicCommand, "trajectory_msgs/msg/JointTrajectory", yaml(sim.JointNames, home[:], 1))
	before := r.node.Clock.Now()
	within(t, "two seconds have passed", func() bool { return r.node.Clock.Now() > before+2e9 })
	ros2(t, "lifecycle", "set", "/sim_node", "deactivate")
	names, err := filepath.Glob(dir + "/object_*")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	for _, name := range []string{"sim_state.yaml", "sim_vision.yaml"} {
		eps, report, err := bags.ReadEpisodes(t.Context(), names[0], loadContract(t, name), bags.Options{})
		if err != nil || report.Err() != nil || len(eps) != 1 || eps[0].Outcome != bags.Unknown || len(report.Problems) > 0 {
			t.Errorf("%s: %v, %d episodes, %v", name, err, len(eps), report)
		}
	}
	if out := ros2(t, "lifecycle", "get", "/sim_node"); !strings.Contains(out, "inactive") {
		t.Error(out)
	}
	set, _ := exec.Command("ros2", "param", "set", "/sim_node", "rate", "2.0").CombinedOutput()
	if !strings.Contains(string(set), "cleanup") {
		t.Errorf("a parameter that is read at configure is changed: %s", set)
	}
	// Once more from the beginning, at another pace.
	for _, label := range []string{"cleanup", "configure", "activate"} {
		if err := r.node.Trigger(label); err != nil {
			t.Fatal(err)
		}
	}
	r.listen(sim.TopicJoints, "sensor_msgs/msg/JointState", ros.Default)
	within(t, "states come again", func() bool { return r.get(sim.TopicJoints, "header.stamp.sec") != nil })
}
