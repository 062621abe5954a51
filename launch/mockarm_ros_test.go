//go:build ros

package launch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// mockJoints are the joints of ros2_control's mock arm.
var mockJoints = []string{"shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"}

const (
	mockRate     = 20 // Hz, of the policy
	mockPeriod   = int64(1e9) / mockRate
	mockSwing    = 0.35 // rad
	mockHz       = 0.25 // of the swing
	mockVelocity = 2.0  // rad/s, limit of every joint
)

// mockMotion is what the mock arm's policy learns: every joint swings, each
// with a phase of its own.
func mockMotion(t float64) []float64 {
	q := make([]float64, len(mockJoints))
	for j := range q {
		q[j] = mockSwing * math.Sin(2*math.Pi*(mockHz*t+float64(j)/6))
	}
	return q
}

func mockContract(joints []string) string {
	names := strings.Join(joints, ", ")
	return fmt.Sprintf(`version: 1
rate_hz: %d
clock: header
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [%s], max_age_ms: 150}
action:
  topic: /joint_trajectory_controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [%s]
  unit: position
  relative: true
  horizon: 16
normalize: quantile
`, mockRate, names, names)
}

// trained is where the policy of mockPolicy is, for all tests.
var trained struct {
	once sync.Once
	dir  string
}

// mockPolicy trains a small policy on the motion, once, and returns the folder
// of its checkpoint.
func mockPolicy(t *testing.T) string {
	t.Helper()
	trained.once.Do(func() { trained.dir = trainMockPolicy(t, mockJoints, "300") })
	if trained.dir == "" {
		t.Fatal("there is no policy")
	}
	return trained.dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if trained.dir != "" {
		_ = os.RemoveAll(filepath.Dir(trained.dir))
	}
	os.Exit(code)
}

// trainMockPolicy trains a policy that commands these joints for some steps.
func trainMockPolicy(t *testing.T, joints []string, steps string) string {
	t.Helper()
	const topicState, topicCommand = "/joint_states", "/joint_trajectory_controller/joint_trajectory"
	msg, err := bags.NewMessages([]bags.TopicType{{Topic: topicState, Type: "sensor_msgs/msg/JointState"}, {Topic: topicCommand, Type: "trajectory_msgs/msg/JointTrajectory"}})
	if err != nil {
		t.Fatal(err)
	}
	point, err := msg.New("trajectory_msgs/msg/JointTrajectoryPoint")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "arfm-mock")
	if err != nil {
		t.Fatal(err)
	}
	bag := filepath.Join(dir, "bag")
	rec, err := bags.NewRecorder(bag, rosbag2.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rec.Abort() }()
	for _, topic := range []string{topicState, topicCommand} {
		if err := rec.Declare(topic, msg.Of(topic).Type(), ""); err != nil {
			t.Fatal(err)
		}
	}
	const begin = int64(1700000000e9)
	msg.Set(topicState, "name", mockJoints)
	msg.Set(topicCommand, "joint_names", mockJoints)
	for i := range int64(1200) {
		now := begin + i*mockPeriod
		at := float64(i) / mockRate
		msg.Stamp(topicState, now)
		msg.Set(topicState, "position", mockMotion(at))
		if err := point.Set("positions", mockMotion(at+1./mockRate)); err != nil {
			t.Fatal(err)
		}
		if err := point.Set("time_from_start.nanosec", mockPeriod); err != nil {
			t.Fatal(err)
		}
		msg.Stamp(topicCommand, now)
		msg.Set(topicCommand, "points", []*cdr.Record{point})
		if err := msg.Err(); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{topicState, topicCommand} {
			if err := rec.Write(topic, now, msg.Of(topic)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "bc")
	arfm := filepath.Join(os.Getenv("ARFM_ROS_WS"), "arfm/lib/arfm/arfm")
	cmd := exec.Command(arfm, "train", "--contract", write(t, "contract.yaml", mockContract(joints)), "--bags", bag,
		"--objective", "bc", "--preset", "nano", "--steps", steps, "--lr", "1e-3", "--batch", "32", "--ema", "0.99", "--out", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("train: %v\n%s", err, tail(string(text), 2000))
	}
	return out
}

// mockURDF is an arm of ros2_control's mock hardware, which does at once what it
// is told.
func mockURDF() string {
	var b, c strings.Builder
	parent := "base_link"
	for j, name := range mockJoints {
		link := fmt.Sprintf("link_%d", j+1)
		fmt.Fprintf(&b, `<link name="%s"><collision><origin xyz="0 0 0.08"/><geometry><box size="0.06 0.06 0.1"/></geometry></collision></link><joint name="%s" type="revolute"><parent link="%s"/><child link="%s"/><origin xyz="0 0 0.2"/><axis xyz="0 %d %d"/><limit lower="-3.1" upper="3.1" effort="100" velocity="%g"/></joint>`,
			link, name, parent, link, j%2, 1-j%2, mockVelocity)
		fmt.Fprintf(&c, `<joint name="%s"><command_interface name="position"/><state_interface name="position"><param name="initial_value">%g</param></state_interface><state_interface name="velocity"/></joint>`,
			name, mockMotion(0)[j])
		parent = link
	}
	return `<robot name="mock"><link name="base_link"/>` + b.String() +
		`<ros2_control name="mock" type="system"><hardware><plugin>mock_components/GenericSystem</plugin><param name="calculate_dynamics">true</param></hardware>` + c.String() + `</ros2_control></robot>`
}

const mockUpdateRate = 100 // Hz

// mockController is the controller's joints and further parameters.
func mockController(parameters ...string) string {
	return "joints: [" + strings.Join(mockJoints, ", ") + "]\n" + strings.Join(parameters, "\n")
}

// mockArm starts the real controller manager with mock hardware, the broadcaster
// of joint states and the real joint_trajectory_controller, with these parameters
// of the controller besides those that every one needs.
func mockArm(o *observer, parameters string) *program {
	t := o.t
	t.Helper()
	controllers := write(t, "controllers.yaml", fmt.Sprintf(`controller_manager:
  ros__parameters:
    update_rate: %d
    robot_description: |
%s
    joint_state_broadcaster: {type: joint_state_broadcaster/JointStateBroadcaster}
    joint_trajectory_controller: {type: joint_trajectory_controller/JointTrajectoryController}
joint_trajectory_controller:
  ros__parameters:
    command_interfaces: [position]
    state_interfaces: [position, velocity]
    state_publish_rate: 10000.0 # with every update
%s
`, mockUpdateRate, indented(mockURDF(), "      "), indented(strings.TrimSpace(parameters), "    ")))
	p := start(t, "controller_manager", "ros2_control_node", "--ros-args", "--params-file", controllers)
	load := o.caller("/controller_manager/load_controller", "controller_manager_msgs/srv/LoadController")
	configure := o.caller("/controller_manager/configure_controller", "controller_manager_msgs/srv/ConfigureController")
	activate := o.caller("/controller_manager/switch_controller", "controller_manager_msgs/srv/SwitchController")
	names := []string{"joint_state_broadcaster", "joint_trajectory_controller"}
	for _, name := range names {
		o.must(load, "load "+name, func(req *cdr.Record) error { return req.Set("name", name) })
		o.must(configure, "configure "+name, func(req *cdr.Record) error { return req.Set("name", name) })
	}
	o.must(activate, "activate the controllers", func(req *cdr.Record) error {
		return errors.Join(req.Set("activate_controllers", names), req.Set("strictness", 2), req.Set("timeout.sec", 5)) // STRICT
	})
	return p
}
