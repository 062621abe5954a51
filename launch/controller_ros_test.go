//go:build ros

package launch

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

const controller = "/joint_trajectory_controller"

// reference is what the controller commands: its set-points, as it tells them.
type reference struct {
	mu      sync.Mutex
	times   []int64 // ns
	q, v    [][]float64
	statusN int
	status  *cdr.Record // policy_node's last
}

// follow listens to the controller and to policy_node.
func follow(o *observer) *reference {
	r := &reference{}
	o.hear(controller+"/controller_state", "control_msgs/msg/JointTrajectoryControllerState", ros.QoS{Reliable: true, Depth: 100}, func(_ int64, rec *cdr.Record) {
		sec, _ := rec.Lookup("header.stamp.sec")
		ns, _ := rec.Lookup("header.stamp.nanosec")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.times = append(r.times, int64(sec.(int32))*1e9+int64(ns.(uint32)))
		r.q = append(r.q, numbers(rec, "reference.positions"))
		r.v = append(r.v, numbers(rec, "reference.velocities"))
	})
	o.hear("/policy_node/status", "arfm/msg/PolicyStatus", ros.Latched, func(_ int64, rec *cdr.Record) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.status, r.statusN = rec, r.statusN+1
	})
	return r
}

// state returns a field of policy_node's last status.
func (r *reference) state(field string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == nil {
		return nil
	}
	v, _ := r.status.Lookup(field)
	return v
}

func (r *reference) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times, r.q, r.v = nil, nil, nil
}

// steepFrom is four times the acceleration that the envelope allows from tick to
// tick: cubics between such points ask for up to three times as much inside.
const steepFrom = 4 * 5

// smoothness of a motion, from the positions that the controller commanded.
type smoothness struct {
	reported     float64 // rad, largest difference between a step and the velocities that the controller tells for it
	acceleration float64 // rad/s^2, the largest
	steep        float64 // share of samples above steepFrom
	jerk         float64 // rad/s^3, root mean square
	travel       float64 // rad, of the joint that moved most
}

func (r *reference) smoothness(t *testing.T) (s smoothness) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.q) < 5*mockUpdateRate {
		t.Fatalf("only %d states of the controller", len(r.q))
	}
	const dt = 1. / mockUpdateRate
	var sum float64
	n := 0
	for j := range mockJoints {
		low, high := math.Inf(1), math.Inf(-1)
		for k := range r.q {
			low, high = min(low, r.q[k][j]), max(high, r.q[k][j])
			if k < 3 || r.times[k]-r.times[k-3] > 3.5e9/mockUpdateRate { // states were lost
				continue
			}
			q := func(back int) float64 { return r.q[k-back][j] }
			if len(r.v[k]) > j && len(r.v[k-1]) > j {
				s.reported = max(s.reported, math.Abs(q(0)-q(1)-dt*(r.v[k][j]+r.v[k-1][j])/2))
			}
			a := math.Abs(q(0)-2*q(1)+q(2)) / (dt * dt)
			s.acceleration = max(s.acceleration, a)
			if a > steepFrom {
				s.steep++
			}
			jerk := (q(0) - 3*q(1) + 3*q(2) - q(3)) / (dt * dt * dt)
			sum += jerk * jerk
			n++
		}
		s.travel = max(s.travel, high-low)
	}
	if n < len(r.q) {
		t.Fatalf("of %d states, so many are lost that nothing can be said", len(r.q))
	}
	s.jerk, s.steep = math.Sqrt(sum/float64(n)), s.steep/float64(n)
	return s
}

// policyNode starts policy_node on the mock arm's policy.
func policyNode(t *testing.T, checkpoints string, args ...string) *program {
	t.Helper()
	all := []string{"--ros-args", "-p", "checkpoint_dir:=" + checkpoints, "-p", "deterministic:=true",
		"-p", "robot_description:='" + mockURDF() + "'", "-r", "~/joint_trajectory:=" + controller + "/joint_trajectory"}
	return start(t, "arfm", "policy_node", append(all, args...)...)
}

