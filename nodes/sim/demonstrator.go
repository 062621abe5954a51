package sim

import (
	"math"
	"math/rand/v2"

	"arfm/nodes/demonstration"
	"arfm/nodes/sim/ur5e"
)

// move is one stretch of a demonstration: the tool centre point goes straight
// to a place, which is looked up when the move begins, and the gripper to an
// opening. A move without a place stays where it is.
type move struct {
	to    func() vec
	grip  float64 // travel of a finger, m
	least float64 // s it takes at least
	let   float64 // share of the move after which the gripper lets go, 0: never
}

// style is what tells one demonstration from another.
type style struct {
	rng    *rand.Rand
	speed  float64 // greatest speed of the tool, m/s
	shake  float64 // of an unsteady hand, m
	detour bool
	fault  fault
	which  int // the goal in which the fault happens
}

// fault is what a failing demonstrator does wrong.
type fault int

const (
	none  fault = iota
	miss        // closes, pulls or presses beside it
	drop        // lets go too early; stops short of opening or pressing
	wrong       // brings it beside the target; another object if there is one
)

func newStyle(q demonstration.Quality, e *Episode, rng *rand.Rand) *style {
	s := &style{rng: rng, speed: 0.55 + 0.1*rng.Float64()}
	switch q {
	case demonstration.Sloppy:
		s.speed, s.shake, s.detour = 0.36+0.1*rng.Float64(), 0.0025, true
	case demonstration.Failing:
		s.fault, s.which = fault(1+rng.IntN(3)), rng.IntN(len(e.goals))
	}
	return s
}

// over is where a demonstrator comes to before it goes down to a place: about a
// hand above, but nowhere exactly, so that the data show how to go down to
// something from where one happens to be.
func (s *style) over(at func(dz float64) func() vec, dz float64) func() vec {
	off := s.aside(0, 0.035)
	dz += 0.03 * (2*s.rng.Float64() - 1)
	return func() vec { p := at(dz)(); return vec{p[0] + off[0], p[1] + off[1], p[2]} }
}

// aside is a horizontal way of the given length in a random direction.
func (s *style) aside(least, most float64) vec {
	r, a := least+(most-least)*s.rng.Float64(), 2*math.Pi*s.rng.Float64()
	return vec{r * math.Cos(a), r * math.Sin(a), 0}
}

// pause is for how long the gripper is given time to close or open, s.
const pause = 0.35

// carry takes an object and brings it to a place, letting go at the given
// height above it.
func (s *style) carry(e *Episode, object int, target func() vec, height float64) []move {
	var off, beside vec
	let, hold := 0.0, gripClosed
	switch s.fault {
	case miss:
		off = s.aside(0.05, 0.07)
		off[1] *= 1.6 // past the open finger
	case drop:
		let, hold = 0.2+0.6*s.rng.Float64(), gripOpen
	case wrong:
		if other := s.otherObject(e, object); other >= 0 {
			object = other
		} else {
			beside = s.aside(0.13, 0.18)
		}
	}
	rest := e.objects[object].Rest()
	at := func(dz float64) func() vec {
		return func() vec { p := e.Arena.Object(object); return vec{p[0] + off[0], p[1] + off[1], p[2] + dz} }
	}
	// Tall things are taken above their middle, so that the fingers stay clear
	// of what the thing is put on.
	grasp := max(0, rest-0.022)
	to := func(dz float64) func() vec {
		return func() vec {
			p := target()
			return vec{p[0] + beside[0], p[1] + beside[1], p[2] + rest + grasp + dz}
		}
	}
	up := func(dz float64) func() vec {
		return func() vec { p := e.Arena.TCP(); return vec{p[0], p[1], p[2] + dz} }
	}
	return []move{
		{to: s.over(at, 0.09+grasp), grip: gripOpen}, {to: at(grasp), grip: gripOpen}, {grip: gripClosed, least: pause},
		{to: up(0.12), grip: gripClosed, let: let}, {to: s.over(to, height+0.07), grip: hold}, {to: to(height), grip: hold},
		{grip: gripOpen, least: pause}, {to: up(0.09), grip: gripOpen},
	}
}

