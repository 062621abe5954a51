package sim

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"arfm/nodes/demonstration"
	"arfm/nodes/sim/mujoco"
)

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
		{"stacked the wrong way", 2, vec{0.4, -0.14, 0.02}, vec{0.4, -0.14, 0.06}, [2]float64{0, 0.65}, false},
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

// TestBelowTheBasket: what rolled off the table and lies below the basket is not
// in it.
func TestBelowTheBasket(t *testing.T) {
	e := newEpisode(t, suite(t, "object"))
	begin(t, e, 4, 1)
	f := e.Arena.Fixture(Basket)
	e.Arena.w.QPos[e.Arena.object[4]], e.Arena.w.QPos[e.Arena.object[4]+1], e.Arena.w.QPos[e.Arena.object[4]+2] = f[0], f[1], -0.728
	e.Arena.w.Pose()
	if p := e.measure(); p > 0.7 {
		t.Errorf("progress %g of a ball on the floor", p)
	}
}

// TestProgressRises: what an expert does right does not look like a step back.
func TestProgressRises(t *testing.T) {
	for _, name := range []string{"object", "goal"} {
		s := suite(t, name)
		e := newEpisode(t, s)
		for task := range s.Tasks {
			rng := begin(t, e, task, 3)
			d := NewDemonstrator(demonstration.Expert, e, rng)
			best, drop := 0.0, 0.0
			for !e.Success() {
				set, v, ok := d.Next()
				if !ok {
					t.Fatalf("%s was not done", e.Instruction())
				}
				if _, err := e.Step(set, v); err != nil {
					t.Fatal(err)
				}
				best, drop = max(best, e.Progress()), max(drop, best-e.Progress())
			}
			if drop > 0.25 {
				t.Errorf("%s: progress fell by %.2f on the way", e.Instruction(), drop)
			}
		}
	}
}

// TestLight: a camera sees whether the button's light is on, and Begin puts it
// out.
func TestLight(t *testing.T) {
	e := newEpisode(t, suite(t, "goal"))
	begin(t, e, 4, 1)
	cam, err := e.Arena.Camera("scene", ImageSide, ImageSide)
	if errors.Is(err, mujoco.ErrRender) {
		t.Skip("this machine cannot render: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	look := func() []uint8 {
		img, err := cam.Look()
		if err != nil {
			t.Fatal(err)
		}
		return img.Pix
	}
	dark := look()
	e.Arena.Light(true)
	if lit := look(); bytes.Equal(dark, lit) {
		t.Error("the light cannot be seen")
	}
	begin(t, e, 4, 1)
	if !bytes.Equal(dark, look()) {
		t.Error("the light is still on when an episode begins")
	}
}

// TestQuaternion: any rotation comes back from its quaternion.
func TestQuaternion(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		r := turned(rng.Float64()*6-3, rng.Float64()*6-3, rng.Float64()*6-3)
		if i == 0 {
			r = turned(0, 0, math.Pi)
		}
		q := quaternion(r)
		w, x, y, z := q[0], q[1], q[2], q[3]
		back := rotation{
			1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y),
			2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x),
			2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y),
		}
		for k := range r {
			if math.Abs(r[k]-back[k]) > 1e-9 {
				t.Fatalf("%v becomes %v by way of %v", r, back, q)
			}
		}
	}
}
