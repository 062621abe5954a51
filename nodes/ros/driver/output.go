//go:build ros

package driver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/policy/contract"
)

// Outputs: how the arm is commanded.
const (
	OutputTopic  = "topic"  // JointTrajectory on ~/joint_trajectory
	OutputAction = "action" // goals of FollowJointTrajectory
	OutputServo  = "servo"  // JointJog on ~/joint_jog, every tick
)

// output takes plans, or where ticks is set the rates of every tick, to the arm.
// send is for one goroutine at a time.
type output interface {
	send(p *plan) error
	ticks() bool
	diagnose(s *ros.Status)
	close() error
}

// isRate says whether a contract's actions are rates, which no trajectory can
// carry: they go out as messages of the action's own type, on every tick.
func isRate(c *contract.Contract) bool {
	return c.Action.Unit == contract.UnitVelocity || c.Action.Unit == contract.UnitTwist
}

// openOutput makes the output for the contract's actions.
func (d *Driver) openOutput(c *contract.Contract) (output, error) {
	switch {
	case d.o.Output == OutputServo && c.Action.Unit != contract.UnitTwist:
		return newJog(d.n, d.now, c)
	case isRate(c):
		return newRates(d.n, d.now, c)
	case d.o.Output == OutputAction:
		return newFollow(d, c)
	}
	return newTopic(d.n, d.now, c, d.o.NonzeroEnd)
}

// topicLead is how long a trajectory may be on its way.
const topicLead = 5 * time.Millisecond

// topicOutput publishes trajectories.
type topicOutput struct {
	now  func() int64
	pub  *ros.Publisher
	msg  *trajectory
	seam *seam
}

func newTopic(n *ros.Node, now func() int64, c *contract.Contract, nonzeroEnd bool) (*topicOutput, error) {
	msg, err := newTrajectory(n.Context(), c.ActionNames())
	if err != nil {
		return nil, err
	}
	pub, err := n.Publisher("~/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", ros.Default)
	return &topicOutput{now: now, pub: pub, msg: msg, seam: newSeam(c.ActionDim(), nonzeroEnd, int64(topicLead))}, err
}

func (o *topicOutput) ticks() bool  { return false }
func (o *topicOutput) close() error { return o.pub.Close() }

func (o *topicOutput) send(p *plan) error {
	if p.forget {
		o.seam.inForce = false
		return nil
	}
	pts := o.seam.lay(p, o.now())
	if pts == nil {
		return nil
	}
	rec, err := o.msg.fill(p.stamp, pts)
	if err != nil {
		return err
	}
	return o.pub.Publish(rec)
}

// tickOutput publishes rates (A) on every tick, and zeros when nothing is
// commanded any more.
type tickOutput struct {
	now   func() int64
	topic string
	pub   *ros.Publisher
	rec   *cdr.Record
	stamp bool
	zero  []float64
	put   func(rec *cdr.Record, rates []float64) error
}

func (o *tickOutput) ticks() bool  { return true }
func (o *tickOutput) close() error { return o.pub.Close() }

func (o *tickOutput) send(p *plan) error {
	rates := o.zero
	if !p.forget {
		rates = p.pos
	}
	err := o.put(o.rec, rates)
	if o.stamp {
		err = errors.Join(err, ros.SetTime(o.rec, "header.stamp", max(o.now(), 0)))
	}
	if err != nil {
		return err
	}
	return o.pub.Publish(o.rec)
}

func newTicks(n *ros.Node, now func() int64, dim int, topic, typ string) (*tickOutput, error) {
	pub, err := n.Publisher(topic, typ, ros.Default)
	if err != nil {
		return nil, err
	}
	o := &tickOutput{now: now, topic: topic, pub: pub, rec: pub.Type.New(), zero: make([]float64, dim)}
	_, o.stamp = o.rec.Lookup("header.stamp.sec")
	return o, nil
}

// newJog is for MoveIt Servo: velocities of joints.
func newJog(n *ros.Node, now func() int64, c *contract.Contract) (*tickOutput, error) {
	o, err := newTicks(n, now, c.ActionDim(), "~/joint_jog", "control_msgs/msg/JointJog")
	if err != nil {
		return nil, err
	}
	o.put = func(rec *cdr.Record, rates []float64) error { return rec.Set("velocities", rates) }
	return o, errors.Join(o.rec.Set("joint_names", c.ActionNames()), o.rec.Set("duration", float64(c.Period())/1e9))
}

// newRates publishes rates in the type and the fields that the contract records
// them with, such as Float64MultiArray or TwistStamped, on ~/command.
func newRates(n *ros.Node, now func() int64, c *contract.Contract) (*tickOutput, error) {
	a := &c.Action
	typ := a.Type
	if a.From == contract.NextState {
		typ = "std_msgs/msg/Float64MultiArray"
	}
	o, err := newTicks(n, now, c.ActionDim(), "~/command", contract.NormalType(typ))
	if err != nil {
		return nil, err
	}
	switch {
	case len(a.Fields) > 0:
		o.put = func(rec *cdr.Record, rates []float64) (err error) {
			for i, path := range a.Fields {
				err = errors.Join(err, rec.Set(path, rates[i]))
			}
			return err
		}
	case a.Type == "trajectory_msgs/msg/JointTrajectory" || strings.Contains(a.Field, "."):
		return nil, errors.Join(fmt.Errorf("actions of unit %s cannot be sent as %s, use a contract whose action is a Float64MultiArray or a TwistStamped", a.Unit, typ), o.close())
	default:
		if o.put, err = putArray(o.rec, a, typ); err != nil {
			return nil, errors.Join(err, o.close())
		}
	}
	return o, nil
}

// putArray fills an array of numbers; where the contract names elements of it,
// the others stay zero.
func putArray(rec *cdr.Record, a *contract.Action, typ string) (func(*cdr.Record, []float64) error, error) {
	field := a.Field
	if field == "" {
		field = "data"
	}
	indices := a.Indices
	for _, names := range []string{"name", "joint_names"} {
		if _, ok := rec.Lookup(names); ok && len(a.Names) > 0 {
			indices = nil // the names say which is which
			if err := rec.Set(names, a.Names); err != nil {
				return nil, err
			}
		}
	}
	n := a.Dim()
	for _, i := range indices {
		n = max(n, i+1)
	}
	all := make([]float64, n)
	old, ok := rec.Lookup(field)
	if _, is := old.([]float64); !ok || !is {
		return nil, fmt.Errorf("actions cannot be sent as %s, whose %s holds no array of float64", typ, field)
	}
	return func(rec *cdr.Record, rates []float64) error {
		for k, x := range rates {
			if len(indices) > 0 {
				all[indices[k]] = x
			} else {
				all[k] = x
			}
		}
		return rec.Set(field, all)
	}, nil
}
