package sim

import (
	"fmt"
	"math"

	"arfm/nodes/sim/jtc"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/sim/ur5e"
)

// rotation is a rotation matrix, row-major.
type rotation = [9]float64

// down is the tool pointing at the table, its fingers opening along y.
var down = rotation{1, 0, 0, 0, -1, 0, 0, 0, -1}

// turned is the tool pointing down after small turns about the base's x, y and
// z, rad, in this order.
func turned(rx, ry, rz float64) rotation {
	r := down
	for axis, angle := range [3]float64{rx, ry, rz} {
		s, c := math.Sincos(angle)
		i, k := (axis+1)%3, (axis+2)%3
		for col := range 3 {
			a, b := r[3*i+col], r[3*k+col]
			r[3*i+col], r[3*k+col] = c*a-s*b, s*a+c*b
		}
	}
	return r
}

// elbowUp is where inverse kinematics starts from: elbow up, tool down.
var elbowUp = [ur5e.Joints]float64{-0.3, -1.5, 1.9, -1.97, -math.Pi / 2, -0.3}

// reach returns the joint positions that put the tool centre point on p, near
// those in q.
func reach(q [ur5e.Joints]float64, p vec, tool rotation) ([ur5e.Joints]float64, bool) {
	return ur5e.Solve(q, ur5e.Pose{Pos: p, Rot: tool}, ToolLength)
}

// Arena is the physical part: the arm at its table with some objects and
// fixtures, the servo that follows set-points, and what can be measured.
type Arena struct {
	Objects  []Object
	Fixtures []Fixture

	w            *mujoco.World
	qpos, dof    [Joints]int
	tcp          int
	object       []int // addresses of the objects' poses in QPos, and of their velocities
	objectVel    []int
	mocap        map[Fixture]int // numbers of the fixtures' bodies among the mocap bodies
	drawer       int             // addresses of the joints, -1: there is none
	button, cap  int             // the cap is a geom
	lit          bool            // its light
	site         map[Fixture]int
	handle       int
	ctl          *jtc.Controller
	traj         jtc.Trajectory // the one of Step
	now          int64          // ns since Reset, or what SetTime made of it
	end          int64          // when the last trajectory ends
	want         jtc.State      // what the controller says now
	measured     jtc.State
	accel, force []float64 // (nv) scratch of the servo
	timestep     int64     // of the physics, ns
}

// NewArena builds the scene. Close frees it.
func NewArena(objects []Object, fixtures []Fixture) (*Arena, error) {
	w, err := mujoco.Load(sceneXML(objects, fixtures))
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	a := &Arena{Objects: objects, Fixtures: fixtures, w: w, mocap: map[Fixture]int{}, site: map[Fixture]int{}, drawer: -1, button: -1}
	a.timestep = int64(math.Round(1e9 * w.Timestep()))
	if a.ctl, err = jtc.New(JointNames, jtc.Options{OpenLoopControl: true, AllowPartialJointsGoal: true}); err != nil {
		w.Close()
		return nil, fmt.Errorf("sim: %w", err)
	}
	a.traj = jtc.Trajectory{Joints: JointNames, Points: []jtc.Point{{TimeFromStart: Period, Positions: make([]float64, Joints), Velocities: make([]float64, Joints)}}}
	a.measured = jtc.State{Position: make([]float64, Joints), Velocity: make([]float64, Joints)}
	a.accel, a.force = make([]float64, len(w.QVel)), make([]float64, len(w.QVel))
	var failed error
	find := func(kind mujoco.Kind, name string) int {
		i, err := w.Index(kind, name)
		if err != nil && failed == nil {
			failed = fmt.Errorf("sim: %w", err)
		}
		return i
	}
	for j, name := range JointNames {
		a.qpos[j], a.dof[j] = w.Address(find(mujoco.Joint, name))
	}
	a.tcp = find(mujoco.Site, "tcp")
	for i := range objects {
		q, v := w.Address(find(mujoco.Joint, fmt.Sprintf("object_%d", i)))
		a.object, a.objectVel = append(a.object, q), append(a.objectVel, v)
	}
	for i, f := range fixtures {
		a.mocap[f], a.site[f] = i, find(mujoco.Site, string(f))
		switch f {
		case Drawer:
			a.drawer, _ = w.Address(find(mujoco.Joint, "drawer_joint"))
			a.handle = find(mujoco.Site, "handle")
		case Button:
			a.button, _ = w.Address(find(mujoco.Joint, "button_joint"))
			a.cap = find(mujoco.Geom, "button_cap")
		}
	}
	if failed != nil {
		w.Close()
		return nil, failed
	}
	return a, nil
}

