package runner

import "math"

// envelope turns any reference into set-points that stay inside the limits at
// the control period dt. In discrete time v' = (q'-q)/dt and a' = (v'-v)/dt;
// the three limits hold for exactly these differences.
//
// The limits are taken a hair tighter than asked, so that rounding cannot
// carry a difference over them.
type envelope struct {
	rate         bool // columns are rates: no positions to guard
	dt           float64
	lower, upper []float64
	vmax, step   []float64 // step = acceleration * dt: the change of velocity allowed per tick
}

const hair = 1e-6

func newEnvelope(l Limits, rate bool, dt float64) *envelope {
	n := len(l.Names)
	e := &envelope{rate: rate, dt: dt, lower: make([]float64, n), upper: make([]float64, n), vmax: make([]float64, n), step: make([]float64, n)}
	for j := range n {
		e.lower[j], e.upper[j] = l.Lower[j], l.Upper[j]
		if !math.IsInf(l.Lower[j], 0) {
			e.lower[j] += 1e-9 * (1 + math.Abs(l.Lower[j]))
		}
		if !math.IsInf(l.Upper[j], 0) {
			e.upper[j] -= 1e-9 * (1 + math.Abs(l.Upper[j]))
		}
		e.vmax[j] = l.Velocity[j] * (1 - hair)
		e.step[j] = l.Acceleration[j] * (1 - hair) * dt
	}
	return e
}

// brakeSpeed is the highest speed from which, losing step per tick, a joint
// still comes to rest within room. With n whole ticks of braking the way is
// dt*((n+1)v - step*n(n+1)/2), for v in [n*step, (n+1)*step].
func (e *envelope) brakeSpeed(room, step float64) float64 {
	if room <= 0 {
		return 0
	}
	if math.IsInf(room, 1) {
		return room
	}
	if math.IsInf(step, 1) {
		return room / e.dt
	}
	n := math.Floor((math.Sqrt(1+8*room/(step*e.dt)) - 1) / 2)
	return (room/e.dt + step*n*(n+1)/2) / (n + 1)
}

// deviation says which limits bent one joint's set-point, and by what.
type deviation struct {
	position, velocity, acceleration bool
	value, limit                     [3]float64 // asked and allowed, by position, velocity, acceleration
}

// track moves joint j, at q with velocity v, one tick towards the reference
// that goes from r0 (now) to r1 (a tick later). scale in (0,1] lowers the
// velocity limit while ramping in.
func (e *envelope) track(j int, q, v, r0, r1, scale float64, d *deviation) (float64, float64) {
	*d = deviation{}
	if e.rate {
		return e.trackRate(j, q, r1, scale, d)
	}
	if limit, out := e.outside(j, q); out {
		d.position, d.value[0], d.limit[0] = true, q, limit
	}
	if c := clamp(r1, e.lower[j], e.upper[j]); c != r1 {
		if math.Abs(c-r1) > hair*(1+math.Abs(c)) { // not where a float32 row lies on the limit
			d.position, d.value[0], d.limit[0] = true, r1, c
		}
		r0, r1 = clamp(r0, e.lower[j], e.upper[j]), c
	}
	step, vmax := e.step[j], e.vmax[j]*scale
	asked := (r1 - q) / e.dt
	// Seen from the moving reference the joint is at x and must come to rest at
	// 0 with what is left of its acceleration; without this it would overshoot.
	x := q - r0
	want := asked
	if near := e.brakeSpeed(math.Abs(x), step); math.Abs(x) > near*e.dt {
		want = (r1-r0)/e.dt - math.Copysign(near, x)
	}
	if c := clamp(want, -vmax, vmax); c != want {
		if math.Abs(want) > e.vmax[j]*(1+2*hair) {
			d.velocity, d.value[1], d.limit[1] = true, want, math.Copysign(e.vmax[j], want)
		}
		want = c
	}
	if c := clamp(want, v-step, v+step); c != want {
		if math.Abs(want-v) > step*(1+2*hair) {
			d.acceleration, d.value[2], d.limit[2] = true, (want-v)/e.dt, math.Copysign(step/e.dt, want-v)
		}
		want = c
	}
	want = e.guard(j, q, want, d)
	return q + want*e.dt, want
}

// outside says whether q lies beyond a position limit, and which; not where a
// float32 measurement lies on it. NaN is not outside.
func (e *envelope) outside(j int, q float64) (limit float64, out bool) {
	limit = clamp(q, e.lower[j], e.upper[j])
	return limit, math.Abs(q-limit) > hair*(1+math.Abs(limit))
}

// guard keeps enough room to brake before the position limits. Given that the
// last tick kept it too, it never asks for more than step. Beyond a limit, where
// an arm may start from rest, it allows the way back only.
func (e *envelope) guard(j int, q, want float64, d *deviation) float64 {
	up, down := e.brakeSpeed(e.upper[j]-q, e.step[j]), -e.brakeSpeed(q-e.lower[j], e.step[j])
	c := clamp(want, down, up)
	if math.Abs(c-want) > hair*(1+math.Abs(c)) && !d.position {
		d.position, d.value[0], d.limit[0] = true, q+want*e.dt, e.upper[j]
		if want < 0 {
			d.limit[0] = e.lower[j]
		}
	}
	return c
}

// trackRate is track for rates: q is the rate itself.
func (e *envelope) trackRate(j int, q, r1, scale float64, d *deviation) (float64, float64) {
	vmax, step := e.vmax[j]*scale, e.step[j]
	want := clamp(r1, -vmax, vmax)
	if math.Abs(r1) > e.vmax[j]*(1+2*hair) {
		d.velocity, d.value[1], d.limit[1] = true, r1, math.Copysign(e.vmax[j], r1)
	}
	if c := clamp(want, q-step, q+step); c != want {
		if math.Abs(want-q) > step*(1+2*hair) {
			d.acceleration, d.value[2], d.limit[2] = true, (want-q)/e.dt, math.Copysign(step/e.dt, want-q)
		}
		want = c
	}
	return want, (want - q) / e.dt
}

// brake takes joint j one tick nearer to rest: zero velocity, or a zero rate.
func (e *envelope) brake(j int, q, v float64) (float64, float64) {
	if e.rate {
		next := clamp(0, q-e.step[j], q+e.step[j])
		return next, (next - q) / e.dt
	}
	var d deviation
	next := e.guard(j, q, clamp(0, v-e.step[j], v+e.step[j]), &d)
	return q + next*e.dt, next
}

// still says whether joint j is at rest.
func (e *envelope) still(q, v float64) bool {
	if e.rate {
		return q == 0
	}
	return v == 0
}

func clamp(x, lo, hi float64) float64 { return math.Max(lo, math.Min(hi, x)) }
