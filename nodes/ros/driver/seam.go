//go:build ros

package driver

import (
	"sort"

	"arfm/nodes/runner"
)

// plan is a copy of what the runner means to do from now on.
type plan struct {
	first      bool  // nothing that was sent before is in force
	forget     bool  // no plan: what was sent before is not in force any more
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
	dim        int
	nonzeroEnd bool // leave out the braking behind a chunk's last row
	inForce    bool
	sent, next points
	q, v       []float64 // scratch (A)
}

func newSeam(dim int, nonzeroEnd bool) *seam {
	return &seam{dim: dim, nonzeroEnd: nonzeroEnd, q: make([]float64, dim), v: make([]float64, dim)}
}

// lay returns the points to send at time now for p, valid until the next call;
// nil where all of them have passed. A trajectory that takes the place of
// another starts at now, where that one is then; else it starts with the first
// point to come, and the controller leads there from where the arm is.
func (s *seam) lay(p *plan, now int64) *points {
	n := len(p.times)
	if n == 0 || len(p.pos) != n*s.dim || len(p.vel) != n*s.dim {
		return nil
	}
	out := &s.next
	out.reset()
	start := p.times[0] - p.stamp
	soon := now
	replaces := s.inForce && !p.first
	if replaces {
		s.sent.at(now, s.dim, s.q, s.v)
		out.add(now, s.q, s.v)
		soon += start / 2 // a point just ahead would be reached in a jerk
	}
	for k := range n {
		t := p.times[k]
		if t <= soon && (k < n-1 || t <= now) || s.nonzeroEnd && p.generation != 0 && t > p.rows && k > 0 {
			continue
		}
		s.point(p, k)
		out.add(t, s.q, s.v)
	}
	if len(out.times) == 0 || replaces && len(out.times) == 1 {
		return nil
	}
	s.inForce = true
	s.sent.reset()
	if !replaces { // as the controller does it
		for j := range s.dim {
			s.q[j], s.v[j] = p.pos[j]-p.vel[j]*float64(start)*1e-9, 0
		}
		s.sent.add(min(now, out.times[0]-1), s.q, s.v)
	}
	s.sent.times = append(s.sent.times, out.times...)
	s.sent.pos = append(s.sent.pos, out.pos...)
	s.sent.vel = append(s.sent.vel, out.vel...)
	return out
}

// point puts point k of the plan into q and v. The runner's velocities are the
// way of the last tick; a curve through the points needs those at the points.
func (s *seam) point(p *plan, k int) {
	copy(s.q, p.pos[k*s.dim:(k+1)*s.dim])
	copy(s.v, p.vel[k*s.dim:(k+1)*s.dim])
	if k == len(p.times)-1 {
		return
	}
	for j := range s.dim {
		before, since := p.pos[j]-p.vel[j]*float64(p.times[0]-p.stamp)*1e-9, p.stamp
		if k > 0 {
			before, since = p.pos[(k-1)*s.dim+j], p.times[k-1]
		}
		s.v[j] = (p.pos[(k+1)*s.dim+j] - before) / (float64(p.times[k+1]-since) * 1e-9)
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
