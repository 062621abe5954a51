package finetune

import (
	"fmt"

	"arfm/policy/flow"
)

// Names of the random streams of a run.
const (
	streamSplit       = "split"        // which episodes are held out
	streamOrder       = "order"        // the order of the chunks
	streamNoise       = "noise"        // eps of the training batches
	streamTau         = "tau"          // flow times of the training batches
	streamTell        = "told"         // what is left to chance in what the policy is told
	streamCritic      = "critic"       // chunks of the critic's updates
	streamCriticStart = "critic start" // its first weights
	streamEval        = "heldout"      // eps and tau of every held-out evaluation, started anew each time
)

// order yields the indices 0..n-1 in one random permutation after another.
type order struct {
	s     *flow.Stream
	start []byte // the stream's state before the current permutation
	perm  []int32
	at    int
}

func newOrder(s *flow.Stream, n int) (*order, error) {
	o := &order{s: s, perm: make([]int32, n)}
	return o, o.shuffle()
}

func (o *order) shuffle() (err error) {
	if o.start, err = o.s.MarshalBinary(); err != nil {
		return err
	}
	o.at = 0
	for i := range o.perm {
		o.perm[i] = int32(i)
	}
	o.s.Shuffle(len(o.perm), func(i, j int) { o.perm[i], o.perm[j] = o.perm[j], o.perm[i] })
	return nil
}

func (o *order) next() (int, error) {
	if o.at == len(o.perm) {
		if err := o.shuffle(); err != nil {
			return 0, err
		}
	}
	o.at++
	return int(o.perm[o.at-1]), nil
}

// restore goes to position at of the permutation that starts with state.
func (o *order) restore(state []byte, at int) error {
	if at < 0 || at > len(o.perm) {
		return fmt.Errorf("position %d in an order of %d chunks", at, len(o.perm))
	}
	if err := o.s.UnmarshalBinary(state); err != nil {
		return err
	}
	if err := o.shuffle(); err != nil {
		return err
	}
	o.at = at
	return nil
}
