//go:build ros

package driver

import (
	"sort"

	"arfm/nodes/runner"
)

// plan is a copy of what the runner means to do from now on.
type plan struct {
	first      bool // nothing that was sent before is in force
	forget     bool // no plan: what was sent before is not in force any more
	generation uint64
	stamp      int64 // when it starts, ns
	rows       int64 // time of the chunk's last row, ns; points after it brake
	points
}

// points is a trajectory: times (N) are absolute, ns, the rest is (N, A).
type points struct {
	times    []int64
	pos, vel []float64
}

func (p *points) reset() { p.times, p.pos, p.vel = p.times[:0], p.pos[:0], p.vel[:0] }

func (p *points) add(t int64, pos, vel []float64) {
	p.times = append(p.times, t)
	p.pos = append(p.pos, pos...)
	p.vel = append(p.vel, vel...)
}

// load copies a command's plan. horizon is the chunk's length in time, ns.
func (p *plan) load(cmd *runner.Command, horizon int64) {
	t := cmd.Trajectory
	p.generation, p.stamp, p.forget = cmd.Generation, t.Stamp, false
	p.rows = cmd.ChunkStamp + horizon
	p.reset()
	p.times = append(p.times, t.Times...)
	p.pos = append(p.pos, t.Positions...)
	p.vel = append(p.vel, t.Velocities...)
}

// seam makes what is sent go on from what was sent before, as controllers
// interpolate: with cubics between points.
type seam struct {
	dim              int
	nonzeroEnd       bool  // leave out the braking behind a chunk's last row
	lead             int64 // ns that the trajectory before goes on for
	inForce          bool
	sent, next, full points
	q, v, eq, ev     []float64 // scratch (A)
}

// newSeam has trajectories go on as the one before for lead, ns, so that one
// which is on its way for that long does not come with a step of the velocity.
func newSeam(dim int, nonzeroEnd bool, lead int64) *seam {
	s := &seam{dim: dim, nonzeroEnd: nonzeroEnd, lead: lead}
	for _, x := range []*[]float64{&s.q, &s.v, &s.eq, &s.ev} {
		*x = make([]float64, dim)
	}
	return s
}

// lay returns the points to send at time now for p, valid until the next call;
// nil where all of them have passed (braking never has). A trajectory that takes the place of
// another starts at now, where that one is then, and comes to the plan smoothly;
// else it starts with the first point to come, and the controller leads there
// from where the arm is.
func (s *seam) lay(p *plan, now int64) *points {
	n := len(p.times)
	if n == 0 || len(p.pos) != n*s.dim || len(p.vel) != n*s.dim || p.times[n-1] <= now && (p.generation != 0 || !s.inForce) {
		return nil
	}
	// A trajectory that begins after now is of a time before the clock was set back.
	replaces := s.inForce && !p.first && s.sent.times[0] <= now
	s.complete(p, replaces)
	now = max(now, p.stamp)
	out, row, blend := &s.next, p.times[0]-p.stamp, int64(0)
	out.reset()
	if replaces {
		s.keep(now)
		now += s.lead
		s.full.at(now, s.dim, s.eq, s.ev)
		for j := range s.dim {
			s.eq[j], s.ev[j] = s.q[j]-s.eq[j], s.v[j]-s.ev[j]
		}
		blend = 2*row + 2*(now-p.stamp)
	}
	last, kept := p.times[n-1], len(out.times)
	for k := range n {
		t := p.times[k]
		if t <= now+row/4 && (k < n-1 || replaces) || s.nonzeroEnd && p.generation != 0 && t > p.rows && len(out.times) > kept {
			continue
		}
		s.blended(k+1, t-now, blend)
		out.add(t, s.q, s.v)
	}
	if end := out.times; replaces && (end[len(end)-1] == now || end[len(end)-1] == last) { // not cut off
		for t := max(last, now) + row; t-now < blend+row && blend > last-now; t += row {
			s.blended(n, t-now, blend)
			out.add(t, s.q, s.v)
		}
	}
	s.inForce = true
	s.sent.reset()
	if !replaces { // as the controller does it
		clear(s.v)
		s.sent.add(min(now, out.times[0]-1), s.full.pos[:s.dim], s.v)
	}
	s.sent.times = append(s.sent.times, out.times...)
	s.sent.pos = append(s.sent.pos, out.pos...)
	s.sent.vel = append(s.sent.vel, out.vel...)
	return out
}

