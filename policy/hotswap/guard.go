package hotswap

import "math"

// GuardOptions say when new weights are worse than those before them.
type GuardOptions struct {
	Margin   float64 // rise of the rate that is tolerated, interventions per tick; default 0.05
	MinTicks int64   // ticks that each side needs before it is judged; default 100
	Window   int64   // ticks before a swap that count, and after it while new weights are on trial; default 600
}

// withDefaults fills in what is not positive.
func (o GuardOptions) withDefaults() GuardOptions {
	if o.Margin <= 0 {
		o.Margin = 0.05
	}
	if o.MinTicks <= 0 {
		o.MinTicks = 100
	}
	if o.Window < o.MinTicks {
		o.Window = max(600, o.MinTicks)
	}
	return o
}

// Guard compares how often the safety envelope had to intervene before and
// after a swap. It is pure: no clock, no goroutine; the control loop feeds it.
//
// Its state is the rate over the last Window ticks of weights that have proved
// themselves, and the rate of the weights on trial since the last swap. A trial
// of MinTicks or more whose rate exceeds the rate before by more than Margin,
// and by more than chance explains, fails; one that reaches Window ticks without failing has passed. Weights
// whose trial is cut short by the next swap with fewer than MinTicks are not
// counted: the rate before stays that of the last proven weights. Proven says
// which those are, so that the slot can go back to the same ones.
type Guard struct {
	o          GuardOptions
	generation uint64
	started    bool
	trial      bool   // new weights run and have not proved themselves yet
	failed     bool   // the weights in use failed their trial: what they do is no measure
	restored   uint64 // the generation that a rollback to proven weights made
	proven     uint64 // the last generation that proved itself
	before     rate
	after      rate
}

// sure is how many standard errors a rise has to be above Margin. Interventions
// come in runs, one task needs more of them than another, and a trial is looked
// at on every tick: with less, good weights are taken for bad ones.
const sure = 2.5

// count is a number of interventions in a number of ticks.
type count struct{ interventions, ticks int64 }

func (c count) rate() float64 { return float64(c.interventions) / float64(max(c.ticks, 1)) }

// rate is a sliding count over the last ticks, in buckets of about 1/16 window.
type rate struct {
	buckets []count // oldest first
	sum     count
}

func (r *rate) add(c count, window int64) {
	size := max(window/16, 1)
	if n := len(r.buckets); n == 0 || r.buckets[n-1].ticks+c.ticks > size {
		r.buckets = append(r.buckets, c)
	} else {
		r.buckets[n-1].interventions += c.interventions
		r.buckets[n-1].ticks += c.ticks
	}
	r.sum.interventions += c.interventions
	r.sum.ticks += c.ticks
	for len(r.buckets) > 1 && r.sum.ticks-r.buckets[0].ticks >= window {
		r.sum.interventions -= r.buckets[0].interventions
		r.sum.ticks -= r.buckets[0].ticks
		r.buckets = append(r.buckets[:0], r.buckets[1:]...)
	}
}

// variance is that of the buckets' rates, 0 with fewer than two of them. The last
// bucket is left out while it fills.
func (r *rate) variance() float64 {
	n := len(r.buckets) - 1
	if n < 2 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, b := range r.buckets[:n] {
		mean += b.rate() / float64(n)
	}
	for _, b := range r.buckets[:n] {
		squares += (b.rate() - mean) * (b.rate() - mean)
	}
	return squares / float64(n-1)
}

// worse tells whether the rate of a exceeds that of r by more than the margin
// and by more than chance explains.
func (r *rate) worse(a *rate, margin float64) bool {
	rise := a.sum.rate() - r.sum.rate() - margin
	if rise <= 0 {
		return false
	}
	variance := max(r.variance(), a.variance())
	n, m := float64(len(r.buckets)), float64(len(a.buckets))
	return rise > sure*math.Sqrt(variance*(1/n+1/m))
}

// NewGuard returns a guard; options that are not positive take their defaults.
func NewGuard(o GuardOptions) *Guard { return &Guard{o: o.withDefaults()} }

// Observe takes the interventions and control ticks since the last call, both
// made under the slot's generation, and returns true when the weights on trial
// should be rolled back. It returns true once for a swap; the caller then calls
// Slot.RollbackFrom(generation) and, when that worked, RolledBack with the new
// generation. The first generation that is seen is not on trial.
func (g *Guard) Observe(generation uint64, interventions, ticks int64) (rollback bool) {
	switch {
	case !g.started:
		g.started, g.proven = true, generation
	case generation != g.generation:
		g.swapped(generation)
	}
	g.generation = generation
	c := count{interventions, ticks}
	if !g.trial {
		if !g.failed {
			g.before.add(c, g.o.Window)
		}
		return false
	}
	g.after.add(c, 2*g.o.Window)
	if g.after.sum.ticks < g.o.MinTicks {
		return false
	}
	if g.before.sum.ticks >= g.o.MinTicks && g.before.worse(&g.after, g.o.Margin) {
		g.trial, g.failed, g.after = false, true, rate{}
		return true
	}
	if g.after.sum.ticks >= g.o.Window {
		g.pass()
	}
	return false
}

// RolledBack tells the guard that the weights on trial were taken out and that
// this generation is proven weights again: it is not put on trial. Any other
// generation is, even if it comes first.
func (g *Guard) RolledBack(generation uint64) {
	g.trial, g.failed, g.restored, g.after = false, true, generation, rate{}
}

// Proven returns the last generation that proved itself, 0 before any was seen:
// the caller hands it to Slot.Confirm when it changes.
func (g *Guard) Proven() uint64 { return g.proven }

// swapped closes the books of the weights before; next are those in use now.
func (g *Guard) swapped(next uint64) {
	g.failed = false
	if next == g.restored {
		g.trial, g.proven = false, next
		return
	}
	if g.trial && g.after.sum.ticks >= g.o.MinTicks {
		g.pass()
	}
	g.trial, g.after = true, rate{}
}

// pass makes the weights on trial the ones to compare with.
func (g *Guard) pass() {
	g.before = g.after
	g.trial, g.after, g.proven = false, rate{}, g.generation
}

// Rates returns the interventions per tick before the last swap and since it;
// ticks is how many the second rests on, 0 when no weights are on trial.
func (g *Guard) Rates() (before, after float64, ticks int64) {
	return g.before.sum.rate(), g.after.sum.rate(), g.after.sum.ticks
}
