package jtc

import "slices"

// point is a state of all joints, with what it says about its derivatives.
type point struct {
	pos, vel, acc []float64
	hasV, hasA    bool
}

func newPoint(n int) point {
	return point{pos: make([]float64, n), vel: make([]float64, n), acc: make([]float64, n)}
}

func (p *point) copy(from *point) {
	copy(p.pos, from.pos)
	copy(p.vel, from.vel)
	copy(p.acc, from.acc)
	p.hasV, p.hasA = from.hasV, from.hasA
}

// fill sets to 0 what is not known.
func (p *point) fill() {
	if !p.hasV {
		clear(p.vel)
	}
	if !p.hasA {
		clear(p.acc)
	}
	p.hasV, p.hasA = true, true
}

// write copies the point out.
func (p *point) write(s *State) {
	for _, f := range [...]struct {
		to   *[]float64
		from []float64
	}{{&s.Position, p.pos}, {&s.Velocity, p.vel}, {&s.Acceleration, p.acc}} {
		if len(*f.to) != len(f.from) {
			*f.to = make([]float64, len(f.from))
		}
		copy(*f.to, f.from)
	}
}

// plan is a trajectory in the controller's order of joints. Its memory is used
// again for the next one.
type plan struct {
	dim              int
	stamp            int64
	times            []int64   // (n) from the start, ns
	pos, vel, acc    []float64 // (n, dim)
	hasP, hasV, hasA []bool    // (n)
	missing          []int     // joints that the trajectory does not name
}

func newPlan(dim int) *plan {
	p := &plan{dim: dim, missing: make([]int, 0, dim)}
	p.grow(0)
	return p
}

func (p *plan) reset() {
	p.times, p.pos, p.vel, p.acc = p.times[:0], p.pos[:0], p.vel[:0], p.acc[:0]
	p.hasP, p.hasV, p.hasA, p.missing = p.hasP[:0], p.hasV[:0], p.hasA[:0], p.missing[:0]
}

// grow appends a point that says nothing yet.
func (p *plan) grow(at int64) {
	p.times = append(p.times, at)
	for _, v := range [...]*[]float64{&p.pos, &p.vel, &p.acc} {
		old := len(*v)
		*v = slices.Grow(*v, p.dim)[:old+p.dim]
		clear((*v)[old:])
	}
	p.hasP, p.hasV, p.hasA = append(p.hasP, false), append(p.hasV, false), append(p.hasA, false)
}

// at views point i.
func (p *plan) at(i int) point {
	a, b := i*p.dim, (i+1)*p.dim
	return point{pos: p.pos[a:b], vel: p.vel[a:b], acc: p.acc[a:b], hasV: p.hasV[i], hasA: p.hasA[i]}
}

// load takes a trajectory that was found valid; order[k] is the controller's
// number of the trajectory's joint k.
func (p *plan) load(tr *Trajectory, order []int) {
	p.reset()
	p.stamp = tr.Stamp
	for i, from := range tr.Points {
		p.grow(from.TimeFromStart)
		p.hasP[i], p.hasV[i], p.hasA[i] = len(from.Positions) > 0, len(from.Velocities) > 0, len(from.Accelerations) > 0
		to := p.at(i)
		scatter(to.pos, from.Positions, order)
		scatter(to.vel, from.Velocities, order)
		scatter(to.acc, from.Accelerations, order)
	}
	for j := range p.dim {
		if !slices.Contains(order, j) {
			p.missing = append(p.missing, j)
		}
	}
}

func scatter(to, from []float64, order []int) {
	for k, v := range from {
		to[order[k]] = v
	}
}

// complete leaves the joints that the trajectory does not name at command.
func (p *plan) complete(command []float64) {
	for i := range p.times {
		for _, j := range p.missing {
			p.pos[i*p.dim+j] = command[j]
		}
	}
}

