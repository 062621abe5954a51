// Package reward finds the rewards of an episode and their return-to-go.
package reward

import (
	"fmt"
	"math"

	"arfm/bags"
)

// Source says where an episode's rewards come from.
type Source string

// Sources, in the order in which the first that an episode has is taken.
const (
	Topic   Source = bags.RewardTopic   // a reward topic in the bag
	File    Source = bags.RewardFile    // the sidecar file beside the bag
	Success Source = bags.RewardSuccess // the flag at the episode's end
	Nothing Source = bags.RewardNone    // no reward is known
)

// Placement says on which frames of an episode that succeeded the success flag
// puts its reward of 1.
type Placement string

// Placements of the success flag's reward.
const (
	// EveryFrame makes the return-to-go 1 throughout a success and 0 throughout
	// a failure, so that advantages tell episodes apart.
	EveryFrame Placement = "every"
	// LastFrame makes the return-to-go 1/(T-t): a mean over what remains, it
	// sets the end of a success above its beginning more than success above
	// failure.
	LastFrame Placement = "last"
)

// MaxReward bounds a reward's magnitude: squares of it still fit a float32.
const MaxReward = 1e9

// Of returns the reward of every frame of an episode (T), in the unit of their
// source, and what that source is. Success gives 1 where the placement says so
// and 0 elsewhere. Where nothing is known all rewards are 0 and the source is
// Nothing. A reward beyond MaxReward or NaN and an unknown
// placement are errors.
func Of(ep *bags.Episode, success Placement) ([]float64, Source, error) {
	r := make([]float64, len(ep.Frames))
	if success != EveryFrame && success != LastFrame {
		return nil, Nothing, fmt.Errorf("success reward on %q is unknown; use %q or %q", success, EveryFrame, LastFrame)
	}
	switch source := Source(ep.RewardSource); source {
	case Topic, File:
		for i := range ep.Frames {
			r[i] = ep.Frames[i].Reward
			if !(math.Abs(r[i]) <= MaxReward) {
				return nil, source, fmt.Errorf("episode %d of %s: the reward of frame %d is %v, and %g is the most that training can weigh; correct its %s", ep.Index, ep.Bag, i, r[i], MaxReward, source)
			}
		}
		return r, source, nil
	case Success, Nothing:
		if ep.Outcome == bags.Unknown {
			return r, Nothing, nil
		}
		for i := range r {
			if ep.Outcome == bags.Success && (success == EveryFrame || i == len(r)-1) {
				r[i] = 1
			}
		}
		return r, Success, nil
	default:
		return nil, source, fmt.Errorf("episode %d of %s: reward source %q is unknown", ep.Index, ep.Bag, source)
	}
}

// ReturnToGo returns G (T), the mean of the rewards that are still to come,
// the frame's own included (ARFM, section 3; undiscounted, per remaining step):
//
//	G_t = 1/(T-t) sum_{k>=t} r_k
func ReturnToGo(rewards []float64) []float64 {
	g, sum := make([]float64, len(rewards)), 0.0
	for t := len(rewards) - 1; t >= 0; t-- {
		sum += rewards[t]
		g[t] = sum / float64(len(rewards)-t)
	}
	return g
}
