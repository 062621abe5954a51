package jtc

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestAcceptRefuses(t *testing.T) {
	point := func(n int, at int64) Point { return Point{Positions: make([]float64, n), TimeFromStart: at} }
	with := func(change func(*Trajectory)) *Trajectory {
		tr := &Trajectory{Joints: []string{"a", "b"}, Points: []Point{point(2, 1), point(2, 2)}}
		change(tr)
		return tr
	}
	partial, rest, integrate := Options{AllowPartialJointsGoal: true}, Options{RefuseNonzeroVelocityAtTrajectoryEnd: true}, Options{AllowIntegrationInGoalTrajectories: true}
	for _, c := range []struct {
		name string
		opt  Options
		tr   *Trajectory
		want error // nil: accepted
	}{
		{"good", Options{}, with(func(*Trajectory) {}), nil},
		{"nil", Options{}, nil, ErrNoPoints},
		{"no joints", Options{}, with(func(tr *Trajectory) { tr.Joints = nil }), ErrJoints},
		{"no joints, partial", partial, with(func(tr *Trajectory) { tr.Joints = nil }), ErrJoints},
		{"one joint", Options{}, with(func(tr *Trajectory) { tr.Joints = []string{"a"} }), ErrJoints},
		{"one joint, partial", partial, with(func(tr *Trajectory) { tr.Joints = []string{"a"}; tr.Points = []Point{point(1, 1)} }), nil},
		{"three joints", Options{}, with(func(tr *Trajectory) { tr.Joints = []string{"a", "b", "c"} }), ErrJoints},
		{"unknown joint", Options{}, with(func(tr *Trajectory) { tr.Joints[1] = "c" }), ErrUnknownJoint},
		{"unknown joint, partial", partial, with(func(tr *Trajectory) { tr.Joints = []string{"c"}; tr.Points = []Point{point(1, 1)} }), ErrUnknownJoint},
		{"repeated joint", Options{}, with(func(tr *Trajectory) { tr.Joints[1] = "a" }), ErrRepeatedJoint},
		{"repeated joints, partial", partial, with(func(tr *Trajectory) { tr.Joints = []string{"a", "b", "a"} }), ErrRepeatedJoint},
		{"no points", Options{}, with(func(tr *Trajectory) { tr.Points = nil }), ErrNoPoints},
		{"too few positions", Options{}, with(func(tr *Trajectory) { tr.Points[1] = point(1, 2) }), ErrLengths},
		{"too many velocities", Options{}, with(func(tr *Trajectory) { tr.Points[1].Velocities = make([]float64, 3) }), ErrLengths},
		{"too few accelerations", Options{}, with(func(tr *Trajectory) { tr.Points[0].Accelerations = make([]float64, 1) }), ErrLengths},
		{"no positions", Options{}, with(func(tr *Trajectory) { tr.Points[0] = Point{Velocities: make([]float64, 2)} }), ErrLengths},
		{"no positions, integrated", integrate, with(func(tr *Trajectory) { tr.Points[0] = Point{Velocities: make([]float64, 2)} }), nil},
		{"nothing, integrated", integrate, with(func(tr *Trajectory) { tr.Points[0] = Point{} }), ErrLengths},
		{"same time", Options{}, with(func(tr *Trajectory) { tr.Points[1].TimeFromStart = 1 }), ErrTimes},
		{"time goes back", Options{}, with(func(tr *Trajectory) { tr.Points[1].TimeFromStart = 0 }), ErrTimes},
		{"first point at 0", Options{}, with(func(tr *Trajectory) { tr.Points[0].TimeFromStart = 0 }), nil},
		{"time beyond messages", Options{}, with(func(tr *Trajectory) { tr.Points[1].TimeFromStart = math.MaxInt64 }), ErrTimes},
		{"stamp beyond messages", Options{}, with(func(tr *Trajectory) { tr.Stamp = math.MaxInt64 }), ErrTimes},
		{"negative stamp", Options{}, with(func(tr *Trajectory) { tr.Stamp = -1 }), ErrTimes},
		{"NaN", Options{}, with(func(tr *Trajectory) { tr.Points[1].Positions[0] = math.NaN() }), ErrNotFinite},
		{"Inf", Options{}, with(func(tr *Trajectory) { tr.Points[1].Velocities = []float64{0, math.Inf(-1)} }), ErrNotFinite},
		{"far too large", Options{}, with(func(tr *Trajectory) { tr.Points[1].Accelerations = []float64{0, 1e300} }), ErrNotFinite},
		{"moving end", Options{}, with(func(tr *Trajectory) { tr.Points[1].Velocities = []float64{0, 1} }), nil},
		{"moving end, refused", rest, with(func(tr *Trajectory) { tr.Points[1].Velocities = []float64{0, 1} }), ErrMovingEnd},
		{"nearly at rest", rest, with(func(tr *Trajectory) { tr.Points[1].Velocities = []float64{0, 1e-8} }), nil},
		{"ends in the past", Options{}, with(func(tr *Trajectory) { tr.Stamp = 99*second - 1 - 2 }), ErrPast},
		{"ends now", Options{}, with(func(tr *Trajectory) { tr.Stamp = 99*second - 2 }), nil},
	} {
		ctl := newController(t, two, c.opt)
		here, s := State{Position: []float64{5, 6}}, State{}
		ctl.Update(98*second, here, &s)
		err := ctl.Accept(99*second, c.tr)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			continue
		}
		if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: %q is no sentence", c.name, err)
		}
		g, goalErr := ctl.AcceptGoal(99*second, &GoalRequest{Trajectory: c.tr})
		if g != nil || !errors.Is(goalErr, c.want) {
			t.Errorf("%s: as a goal %v", c.name, goalErr)
		}
		if ctl.Update(100*second, here, &s); s.Position[0] != 5 || s.Position[1] != 6 {
			t.Errorf("%s: refused, and yet the set-point moved to %v", c.name, s.Position)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		joints []string
		opt    Options
	}{
		{nil, Options{}},
		{[]string{"a", "a"}, Options{}},
		{two, Options{GoalTime: -1}},
		{two, Options{StoppedVelocityTolerance: math.NaN()}},
		{two, Options{PathTolerance: []float64{1}}},
		{two, Options{GoalTolerance: []float64{1, -1}}},
	} {
		if _, err := New(c.joints, c.opt); !errors.Is(err, ErrOptions) {
			t.Errorf("%v %+v: %v", c.joints, c.opt, err)
		}
	}
}

