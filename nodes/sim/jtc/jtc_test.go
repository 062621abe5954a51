package jtc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const second = int64(1e9)

var two = []string{"a", "b"}

func newController(t testing.TB, joints []string, opt Options) *Controller {
	t.Helper()
	c, err := New(joints, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func accept(t testing.TB, c *Controller, now int64, tr *Trajectory) {
	t.Helper()
	if err := c.Accept(now, tr); err != nil {
		t.Fatal(err)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }

// one is a trajectory of joint a.
func one(stamp int64, points ...Point) *Trajectory {
	return &Trajectory{Joints: []string{"a"}, Stamp: stamp, Points: points}
}

func at(seconds float64, p ...float64) Point {
	pt := Point{TimeFromStart: int64(seconds * 1e9)}
	for i, to := range []*[]float64{&pt.Positions, &pt.Velocities, &pt.Accelerations} {
		if i < len(p) && !math.IsNaN(p[i]) {
			*to = []float64{p[i]}
		}
	}
	return pt
}

func TestInterpolation(t *testing.T) {
	none := math.NaN()
	linear := []Point{at(1, 1), at(3, 5)}
	cubic := []Point{at(1, 0, 0), at(3, 1, 0)}
	quintic := []Point{at(1, 0, 0, 0), at(3, 1, 0, 0)}
	moving := []Point{at(1, 1, 2, 4), at(2, 2, -1, 3)}
	for _, c := range []struct {
		name   string
		points []Point
		start  State
		opt    Options
		t      float64 // s after the first Update
		want   [3]float64
	}{
		{"linear, way to the first point", linear, State{Position: []float64{0.5}}, Options{}, 0.5, [3]float64{0.75, 0.5, 0}},
		{"linear, at the first point", linear, State{Position: []float64{0.5}}, Options{}, 1, [3]float64{1, 2, 0}},
		{"linear, a quarter", linear, State{Position: []float64{0}}, Options{}, 1.5, [3]float64{2, 2, 0}},
		{"linear, at the end", linear, State{Position: []float64{0}}, Options{}, 3, [3]float64{5, 0, 0}},
		{"linear, after the end", linear, State{Position: []float64{0}}, Options{}, 30, [3]float64{5, 0, 0}},
		// 3/16 - 2/64; (6/4 - 6/16)/2; (6 - 12/4)/4
		{"cubic, a quarter", cubic, State{Position: []float64{0}}, Options{}, 1.5, [3]float64{0.15625, 0.5625, 0.75}},
		{"cubic, half way", cubic, State{Position: []float64{0}}, Options{}, 2, [3]float64{0.5, 0.75, 0}},
		// 10/64 - 15/256 + 6/1024; (30/16 - 60/64 + 30/256)/2; (60/4 - 180/16 + 120/64)/4
		{"quintic, a quarter", quintic, State{Position: []float64{0}}, Options{}, 1.5, [3]float64{0.103515625, 0.52734375, 1.40625}},
		{"quintic, half way", quintic, State{Position: []float64{0}}, Options{}, 2, [3]float64{0.5, 0.9375, 0}},
		// 1 + 2t + 2t^2 - 2.5t^3 - 3t^4 + 2.5t^5, t from the first point.
		{"quintic between moving ends", moving, State{Position: []float64{1}}, Options{}, 1.5, [3]float64{2.078125, 1.40625, -6.25}},
		{"quintic to the first point, from rest", quintic[1:], State{Position: []float64{0}}, Options{}, 0.75, [3]float64{0.103515625, 0.3515625, 0.625}},
		{"velocities to the first point only in the points: starts at rest", cubic[:1], State{Position: []float64{1}}, Options{}, 0.25, [3]float64{0.84375, -1.125, -3}},
		{"the start's velocity counts", cubic[:1], State{Position: []float64{0}, Velocity: []float64{1}}, Options{}, 0.5, [3]float64{0.125, -0.25, -1}},
		{"the start's velocity is idle where points have none", linear, State{Position: []float64{0}, Velocity: []float64{9}}, Options{}, 0.5, [3]float64{0.5, 1, 0}},
		{"one end with velocity, one without: linear", []Point{at(1, 0, 0), at(3, 4)}, State{Position: []float64{0}}, Options{}, 1.5, [3]float64{1, 2, 0}},
		{"accelerations without velocities: linear", []Point{at(1, 0, none, 1), at(3, 4, none, 1)}, State{Position: []float64{0}}, Options{}, 1.5, [3]float64{1, 2, 0}},
		{"the last point's velocity stays", []Point{at(1, 1, 0.5)}, State{Position: []float64{0}}, Options{}, 9, [3]float64{1, 0.5, 0}},
		{"a first point at time 0 is at once", []Point{at(0, 3), at(1, 4)}, State{Position: []float64{0}}, Options{}, 0, [3]float64{3, 1, 0}},
		// Velocity from 0 to 2 within 1 s and on at 2: positions 1 and 3.
		{"velocities integrated, end of the first segment", []Point{at(1, none, 2), at(2, none, 2)}, State{Position: []float64{0}}, Options{AllowIntegrationInGoalTrajectories: true}, 1, [3]float64{1, 2, 0}},
		{"velocities integrated, end", []Point{at(1, none, 2), at(2, none, 2)}, State{Position: []float64{0}}, Options{AllowIntegrationInGoalTrajectories: true}, 2, [3]float64{3, 2, 0}},
		// Acceleration from 0 to 2: velocity 1; position (0+1)/2. Then velocity 3, position 0.5 + 2.
		{"accelerations integrated", []Point{at(1, none, none, 2), at(2, none, none, 2)}, State{Position: []float64{0}}, Options{AllowIntegrationInGoalTrajectories: true}, 2, [3]float64{2.5, 3, 2}},
		// The second point's velocity makes the segment cubic: 1 + s^2.
		{"a velocity integrated after a position", []Point{at(1, 1), at(2, none, 2)}, State{Position: []float64{0}}, Options{AllowIntegrationInGoalTrajectories: true}, 1.5, [3]float64{1.25, 1, 2}},
		{"a velocity integrated, due at once", []Point{at(0, none, 2), at(1, none, 2)}, State{Position: []float64{3}}, Options{AllowIntegrationInGoalTrajectories: true}, 0.5, [3]float64{4, 2, 0}},
	} {
		ctl := newController(t, []string{"a"}, c.opt)
		accept(t, ctl, 7*second, one(0, c.points...))
		var s State
		for _, now := range []float64{0, c.t} {
			if !ctl.Update(7*second+int64(now*1e9), c.start, &s) {
				t.Fatalf("%s: no set-point", c.name)
			}
		}
		if got := [3]float64{s.Position[0], s.Velocity[0], s.Acceleration[0]}; !near(got[0], c.want[0]) || !near(got[1], c.want[1]) || !near(got[2], c.want[2]) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// poly returns value, slope and curvature of a polynomial, lowest power first.
func poly(c []float64, t float64) (p, v, a float64) {
	for i := len(c) - 1; i >= 0; i-- {
		a = a*t + 2*v
		v = v*t + p
		p = p*t + c[i]
	}
	return p, v, a
}

func TestPolynomialsAreMet(t *testing.T) {
	// Points taken from one polynomial of the degree that they can carry give
	// that polynomial back everywhere, the way to the first point included.
	r := rand.New(rand.NewPCG(1, 1))
	for _, degree := range []int{1, 3, 5} {
		for range 50 {
			coeff := make([]float64, degree+1)
			for i := range coeff {
				coeff[i] = r.NormFloat64()
			}
			state := func(s float64) []float64 {
				p, v, a := poly(coeff, s)
				return []float64{p, v, a}[:(degree+1)/2]
			}
			end := 0.0
			var points []Point
			for range 4 {
				end += 0.2 + r.Float64()
				end = math.Round(end*1e3) / 1e3
				points = append(points, at(end, state(end)...))
			}
			start := at(0, state(0)...)
			c := newController(t, []string{"a"}, Options{})
			accept(t, c, 5, one(0, points...))
			var s State
			for now := 0.0; now < end; now += 0.01 {
				c.Update(5+int64(now*1e9), State{start.Positions, start.Velocities, start.Accelerations}, &s)
				p, v, a := poly(coeff, float64(int64(now*1e9))/1e9)
				if !close(s.Position[0], p) || !close(s.Velocity[0], v) || !close(s.Acceleration[0], a) {
					t.Fatalf("degree %d at %g: %v, want %g %g %g", degree, now, s, p, v, a)
				}
			}
		}
	}
}

func close(a, b float64) bool { return math.Abs(a-b) < 1e-6*(1+math.Abs(b)) }

func TestStamps(t *testing.T) {
	here := State{Position: []float64{0}}
	var s State
	position := func(c *Controller, now float64) float64 {
		c.Update(int64(now*1e9), here, &s)
		return s.Position[0]
	}
	c := newController(t, []string{"a"}, Options{})
	position(c, 9.5)
	// In the future: the way to the first point begins when it comes.
	accept(t, c, 10*second, one(12*second, at(0, 4), at(2, 6)))
	for _, p := range [][2]float64{{10, 0}, {11, 2}, {12, 4}, {13, 5}, {15, 6}} {
		if got := position(c, p[0]); got != p[1] {
			t.Errorf("stamped ahead: %g at %g s, want %g", got, p[0], p[1])
		}
	}
	// In the past: it is joined where it is by now.
	accept(t, c, 20*second, one(19*second, at(0, 0), at(4, 8)))
	if got := position(c, 20); got != 2 {
		t.Errorf("stamped back: %g, want 2", got)
	}
	// Integrated from a first point that was due half a second ago.
	c = newController(t, []string{"a"}, Options{AllowIntegrationInGoalTrajectories: true})
	accept(t, c, 20*second, one(19*second, at(0.5, math.NaN(), 2), at(2, math.NaN(), 2)))
	position(c, 20)
	if got := position(c, 20.25); got != 1.5 {
		t.Errorf("integrated, stamped back: %g, want 1.5", got)
	}
	// The clock goes back: from the trajectory's begin on it is met again,
	// before that the set-point stays.
	c = newController(t, []string{"a"}, Options{})
	accept(t, c, 20*second, one(0, at(1, 1), at(2, 4), at(3, 5)))
	for _, p := range [][2]float64{{20, 0}, {22.5, 4.5}, {21.5, 2.5}, {20.5, 0.5}, {15, 0.5}, {23, 5}} {
		if got := position(c, p[0]); got != p[1] {
			t.Errorf("clock back: %g at %g s, want %g", got, p[0], p[1])
		}
	}
}

func TestTimesBeyondMessages(t *testing.T) {
	for _, c := range []struct{ now, stamp int64 }{{math.MaxInt64, 0}, {math.MinInt64, 0}, {math.MinInt64, lastTime}} {
		ctl := newController(t, []string{"a"}, Options{})
		var s State
		accept(t, ctl, c.now, one(c.stamp, at(1, 1), at(2, 2)))
		if ctl.Update(c.now, State{Position: []float64{0.5}}, &s); s.Position[0] != 0.5 {
			t.Errorf("at %d, stamp %d: %v, want the measured 0.5", c.now, c.stamp, s.Position)
		}
	}
}

func TestHostileSequencesStayFinite(t *testing.T) {
	// Steepest moves in turns of the shortest and the longest times: each
	// start inherits what the one before left.
	c := newController(t, []string{"a"}, Options{OpenLoopControl: true})
	here := State{Position: []float64{0}}
	var s State
	now := int64(0)
	for i := range 200 {
		whole := 4 + int64(i%2)*lastTime/2
		p := at(0, limit*float64(1-i%4/2*2), limit, -limit)
		p.TimeFromStart = whole
		accept(t, c, now, one(0, p))
		c.Update(now, here, &s)
		now += whole / 4
		c.Update(now, here, &s)
		for _, v := range []float64{s.Position[0], s.Velocity[0], s.Acceleration[0]} {
			if !(math.Abs(v) < 1e100) {
				t.Fatalf("%v after %d trajectories", s, i)
			}
		}
		now %= lastTime
	}
}

func TestOrderAndPartialJoints(t *testing.T) {
	c := newController(t, two, Options{AllowPartialJointsGoal: true})
	here := State{Position: []float64{1, 2}}
	var s State
	c.Update(1, here, &s)
	accept(t, c, 2, &Trajectory{Joints: []string{"b", "a"}, Points: []Point{{Positions: []float64{20, 10}}}})
	c.Update(2, here, &s)
	if fmt.Sprint(s.Position) != "[10 20]" {
		t.Errorf("order: %v", s.Position)
	}
	// The joint that is not named stays at its set-point, not where it is.
	accept(t, c, 3, &Trajectory{Joints: []string{"b"}, Points: []Point{{Positions: []float64{30}, TimeFromStart: second}}})
	c.Update(3, here, &s)
	c.Update(3+second, here, &s)
	if fmt.Sprint(s.Position) != "[10 30]" {
		t.Errorf("partial: %v", s.Position)
	}
	// And it has no velocity, whatever came before.
	for range 2 {
		accept(t, c, 3, &Trajectory{Joints: two, Points: []Point{{Positions: []float64{10, 30}, Velocities: []float64{5, 5}}}})
		c.Update(4+second, here, &s)
	}
	accept(t, c, 3, &Trajectory{Joints: []string{"b"}, Points: []Point{{Positions: []float64{40}, Velocities: []float64{1}}}})
	if c.Update(5+second, here, &s); fmt.Sprint(s.Position, s.Velocity) != "[10 40] [0 1]" {
		t.Errorf("partial: %v", s)
	}
}

func TestReplacementIsContinuous(t *testing.T) {
	// A perfect arm: what was commanded is measured. With velocities in the
	// points and a first point ahead neither position nor velocity may jump at
	// the replacement, in open loop or not.
	const dt = second / 500
	for _, open := range []bool{false, true} {
		c := newController(t, []string{"a"}, Options{OpenLoopControl: open})
		r := rand.New(rand.NewPCG(2, 2))
		is := State{Position: []float64{0}, Velocity: []float64{0}}
		var s State
		now := second
		c.Update(now, is, &s)
		for k := range 2000 {
			if k%37 == 0 {
				tr := one(0)
				for i := range 4 {
					tr.Points = append(tr.Points, at(0.1*float64(i+1), r.NormFloat64(), r.NormFloat64()))
				}
				accept(t, c, now, tr)
			}
			p, v, a := s.Position[0], s.Velocity[0], s.Acceleration[0]
			is.Position[0], is.Velocity[0] = p, v
			now += dt
			c.Update(now, is, &s)
			most := math.Max(math.Abs(a), math.Abs(s.Acceleration[0])) + 1
			if d := math.Abs(s.Velocity[0] - v); k > 0 && k%37 == 0 && d > most*0.002 {
				t.Fatalf("open loop %v: the velocity jumps by %g at step %d", open, d, k)
			}
			if d := math.Abs(s.Position[0] - p); d > (math.Abs(v)+math.Abs(s.Velocity[0])+most*0.002)*0.002 {
				t.Fatalf("open loop %v: the position jumps by %g at step %d", open, d, k)
			}
		}
	}
}

func TestOpenAndClosedLoopStart(t *testing.T) {
	for _, c := range []struct {
		open bool
		want float64
	}{{false, 3}, {true, 6}} { // half way to 6 from the measured 0, from the set-point 6
		ctl := newController(t, []string{"a"}, Options{OpenLoopControl: c.open})
		here := State{Position: []float64{0}}
		var s State
		accept(t, ctl, 1, one(0, at(0, 6)))
		ctl.Update(1, here, &s)
		accept(t, ctl, 2, one(0, at(1, 6)))
		ctl.Update(2, here, &s)
		ctl.Update(2+second/2, here, &s)
		if s.Position[0] != c.want {
			t.Errorf("open loop %v: %g, want %g", c.open, s.Position[0], c.want)
		}
	}
}

func TestNotMeasured(t *testing.T) {
	c := newController(t, []string{"a"}, Options{})
	s := State{Position: []float64{42}}
	for _, m := range []State{{}, {Position: []float64{math.NaN()}}, {Position: []float64{math.Inf(1)}}, {Position: []float64{1, 2}}} {
		if c.Update(1, m, &s) || s.Position[0] != 42 {
			t.Fatalf("a set-point from %v", m)
		}
	}
	accept(t, c, 1, one(0, at(1, 2)))
	c.Update(1, State{Position: []float64{1}}, &s)
	if s.Position[0] != 1 {
		t.Errorf("begins at %v", s)
	}
	// The sensor dies: the motion goes on, and another one leaves from the set-point.
	c.Update(1+second/2, State{}, &s)
	accept(t, c, 1, one(0, at(1, 1)))
	c.Update(2+second/2, State{Position: []float64{math.NaN()}}, &s)
	if s.Position[0] != 1.5 {
		t.Errorf("goes on at %v, want 1.5", s)
	}
}

func TestUpdateDoesNotAllocate(t *testing.T) {
	c := newController(t, two, Options{PathTolerance: []float64{0.1, 0.1}})
	here := State{Position: []float64{0, 0}, Velocity: []float64{0, 0}}
	tr := &Trajectory{Joints: two}
	for i := range 50 {
		tr.Points = append(tr.Points, Point{Positions: []float64{0.01, 0}, Velocities: []float64{0, 0}, TimeFromStart: int64(i+1) * second})
	}
	var s State
	now := second
	c.Update(now, here, &s)
	accept(t, c, now, tr)
	if n := testing.AllocsPerRun(1000, func() {
		now += second / 20
		if c.Update(now, here, &s); now%(7*second) == 0 {
			here.Position[0] = 0.5 - here.Position[0] // violates the path now and then
		}
	}); n != 0 {
		t.Errorf("%g allocations per Update", n)
	}
}

func BenchmarkUpdate(b *testing.B) {
	joints := []string{"1", "2", "3", "4", "5", "6"}
	c := newController(b, joints, Options{})
	v := make([]float64, 6)
	accept(b, c, 1, &Trajectory{Joints: joints, Points: []Point{
		{Positions: v, Velocities: v, Accelerations: v, TimeFromStart: 1},
		{Positions: v, Velocities: v, Accelerations: v, TimeFromStart: lastTime},
	}})
	var s State
	now := int64(0)
	for b.Loop() {
		now += 2e6
		c.Update(now, State{Position: v, Velocity: v}, &s)
	}
}

func ExampleController() {
	c, err := New([]string{"elbow"}, Options{})
	if err != nil {
		panic(err)
	}
	measured := State{Position: []float64{0}, Velocity: []float64{0}}
	var desired State
	c.Update(0, measured, &desired)
	// To 1 rad within a second, at rest at both ends.
	err = c.Accept(0, &Trajectory{Joints: []string{"elbow"}, Points: []Point{
		{Positions: []float64{1}, Velocities: []float64{0}, TimeFromStart: 1e9},
	}})
	if err != nil {
		panic(err)
	}
	for now := int64(0); now <= 1.25e9; now += 0.25e9 {
		c.Update(now, measured, &desired)
		measured = desired // an arm without inertia
		fmt.Printf("%.2f s %.3f rad\n", float64(now)/1e9, desired.Position[0])
	}
	// Output:
	// 0.00 s 0.000 rad
	// 0.25 s 0.156 rad
	// 0.50 s 0.500 rad
	// 0.75 s 0.844 rad
	// 1.00 s 1.000 rad
	// 1.25 s 1.000 rad
}