// TestControllerFollowsChunks: the real joint_trajectory_controller follows the
// policy in both output modes without a jump of position or velocity, and an
// arm that gets one point at a time shows what that is worth.
func TestControllerFollowsChunks(t *testing.T) {
	o := observe(t, 21)
	checkpoints := mockPolicy(t)
	mockArm(o, mockController())
	r := follow(o)
	measured := map[string]smoothness{}
	for _, output := range []string{"topic", "action"} {
		t.Run(output, func(t *testing.T) {
			p := policyNode(t, checkpoints, "-p", "output:="+output)
			eventually(t, 20*time.Second, "the policy leads", func() bool { return r.state("state") == "tracking" })
			time.Sleep(2 * time.Second) // the arm ramps in
			r.reset()
			time.Sleep(12 * time.Second)
			measured[output] = r.smoothness(t)
			t.Logf("%s: %+v", output, measured[output])
			if took := p.stop(t, 10*time.Second); took > time.Second {
				t.Errorf("policy_node took %v to end", took)
			}
		})
	}
	t.Run("one point at a time", func(t *testing.T) {
		single(o)
		p := policyNode(t, checkpoints, "-r", "~/joint_trajectory:=/nowhere")
		eventually(t, 20*time.Second, "the policy leads", func() bool { return r.state("state") == "tracking" })
		time.Sleep(2 * time.Second)
		r.reset()
		time.Sleep(12 * time.Second)
		measured["single"] = r.smoothness(t)
		t.Logf("one point at a time: %+v", measured["single"])
		p.stop(t, 10*time.Second)
	})
	for _, output := range []string{"topic", "action"} {
		m, one := measured[output], measured["single"]
		// A velocity that jumps by v shows as v/dt. A message that comes late on a
		// busy machine may make a seam steep, but only that one.
		if m.travel < mockSwing || m.reported > 5e-3 || m.steep > 0.01 {
			t.Errorf("%s: %+v", output, m)
		}
		if m.jerk > one.jerk/10 || m.acceleration > one.acceleration/5 {
			t.Errorf("%s: %+v, with one point at a time %+v", output, m, one)
		}
	}
}

// single sends the controller each chunk's rows as messages of one point, as
// nodes do that know no timing.
func single(o *observer) {
	o.t.Helper()
	pub, err := o.node.Publisher(controller+"/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", ros.Default)
	if err != nil {
		o.t.Fatal(err)
	}
	point, err := o.ctx.Type("trajectory_msgs/msg/JointTrajectoryPoint")
	if err != nil {
		o.t.Fatal(err)
	}
	var mu sync.Mutex
	var rows [][]float64
	o.hear("/policy_node/action_chunk", "arfm/msg/ActionChunk", ros.Default, func(_ int64, rec *cdr.Record) {
		v, _ := rec.Lookup("values")
		values := v.([]float32)
		mu.Lock()
		defer mu.Unlock()
		rows = nil
		for n := len(mockJoints); len(values) >= n; values = values[n:] {
			row := make([]float64, n)
			for j := range row {
				row[j] = float64(values[j])
			}
			rows = append(rows, row)
		}
	})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Duration(mockPeriod))
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			mu.Lock()
			if len(rows) > 0 {
				msg, p := pub.Type.New(), point.New()
				_ = p.Set("positions", rows[0])
				_ = msg.Set("joint_names", mockJoints)
				_ = msg.Set("points", []*cdr.Record{p})
				_ = pub.Publish(msg)
				rows = rows[1:]
			}
			mu.Unlock()
		}
	}()
	o.t.Cleanup(func() { close(stop); <-done })
}