// otherObject is an object that the task does not mean, or -1.
func (s *style) otherObject(e *Episode, object int) int {
	if len(e.objects) < 2 {
		return -1
	}
	other := s.rng.IntN(len(e.objects) - 1)
	if other >= object {
		other++
	}
	return other
}

func (g place) moves(e *Episode, s *style) []move {
	height := 0.004
	if g.at == Basket {
		height = 0.02
	}
	return s.carry(e, g.object, func() vec {
		p := e.Arena.Fixture(g.at)
		p[0] += g.beside
		return p
	}, height)
}

func (g stack) moves(e *Episode, s *style) []move {
	if s.fault == wrong { // nothing else to take: it is put beside
		s = &style{rng: s.rng, speed: s.speed, fault: miss}
	}
	return s.carry(e, g.object, func() vec {
		p := e.Arena.Object(g.on)
		p[2] += e.objects[g.on].Rest()
		return p
	}, 0.003)
}

func (open) moves(e *Episode, s *style) []move {
	var off vec
	pull := 0.125
	switch s.fault {
	case miss, wrong:
		off[1] = 0.085 * float64(1-2*s.rng.IntN(2))
	case drop:
		pull = 0.02 + 0.05*s.rng.Float64()
	}
	at := func(dz float64) func() vec {
		return func() vec { h := e.Arena.Handle(); return vec{h[0], h[1] + off[1], h[2] + dz} }
	}
	before := func(dz float64) func() vec { // from above the cabinet its roof would be in the way
		return func() vec { p := at(dz)(); return vec{p[0] - 0.035, p[1], p[2]} }
	}
	back := func(dx, dz float64) func() vec {
		return func() vec { p := e.Arena.TCP(); return vec{p[0] + dx, p[1], p[2] + dz} }
	}
	return []move{
		{to: s.over(before, 0.09), grip: gripOpen}, {to: at(0), grip: gripOpen}, {grip: gripClosed, least: pause},
		{to: back(-pull, 0), grip: gripClosed}, {grip: gripOpen, least: pause}, {to: back(0, 0.10), grip: gripOpen},
	}
}

func (press) moves(e *Episode, s *style) []move {
	var off vec
	depth := -buttonMax + 0.002
	switch s.fault {
	case miss, wrong:
		off = s.aside(0.05, 0.07)
		depth = 0.006
	case drop:
		depth = 0.006 + 0.02*s.rng.Float64()
	}
	// The fingers reach further than the tool centre point.
	tip := palmLength + fingerLength - ToolLength
	top := e.Arena.Fixture(Button)
	at := func(dz float64) func() vec {
		return func() vec { return vec{top[0] + off[0], top[1] + off[1], top[2] + tip + dz} }
	}
	return []move{{to: s.over(at, 0.07), grip: gripClosed, least: pause}, {to: at(depth), grip: gripClosed}, {to: at(0.08), grip: gripClosed}}
}

// Demonstrator does a task by following its moves, each with a minimum-jerk
// profile, with inverse kinematics in between.
type Demonstrator struct {
	e     *Episode
	s     *style
	moves []move

	q          [ur5e.Joints]float64 // the set-point of the arm
	last       [Joints]float64      // the set-point before
	at         vec                  // the tool centre point's, without the hand's shake
	grip       float64
	from, to   vec
	fromGrip   float64
	step, span int // within the first move
	hand       vec
	rested     int
}

// lingerSteps is for how long a demonstrator stays at its end, so that the data
// show how to.
const lingerSteps = 8

