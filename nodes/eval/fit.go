package eval

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/policy/contract"
)

// ErrContract is wrapped where a contract asks for what a simulated arm has not.
var ErrContract = errors.New("the simulated arm does not fit the contract")

// Interface is what a simulated arm says and takes.
type Interface struct {
	Topics    []bags.TopicType
	Joints    []string // that it takes positions of
	RateHz    int
	Contracts string // that fit it, for the error's advice
}

// Fit returns the topics that make a contract's observations, once each, and
// the column of an action that commands each joint. The error wraps ErrContract.
func (a *Interface) Fit(c *contract.Contract) (inputs []string, columns []int, err error) {
	for _, use := range c.Topics() {
		switch use.Role {
		case contract.RoleAction, contract.RoleReward, contract.RoleEpisode:
			continue
		}
		if !slices.Contains(a.Topics, bags.TopicType{Topic: use.Topic, Type: contract.NormalType(use.Type)}) {
			return nil, nil, fmt.Errorf("%w: it publishes no %s of type %s; start from %s", ErrContract, use.Topic, use.Type, a.Contracts)
		}
		if !slices.Contains(inputs, use.Topic) {
			inputs = append(inputs, use.Topic)
		}
	}
	names := c.ActionNames()
	bad := ""
	switch {
	case c.Action.Unit != contract.UnitPosition:
		bad = "the action's unit is " + c.Action.Unit
	case len(names) != len(a.Joints):
		bad = fmt.Sprintf("the action has %d elements", len(names))
	case c.Period() != int64(1e9)/int64(a.RateHz):
		bad = fmt.Sprintf("rate_hz is %g", c.RateHz)
	}
	if bad != "" {
		return nil, nil, fmt.Errorf("%w: %s, it takes positions of %v at %d Hz; start from %s", ErrContract, bad, a.Joints, a.RateHz, a.Contracts)
	}
	for _, joint := range a.Joints {
		i := slices.Index(names, joint)
		if i < 0 {
			return nil, nil, fmt.Errorf("%w: the action has no %s", ErrContract, joint)
		}
		columns = append(columns, i)
	}
	return inputs, columns, nil
}

// Feed pushes what is said on topics at time t into a resampler, as if it were
// received at once.
func Feed(r *contract.Resampler, topics []string, t int64, said func(topic string, t int64) (*cdr.Record, error)) error {
	for _, topic := range topics {
		rec, err := said(topic, t)
		if err != nil {
			return err
		}
		if err := r.Push(topic, t, rec); err != nil {
			return fmt.Errorf("eval: %w", err)
		}
	}
	return nil
}

// Rand returns the random numbers of an evaluation's episode, which are others
// than those of a recording with the same seed.
func Rand(seed, episode uint64) *rand.Rand {
	const stream = 0x6576616c
	return rand.New(rand.NewPCG(seed^stream, episode))
}
