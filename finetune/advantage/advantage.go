// Package advantage turns returns into advantages: how much better a chunk did
// than the others of its task.
package advantage

import (
	"fmt"
	"math"
)

// Standardize says whether advantages are brought to unit standard deviation.
type Standardize string

// Ways to standardize.
const (
	// None leaves advantages as they are. A task whose returns spread more than
	// others' then takes more of the weight of a batch.
	None Standardize = "none"
	// ZScore divides by the group's standard deviation.
	ZScore Standardize = "zscore"
)

// GroupBy says which chunks are compared with each other.
type GroupBy string

// Groups.
const (
	ByTask  GroupBy = "task"  // those of one instruction
	BySuite GroupBy = "suite" // those of one suite of tasks
	All     GroupBy = "all"
)

// Origin is where a chunk comes from.
type Origin struct{ Task, Suite string }

// Of returns the name of the group that a chunk belongs to.
func (g GroupBy) Of(o Origin) string {
	switch g {
	case All:
		return ""
	case BySuite:
		return o.Suite
	}
	return o.Task
}

// Options of Compute; the zero value is None and ByTask.
type Options struct {
	Standardize Standardize `json:"standardize"`
	GroupBy     GroupBy     `json:"group_by"`
}

// Validate returns what is unknown, or nil.
func (o Options) Validate() error {
	if o.Standardize != None && o.Standardize != ZScore && o.Standardize != "" {
		return fmt.Errorf("standardize %q is unknown; use %q or %q", o.Standardize, None, ZScore)
	}
	switch o.GroupBy {
	case ByTask, BySuite, All, "":
	default:
		return fmt.Errorf("group advantages by %q is unknown; use %q, %q or %q", o.GroupBy, ByTask, BySuite, All)
	}
	return nil
}

// Compute returns the leave-one-out advantage of each of the returns (N), in
// its group of K returns of the same task, suite or all (ARFM, section 3; RLOO):
//
//	R*_k = K/(K-1) (G_k - mean G) = G_k - mean of the others
//
// A group of one gets 0, for there is nothing to compare it with; so does, exactly,
// a group of returns that are equal but for rounding. Returns and advantages are in
// the reward's unit; with ZScore advantages have no unit.
func Compute(returns []float64, from []Origin, o Options) ([]float64, error) {
	if len(from) != len(returns) {
		return nil, fmt.Errorf("%d returns came with %d origins; every return needs its own", len(returns), len(from))
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	groups := map[string][]int{}
	for i, r := range returns {
		if math.IsNaN(r) || math.IsInf(r, 0) {
			return nil, fmt.Errorf("return %d of task %q is %v; check the rewards of its bag", i, from[i].Task, r)
		}
		group := o.GroupBy.Of(from[i])
		groups[group] = append(groups[group], i)
	}
	adv := make([]float64, len(returns))
	for _, members := range groups {
		leaveOneOut(adv, returns, members)
		if o.Standardize == ZScore {
			standardize(adv, members)
		}
	}
	return adv, nil
}

// rounding is how far returns may lie apart, by the largest, and count as equal.
const rounding = 1e-12

func leaveOneOut(adv, returns []float64, members []int) {
	k := float64(len(members))
	if k < 2 {
		return
	}
	// Deviations from the first member, so that equal returns give exact zeros
	// and a large common offset costs no digits.
	first, mean := returns[members[0]], 0.0
	widest, largest := 0.0, 0.0
	for _, i := range members {
		mean += (returns[i] - first) / k
		widest, largest = max(widest, math.Abs(returns[i]-first)), max(largest, math.Abs(returns[i]))
	}
	if widest <= rounding*largest { // nothing that could be brought to unit deviation, or ranked
		return
	}
	for _, i := range members {
		adv[i] = k / (k - 1) * (returns[i] - first - mean)
	}
}

// standardize divides by the population standard deviation; the mean is
// already zero.
func standardize(adv []float64, members []int) {
	sum := 0.0
	for _, i := range members {
		sum += adv[i] * adv[i]
	}
	std := math.Sqrt(sum / float64(len(members)))
	if std == 0 {
		return
	}
	for _, i := range members {
		adv[i] /= std
	}
}
