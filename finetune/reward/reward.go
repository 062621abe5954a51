// Package reward finds the rewards of an episode and their return-to-go.
package reward

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"arfm/bags"
	"arfm/policy/contract"
)

// Source says where an episode's rewards come from.
type Source string

// Sources, in the order in which the first that an episode has is taken.
const (
	Topic   Source = bags.RewardTopic   // a reward topic in the bag
	File    Source = bags.RewardFile    // the sidecar file beside the bag
	Success Source = bags.RewardSuccess // the flag at the episode's end
	Dense   Source = "dense"            // dense terms, computed from the frames
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

// Rewards are those of consecutive frames of an episode.
type Rewards struct {
	Values  []float64 // (T)
	Source  Source
	Outcome bags.Outcome
	Terms   []Series // that they are the weighted sum of
	LeftOut []Absent // dense terms whose input is missing
}

// Series is one term's values (T), before they are weighted. Rewards that are
// not dense are one series, named after their source.
type Series struct {
	contract.WeightedTerm
	Values []float64
}

// Absent is a dense term that was left out, and why.
type Absent struct {
	Term   string `json:"term"`
	Reason string `json:"reason"`
}

// Kind tells rewards that can be compared from others: they have the same
// source and, where that is dense, the same terms.
func (r *Rewards) Kind() string {
	kind := string(r.Source)
	if r.Source == Dense {
		var names []string
		for _, t := range r.Terms {
			names = append(names, t.Name)
		}
		kind += ":" + strings.Join(names, ",")
	}
	return kind
}

// Rater finds rewards as a contract says. It may be used by several goroutines.
type Rater struct {
	c       *contract.Contract
	success Placement
	in      contract.RewardInputs
	terms   contract.WeightedTerms
}

// NewRater returns a rater for episodes that were read with a contract. An
// unknown placement is an error.
func NewRater(c *contract.Contract, success Placement) (*Rater, error) {
	if success != EveryFrame && success != LastFrame {
		return nil, fmt.Errorf("success reward on %q is unknown; use %q or %q", success, EveryFrame, LastFrame)
	}
	r := &Rater{c: c, success: success, in: c.RewardInputs(), terms: c.Reward.Terms}
	if r.terms == nil {
		r.terms = contract.DefaultTerms()
	}
	return r, nil
}

// Part is a stretch of an episode's frames, [Lo, Hi).
type Part struct {
	Episode *bags.Episode
	Lo, Hi  int
}

// Of returns the rewards of a part: those of its source in that source's unit.
// Success gives 1 where the placement says so and 0 elsewhere; dense terms see
// no frame outside the part. Where nothing is known all rewards are 0 and the
// source is Nothing. A reward beyond MaxReward or NaN is an error; that of a ctx
// that ends, which is asked for each picture, wraps its own.
func (r *Rater) Of(ctx context.Context, p Part) (Rewards, error) {
	ep, frames := p.Episode, p.Episode.Frames[p.Lo:p.Hi]
	source, mode := Source(ep.RewardSource), r.c.Reward.Source
	switch {
	case !slices.Contains([]Source{Topic, File, Success, Nothing}, source):
		return Rewards{}, fmt.Errorf("episode %d of %s: reward source %q is unknown", ep.Index, ep.Bag, source)
	case mode == contract.RewardTerms:
		return r.dense(ctx, p)
	case source == Topic || source == File:
		v := make([]float64, len(frames))
		for i := range frames {
			v[i] = frames[i].Reward
		}
		return labelled(p, source, v)
	case ep.Outcome != bags.Unknown:
		return labelled(p, Success, r.flag(p))
	case mode == contract.RewardLabels:
		return Rewards{Values: make([]float64, len(frames)), Outcome: ep.Outcome}, nil
	}
	return r.dense(ctx, p)
}

// flag is the success flag's reward of each frame.
func (r *Rater) flag(p Part) []float64 {
	v := make([]float64, p.Hi-p.Lo)
	for i := range v {
		if p.Episode.Outcome == bags.Success && (r.success == EveryFrame || p.Lo+i == len(p.Episode.Frames)-1) {
			v[i] = 1
		}
	}
	return v
}

func labelled(p Part, source Source, v []float64) (Rewards, error) {
	out := Rewards{Values: v, Source: source, Outcome: p.Episode.Outcome}
	out.Terms = []Series{{contract.WeightedTerm{Name: string(source), Weight: 1}, v}}
	return out, p.check(&out)
}

// check refuses rewards that training cannot weigh.
func (p Part) check(r *Rewards) error {
	for i, v := range r.Values {
		if !(math.Abs(v) <= MaxReward) {
			cure := "correct its " + string(r.Source)
			if r.Source == Dense {
				cure = "check the state and action in its frames, or lower the weights of reward.terms"
			}
			return fmt.Errorf("episode %d of %s: the reward of frame %d is %v, and %g is the most that training can weigh; %s", p.Episode.Index, p.Episode.Bag, p.Lo+i, v, MaxReward, cure)
		}
	}
	return nil
}

// All returns the rewards of each part, computed by so many goroutines; their
// number changes nothing. progress, which may be nil, is called after each part.
// The error is that of the first part that has one, or wraps ctx's.
func (r *Rater) All(ctx context.Context, parts []Part, workers int, progress func(done, total int64)) ([]Rewards, error) {
	out, errs := make([]Rewards, len(parts)), make([]error, len(parts))
	var mu sync.Mutex
	var group sync.WaitGroup
	next, done := 0, int64(0)
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	for range max(1, min(workers, len(parts))) {
		group.Go(func() {
			for i := take(); i < len(parts) && ctx.Err() == nil; i = take() {
				out[i], errs[i] = r.Of(ctx, parts[i])
				mu.Lock()
				if done++; progress != nil {
					progress(done, int64(len(parts)))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if err := stopped(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// stopped returns an error if ctx has ended.
func stopped(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped while rewards were computed: %w", err)
	}
	return nil
}

// ReturnToGo returns G (T), the mean of the rewards that are still to come,
// the frame's own included (ARFM, section 3; undiscounted, per remaining step):
//
//	G_t = 1/(T-t) sum_{k>=t} r_k
//
// Equal rewards give exactly themselves.
func ReturnToGo(rewards []float64) []float64 {
	g, sum := make([]float64, len(rewards)), 0.0
	for t := len(rewards) - 1; t >= 0; t-- {
		last := rewards[len(rewards)-1]
		sum += rewards[t] - last
		g[t] = last + sum/float64(len(rewards)-t)
	}
	return g
}