// drive runs a goal of joint a from 0 to 1 within a second against an arm that
// lags behind the set-point by lag until caughtUp, every 10 ms until it ends,
// at most for limit seconds, and returns the time of its end in ns.
func drive(t *testing.T, opt Options, g *GoalRequest, lag float64, caughtUp, limit int64) (*Controller, *Goal, int64, State) {
	t.Helper()
	c := newController(t, []string{"a"}, opt)
	here := State{Position: []float64{0}, Velocity: []float64{0}, Acceleration: []float64{0}}
	var s State
	c.Update(0, here, &s)
	g.Trajectory = one(0, at(1, 1, 0))
	goal, err := c.AcceptGoal(0, g)
	if err != nil {
		t.Fatal(err)
	}
	var now int64
	for ; goal.Status == Executing && now < limit; now += second / 100 {
		c.Update(now, here, &s)
		behind := lag
		if now >= caughtUp {
			behind = 0
		}
		here.Position[0] = max(s.Position[0]-behind, 0)
	}
	return c, goal, now - second/100, s
}

func TestGoalOutcomes(t *testing.T) {
	tight := []JointTolerance{{Name: "a", Position: 0.05}}
	lifted := []JointTolerance{{Name: "a", Position: -1}}
	for _, c := range []struct {
		name     string
		opt      Options
		goal     GoalRequest
		lag      float64
		caughtUp int64
		status   Status
		code     Code
		from, to int64 // when, ns
	}{
		{"reached", Options{GoalTolerance: []float64{0.05}}, GoalRequest{}, 0.01, 9 * second, Succeeded, Successful, second, second},
		{"no tolerance, far behind", Options{}, GoalRequest{}, 0.5, 9 * second, Succeeded, Successful, second, second},
		{"path violated", Options{PathTolerance: []float64{0.05}}, GoalRequest{}, 0.1, 9 * second, Aborted, PathToleranceViolated, second / 10, second / 2},
		{"path violated, goal's own", Options{}, GoalRequest{PathTolerance: tight}, 0.1, 9 * second, Aborted, PathToleranceViolated, second / 10, second / 2},
		{"path tolerance lifted", Options{PathTolerance: []float64{0.05}}, GoalRequest{PathTolerance: lifted}, 0.1, 9 * second, Succeeded, Successful, second, second},
		{"late but in time", Options{GoalTolerance: []float64{0.05}, GoalTime: second}, GoalRequest{}, 0.1, second * 3 / 2, Succeeded, Successful, second * 3 / 2, second * 8 / 5},
		{"too late", Options{GoalTolerance: []float64{0.05}, GoalTime: second}, GoalRequest{}, 0.1, 9 * second, Aborted, GoalToleranceViolated, 2*second + 1, 2*second + second/50},
		{"too late, goal's own", Options{}, GoalRequest{GoalTolerance: tight, GoalTime: second / 2}, 0.1, 9 * second, Aborted, GoalToleranceViolated, second*3/2 + 1, second * 8 / 5},
		{"waits forever", Options{GoalTolerance: []float64{0.05}}, GoalRequest{}, 0.1, 90 * second, Executing, 0, 0, 99 * second},
		{"waiting time lifted", Options{GoalTolerance: []float64{0.05}, GoalTime: second}, GoalRequest{GoalTime: -second}, 0.1, 90 * second, Executing, 0, 0, 99 * second},
		{"unknown joint in a tolerance: the controller's own", Options{PathTolerance: []float64{0.05}}, GoalRequest{GoalTime: -second, PathTolerance: append(lifted, JointTolerance{Name: "z"})}, 0.1, 9 * second, Aborted, PathToleranceViolated, second / 10, second / 2},
		{"illegal tolerance: the controller's own", Options{PathTolerance: []float64{0.05}}, GoalRequest{PathTolerance: []JointTolerance{{Name: "a", Position: -1, Velocity: -2}}}, 0.1, 9 * second, Aborted, PathToleranceViolated, second / 10, second / 2},
		// The arm measures velocity and acceleration 0 throughout.
		{"velocity is not judged without its interface", Options{}, GoalRequest{PathTolerance: []JointTolerance{{Name: "a", Velocity: 0.1}}}, 0, 0, Succeeded, Successful, second, second},
		{"acceleration is not judged without its interface", Options{VelocityCommand: true}, GoalRequest{PathTolerance: []JointTolerance{{Name: "a", Acceleration: 0.1}}}, 0, 0, Succeeded, Successful, second, second},
		{"acceleration is judged with it", Options{AccelerationCommand: true}, GoalRequest{PathTolerance: []JointTolerance{{Name: "a", Acceleration: 0.1}}}, 0, 0, Aborted, PathToleranceViolated, 0, second / 5},
		{"velocity is judged with it", Options{VelocityCommand: true}, GoalRequest{PathTolerance: []JointTolerance{{Name: "a", Velocity: 0.1}}}, 0, 0, Aborted, PathToleranceViolated, 0, second / 5},
	} {
		_, g, when, _ := drive(t, c.opt, &c.goal, c.lag, c.caughtUp, 20*second)
		if g.Status != c.status || g.Code != c.code || when < c.from || when > c.to {
			t.Errorf("%s: status %d code %d (%s) at %d ms", c.name, g.Status, g.Code, g.Text, when/1e6)
		}
	}
}

