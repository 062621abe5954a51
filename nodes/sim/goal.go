package sim

import "math"

// goal is one thing that a task wants brought about.
type goal interface {
	// done reports whether it is so now.
	done(e *Episode) bool
	// progress tells how near it is, 0..1; it is 1 only when done.
	progress(e *Episode) float64
	// moves is how a demonstrator brings it about.
	moves(e *Episode, s *style) []move
}

// nearness falls from 1 at distance 0 towards 0, by half in about half a scale.
func nearness(distance, scale float64) float64 { return 1 - math.Tanh(distance/scale) }

// share is x/whole, within 0..1.
func share(x, whole float64) float64 { return min(max(x/whole, 0), 1) }

func flat(a, b vec) float64 { return math.Hypot(a[0]-b[0], a[1]-b[1]) }

// carried is the part that every goal shares in which an object is brought
// somewhere: taking it, lifting it, carrying it to the target. Over the target
// it counts as lifted still while it is let down.
func carried(e *Episode, object int, target vec) float64 {
	p := e.Arena.Object(object)
	up := max(share(p[2]-e.objects[object].Rest()-tableTop, 0.04), share(0.08-flat(p, target), 0.05))
	return 0.3*nearness(distance(p, e.Arena.TCP()), 0.12) + up*(0.2+0.4*nearness(flat(p, target), 0.15))
}

// released reports whether the gripper has let go of an object.
func released(e *Episode, object int) bool {
	q, _ := e.Arena.Joint()
	return q[Joints-1] > 0.03 || distance(e.Arena.Object(object), e.Arena.TCP()) > 0.06
}

// place puts an object into or onto a fixture; the demonstrator aims beside its
// middle, m, where two objects have to fit.
type place struct {
	object int
	at     Fixture
	beside float64
}

func (g place) done(e *Episode) bool {
	p, f := e.Arena.Object(g.object), e.Arena.Fixture(g.at)
	x, y, z := math.Abs(p[0]-f[0]), math.Abs(p[1]-f[1]), math.Abs(p[2]-f[2]-e.objects[g.object].Rest())
	var there bool
	switch g.at {
	case Basket:
		there = max(x, y) < basketInner-0.008 && z < 0.02
	case Plate:
		there = math.Hypot(x, y) < plateRadius-0.008 && z < 0.01
	case Drawer:
		there = x < drawerDepth/2-0.012 && y < drawerHalf-0.012 && z < 0.02
	}
	return there && released(e, g.object) && e.Arena.ObjectSpeed(g.object) < 0.1
}

func (g place) progress(e *Episode) float64 {
	if g.done(e) {
		return 1
	}
	return carried(e, g.object, e.Arena.Fixture(g.at))
}

// stack puts an object on another one.
type stack struct{ object, on int }

func (g stack) done(e *Episode) bool {
	p, b := e.Arena.Object(g.object), e.Arena.Object(g.on)
	z := p[2] - b[2] - e.objects[g.object].Rest() - e.objects[g.on].Rest()
	return flat(p, b) < 0.018 && math.Abs(z) < 0.006 && released(e, g.object) && e.Arena.ObjectSpeed(g.object) < 0.05
}

func (g stack) progress(e *Episode) float64 {
	if g.done(e) {
		return 1
	}
	return carried(e, g.object, e.Arena.Object(g.on))
}

// open pulls the drawer out.
type open struct{}

const opened = 0.10 // how far open counts as open, m

func (open) done(e *Episode) bool { return e.Arena.DrawerOpening() > opened }

func (g open) progress(e *Episode) float64 {
	if g.done(e) {
		return 1
	}
	return 0.4*nearness(distance(e.Arena.TCP(), e.Arena.Handle()), 0.12) + 0.55*share(e.Arena.DrawerOpening(), opened)
}

// press pushes the button down far enough for its light to go on; it stays on.
type press struct{}

const pressed = 0.008 // m

func (press) done(e *Episode) bool { return e.lit }

func (g press) progress(e *Episode) float64 {
	if g.done(e) {
		return 1
	}
	return 0.7*nearness(distance(e.Arena.TCP(), e.Arena.Fixture(Button)), 0.12) + 0.25*share(e.Arena.ButtonPressed(), pressed)
}