// NewDemonstrator returns a demonstrator of a quality (not Mixed) for the
// episode that has just begun. Nothing that can be observed tells a failing one
// from the others before it fails.
func NewDemonstrator(q demonstration.Quality, e *Episode, rng *rand.Rand) *Demonstrator {
	d := &Demonstrator{e: e, s: newStyle(q, e, rng)}
	for i, g := range e.goals {
		s := *d.s
		if s.which != i {
			s.fault = none
		}
		d.moves = append(d.moves, g.moves(e, &s)...)
	}
	if d.s.detour {
		d.wander()
	}
	j, _ := e.Arena.Joint()
	copy(d.q[:], j[:ur5e.Joints])
	d.last = j
	d.grip, d.at = gripOpen, e.Arena.TCP()
	return d
}

// wander puts a detour at the beginning, more of them between stretches of way,
// and pauses.
func (d *Demonstrator) wander() {
	rng := d.s.rng
	out := []move{d.detour(d.moves[0].grip)}
	for i, m := range d.moves {
		if m.to != nil && i > 0 {
			before := d.moves[i-1]
			if rng.Float64() < 0.3 {
				out = append(out, move{grip: before.grip, least: 0.1 + 0.4*rng.Float64()})
			}
			if before.to != nil && rng.Float64() < 0.15 {
				out = append(out, d.detour(before.grip))
			}
		}
		out = append(out, m)
	}
	d.moves = out
}

// detour is a move to somewhere about and above, within the arm's room.
func (d *Demonstrator) detour(grip float64) move {
	rng := d.s.rng
	off := vec{0.06 * rng.NormFloat64(), 0.06 * rng.NormFloat64(), 0.04 + 0.04*rng.Float64()}
	return move{grip: grip, to: func() vec {
		p := d.at
		return vec{min(max(p[0]+off[0], 0.3), 0.65), min(max(p[1]+off[1], -0.3), 0.3), min(p[2]+off[2], 0.35)}
	}}
}

// Next returns the set-point for the end of this period, its velocity (its
// change over the period), and whether there is one: false when the
// demonstrator has rested at its end long enough.
func (d *Demonstrator) Next() (q, velocity [Joints]float64, ok bool) {
	if len(d.moves) > 0 {
		d.follow(&d.moves[0])
	} else if d.rested++; d.rested > lingerSteps {
		return q, velocity, false
	}
	at := d.at
	for i := range at {
		d.hand[i] = 0.8*d.hand[i] + d.s.shake*d.s.rng.NormFloat64()
		at[i] += d.hand[i]
	}
	// Where the arm does not get, it goes as near as it can.
	d.q, _ = reach(d.q, at, d.e.tool)
	copy(q[:], d.q[:])
	q[Joints-1] = d.grip
	for j := range q {
		velocity[j] = (q[j] - d.last[j]) * RateHz
	}
	d.last = q
	return q, velocity, true
}

// follow goes one period on along the move.
func (d *Demonstrator) follow(m *move) {
	if d.step == 0 {
		d.from, d.to, d.fromGrip = d.at, d.at, d.grip
		if m.to != nil {
			d.to = m.to()
		}
		d.span = demonstration.Duration(distance(d.from, d.to), d.s.speed, RateHz, int(math.Ceil(max(m.least, 0.2)*RateHz)))
	}
	d.step++
	t := float64(d.step) / float64(d.span)
	s := demonstration.MinimumJerk(t)
	for i := range d.at {
		d.at[i] = d.from[i] + s*(d.to[i]-d.from[i])
	}
	// The gripper takes about a third of a second, whatever the move takes.
	g := demonstration.MinimumJerk(float64(d.step) / (0.3 * RateHz))
	d.grip = d.fromGrip + g*(m.grip-d.fromGrip)
	if m.let > 0 && t > m.let {
		d.grip = gripOpen * demonstration.MinimumJerk((t-m.let)*float64(d.span)/(0.3*RateHz))
	}
	if d.step == d.span {
		d.moves, d.step = d.moves[1:], 0
	}
}
