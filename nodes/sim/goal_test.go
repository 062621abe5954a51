package sim

import "testing"

// TestPlaced looks at what counts as put somewhere: objects are set down by
// hand, the arm at home with an open gripper.
func TestPlaced(t *testing.T) {
	basket, plate := vec{0.54, -0.24, 0}, vec{0.54, 0.03, 0}
	elsewhere := vec{0.39, -0.14, 0.02}
	for _, c := range []struct {
		name     string
		task     int // of the suite goal
		red      vec
		blue     vec
		progress [2]float64
		done     bool
	}{
		{"on the plate", 0, vec{plate[0], plate[1], plateHeight + 0.02}, elsewhere, [2]float64{1, 1}, true},
		{"near the plate's edge", 0, vec{plate[0] + 0.045, plate[1], plateHeight + 0.02}, elsewhere, [2]float64{1, 1}, true},
		{"beside the plate", 0, vec{plate[0] - 0.09, plate[1], 0.02}, elsewhere, [2]float64{0, 0.3}, false},
		{"over the plate's edge", 0, vec{plate[0] - 0.058, plate[1], plateHeight + 0.02}, elsewhere, [2]float64{0, 0.8}, false},
		{"the other one on the plate", 0, elsewhere, vec{plate[0], plate[1], plateHeight + 0.02}, [2]float64{0, 0.3}, false},
		{"in the basket", 1, elsewhere, vec{basket[0], basket[1], 0.024}, [2]float64{1, 1}, true},
		{"in the basket's corner", 1, elsewhere, vec{basket[0] + 0.035, basket[1] - 0.035, 0.024}, [2]float64{1, 1}, true},
		{"before the basket", 1, elsewhere, vec{basket[0] - 0.12, basket[1], 0.02}, [2]float64{0, 0.3}, false},
		{"the other one in the basket", 1, vec{basket[0], basket[1], 0.024}, elsewhere, [2]float64{0, 0.3}, false},
		{"stacked", 2, vec{0.4, -0.14, 0.06}, vec{0.4, -0.14, 0.02}, [2]float64{1, 1}, true},
		{"stacked the wrong way", 2, vec{0.4, -0.14, 0.02}, vec{0.4, -0.14, 0.06}, [2]float64{0, 0.6}, false},
		{"side by side", 2, vec{0.4, -0.09, 0.02}, vec{0.4, -0.14, 0.02}, [2]float64{0, 0.4}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEpisode(t, suite(t, "goal"))
			begin(t, e, c.task, 1)
			if err := e.Arena.Reset(Home(), e.fixtureAt, []vec{c.red, c.blue}); err != nil {
				t.Fatal(err)
			}
			if g := e.goals[0]; g.done(e) != c.done {
				t.Errorf("done %v; red %v, blue %v", g.done(e), e.Arena.Object(0), e.Arena.Object(1))
			}
			if p := e.measure(); p < c.progress[0] || p > c.progress[1] {
				t.Errorf("progress %g, want %v", p, c.progress)
			}
		})
	}
}

// TestHeld: what the gripper still holds is not put down, nor what moves.
func TestHeld(t *testing.T) {
	e := newEpisode(t, suite(t, "goal"))
	begin(t, e, 0, 1)
	at := vec{0.54, 0.03, plateHeight + 0.02}
	q := above(t, Home(), at, 0.019)
	if err := e.Arena.Reset(q, e.fixtureAt, []vec{at, {0.39, -0.14, 0.02}}); err != nil {
		t.Fatal(err)
	}
	if e.goals[0].done(e) {
		t.Error("a cube in the gripper counts as put down")
	}
	h := &hand{t: t, a: e.Arena, q: q, at: at, grip: 0.019}
	h.grasp(gripOpen)
	if !e.goals[0].done(e) {
		t.Error("a cube that the gripper let go of does not count as put down")
	}
	e.Arena.w.QVel[e.Arena.objectVel[0]] = 0.3
	if e.goals[0].done(e) {
		t.Error("a cube that slides counts as put down")
	}
}

// TestDrawer: the drawer counts as open from some centimetres on, and a cube in
// it as in it whether or not it stands in the middle.
func TestDrawer(t *testing.T) {
	e := newEpisode(t, suite(t, "long"))
	begin(t, e, 2, 1)
	pull := func(opening float64) {
		t.Helper()
		if err := e.Arena.Reset(Home(), e.fixtureAt, []vec{{0.39, -0.02, 0.02}, {0.39, -0.14, 0.02}}); err != nil {
			t.Fatal(err)
		}
		e.Arena.w.QPos[e.Arena.drawer] = opening
		e.Arena.w.Forward()
	}
	last := -1.0
	for _, opening := range []float64{0, 0.03, 0.06, 0.099, 0.101, 0.13} {
		pull(opening)
		if got := e.goals[0].done(e); got != (opening > opened) {
			t.Errorf("open by %g m: done %v", opening, got)
		}
		p := e.goals[0].progress(e)
		if p < last {
			t.Errorf("progress falls to %g as the drawer opens by %g m", p, opening)
		}
		last = p
	}
	for _, c := range []struct {
		dx   float64
		done bool
	}{{0, true}, {0.04, true}, {-0.12, false}} {
		pull(0.12)
		p := e.Arena.Fixture(Drawer)
		copy(e.Arena.w.QPos[e.Arena.object[0]:], []float64{p[0] + c.dx, p[1], p[2] + 0.022})
		if err := e.Arena.Advance(8 * Period); err != nil {
			t.Fatal(err)
		}
		if got := e.goals[1].done(e); got != c.done {
			t.Errorf("%g m off the drawer's middle: done %v, it is at %v, the drawer at %v", c.dx, got, e.Arena.Object(0), e.Arena.Fixture(Drawer))
		}
	}
}

// TestButton: the light goes on when the button is pressed down, not when it is
// touched, and stays on.
func TestButton(t *testing.T) {
	e := newEpisode(t, suite(t, "goal"))
	begin(t, e, 4, 1)
	tip := palmLength + fingerLength - ToolLength
	top := vec{e.fixtureAt[Button][0], e.fixtureAt[Button][1], buttonTop + tip}
	over := vec{top[0], top[1], top[2] + 0.06}
	q := above(t, Home(), over, 0)
	if err := e.Arena.Reset(q, e.fixtureAt, []vec{{0.39, -0.02, 0.02}, {0.39, -0.14, 0.02}}); err != nil {
		t.Fatal(err)
	}
	press := func(depth float64) bool {
		h := &hand{t: t, a: e.Arena, q: q, at: over}
		for _, p := range []vec{{top[0], top[1], top[2] - depth}, over} {
			for range RateHz {
				set := above(t, h.q, p, 0)
				if _, err := e.Step(set, [Joints]float64{}); err != nil {
					t.Fatal(err)
				}
				h.q = set
			}
		}
		return e.goals[0].done(e)
	}
	if press(0.004) {
		t.Errorf("a touch of 4 mm lights it")
	}
	if !press(0.011) {
		t.Errorf("pressing does not light it")
	}
	if p := e.Arena.ButtonPressed(); p > 0.003 || e.fixtureStates()[1] != 1 {
		t.Errorf("let go, it is pressed by %g m; the light is %g", p, e.fixtureStates()[1])
	}
}
