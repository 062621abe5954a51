package runner

import "math"

func (r *Runner) tick(now int64) {
	if now < 0 || now > math.MaxInt64/2 || r.ticked && now == r.lastTick {
		return
	}
	if r.ticked && now < r.lastTick {
		// Time was set back (a bag that starts again, /clock): chunks and stamps
		// of the time before mean nothing now.
		r.forget()
		r.observed, r.ramping = false, false
		for i := range r.reported {
			r.reported[i] = math.MinInt64 / 2
		}
	}
	r.ticked, r.lastTick = true, now
	r.now = [NumInterventions]bool{}
	wasTracking := r.tracking
	r.tracking = false
	r.fx.Holding = r.follow(now, wasTracking)
	if r.fx.Holding != None {
		r.rest(now, wasTracking)
	}
	for i, on := range r.now {
		if on {
			r.counters[i].Ticks++
			if !r.acting[i] {
				r.counters[i].Events++
			}
		}
	}
	r.acting = r.now
}

// follow commands the active chunk, or says why it cannot.
func (r *Runner) follow(now int64, wasTracking bool) Intervention {
	switch {
	case r.mode == stopped:
		return r.acted(Stopped, Report{Stamp: now, Reason: r.reason})
	case r.mode == held:
		return r.acted(Held, Report{Stamp: now, Reason: r.reason})
	case r.obsErr != nil:
		return r.acted(StaleObservation, Report{Stamp: now, Err: r.obsErr})
	case !r.observed:
		return r.acted(NotReady, Report{Stamp: now, Reason: "no observation yet"})
	case now-r.obsStamp > r.cfg.MaxObservationAge || r.obsStamp-now > r.cfg.MaxObservationAge:
		return r.acted(StaleObservation, Report{Stamp: now, Reason: "no observation of this time",
			Value: float64(now-r.obsStamp) / 1e9, Limit: float64(r.cfg.MaxObservationAge) / 1e9})
	case r.generation == 0 && !r.hasActive && !r.hasNext:
		return r.acted(NotReady, Report{Stamp: now, Reason: "no policy yet"})
	}
	changed := false
	if r.hasNext {
		r.hasNext = false
		why := r.engage(r.next, now, wasTracking)
		switch {
		case why == None:
			r.active, r.next = r.next, r.active
			r.hasActive, changed = true, true
		case !r.hasActive:
			r.gap = why
			return why
		}
	}
	if !r.hasActive {
		return r.acted(r.gap, Report{Stamp: now, Reason: "no chunk to execute", Err: r.chunkErr})
	}
	if now+r.cfg.Period > r.active.end() {
		r.hasActive, r.gap = false, Starved // inference starts with the next observation
		return r.acted(Starved, Report{Stamp: now, Generation: r.active.generation, Err: r.chunkErr})
	}
	if !changed && !wasTracking {
		if why := r.engage(r.active, now, false); why != None {
			r.hasActive, r.gap = false, why
			return why
		}
		changed = true
	}
	r.command(now, changed)
	return None
}

// engage lays the seam from what was commanded last into the chunk, unless the
// chunk is of no use now.
func (r *Runner) engage(c *curve, now int64, wasTracking bool) Intervention {
	then := now + r.cfg.Period
	if then > c.end() || c.stamp > then {
		return r.acted(StaleObservation, Report{Stamp: now, Generation: c.generation, Reason: "all rows of the chunk have passed, or it is of the future"})
	}
	if r.cfg.Kind == Position {
		for j, m := range r.measured {
			p, _ := c.spline(j, then)
			if math.Abs(p-m) > r.cfg.StartTolerance {
				return r.acted(StartMismatch, Report{Stamp: now, Joint: r.names[j], Value: p, Limit: m, Generation: c.generation})
			}
		}
	}
	if !r.placed && !r.place(c, now) {
		return PositionLimit
	}
	if !r.ramping {
		r.ramping, r.rampStart = true, now
	}
	if !wasTracking {
		copy(r.ref, r.v)
	}
	c.join(now, r.q, r.ref, r.cfg.Blend)
	if c.generation != r.took {
		r.took = c.generation
		r.report(Report{Stamp: now, Generation: c.generation})
	}
	return None
}

// place starts the commanded state at the measured one (rates start at zero),
// also where that is a little outside the limits: the envelope walks it back.
func (r *Runner) place(c *curve, now int64) bool {
	if r.cfg.Kind == Position && !r.startable(now) {
		return false
	}
	for j, q := range r.measured {
		r.v[j], r.ref[j] = 0, 0
		switch {
		case r.cfg.Kind == Rate:
			r.q[j] = 0
		case !math.IsNaN(q):
			r.q[j] = q
		case math.IsNaN(r.q[j]): // neither measured nor ever commanded
			q, _ = c.spline(j, now+r.cfg.Period)
			r.q[j] = clamp(q, r.env.lower[j], r.env.upper[j])
		}
	}
	r.placed = true
	return true
}

// startable refuses an arm that stands too far outside its limits to be moved.
func (r *Runner) startable(now int64) bool {
	for j, q := range r.measured {
		over := math.Abs(q - clamp(q, r.env.lower[j], r.env.upper[j])) // NaN where it is not measured
		if over > r.cfg.StartTolerance {
			r.acted(PositionLimit, Report{Stamp: now, Joint: r.names[j], Value: q, Limit: clamp(q, r.env.lower[j], r.env.upper[j]),
				Reason: "the arm stands outside its limits, move it back"})
			return false
		}
	}
	for j, q := range r.measured {
		if limit, out := r.env.outside(j, q); out {
			r.acted(PositionLimit, Report{Stamp: now, Joint: r.names[j], Value: q, Limit: limit,
				Reason: "the arm stands outside its limits and is walked back"})
		}
	}
	return true
}

