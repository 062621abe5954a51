package reach

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Quality is how well a demonstrator does the task.
type Quality string

// Qualities.
const (
	Expert  Quality = "expert"  // minimum-jerk motion to the target
	Sloppy  Quality = "sloppy"  // arrives, with detours, pauses and an unsteady hand
	Failing Quality = "failing" // stops short, goes too far, or reaches for another point
	Mixed   Quality = "mixed"   // shares of the three
)

// ParseQuality returns the quality of that name.
func ParseQuality(name string) (Quality, error) {
	switch q := Quality(name); q {
	case Expert, Sloppy, Failing, Mixed:
		return q, nil
	}
	return "", fmt.Errorf("reach: quality %q is none of expert, sloppy, failing, mixed", name)
}

// Shares of the qualities in mixed demonstrations; they need not sum to 1.
type Shares struct{ Expert, Sloppy, Failing float64 }

// DefaultShares make a set of demonstrations of which a third mislead.
var DefaultShares = Shares{Expert: 0.4, Sloppy: 0.25, Failing: 0.35}

func (s Shares) draw(rng *rand.Rand) Quality {
	switch x := rng.Float64() * (s.Expert + s.Sloppy + s.Failing); {
	case x < s.Expert:
		return Expert
	case x < s.Expert+s.Sloppy:
		return Sloppy
	}
	return Failing
}

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
func newDemonstrator(q Quality, w *World, rng *rand.Rand) *demonstrator {
	d := &demonstrator{rng: rng, from: w.Q, linger: 12}
	goal, _ := Inverse(w.Target)
	switch q {
	case Sloppy:
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
	case Failing:
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

// duration is how many steps a minimum-jerk motion takes whose peak speed,
// 15/8 of the mean, is the given share of the limit.
func duration(a, b [2]float64, share float64) int {
	way := math.Max(math.Abs(a[0]-b[0]), math.Abs(a[1]-b[1]))
	return max(8, int(math.Ceil(15.0/8*way/(share*maxSpeed)*RateHz)))
}

// next returns the set-point for the end of this period and whether there is
// one: false when the demonstrator has rested at its goal long enough.
func (d *demonstrator) next() ([2]float64, bool) {
	var q [2]float64
	if len(d.legs) > 0 {
		l := d.legs[0]
		d.step++
		s := minimumJerk(float64(d.step) / float64(l.steps))
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

// minimumJerk is the point-to-point profile of Flash and Hogan (1985): the
// share of the way done at share s of the time.
func minimumJerk(s float64) float64 {
	s = min(max(s, 0), 1)
	return s * s * s * (10 + s*(-15+6*s))
}
