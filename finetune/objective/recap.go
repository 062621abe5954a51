package objective

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"

	"arfm/policy/vla"
)

var _ = register(Definition{"recap", "all chunks alike; the policy is told which are good, and asks for good ones when it runs", func(fs *flag.FlagSet) Objective {
	o := &RECAP{}
	fs.Float64Var(&o.Share, "good-share", 0.3, "share of the chunks of a group that count as good, those of the greatest advantages")
	fs.Float64Var(&o.Dropout, "told-dropout", 0.3, "probability that the policy is not told whether a chunk is good, so that it can be guided when it runs")
	return o
}})

// RECAP conditions the policy on a binary advantage (Physical Intelligence,
// "pi*0.6: a VLA That Learns From Experience", arXiv 2511.14759): a chunk is
// good where its advantage exceeds the 1-Share quantile of its group, all chunks
// weigh alike, and the policy is told good (1, 0), bad (0, 1) or neither (0, 0):
// with probability Dropout, where no reward is known, and where all advantages of
// a group are equal, for then they are no better than anything. A running policy
// asks for good, with classifier-free guidance if a weight other than 1 is set.
// The advantages are those of package advantage, where the paper has them from a
// value function.
type RECAP struct {
	Share   float64 // in (0, 1)
	Dropout float64 // in [0, 1)

	label      []label // (N)
	good, told float64 // shares of the last batch
}

type label uint8

const (
	unknown label = iota
	bad
	good
)

// Name returns "recap".
func (*RECAP) Name() string { return "recap" }

// Needs returns rewards and a condition of two numbers.
func (*RECAP) Needs() Needs {
	return Needs{Rewards: true, Condition: &vla.Condition{Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}}
}

// Validate returns what is out of range, or nil.
func (o *RECAP) Validate() error {
	switch {
	case !(o.Share > 0 && o.Share < 1):
		return fmt.Errorf("the share of good chunks is %v; it must lie between 0 and 1", o.Share)
	case !(o.Dropout >= 0 && o.Dropout < 1):
		return fmt.Errorf("the probability of not telling is %v; it must lie in [0, 1)", o.Dropout)
	}
	return nil
}

// Prepare labels the chunks.
func (o *RECAP) Prepare(c Chunks) error {
	o.label = make([]label, len(c.Advantages))
	groups := map[string][]int{}
	for i, g := range c.Returns {
		if !math.IsNaN(g) {
			groups[c.Groups[i]] = append(groups[c.Groups[i]], i)
		}
	}
	for _, members := range groups {
		least, ok := o.threshold(c.Advantages, members)
		if !ok {
			continue
		}
		for _, i := range members {
			if o.label[i] = bad; c.Advantages[i] >= least {
				o.label[i] = good
			}
		}
	}
	return nil
}

// threshold returns the least advantage of a good member, or false where all are
// equal. Of equal advantages all are good or none: where the quantile falls among
// them they are good only if no advantage is greater.
func (o *RECAP) threshold(adv []float64, members []int) (least float64, ok bool) {
	sorted := make([]float64, len(members))
	for k, i := range members {
		sorted[k] = adv[i]
	}
	slices.Sort(sorted)
	if sorted[0] == sorted[len(sorted)-1] {
		return 0, false
	}
	at := min(int((1-o.Share)*float64(len(sorted))), len(sorted)-1)
	if at > 0 && sorted[at] == sorted[at-1] || at == 0 {
		above, _ := slices.BinarySearchFunc(sorted, sorted[at], func(a, b float64) int {
			if a > b {
				return 0
			}
			return -1
		})
		if above < len(sorted) {
			return sorted[above], true
		}
	}
	return sorted[at], true
}

// Tell fills dst (2).
func (o *RECAP) Tell(dst []float32, chunk int, r *rand.Rand) {
	hidden := r.Float64() < o.Dropout // drawn for every chunk, so that the stream moves alike
	dst[0], dst[1] = 0, 0
	switch {
	case hidden:
	case o.label[chunk] == good:
		dst[0] = 1
	case o.label[chunk] == bad:
		dst[1] = 1
	}
}

// Loss returns mean l.
func (o *RECAP) Loss(in Inputs) (loss, weights *gorgonia.Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	weights, err = Weigh("recap", in.L, in.Told, func(_, told, w []float32) error {
		o.good, o.told = 0, 0
		n := float64(len(w))
		for i := range w {
			w[i] = float32(1 / n)
			o.good += float64(told[2*i]) / n
			o.told += float64(told[2*i]+told[2*i+1]) / n
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	loss, err = weighted(weights, in.L)
	return loss, weights, err
}

// Measure reports the shares of the batch that the policy was told of, and that
// it was told are good.
func (o *RECAP) Measure(m *Metrics) {
	m.Figures = map[string]float64{"told": o.told, "good": o.good}
}
