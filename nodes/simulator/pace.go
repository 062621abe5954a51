package simulator

import "time"

// How far time may lag behind the clock: a slice of the physics that comes late
// is counted, one that comes far too late is not caught up with.
const (
	lateAfter = 10 * time.Millisecond
	giveUp    = 250 * time.Millisecond
)

// pace holds simulated time to the wall clock.
type pace struct {
	rate float64 // simulated seconds a second; 0: no clock
	wall time.Time
	sim  int64 // time at wall, ns

	late   uint64
	factor float64 // real-time factor over the last second or so
	since  time.Time
	from   int64 // simulated time at since
}

func newPace(rate float64, now int64) *pace {
	wall := time.Now()
	return &pace{rate: rate, wall: wall, sim: now, since: wall, from: now}
}

// left is how long it takes until simulated time t has come; where that is long
// past the clock starts afresh.
func (p *pace) left(t int64) time.Duration {
	if p.rate == 0 {
		return 0
	}
	d := time.Until(p.wall.Add(time.Duration(float64(t-p.sim) / p.rate)))
	if d < -lateAfter {
		p.late++
	}
	if d < -giveUp {
		p.wall, p.sim = time.Now(), t
	}
	return d
}

// count measures the real-time factor at simulated time now.
func (p *pace) count(now int64) {
	if d := time.Since(p.since); d >= time.Second {
		p.factor = float64(now-p.from) / float64(d)
		p.since, p.from = time.Now(), now
	}
}
