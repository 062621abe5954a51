// Package ur5e is the Universal Robots UR5e as numbers: its published
// kinematics, masses, inertias and limits, forward kinematics, the Jacobian
// and inverse kinematics.
//
// Frames and names are those of the ROS description (ur_description): the base
// is base_link (x forward, y left, z up), the tool frame is tool0, which lies
// in the flange with z pointing out of it. The description's default
// kinematics differ from a real arm's by its factory calibration. Lengths are
// in metres, angles in radians.
package ur5e

import "math"

// Joints is the number of joints of the arm.
const Joints = 6

// Link is a link of the arm and the joint that carries it and turns it about
// the joint frame's z axis.
type Link struct {
	Name, Joint  string
	Pos          [3]float64 // joint frame in the parent link, m
	Quat         [4]float64 // its rotation at q = 0, w x y z
	Mass         float64    // kg
	COM          [3]float64 // centre of mass in the link frame, m
	Inertia      [3]float64 // principal moments about COM, kg m^2
	InertiaQuat  [4]float64 // their frame in the link frame, w x y z
	Lower, Upper float64    // rad
	Velocity     float64    // greatest speed, rad/s
	Effort       float64    // greatest torque, Nm
}

const (
	half = math.Sqrt2 / 2 // cos and sin of 45 degrees: a quarter turn in a quaternion
	turn = 2 * math.Pi
)

var (
	straight = [4]float64{1, 0, 0, 0}
	rollUp   = [4]float64{half, half, 0, 0}  // a quarter turn about x
	rollDown = [4]float64{half, -half, 0, 0} // and back
	pitched  = [4]float64{half, 0, half, 0}  // a quarter turn about y
)

// Links are the six moving links from the base to the flange. The first joint
// frame is given in base_link; the half turn between base_link and the frame
// that the arm's own controller counts from is in its rotation. wrist_3_link
// and tool0 are one frame. The inertias are those of cylinders; the elbow is
// limited to half of what its motor could do, because the arm is in its way.
var Links = [Joints]Link{
	{
		Name: "shoulder_link", Joint: "shoulder_pan_joint",
		Pos: [3]float64{0, 0, 0.1625}, Quat: [4]float64{0, 0, 0, 1},
		Mass: 3.761, COM: [3]float64{0, -0.00193, -0.02561},
		Inertia: [3]float64{0.0102675, 0.0102675, 0.00666}, InertiaQuat: straight,
		Lower: -turn, Upper: turn, Velocity: math.Pi, Effort: 150,
	},
	{
		Name: "upper_arm_link", Joint: "shoulder_lift_joint",
		Pos: [3]float64{0, 0, 0}, Quat: rollUp,
		Mass: 8.058, COM: [3]float64{-0.2125, 0, 0.11336},
		Inertia: [3]float64{0.13388583541666665, 0.13388583541666665, 0.0151074}, InertiaQuat: pitched,
		Lower: -turn, Upper: turn, Velocity: math.Pi, Effort: 150,
	},
	{
		Name: "forearm_link", Joint: "elbow_joint",
		Pos: [3]float64{-0.425, 0, 0}, Quat: straight,
		Mass: 2.846, COM: [3]float64{-0.2422, 0, 0.0265},
		Inertia: [3]float64{0.03120936758333333, 0.03120936758333333, 0.004095}, InertiaQuat: pitched,
		Lower: -math.Pi, Upper: math.Pi, Velocity: math.Pi, Effort: 150,
	},
	{
		Name: "wrist_1_link", Joint: "wrist_1_joint",
		Pos: [3]float64{-0.3922, 0, 0.1333}, Quat: straight,
		Mass: 1.37, COM: [3]float64{0, -0.01634, -0.0018},
		Inertia: [3]float64{0.0025599, 0.0025599, 0.0021942}, InertiaQuat: straight,
		Lower: -turn, Upper: turn, Velocity: math.Pi, Effort: 28,
	},
	{
		Name: "wrist_2_link", Joint: "wrist_2_joint",
		Pos: [3]float64{0, -0.0997, 0}, Quat: rollUp,
		Mass: 1.3, COM: [3]float64{0, 0.01634, -0.0018},
		Inertia: [3]float64{0.0025599, 0.0025599, 0.0021942}, InertiaQuat: straight,
		Lower: -turn, Upper: turn, Velocity: math.Pi, Effort: 28,
	},
	{
		Name: "wrist_3_link", Joint: "wrist_3_joint",
		Pos: [3]float64{0, 0.0996, 0}, Quat: rollDown,
		Mass: 0.365, COM: [3]float64{0, 0, -0.001159},
		Inertia: [3]float64{9.890414008333333e-05, 9.890414008333333e-05, 0.0001321171875}, InertiaQuat: straight,
		Lower: -turn, Upper: turn, Velocity: math.Pi, Effort: 28,
	},
}

// Pose is a frame in another.
type Pose struct {
	Pos [3]float64 // m
	Rot [9]float64 // rotation matrix, row-major
}

// Forward returns tool0 in base_link at the joint positions q.
func Forward(q [Joints]float64) Pose {
	f := frames(q)
	return f[Joints-1]
}

// Jacobian returns the derivative of tool0's motion by the joint positions:
// rows are the linear velocity x, y, z and the angular velocity x, y, z, both
// in base_link; columns are the joints.
func Jacobian(q [Joints]float64) [6][Joints]float64 {
	f := frames(q)
	return jacobian(&f, f[Joints-1].Pos)
}

// frames returns every link's frame in base_link.
func frames(q [Joints]float64) [Joints]Pose {
	var f [Joints]Pose
	at := Pose{Rot: [9]float64{1, 0, 0, 0, 1, 0, 0, 0, 1}}
	for j := range Links {
		l := &Links[j]
		at.Pos = add(at.Pos, rotate(&at.Rot, l.Pos))
		rest, s, c := matrix(l.Quat), math.Sin(q[j]), math.Cos(q[j])
		spun := [9]float64{c, -s, 0, s, c, 0, 0, 0, 1}
		r := mul(&at.Rot, &rest)
		at.Rot = mul(&r, &spun)
		f[j] = at
	}
	return f
}

// jacobian is the Jacobian of a point that the last link carries, given in
// base_link.
func jacobian(f *[Joints]Pose, point [3]float64) [6][Joints]float64 {
	var jac [6][Joints]float64
	for j := range f {
		z := [3]float64{f[j].Rot[2], f[j].Rot[5], f[j].Rot[8]}
		lin := cross(z, sub(point, f[j].Pos))
		for i := range 3 {
			jac[i][j], jac[3+i][j] = lin[i], z[i]
		}
	}
	return jac
}

func add(a, b [3]float64) [3]float64 { return [3]float64{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func sub(a, b [3]float64) [3]float64 { return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func rotate(r *[9]float64, v [3]float64) [3]float64 {
	var w [3]float64
	for i := range 3 {
		w[i] = r[3*i]*v[0] + r[3*i+1]*v[1] + r[3*i+2]*v[2]
	}
	return w
}

func mul(a, b *[9]float64) [9]float64 {
	var c [9]float64
	for i := range 3 {
		for j := range 3 {
			c[3*i+j] = a[3*i]*b[j] + a[3*i+1]*b[3+j] + a[3*i+2]*b[6+j]
		}
	}
	return c
}

func transpose(a *[9]float64) [9]float64 {
	return [9]float64{a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]}
}

// matrix is the rotation matrix of a unit quaternion w x y z.
func matrix(q [4]float64) [9]float64 {
	w, x, y, z := q[0], q[1], q[2], q[3]
	return [9]float64{
		1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y),
		2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x),
		2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y),
	}
}
