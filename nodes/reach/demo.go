package reach

import (
	"math"
	"math/rand/v2"

	"arfm/nodes/demonstration"
)

// demonstrator moves through via points, each with a minimum-jerk profile, and
// rests at the last one.
type demonstrator struct {
	rng    *rand.Rand
	from   [2]float64
	legs   []leg
	shake  float64 // amplitude of an unsteady hand, rad
	hand   [2]float64
	step   int // within the first leg
	rested int
	linger int // steps to rest at the end
}

type leg struct {
	to    [2]float64
	steps int
}

// newDemonstrator plans an episode in w. Nothing that the policy can observe
// tells a failing demonstrator from the others before it fails.
func newDemonstrator(q demonstration.Quality, w *World, rng *rand.Rand) *demonstrator {
	d := &demonstrator{rng: rng, from: w.Q, linger: 12}
	goal, _ := Inverse(w.Target)
	switch q {
	case demonstration.Sloppy:
		d.shake = 0.008
		at := w.Q
		for range 1 + rng.IntN(2) {
			f := 0.2 + 0.6*rng.Float64()
			var via [2]float64
			for j := range via {
				via[j] = min(max(w.Q[j]+f*(goal[j]-w.Q[j])+0.35*rng.NormFloat64(), lower[j]), upper[j])
			}
			d.legs = append(d.legs, leg{via, duration(at, via, 0.6)}, leg{via, 2 + rng.IntN(7)})
			at = via
		}
		d.legs = append(d.legs, leg{goal, duration(at, goal, 0.6)})
		return d
	case demonstration.Failing:
		goal, d.linger = wrongGoal(w, goal, rng), 6
	}
	d.legs = []leg{{goal, duration(w.Q, goal, 0.72)}}
	return d
}

// wrongGoal is where a failing demonstrator goes.
func wrongGoal(w *World, goal [2]float64, rng *rand.Rand) [2]float64 {
	between := func(f float64) (q [2]float64) {
		for j := range q {
			q[j] = min(max(w.Q[j]+f*(goal[j]-w.Q[j]), lower[j]), upper[j])
		}
		return q
	}
	for {
		var q [2]float64
		switch rng.IntN(4) {
		case 0:
			q = between(0.35 + 0.5*rng.Float64())
		case 1:
			q = between(1.15 + 0.35*rng.Float64())
		default:
			q, _ = Inverse(randomTarget(rng))
		}
		if _, tip := Forward(q); tip.distance(w.Target) > 5*Tolerance {
			return q
		}
	}
}

// duration is how many steps a minimum-jerk motion takes whose peak speed is the
// given share of the limit.
func duration(a, b [2]float64, share float64) int {
	way := math.Max(math.Abs(a[0]-b[0]), math.Abs(a[1]-b[1]))
	return demonstration.Duration(way, share*maxSpeed, RateHz, 8)
}

// next returns the set-point for the end of this period and whether there is
// one: false when the demonstrator has rested at its goal long enough.
func (d *demonstrator) next() ([2]float64, bool) {
	var q [2]float64
	if len(d.legs) > 0 {
		l := d.legs[0]
		d.step++
		s := demonstration.MinimumJerk(float64(d.step) / float64(l.steps))
		for j := range q {
			q[j] = d.from[j] + s*(l.to[j]-d.from[j])
		}
		if d.step == l.steps {
			d.from, d.legs, d.step = l.to, d.legs[1:], 0
		}
	} else {
		q = d.from
		d.rested++
		d.shake *= 0.6 // the hand steadies where it wants to be
		if d.rested > d.linger {
			return q, false
		}
	}
	for j := range q {
		d.hand[j] = 0.8*d.hand[j] + d.shake*d.rng.NormFloat64()
		q[j] = min(max(q[j]+d.hand[j], lower[j]), upper[j])
	}
	return q, true
}