// Close frees the arena.
func (a *Arena) Close() { a.w.Close() }

// Reset puts the arm at rest at q, the fixtures and objects where they are
// told, and lets all settle.
func (a *Arena) Reset(q [Joints]float64, fixtures map[Fixture]vec, objects []vec) error {
	a.w.Reset()
	for j, x := range q {
		a.w.QPos[a.qpos[j]] = x
	}
	mirror := a.qpos[Joints-1] + 1 // the other finger, whose joint follows the gripper's
	a.w.QPos[mirror] = q[Joints-1]
	for f, p := range fixtures {
		copy(a.w.MocapPos[3*a.mocap[f]:], p[:])
	}
	for i, p := range objects {
		copy(a.w.QPos[a.object[i]:], p[:])
	}
	a.ctl.Reset()
	a.now, a.end = 0, 0
	a.w.Forward()
	return a.Advance(4 * Period)
}

// Light switches the light in the button's cap.
func (a *Arena) Light(on bool) {
	color := [4]float32{0.55, 0.10, 0.08, 1}
	if on {
		color = [4]float32{0.35, 1, 0.35, 1}
	}
	a.lit = on
	a.w.Paint(a.cap, color)
}

// Joint returns the positions and velocities of the joints.
func (a *Arena) Joint() (q, v [Joints]float64) {
	for j := range q {
		q[j], v[j] = a.w.QPos[a.qpos[j]], a.w.QVel[a.dof[j]]
	}
	return q, v
}

// TCP returns the place of the tool centre point.
func (a *Arena) TCP() vec {
	p, _ := a.w.SitePose(a.tcp)
	return vec(p)
}

// Tool returns how the tool is turned.
func (a *Arena) Tool() rotation {
	_, r := a.w.SitePose(a.tcp)
	return rotation(r)
}

// Object returns where object i is, its centre.
func (a *Arena) Object(i int) vec { return vec(a.w.QPos[a.object[i] : a.object[i]+3]) }

// ObjectTurn returns how object i is turned, w x y z.
func (a *Arena) ObjectTurn(i int) [4]float64 {
	return [4]float64(a.w.QPos[a.object[i]+3 : a.object[i]+7])
}

// ObjectSpeed returns how fast object i moves, m/s.
func (a *Arena) ObjectSpeed(i int) float64 {
	return norm(vec(a.w.QVel[a.objectVel[i] : a.objectVel[i]+3]))
}

// Fixture returns where things are put on, or into, a fixture: the middle of
// the basket's floor, the plate's top, the drawer's floor, the button's cap.
func (a *Arena) Fixture(f Fixture) vec {
	p, _ := a.w.SitePose(a.site[f])
	return vec(p)
}

// Handle returns where the drawer's handle is taken.
func (a *Arena) Handle() vec {
	p, _ := a.w.SitePose(a.handle)
	return vec(p)
}

// DrawerOpening returns how far the drawer is open, m.
func (a *Arena) DrawerOpening() float64 { return a.w.QPos[a.drawer] }

// ButtonPressed returns how far the button is pressed, m.
func (a *Arena) ButtonPressed() float64 { return a.w.QPos[a.button] }

func norm(v vec) float64 { return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2]) }

func distance(a, b vec) float64 { return norm(vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]}) }