// integrate gives positions to points that have none, from the state before
// the first point; untilStart is the time from there to the start, ns.
// Velocities are those given or, where there are none, integrated too. Between
// two points the mean of both ends counts. The original does this when it
// comes to a segment, and so cannot start in the middle of one, nor with a
// first point that is due already.
func (p *plan) integrate(before *point, untilStart int64) {
	a, t := before, -untilStart
	var last point
	for i := range p.times {
		if b := p.at(i); !p.hasP[i] {
			dt := max(float64(p.times[i]-t)/1e9, 0)
			if !a.hasV {
				clear(a.vel)
				a.hasV = true
			}
			if !b.hasV {
				if !a.hasA {
					clear(a.acc)
					a.hasA = true
				}
				for j := range b.vel {
					b.vel[j] = a.vel[j] + (a.acc[j]+b.acc[j])*0.5*dt
				}
				p.hasV[i] = true
			}
			for j := range b.pos {
				b.pos[j] = a.pos[j] + (a.vel[j]+b.vel[j])*0.5*dt
			}
			p.hasP[i] = true
			if i > 0 { // a is a view: what it says now must be kept
				p.hasV[i-1], p.hasA[i-1] = a.hasV, a.hasA
			}
		}
		last = p.at(i)
		a, t = &last, p.times[i]
	}
}

// sample writes what the trajectory says at now into wanted. moving is false
// from the last point on; late is the time since the point before now was due,
// negative before the first one, ns.
func (c *Controller) sample(now int64) (moving bool, late int64) {
	p, w := c.current, &c.wanted
	t := now - c.start
	if t < p.times[0] {
		b := p.at(0)
		between(w, &c.before, &b, float64(now-c.since)/1e9, float64(c.start+p.times[0]-c.since)/1e9)
		return true, t - p.times[0]
	}
	if t < p.times[c.segment] {
		c.segment = 0 // the clock went back
	}
	last := len(p.times) - 1
	for c.segment < last && t >= p.times[c.segment+1] {
		c.segment++
	}
	a := p.at(c.segment)
	late = t - p.times[c.segment]
	if c.segment == last {
		w.copy(&a) // what it does not say is 0
		return false, late
	}
	b := p.at(c.segment + 1)
	between(w, &a, &b, float64(late)/1e9, float64(p.times[c.segment+1]-p.times[c.segment])/1e9)
	return true, late
}

// between writes into w the motion from a to b, which takes whole seconds,
// after t seconds: quintic if both ends carry velocities and accelerations,
// cubic if both carry velocities, else linear. (With accelerations alone the
// original commands position 0; here that is linear.)
func between(w, a, b *point, t, whole float64) {
	w.hasV, w.hasA = true, true
	s := t / whole
	s2, s3 := s*s, s*s*s
	cubic, quintic := a.hasV && b.hasV, a.hasV && b.hasV && a.hasA && b.hasA
	for j := range w.pos {
		p0, d := a.pos[j], b.pos[j]-a.pos[j]
		switch {
		case quintic:
			// In s the ends' slopes are v*whole and their curvatures
			// acc*whole^2; h and k are half the latter.
			v0, v1 := a.vel[j]*whole, b.vel[j]*whole
			h, k := a.acc[j]*whole*whole/2, b.acc[j]*whole*whole/2
			c3 := 10*d - 6*v0 - 4*v1 - 3*h + k
			c4 := -15*d + 8*v0 + 7*v1 + 3*h - 2*k
			c5 := 6*d - 3*v0 - 3*v1 - h + k
			w.pos[j] = p0 + s*v0 + s2*h + s3*(c3+s*c4+s2*c5)
			w.vel[j] = (v0 + 2*s*h + s2*(3*c3+4*s*c4+5*s2*c5)) / whole
			w.acc[j] = (2*h + s*(6*c3+12*s*c4+20*s2*c5)) / whole / whole
		case cubic:
			v0, v1 := a.vel[j]*whole, b.vel[j]*whole
			c2, c3 := 3*d-2*v0-v1, v0+v1-2*d
			w.pos[j] = p0 + s*v0 + s2*c2 + s3*c3
			w.vel[j] = (v0 + 2*s*c2 + 3*s2*c3) / whole
			w.acc[j] = (2*c2 + 6*s*c3) / whole / whole
		default:
			w.pos[j], w.vel[j], w.acc[j] = p0+s*d, d/whole, 0
		}
	}
}
