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

// Of returns the reward of every frame of an episode (T), in the unit of their
// source, and what that source is. Success gives 1 at the last frame of an
// episode that succeeded and 0 elsewhere. Where nothing is known all rewards
// are 0 and the source is Nothing. A reward that is not finite is an error.
func Of(ep *bags.Episode) ([]float64, Source, error) {
	r := make([]float64, len(ep.Frames))
	switch source := Source(ep.RewardSource); source {
	case Topic, File:
		for i := range ep.Frames {
			r[i] = ep.Frames[i].Reward
			if math.IsNaN(r[i]) || math.IsInf(r[i], 0) {
				return nil, source, fmt.Errorf("episode %d of %s: the reward of frame %d is %v; correct its %s", ep.Index, ep.Bag, i, r[i], source)
			}
		}
		return r, source, nil
	case Success, Nothing:
		if ep.Outcome == bags.Unknown {
			return r, Nothing, nil
		}
		if n := len(r); n > 0 && ep.Outcome == bags.Success {
			r[n-1] = 1
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
