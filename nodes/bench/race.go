package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// side is one of those that are raced: it does its work n times and returns what
// each took, in milliseconds.
type side interface {
	Run(n int) ([]float64, error)
}

// sideFunc is a side that the stopwatch is held to here.
type sideFunc func() error

// Run does the work n times.
func (f sideFunc) Run(n int) ([]float64, error) {
	ms := make([]float64, n)
	for i := range ms {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		ms[i] = float64(time.Since(start)) / 1e6
	}
	return ms, nil
}

// rival is a side that ours is raced against.
type rival struct {
	side
	who    string
	runs   int       // of its part of a round
	ms     []float64 // median of each round
	ratios []float64 // ours by its, of each round
	out    bool      // it has fallen behind
	stays  bool      // it does something else: it neither falls behind nor wins
	err    error     // it has failed
}

// What a race is like.
const (
	part   = 150 // ms that a side's part of a round is to take
	most   = 20  // runs in it
	settle = 20 * time.Millisecond
)

// behind is how many times the fastest rival's median one may take after a round
// and go on: the less is known, the more, so that a bad moment of the machine does
// not take the fastest out.
func behind(round int) float64 { return max(1.3, 2.8-0.5*float64(round)) }

// race runs ours and each rival in turn, ours before every rival anew, for some
// rounds, and fills in the rivals. Between two parts it waits for threads of the
// one before to leave the cores. It returns the medians of ours.
func race(ctx context.Context, ours side, rivals []*rival, rounds int) ([]float64, error) {
	ourRuns, err := measureRuns(ctx, ours)
	if err != nil {
		return nil, err
	}
	for _, r := range rivals {
		r.runs, r.err = measureRuns(ctx, r)
	}
	var ms []float64
	for round := range rounds {
		ran := false
		for _, r := range rivals {
			if r.err != nil || r.out {
				continue
			}
			our, err := runMedian(ctx, ours, ourRuns)
			if err != nil {
				return nil, err
			}
			ms, ran = append(ms, our), true
			r.round(ctx, our)
		}
		if !ran { // ours alone
			our, err := runMedian(ctx, ours, ourRuns)
			if err != nil {
				return nil, err
			}
			ms = append(ms, our)
		}
		leaveBehind(rivals, behind(round))
	}
	return ms, ctx.Err()
}

// round is a rival's part after ours.
func (r *rival) round(ctx context.Context, ours float64) {
	its, err := runMedian(ctx, r, r.runs)
	if err != nil {
		r.err = err
		return
	}
	r.ms, r.ratios = append(r.ms, its), append(r.ratios, ours/its)
}

// leaveBehind takes the rivals out that take more than times the fastest's time.
func leaveBehind(rivals []*rival, times float64) {
	best := fastest(rivals)
	for _, r := range rivals {
		r.out = r.out || r.err == nil && best != nil && !r.stays && median(r.ms) > times*median(best.ms)
	}
}

// fastest returns the rival with the smallest median, nil without any.
func fastest(rivals []*rival) (best *rival) {
	for _, r := range rivals {
		if r.err == nil && !r.stays && len(r.ms) > 0 && (best == nil || median(r.ms) < median(best.ms)) {
			best = r
		}
	}
	return best
}

// measureRuns warms a side up and returns how many runs its part of a round has.
func measureRuns(ctx context.Context, s side) (int, error) {
	ms, err := runMedian(ctx, s, 1)
	if err != nil || ms > part {
		return 1, err
	}
	if ms, err = runMedian(ctx, s, 1); err != nil {
		return 0, err
	}
	return int(min(max(part/ms, 1), most)), nil
}

// runMedian is the median of n runs, after what ran before has settled; unless
// ctx has ended.
func runMedian(ctx context.Context, s side, n int) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	ms, err := s.Run(n)
	if err != nil {
		return 0, err
	}
	for _, v := range ms {
		if !(v > 0) {
			return 0, fmt.Errorf("a run is said to have taken %v ms", v)
		}
	}
	return median(ms), nil
}

// median of numbers, of which there is at least one; between the two in the
// middle it takes the mean.
func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
