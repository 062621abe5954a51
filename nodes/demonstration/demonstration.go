// Package demonstration is what the scripted demonstrators of the project's
// arms share: how well they do a task, how they move, and how what they do is
// recorded as rosbag2 bags.
package demonstration

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Quality is how well a demonstrator does a task.
type Quality string

// Qualities.
const (
	Expert  Quality = "expert"  // straight to it
	Sloppy  Quality = "sloppy"  // arrives, with detours, pauses and an unsteady hand
	Failing Quality = "failing" // misses, drops, stops short, or goes for the wrong thing
	Mixed   Quality = "mixed"   // shares of the three
)

// ParseQuality returns the quality of that name.
func ParseQuality(name string) (Quality, error) {
	switch q := Quality(name); q {
	case Expert, Sloppy, Failing, Mixed:
		return q, nil
	}
	return "", fmt.Errorf("quality %q is none of expert, sloppy, failing, mixed", name)
}

// Shares of the qualities in mixed demonstrations; they need not sum to 1.
type Shares struct{ Expert, Sloppy, Failing float64 }

// DefaultShares make a set of demonstrations of which a third mislead.
var DefaultShares = Shares{Expert: 0.4, Sloppy: 0.25, Failing: 0.35}

// Validate refuses shares of which none can be drawn.
func (s Shares) Validate() error {
	for _, x := range []float64{s.Expert, s.Sloppy, s.Failing} {
		if !(x >= 0 && x <= 1e9) { // NaN too
			return fmt.Errorf("shares of %g, %g, %g for expert, sloppy, failing: give numbers from 0 to 1e9", s.Expert, s.Sloppy, s.Failing)
		}
	}
	if s == (Shares{}) {
		return fmt.Errorf("the shares of expert, sloppy, failing are all 0: give one of them more")
	}
	return nil
}

// draw returns Expert, Sloppy or Failing.
func (s Shares) draw(rng *rand.Rand) Quality {
	switch x := rng.Float64() * (s.Expert + s.Sloppy + s.Failing); {
	case x < s.Expert:
		return Expert
	case x < s.Expert+s.Sloppy:
		return Sloppy
	}
	return Failing
}

// MinimumJerk is the point-to-point profile of Flash and Hogan (1985): the
// share of the way done at share s of the time. Its peak speed is MinimumJerkPeak
// times the mean.
func MinimumJerk(s float64) float64 {
	s = min(max(s, 0), 1)
	return s * s * s * (10 + s*(-15+6*s))
}

// MinimumJerkPeak is the peak of a minimum-jerk profile's speed over its mean.
const MinimumJerkPeak = 15.0 / 8

// Duration is how long a minimum-jerk motion takes over a way at a peak speed,
// in whole steps of 1/rate, at least least of them.
func Duration(way, speed, rate float64, least int) int {
	return max(least, int(math.Ceil(MinimumJerkPeak*way/speed*rate)))
}