func TestHoldsAfterViolation(t *testing.T) {
	c, g, when, s := drive(t, Options{PathTolerance: []float64{0.05}}, &GoalRequest{}, 0.1, 9*second, 9*second)
	if g.Code != PathToleranceViolated {
		t.Fatal(g)
	}
	// The violating set-point is not sent; the next Update holds the position
	// that was measured when it was found.
	sent := s.Position[0]
	if x := float64(when-second/100) / 1e9; !near(sent, x*x*(3-2*x)) {
		t.Errorf("the set-point %g is not the last one before the violation", sent)
	}
	measured := sent - 0.1
	c.Update(when+1, State{Position: []float64{measured - 0.3}}, &s)
	if math.Abs(s.Position[0]-max(measured, 0)) > 0.01 || s.Velocity[0] != 0 {
		t.Errorf("holds %v, want about %g", s, measured)
	}
	held := s.Position[0]
	c.Update(when+second, State{Position: []float64{7}}, &s) // no tolerance while holding
	c.Update(when+2*second, State{Position: []float64{7}}, &s)
	if s.Position[0] != held {
		t.Errorf("the held position went from %g to %g", held, s.Position[0])
	}
}

func TestFirstSampleIsJudged(t *testing.T) {
	// One point that is due at once, out of the path tolerance: the arm must
	// not jump there.
	c := newController(t, []string{"a"}, Options{PathTolerance: []float64{0.05}})
	here := State{Position: []float64{0}}
	var s State
	g, err := c.AcceptGoal(0, &GoalRequest{Trajectory: one(0, at(0, 1))})
	if err != nil {
		t.Fatal(err)
	}
	if c.Update(0, here, &s); g.Code != PathToleranceViolated || s.Position[0] != 0 {
		t.Errorf("%+v at %v", g, s)
	}
}

