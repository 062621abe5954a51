package reach

import (
	"fmt"
	"math"

	"arfm/nodes/eval"
	"arfm/policy"
	"arfm/policy/contract"
)

// ExpertPolicy does the task by computing it: the yardstick for learned
// policies and a policy that needs no training.
type ExpertPolicy struct {
	horizon int
	q       [2]int // where the joints are in the state
	target  [2]int // where the target is
	col     [2]int
	speed   float64
}

// NewExpertPolicy returns the expert for a contract whose state holds the
// joints, by name, and the target's x and y as target_x and target_y.
func NewExpertPolicy(c *contract.Contract) (*ExpertPolicy, error) {
	_, col, err := speaks.Fit(c)
	if err != nil {
		return nil, err
	}
	p := &ExpertPolicy{horizon: c.Horizon(), speed: 0.6 * maxSpeed, col: [2]int(col)}
	for i, want := range []string{JointNames[0], JointNames[1], "target_x", "target_y"} {
		at := -1
		for k, name := range c.StateNames() {
			if name == want && at < 0 {
				at = k
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%w: its state has no %s", eval.ErrContract, want)
		}
		if i < 2 {
			p.q[i] = at
		} else {
			p.target[i-2] = at
		}
	}
	return p, nil
}

// Act implements policy.Policy: towards the goal at a speed that falls with
// the way left.
func (p *ExpertPolicy) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	for _, i := range []int{p.q[0], p.q[1], p.target[0], p.target[1]} {
		if i >= len(obs.State) {
			return fmt.Errorf("reach: state of %d elements is not the contract's", len(obs.State))
		}
	}
	q := [2]float64{float64(obs.State[p.q[0]]), float64(obs.State[p.q[1]])}
	goal, ok := Inverse(Point{float64(obs.State[p.target[0]]), float64(obs.State[p.target[1]])})
	if !ok {
		goal = q
	}
	chunk.Stamp, chunk.Period, chunk.Dim = obs.Stamp, Period, 2
	if cap(chunk.Values) < 2*p.horizon {
		chunk.Values = make([]float32, 2*p.horizon)
	}
	chunk.Values = chunk.Values[:2*p.horizon]
	for h := range p.horizon {
		way := math.Max(math.Abs(goal[0]-q[0]), math.Abs(goal[1]-q[1]))
		step := min(p.speed/RateHz, 0.35*way)
		for j := range q {
			if way > 0 {
				q[j] += (goal[j] - q[j]) * step / way
			}
			chunk.Values[2*h+p.col[j]] = float32(q[j])
		}
	}
	return nil
}

// Info implements policy.Policy.
func (p *ExpertPolicy) Info() policy.Info { return policy.Info{Objective: "expert"} }