// keep takes over the trajectory before from now to now + lead, where q and v are
// left.
func (s *seam) keep(now int64) {
	end := now + s.lead
	s.sent.at(now, s.dim, s.q, s.v)
	s.next.add(now, s.q, s.v)
	for k, t := range s.sent.times {
		if t > now && t < end {
			s.next.add(t, s.sent.pos[k*s.dim:(k+1)*s.dim], s.sent.vel[k*s.dim:(k+1)*s.dim])
		}
	}
	if s.lead > 0 {
		s.sent.at(end, s.dim, s.q, s.v)
		s.next.add(end, s.q, s.v)
	}
}

// complete fills full with the plan as a curve from its start on. The runner's
// velocities are the way of the last tick; a curve needs those at the points.
func (s *seam) complete(p *plan, replaces bool) {
	f, n := &s.full, len(p.times)
	f.reset()
	clear(s.v)
	if replaces {
		s.sent.at(p.stamp, s.dim, s.q, s.v)
	}
	for j := range s.dim {
		s.q[j] = p.pos[j] - p.vel[j]*float64(p.times[0]-p.stamp)*1e-9
	}
	f.add(p.stamp, s.q, s.v)
	f.times = append(f.times, p.times...)
	f.pos = append(f.pos, p.pos...)
	f.vel = append(f.vel, p.vel...)
	for k := 1; k < n; k++ {
		sec := float64(f.times[k+1]-f.times[k-1]) * 1e-9
		for j := range s.dim {
			f.vel[k*s.dim+j] = (f.pos[(k+1)*s.dim+j] - f.pos[(k-1)*s.dim+j]) / sec
		}
	}
}

// blended puts point k of full into q and v, with what is left of the difference
// to the trajectory before, t after the seam.
func (s *seam) blended(k int, t, blend int64) {
	copy(s.q, s.full.pos[k*s.dim:(k+1)*s.dim])
	copy(s.v, s.full.vel[k*s.dim:(k+1)*s.dim])
	if t >= blend {
		return
	}
	x, sec := float64(t)/float64(blend), float64(blend)*1e-9
	x2, x3 := x*x, x*x*x
	for j := range s.dim { // quintic: at the far end all derivatives up to the second are zero
		s.q[j] += s.eq[j]*(1-10*x3+15*x2*x2-6*x3*x2) + s.ev[j]*sec*(x-6*x3+8*x2*x2-3*x3*x2)
		s.v[j] += s.eq[j]/sec*(-30*x2+60*x3-30*x2*x2) + s.ev[j]*(1-18*x2+32*x3-15*x2*x2)
	}
}

// at puts position and velocity at time t into q and v (A): a cubic between the
// points, standing still before the first and after the last.
func (p *points) at(t int64, dim int, q, v []float64) {
	n := len(p.times)
	i := sort.Search(n, func(i int) bool { return p.times[i] > t }) // first point after t
	switch {
	case i == 0 || i == n:
		k := max(i-1, 0)
		copy(q, p.pos[k*dim:(k+1)*dim])
		clear(v)
		return
	}
	sec := float64(p.times[i]-p.times[i-1]) * 1e-9
	x := float64(t-p.times[i-1]) * 1e-9 / sec
	for j := range dim {
		p0, p1 := p.pos[(i-1)*dim+j], p.pos[i*dim+j]
		m0, m1 := p.vel[(i-1)*dim+j]*sec, p.vel[i*dim+j]*sec
		x2, x3 := x*x, x*x*x
		q[j] = p0*(2*x3-3*x2+1) + m0*(x3-2*x2+x) + p1*(3*x2-2*x3) + m1*(x3-x2)
		v[j] = (p0*(6*x2-6*x) + m0*(3*x2-4*x+1) + p1*(6*x-6*x2) + m1*(3*x2-2*x)) / sec
	}
}
