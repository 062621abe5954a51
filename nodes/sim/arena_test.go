package sim

import (
	"math"
	"math/rand/v2"
	"testing"

	"arfm/nodes/demonstration"
	"arfm/nodes/sim/jtc"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/sim/ur5e"
)

// put places the arm at q with nothing on the table.
func put(t testing.TB, a *Arena, q [Joints]float64) {
	t.Helper()
	if err := a.Reset(q, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// check fails the test if a torque is beyond what the motors give.
func (a *Arena) check(t *testing.T) (worst float64) {
	for j, l := range ur5e.Links {
		tau := math.Abs(a.w.Applied[a.dof[j]])
		if !(tau <= l.Effort) {
			t.Fatalf("%s: %g Nm, the motor gives %g", l.Joint, tau, l.Effort)
		}
		worst = max(worst, tau/l.Effort)
	}
	return worst
}

// TestFollow: the arm follows a quintic of 1 s. Between two points at rest the
// quintic is the minimum-jerk profile.
func TestFollow(t *testing.T) {
	a := newArena(t, nil, nil)
	from, way := Home(), [Joints]float64{0.8, 0.4, -0.5, 0.6, -0.7, 0.9, -0.03}
	for _, points := range []int{1, 4, 20} {
		put(t, a, from)
		start, _ := a.Joint()
		traj := jtc.Trajectory{Joints: JointNames, Stamp: a.now}
		at := func(s float64) (p jtc.Point) {
			p.TimeFromStart = int64(math.Round(s * 1e9))
			for _, w := range way {
				p.Velocities = append(p.Velocities, w*30*s*s*(1-s)*(1-s))
				p.Accelerations = append(p.Accelerations, w*60*s*(1-s)*(1-2*s))
			}
			for j, w := range way {
				p.Positions = append(p.Positions, start[j]+w*demonstration.MinimumJerk(s))
			}
			return p
		}
		for i := range points {
			traj.Points = append(traj.Points, at(float64(i+1)/float64(points)))
		}
		if err := a.Follow(&traj); err != nil {
			t.Fatal(err)
		}
		onTheWay, torque, grip := 0.0, 0.0, 0.0
		errorAt := func(s float64) (worst float64) {
			q, _ := a.Joint()
			for j := range ur5e.Joints {
				worst = max(worst, math.Abs(q[j]-start[j]-way[j]*demonstration.MinimumJerk(s)))
			}
			grip = math.Abs(q[Joints-1] - start[Joints-1] - way[Joints-1]*demonstration.MinimumJerk(s))
			return worst
		}
		begun := a.now
		for a.now < begun+1e9 {
			if err := a.Advance(a.timestep); err != nil {
				t.Fatal(err)
			}
			onTheWay = max(onTheWay, errorAt(float64(a.now-begun)/1e9))
			torque = max(torque, a.check(t))
		}
		end := errorAt(1)
		t.Logf("%d points: %.5f rad at most on the way, %.5f rad at the end (gripper %.2g m), torques up to %.0f %% of the limits", points, onTheWay, end, grip, 100*torque)
		if end > 0.01 || onTheWay > 0.02 || grip > 0.005 {
			t.Errorf("the arm does not follow %d points", points)
		}
	}
}

// TestFollowRefused: a trajectory that a controller refuses changes nothing.
func TestFollowRefused(t *testing.T) {
	a := newArena(t, nil, nil)
	put(t, a, Home())
	if a.Follow(&jtc.Trajectory{Joints: []string{"elbow"}, Points: []jtc.Point{{TimeFromStart: 1, Positions: []float64{1}}}}) == nil {
		t.Error("an unknown joint is taken")
	}
	if a.Step([Joints]float64{math.NaN()}, [Joints]float64{}) == nil {
		t.Error("a set-point that is no number is taken")
	}
	if err := a.Step(Home(), [Joints]float64{}); err != nil {
		t.Error(err)
	}
}

// TestHold: gravity does not pull the arm off in 10 s, however it stands.
func TestHold(t *testing.T) {
	a := newArena(t, nil, nil)
	for name, q := range map[string][Joints]float64{
		"home":         Home(),
		"outstretched": {0, -0.35, 0.2, -0.2, -math.Pi / 2, 0, gripOpen},
		"upright":      {0.5, -math.Pi / 2, 0.3, 0.4, 1, -1, 0},
	} {
		put(t, a, q)
		start, _ := a.Joint()
		for range 10 * RateHz {
			if err := a.Advance(Period); err != nil {
				t.Fatal(err)
			}
			a.check(t)
		}
		end, v := a.Joint()
		for j := range q {
			if math.Abs(end[j]-q[j]) > 1e-3 || math.Abs(end[j]-start[j]) > 1e-4 || math.Abs(v[j]) > 1e-3 {
				t.Errorf("%s: %s is at %g after 10 s and moves at %g, put at %g", name, JointNames[j], end[j], v[j], q[j])
			}
		}
	}
}

// TestTorques: a set-point that jumps drives the motors to their limits and no
// further, and the arm gets there.
func TestTorques(t *testing.T) {
	a := newArena(t, nil, nil)
	put(t, a, Home())
	to, worst := Home(), 0.0
	to[0], to[2], to[4] = to[0]+1.5, to[2]-0.8, to[4]+1
	for range 2 * RateHz {
		if err := a.Follow(&jtc.Trajectory{Joints: JointNames, Stamp: a.now, Points: []jtc.Point{{TimeFromStart: a.timestep, Positions: to[:]}}}); err != nil {
			t.Fatal(err)
		}
		for range Period / a.timestep {
			if err := a.Advance(a.timestep); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, a.check(t))
		}
	}
	if worst < 1 {
		t.Errorf("a jump of 1.5 rad takes %.0f %% of the torque", 100*worst)
	}
	q, _ := a.Joint()
	for j := range ur5e.Joints {
		if math.Abs(q[j]-to[j]) > 0.01 {
			t.Errorf("%s is at %g after 2 s, want %g", JointNames[j], q[j], to[j])
		}
	}
}

// TestForward: the kinematics of package ur5e are those of the model.
func TestForward(t *testing.T) {
	a := newArena(t, nil, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		var q [ur5e.Joints]float64
		for j, l := range ur5e.Links {
			q[j] = l.Lower + (l.Upper-l.Lower)*rng.Float64()
			a.w.QPos[a.qpos[j]] = q[j]
		}
		a.w.Forward()
		want, tcp := ur5e.Forward(q), a.TCP()
		_, rot := a.w.SitePose(a.tcp)
		for i := range 3 {
			if d := tcp[i] - want.Pos[i] - ToolLength*want.Rot[3*i+2]; math.Abs(d) > 1e-9 {
				t.Fatalf("%v: the tool centre point is %g m off along axis %d", q, d, i)
			}
		}
		for i := range rot {
			if math.Abs(rot[i]-want.Rot[i]) > 1e-9 {
				t.Fatalf("%v: the tool is turned %v, want %v", q, rot, want.Rot)
			}
		}
	}
}

// TestGrip: a held object survives moves of the tool at 0.5 m/s.
func TestGrip(t *testing.T) {
	for _, o := range append(suite(t, "object").Objects, blueCube) {
		t.Run(o.Name, func(t *testing.T) {
			a := newArena(t, []Object{o}, nil)
			at := vec{0.45, -0.15, tableTop + o.Rest()}
			high := vec{at[0], at[1], at[2] + 0.1}
			q := above(t, Home(), high, gripOpen)
			if err := a.Reset(q, nil, []vec{at}); err != nil {
				t.Fatal(err)
			}
			h := &hand{t: t, a: a, q: q, at: high, grip: gripOpen}
			at[2] += max(0, o.Rest()-0.022)
			h.move(at, 0.3)
			h.grasp(0)
			h.move(vec{at[0], at[1], 0.25}, 0.3)
			held := func() vec {
				p, tcp := a.Object(0), a.TCP()
				return vec{p[0] - tcp[0], p[1] - tcp[1], p[2] - tcp[2]}
			}
			before, fastest, slip := held(), 0.0, 0.0
			last := a.TCP()
			h.each = func() {
				fastest, last = max(fastest, distance(a.TCP(), last)*RateHz), a.TCP()
				slip = max(slip, distance(held(), before))
				a.check(t)
			}
			for _, p := range []vec{{0.45, 0.2, 0.25}, {0.45, -0.15, 0.25}, {0.62, 0.1, 0.15}, {0.36, 0.1, 0.35}, {0.45, 0, 0.2}} {
				h.move(p, 0.5)
			}
			for range RateHz {
				h.step(h.at)
			}
			t.Logf("slips %.2f mm at up to %.2f m/s", 1e3*slip, fastest)
			if slip > 0.01 || a.Object(0)[2] < 0.15 || fastest < 0.45 {
				t.Errorf("lost: it is at %v, the tool at %v", a.Object(0), a.TCP())
			}
		})
	}
}

func TestSceneRefused(t *testing.T) {
	needsMuJoCo(t)
	for name, o := range map[string]Object{
		"shape": {Name: "thing", Shape: "banana", Size: vec{1, 1, 1}, Mass: 1},
		"size":  {Name: "thing", Shape: Box, Size: vec{-1, 0, 0}, Mass: 1},
	} {
		if a, err := NewArena([]Object{o}, nil); err == nil {
			a.Close()
			t.Errorf("%s is taken", name)
		} else {
			t.Log(err)
		}
	}
	if _, err := mujoco.Load(nil); err == nil {
		t.Error("an empty model is taken")
	}
}
