package runner

import "arfm/policy"

// curve is a chunk as a function of time: a cubic Hermite spline through its
// rows with Catmull-Rom tangents, plus an offset that starts at the seam with
// what the arm was commanded and dies out over the blend time.
type curve struct {
	dim, rows  int
	stamp      int64 // of the observation, ns; row h is for stamp + (h+1)*period
	period     int64
	generation uint64
	knots      []float64 // (rows+1, dim); knot 0 goes on backwards from the first rows to the stamp

	seam     int64     // when the offset starts, ns
	blend    float64   // how long it lasts, s
	off, der []float64 // (dim) offset and its derivative at the seam
}

// load copies a chunk that was found finite and well shaped.
func (c *curve) load(chunk *policy.ActionChunk, generation uint64) {
	c.dim, c.rows = chunk.Dim, chunk.Horizon()
	c.stamp, c.period, c.generation = chunk.Stamp, chunk.Period, generation
	need := (c.rows + 1) * c.dim
	if cap(c.knots) < need {
		c.knots = make([]float64, need)
	}
	c.knots = c.knots[:need]
	if len(c.off) < c.dim {
		c.off, c.der = make([]float64, c.dim), make([]float64, c.dim)
	}
	for i, v := range chunk.Values {
		c.knots[c.dim+i] = float64(v)
	}
	for j := range c.dim {
		// Not the measured state: a first row that is off would then be met
		// within one row, where the seam gives it the blend time.
		c.knots[j] = c.knots[c.dim+j]
		if c.rows > 1 {
			c.knots[j] = 2*c.knots[c.dim+j] - c.knots[2*c.dim+j]
		}
		c.off[j], c.der[j] = 0, 0
	}
	c.blend = 0
}

// end is the time of the last row, ns.
func (c *curve) end() int64 { return c.stamp + int64(c.rows)*c.period }

// join lays the seam at t so that the curve leaves from q with velocity v.
func (c *curve) join(t int64, q, v []float64, blend int64) {
	c.blend = 0
	for j := range c.dim {
		p, d := c.at(j, t)
		c.off[j], c.der[j] = q[j]-p, v[j]-d
	}
	c.seam, c.blend = t, float64(blend)/1e9
}

// at returns joint j's value and time derivative at t. Before the stamp and
// after the last row it stands still.
func (c *curve) at(j int, t int64) (float64, float64) {
	p, d := c.spline(j, t)
	if c.blend > 0 && t < c.seam+int64(c.blend*1e9) {
		// Quintic Hermite basis for value and slope, zero in curvature at both
		// ends and in everything at the far end.
		s := float64(t-c.seam) / 1e9 / c.blend
		s2, s3 := s*s, s*s*s
		p += c.off[j]*(1-10*s3+15*s3*s-6*s3*s2) + c.der[j]*c.blend*(s-6*s3+8*s3*s-3*s3*s2)
		d += c.off[j]/c.blend*(-30*s2+60*s3-30*s2*s2) + c.der[j]*(1-18*s2+32*s3-15*s2*s2)
	}
	return p, d
}

func (c *curve) spline(j int, t int64) (float64, float64) {
	since := t - c.stamp
	if since < 0 {
		return c.knots[j], 0
	}
	k := int(since / c.period)
	if k >= c.rows {
		last := c.knots[c.rows*c.dim+j]
		if since == int64(c.rows)*c.period {
			return last, c.tangent(j, c.rows) / (float64(c.period) / 1e9)
		}
		return last, 0
	}
	sec := float64(c.period) / 1e9
	s := float64(since-int64(k)*c.period) / float64(c.period)
	p0, p1 := c.knots[k*c.dim+j], c.knots[(k+1)*c.dim+j]
	m0, m1 := c.tangent(j, k), c.tangent(j, k+1)
	s2, s3 := s*s, s*s*s
	p := p0*(2*s3-3*s2+1) + m0*(s3-2*s2+s) + p1*(3*s2-2*s3) + m1*(s3-s2)
	d := p0*(6*s2-6*s) + m0*(3*s2-4*s+1) + p1*(6*s-6*s2) + m1*(3*s2-2*s)
	return p, d / sec
}

// tangent is the slope at knot k per row.
func (c *curve) tangent(j, k int) float64 {
	a, b := max(k-1, 0), min(k+1, c.rows)
	return (c.knots[b*c.dim+j] - c.knots[a*c.dim+j]) / float64(b-a)
}