func (r *Runner) scale(then int64) float64 {
	if r.cfg.Ramp <= 0 || then-r.rampStart >= r.cfg.Ramp {
		return 1
	}
	return float64(then-r.rampStart) / float64(r.cfg.Ramp)
}

// command takes the commanded state one tick along the active chunk.
func (r *Runner) command(now int64, changed bool) {
	r.tracking = true
	c, then := r.active, now+r.cfg.Period
	if changed {
		r.plan(now, true)
	}
	scale := r.scale(then)
	var d deviation
	for j := range r.q {
		r0, _ := c.at(j, now)
		r1, slope := c.at(j, then)
		r.q[j], r.v[j] = r.env.track(j, r.q[j], r.v[j], r0, r1, scale, &d)
		// On the reference, the next seam leaves with its slope; off it, with
		// the velocity commanded.
		r.ref[j] = r.v[j]
		if math.Abs(r.q[j]-r1) < 1e-9 {
			r.ref[j] = slope
		}
		if scale < 1 { // slow by our own doing, not the policy's
			d.velocity, d.acceleration = false, false
		}
		r.limited(now, j, c.generation, &d)
	}
	r.emit(now, c.generation, c.stamp, changed)
}

func (r *Runner) limited(now int64, j int, generation uint64, d *deviation) {
	for k, on := range [...]bool{d.position, d.velocity, d.acceleration} {
		if on {
			r.acted(PositionLimit+Intervention(k), Report{Stamp: now, Joint: r.names[j], Value: d.value[k], Limit: d.limit[k], Generation: generation})
		}
	}
}

// still says whether the commanded state is at rest.
func (r *Runner) still() bool {
	for j := range r.q {
		if !r.env.still(r.q[j], r.v[j]) {
			return false
		}
	}
	return true
}

// rest brakes, then holds. A stopped arm at rest is sent nothing.
func (r *Runner) rest(now int64, wasTracking bool) {
	if !r.placed {
		return
	}
	if r.mode == stopped && r.still() {
		if wasTracking {
			r.emit(now, 0, 0, false)
		}
		return
	}
	if wasTracking {
		r.plan(now, false)
	}
	for j := range r.q {
		r.q[j], r.v[j] = r.env.brake(j, r.q[j], r.v[j])
		r.ref[j] = r.v[j]
	}
	r.emit(now, 0, 0, wasTracking)
	r.rearm()
}

func (r *Runner) emit(now int64, generation uint64, stamp int64, changed bool) {
	r.cmd.Stamp, r.cmd.Generation, r.cmd.ChunkStamp, r.cmd.Trajectory = now, generation, stamp, nil
	copy(r.cmd.SetPoint, r.q)
	copy(r.cmd.Velocity, r.v)
	if changed {
		r.cmd.Trajectory = &r.traj
	}
	r.fx.Command = &r.cmd
}

// maxPlan bounds the points of a trajectory.
const maxPlan = 4096

// plan rolls the envelope forward to the end of the chunk and on to rest. The
// ticks that follow do the same arithmetic, so they command the same.
func (r *Runner) plan(now int64, follow bool) {
	copy(r.pq, r.q)
	copy(r.pv, r.v)
	t := &r.traj
	t.Stamp, t.Times, t.Positions, t.Velocities = now, t.Times[:0], t.Positions[:0], t.Velocities[:0]
	every := max(1, int(r.cfg.RowPeriod/r.cfg.Period))
	var d deviation
	for tick := 1; len(t.Times) < maxPlan; tick++ {
		from, then := now+int64(tick-1)*r.cfg.Period, now+int64(tick)*r.cfg.Period
		on, still := follow && then <= r.active.end(), true
		for j := range r.pq {
			if on {
				r0, _ := r.active.at(j, from)
				r1, _ := r.active.at(j, then)
				r.pq[j], r.pv[j] = r.env.track(j, r.pq[j], r.pv[j], r0, r1, r.scale(then), &d)
			} else {
				r.pq[j], r.pv[j] = r.env.brake(j, r.pq[j], r.pv[j])
			}
			still = still && r.env.still(r.pq[j], r.pv[j])
		}
		last := !on && still
		if last || tick%every == 0 {
			t.Times = append(t.Times, then)
			t.Positions = append(t.Positions, r.pq...)
			t.Velocities = append(t.Velocities, r.pv...)
		}
		if last {
			return
		}
	}
}

// acted marks an intervention on this tick and reports it when it begins.
func (r *Runner) acted(i Intervention, rep Report) Intervention {
	first := !r.acting[i] && !r.now[i]
	r.now[i] = true
	if rep.Err != nil {
		r.fx.Err = rep.Err
	}
	if first && rep.Stamp-r.reported[i] >= reportAgain {
		rep.Intervention = i
		r.report(rep)
	}
	r.reported[i] = max(r.reported[i], rep.Stamp)
	return i
}

// happened counts an intervention outside a tick, and reports it unless that was
// done a moment ago.
func (r *Runner) happened(i Intervention, rep Report) {
	r.counters[i].Events++
	if rep.Stamp == 0 {
		rep.Stamp = r.lastTick
	}
	if rep.Stamp-r.reported[i] >= reportAgain {
		rep.Intervention = i
		r.report(rep)
		r.reported[i] = max(r.reported[i], rep.Stamp)
	}
}

func (r *Runner) report(rep Report) {
	if len(r.fx.Reports) < maxReports {
		r.fx.Reports = append(r.fx.Reports, rep)
	}
}
