// Package sim is arfm's simulated arm: a UR5e with a parallel gripper at a
// table, in MuJoCo, with four suites of tasks that are told apart by their
// instruction, scripted demonstrators of three qualities, and a recorder that
// writes what they do as rosbag2 bags. Its own time is the only clock; the
// same seed gives the same episode to the bit.
package sim

import (
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/sim/ur5e"
)

// The control period: commands and observations come at RateHz, the servo
// turns at 500 Hz.
const (
	RateHz = 20
	Period = int64(1e9 / RateHz) // ns
)

// GripperJoint is the seventh joint of the arm: the travel of one finger, m,
// 0 closed.
const GripperJoint = "gripper_joint"

// Joints is the number of joints that are commanded: six of the arm, one of the
// gripper.
const Joints = ur5e.Joints + 1

// JointNames are the joints in the order of states and commands.
var JointNames = func() []string {
	var names []string
	for _, l := range ur5e.Links {
		names = append(names, l.Joint)
	}
	return append(names, GripperJoint)
}()

// Limit of a joint, in rad and s, for the gripper in m and s.
type Limit struct{ Lower, Upper, Velocity, Acceleration float64 }

// acceleration of the arm's joints, rad/s^2. UR publishes none; this one keeps
// the torques of the heaviest motions below half of what the motors give.
const acceleration = 25

// Limits are the joints' limits, in the order of JointNames.
var Limits = func() (out [Joints]Limit) {
	for i, l := range ur5e.Links {
		out[i] = Limit{l.Lower, l.Upper, l.Velocity, acceleration}
	}
	out[ur5e.Joints] = Limit{0, GripperMax, 0.25, 5}
	return out
}()

// Available says whether this build has the simulator; else every arena fails
// with mujoco.ErrUnavailable, whose text says what to install.
const Available = mujoco.Available

// vec is a place or a direction in the frame of the arm's base, m: x away from
// the arm, y to its left, z up; the table's top is z = 0.
type vec = [3]float64