// TestControllerRefuses: what goes wrong at the controller has a name at the
// policy, and the arm is held or goes on as that asks for.
func TestControllerRefuses(t *testing.T) {
	checkpoints := mockPolicy(t)
	says := func(r *reference, words ...string) func() bool {
		return func() bool {
			reason, _ := r.state("reason").(string)
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(reason, w) })
		}
	}
	begin := func(t *testing.T, domain int, parameters string) (*observer, *reference, *program) {
		o := observe(t, domain)
		arm := mockArm(o, parameters)
		r := follow(o)
		policyNode(t, checkpoints, "-p", "output:=action")
		return o, r, arm
	}
	t.Run("tolerance", func(t *testing.T) {
		o, r, arm := begin(t, 24, mockController("constraints: {shoulder_pan_joint: {trajectory: 0.00001}}"))
		eventually(t, 20*time.Second, "the violated tolerance holds the arm", says(r, "PATH_TOLERANCE_VIOLATED", "~/rearm"))
		o.caller("/policy_node/rearm", "std_srvs/srv/Trigger")(func(*cdr.Record) error { return nil })
		arm.kill()
		eventually(t, 10*time.Second, "an arm that tells no states is held", func() bool { return r.state("holding") == "StaleObservation" })
	})
	t.Run("unknown joint", func(t *testing.T) {
		_, r, _ := begin(t, 25, "joints: ["+strings.Join(mockJoints[:5], ", ")+"]")
		eventually(t, 20*time.Second, "the refused goal holds the arm", says(r, "REJECTED"))
		t.Log(r.state("reason"))
	})
	t.Run("partial joints", func(t *testing.T) {
		o := observe(t, 26)
		mockArm(o, mockController("allow_partial_joints_goal: true"))
		r := follow(o)
		policyNode(t, trainMockPolicy(t, mockJoints[:5], "200"), "-p", "output:=action")
		eventually(t, 20*time.Second, "five of six joints are led", func() bool { return r.state("state") == "tracking" })
		time.Sleep(2 * time.Second)
		if r.state("state") != "tracking" {
			t.Errorf("after two seconds: %v, %v", r.state("holding"), r.state("reason"))
		}
	})
	t.Run("cancel and pre-emption", func(t *testing.T) {
		o, r, _ := begin(t, 27, mockController())
		eventually(t, 20*time.Second, "the policy leads", func() bool { return r.state("state") == "tracking" })
		answer := o.caller(controller+"/follow_joint_trajectory/_action/cancel_goal", "action_msgs/srv/CancelGoal")(func(*cdr.Record) error { return nil })
		if v, _ := answer.Lookup("goals_canceling"); len(v.([]*cdr.Record)) != 1 {
			t.Fatalf("the goal that runs is not canceled: %v", v)
		}
		eventually(t, 5*time.Second, "the canceled goal holds the arm", says(r, "CANCELED"))
		t.Log(r.state("reason"))
		o.caller("/policy_node/rearm", "std_srvs/srv/Trigger")(func(*cdr.Record) error { return nil })
		eventually(t, 5*time.Second, "the arm goes on", func() bool { return r.state("state") == "tracking" })
		time.Sleep(2 * time.Second) // goals of before policy_node was there are not its concern
		// Another client's goal takes the arm.
		c, err := o.node.ActionClient(o.group, controller+"/follow_joint_trajectory", "control_msgs/action/FollowJointTrajectory")
		if err != nil {
			t.Fatal(err)
		}
		goal, point := c.Goal.New(), o.make("trajectory_msgs/msg/JointTrajectoryPoint")
		if err := errors.Join(point.Set("positions", make([]float64, len(mockJoints))), point.Set("time_from_start.sec", 3),
			goal.Set("trajectory.joint_names", mockJoints), goal.Set("trajectory.points", []*cdr.Record{point})); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "the controller is seen", c.Ready)
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if _, err := c.Send(ctx, goal, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "the taken arm is named", says(r, "PREEMPTED"))
	})
}