func TestNothingIsJudgedAfterSuccess(t *testing.T) {
	c, g, when, s := drive(t, Options{GoalTolerance: []float64{0.05}, GoalTime: second}, &GoalRequest{}, 0, 0, 9*second)
	if g.Status != Succeeded {
		t.Fatal(g)
	}
	for _, later := range []int64{2, 3} { // pushed away
		if c.Update(when+later*second, State{Position: []float64{7}}, &s); s.Position[0] != 1 {
			t.Errorf("left the goal for %g", s.Position[0])
		}
	}
}

func TestToleranceWithoutGoal(t *testing.T) {
	c := newController(t, []string{"a"}, Options{PathTolerance: []float64{0.05}})
	here := State{Position: []float64{0.5}}
	var s State
	c.Update(0, here, &s)
	accept(t, c, 0, one(0, at(1, 1.5)))
	for now := int64(0); now <= 2*second; now += second / 100 {
		c.Update(now, here, &s) // a stuck arm
	}
	if s.Position[0] != 0.5 {
		t.Errorf("%g, want the measured 0.5", s.Position[0])
	}
	// A dead sensor is out of tolerance too.
	accept(t, c, 2*second, one(0, at(1, 1.5)))
	c.Update(2*second+1, here, &s)
	c.Update(2*second+2, State{Position: []float64{math.NaN()}}, &s)
	c.Update(4*second, here, &s)
	if math.Abs(s.Position[0]-0.5) > 1e-6 {
		t.Errorf("%g, want the last set-point", s.Position[0])
	}
}

func TestCancelAndPreemption(t *testing.T) {
	c := newController(t, []string{"a"}, Options{})
	here := State{Position: []float64{0}}
	var s State
	goal := func(now int64, to float64) *Goal {
		g, err := c.AcceptGoal(now, &GoalRequest{Trajectory: one(0, at(1, to))})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := goal(0, 1)
	c.Update(0, here, &s)
	c.Update(second/2, here, &s)
	next := goal(second/2, 2)
	if first.Status != Canceled || first.Code != InvalidGoal || first.Text == "" || next.Status != Executing {
		t.Errorf("pre-empted: %+v, %+v", first, next)
	}
	c.Cancel(first) // not the active one
	if next.Status != Executing {
		t.Errorf("cancelling an old goal ended the new one: %+v", next)
	}
	c.Update(second, here, &s)
	here.Position[0] = 0.25
	c.Update(second*3/2, here, &s)
	c.Cancel(next)
	if next.Status != Canceled || next.Code != Successful {
		t.Errorf("canceled: %+v", next)
	}
	for _, now := range []int64{second * 8 / 5, 9 * second} {
		if c.Update(now, here, &s); s.Position[0] != 0.25 {
			t.Errorf("after the cancel %g, want the measured 0.25", s.Position[0])
		}
	}
	c.Cancel(nil)

	third := goal(9*second, 3)
	c.Reset()
	if third.Status != Aborted || third.Code != InvalidGoal {
		t.Errorf("reset: %+v", third)
	}
	here.Position[0] = -1
	if c.Update(1, here, &s); s.Position[0] != -1 {
		t.Errorf("after the reset %g, want the measured -1", s.Position[0])
	}

	c.Reset()
	never := goal(2, 5)
	c.Cancel(never) // before the first Update
	c.Update(3, here, &s)
	if c.Update(3*second, here, &s); s.Position[0] != -1 {
		t.Errorf("a goal canceled before it began moved the arm to %g", s.Position[0])
	}
}
