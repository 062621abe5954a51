package loop

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"arfm/nodes/runner"
	"arfm/policy"
)

// Quantiles sums up durations, to about 3 %.
type Quantiles struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Frames counts observations.
type Frames struct {
	Used   int64 `json:"used"`
	Failed int64 `json:"failed"` // stale, missing, undecodable
}

// Stats says how a run went.
type Stats struct {
	Ticks         int64                     `json:"ticks"`
	Missed        int64                     `json:"missed"` // ticks that did not start within a period of their time
	Commands      int64                     `json:"commands"`
	Holding       int64                     `json:"holding"` // ticks on which no chunk was followed
	Frames        Frames                    `json:"frames"`
	Inferences    int64                     `json:"inferences"`
	Failures      int64                     `json:"failures"`  // inferences that gave an error
	Swaps         int64                     `json:"swaps"`     // changes of the slot's policy after the first
	Rollbacks     int64                     `json:"rollbacks"` // by the guard
	Inference     Quantiles                 `json:"inference"`
	Lateness      Quantiles                 `json:"lateness"` // of a tick's start; none in virtual time
	Interventions map[string]runner.Counter `json:"interventions"`
	Wall          time.Duration             `json:"wall_ns"`
	Policy        policy.Info               `json:"policy"` // that answered last
}

// String is the run in a few lines.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d ticks in %.1f s, %d missed, %d holding; lateness p50 %v p99 %v\n",
		s.Ticks, s.Wall.Seconds(), s.Missed, s.Holding, s.Lateness.P50, s.Lateness.P99)
	fmt.Fprintf(&b, "%d inferences, %d failed, p50 %v p99 %v; %d swaps, %d rolled back\n",
		s.Inferences, s.Failures, s.Inference.P50, s.Inference.P99, s.Swaps, s.Rollbacks)
	for i := runner.NotReady; i < runner.NumInterventions; i++ {
		if c, ok := s.Interventions[i.String()]; ok {
			fmt.Fprintf(&b, "  %-17s %d times, %d ticks\n", i, c.Events, c.Ticks)
		}
	}
	return b.String()
}

// collector gathers Stats without allocating.
type collector struct {
	ticks, missed, commands, holding int64
	inferences, failures             int64
	swaps, rollbacks                 int64
	frames                           Frames
	infer, late                      Histogram
	wall                             time.Duration
	last                             policy.Info
}

func (c *collector) tick(fx *runner.Effects) {
	c.ticks++
	if fx.Command != nil {
		c.commands++
	}
	if fx.Holding != runner.None {
		c.holding++
	}
}

func (c *collector) answer(r *result) {
	c.inferences++
	if r.err != nil {
		c.failures++
	}
	c.infer.add(int64(r.took))
	c.last = r.info
}

func (c *collector) swap(from, to uint64) {
	if from != 0 {
		c.swaps += int64(to - from)
	}
}

func (c *collector) result(n runner.Counters) Stats {
	return Stats{
		Ticks: c.ticks, Missed: c.missed, Commands: c.commands, Holding: c.holding, Frames: c.frames,
		Inferences: c.inferences, Failures: c.failures, Swaps: c.swaps, Rollbacks: c.rollbacks,
		Inference: c.infer.Quantiles(), Lateness: c.late.Quantiles(), Interventions: n.Map(), Wall: c.wall, Policy: c.last,
	}
}

// Histogram counts durations in buckets of 1/32 octave. The zero value is empty.
type Histogram struct {
	n, max  int64
	buckets [64 * 32]int64
}

func bucket(ns int64) int {
	if ns < 32 {
		return int(max(ns, 0))
	}
	shift := bits.Len64(uint64(ns)) - 6
	return (shift+1)*32 + int(ns>>shift) - 32
}

// value is the upper end of a bucket.
func value(b int) int64 {
	if b < 32 {
		return int64(b)
	}
	return int64(b%32+33)<<(b/32-1) - 1
}

// Add counts a duration.
func (h *Histogram) Add(ns time.Duration) { h.add(int64(ns)) }

func (h *Histogram) add(ns int64) {
	h.n++
	h.max = max(h.max, ns)
	h.buckets[bucket(ns)]++
}

// Quantiles sums up what was counted.
func (h *Histogram) Quantiles() Quantiles {
	return Quantiles{Count: h.n, P50: h.at(0.5), P99: h.at(0.99), Max: time.Duration(h.max)}
}

func (h *Histogram) at(q float64) time.Duration {
	left := int64(q*float64(h.n) + 0.5)
	for b, n := range h.buckets {
		if left -= n; left <= 0 && h.n > 0 {
			return time.Duration(min(value(b), h.max))
		}
	}
	return 0
}
