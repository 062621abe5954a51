//go:build ros

package driver

import (
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// hear keeps what comes on a topic.
func (a *arm) hear(topic, typ string) func() []*cdr.Record {
	a.t.Helper()
	ty, err := a.n.Context().Type(typ)
	if err != nil {
		a.t.Fatal(err)
	}
	var mu sync.Mutex
	var got []*cdr.Record
	if _, err := a.n.Subscribe(a.g, topic, typ, ros.QoS{Depth: 100}, func(m ros.Message) {
		rec, err := ty.Decode(m.Data)
		if err != nil {
			a.t.Error(err)
		}
		mu.Lock()
		got = append(got, rec)
		mu.Unlock()
	}); err != nil {
		a.t.Fatal(err)
	}
	return func() []*cdr.Record { mu.Lock(); defer mu.Unlock(); return append([]*cdr.Record(nil), got...) }
}

// TestJog: with output servo every tick carries the joints' velocities, and the
// last is zero.
func TestJog(t *testing.T) {
	c := connect(t)
	dir := t.TempDir()
	saveCheckpoint(t, dir, 1, 10, testContract)
	a := newArm(t, c, "jogs", wall)
	jogs := a.hear("/jogs/joint_jog", "control_msgs/msg/JointJog")
	o := testOptions(dir)
	o.Output = OutputServo
	d := start(t, c, "jogs", wall, o)
	activate(t, d)
	moving := func(r *cdr.Record) bool {
		v, _ := r.Lookup("velocities")
		names, _ := r.Lookup("joint_names")
		x := v.([]float64)
		if len(x) != 2 || strings.Join(names.([]string), " ") != "shoulder elbow" {
			t.Fatalf("velocities %v of %v", v, names)
		}
		return x[0] != 0 || x[1] != 0
	}
	within(t, 10*time.Second, "the arm is led", a.state("tracking"))
	within(t, 10*time.Second, "velocities come on every tick", func() bool {
		n := 0
		for _, r := range jogs() {
			if moving(r) {
				n++
			}
		}
		return n > 10
	})
	if err := d.Deactivate(); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the last is zero", func() bool { all := jogs(); return !moving(all[len(all)-1]) })
}

const twistContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder, elbow], max_age_ms: 300}
  instruction: {default: follow the edge}
action:
  topic: /servo_node/delta_twist_cmds
  type: geometry_msgs/msg/TwistStamped
  fields: [twist.linear.z, twist.angular.x]
  unit: twist
  relative: false
  horizon: 8
`

const velocityContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder, elbow], max_age_ms: 300}
action:
  topic: /forward_velocity_controller/commands
  type: std_msgs/msg/Float64MultiArray
  field: data
  indices: [0, 1]
  unit: velocity
  relative: false
  horizon: 8
`

// TestRates: velocities and twists go out as the message that the contract
// records them with.
func TestRates(t *testing.T) {
	c := connect(t)
	for node, x := range map[string]struct{ contract, typ, path string }{
		"twists":     {twistContract, "geometry_msgs/msg/TwistStamped", "twist.angular.x"},
		"velocities": {velocityContract, "std_msgs/msg/Float64MultiArray", "data.1"},
	} {
		t.Run(node, func(t *testing.T) {
			dir := t.TempDir()
			saveCheckpoint(t, dir, 1, 10, x.contract)
			a := newArm(t, c, node, wall)
			commands := a.hear("/"+node+"/command", x.typ)
			o := testOptions(dir)
			o.Description = ""
			d := start(t, c, node, wall, o)
			activate(t, d)
			last := func() float64 {
				all := commands()
				if len(all) == 0 {
					return 0
				}
				v, ok := all[len(all)-1].Lookup(x.path)
				if !ok {
					t.Fatalf("%s lacks %s", x.typ, x.path)
				}
				return v.(float64)
			}
			within(t, 10*time.Second, "rates come", func() bool { return len(commands()) > 10 && last() != 0 })
			if err := d.Deactivate(); err != nil {
				t.Fatal(err)
			}
			within(t, 5*time.Second, "the last is zero", func() bool { return last() == 0 })
		})
	}
}
