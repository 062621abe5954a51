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
	None   Standardize = "none"
	ZScore Standardize = "zscore" // divided by the group's standard deviation
)

// GroupBy says which chunks are compared with each other.
type GroupBy string

// Groups.
const (
	ByTask GroupBy = "task"
	All    GroupBy = "all"
)

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
	if o.GroupBy != ByTask && o.GroupBy != All && o.GroupBy != "" {
		return fmt.Errorf("group advantages by %q is unknown; use %q or %q", o.GroupBy, ByTask, All)
	}
	return nil
}

// Compute returns the leave-one-out advantage of each of the returns (N), in
// its group of K returns with the same task (ARFM, section 3; RLOO):
//
//	R*_k = K/(K-1) (G_k - mean G) = G_k - mean of the others
//
// A group of one gets 0, for there is nothing to compare it with; so does,
// exactly, a group of equal returns. Returns and advantages are in the reward's
// unit; with ZScore advantages have no unit.
func Compute(returns []float64, tasks []string, o Options) ([]float64, error) {
	if len(tasks) != len(returns) {
		return nil, fmt.Errorf("%d returns came with %d tasks; every return needs its task", len(returns), len(tasks))
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	groups := map[string][]int{}
	for i, task := range tasks {
		if o.GroupBy == All {
			task = ""
		}
		if math.IsNaN(returns[i]) || math.IsInf(returns[i], 0) {
			return nil, fmt.Errorf("return %d of task %q is %v; check the rewards of its bag", i, tasks[i], returns[i])
		}
		groups[task] = append(groups[task], i)
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

func leaveOneOut(adv, returns []float64, members []int) {
	k := float64(len(members))
	if k < 2 {
		return
	}
	// Deviations from the first member, so that equal returns give exact zeros
	// and a large common offset costs no digits.
	first, mean := returns[members[0]], 0.0
	for _, i := range members {
		mean += (returns[i] - first) / k
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
