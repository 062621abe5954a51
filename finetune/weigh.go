package finetune

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"

	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/finetune/reward"
	"arfm/policy/contract"
)

// weigh computes the advantage of every training chunk: the return-to-go at
// its first frame against those of its group, among the chunks whose rewards
// are of one kind: a 0 of one source is not a 0 of another. Chunks
// without any reward get 0, neither good nor bad. Rewards past the span's end
// belong to held-out frames and do not count.
func (t *trainer) weigh(ctx context.Context) error {
	d := t.data
	rewards, err := t.rate(ctx)
	if err != nil {
		return err
	}
	d.rewards, t.rewards = rewards, reward.Summarize(rewards)
	n := 0
	d.returns, d.groups, d.kinds = nil, nil, map[string]*rewarded{}
	for i, s := range d.train.spans {
		ep, kind := &d.episodes[s.episode], rewards[i].Kind()
		if d.kinds[kind] == nil {
			d.kinds[kind] = &rewarded{}
		}
		from := advantage.Origin{Task: ep.Task, Suite: suiteOf(ep.Bag)}
		togo := reward.ReturnToGo(rewards[i].Values)
		d.kinds[kind].add(n, togo, from)
		d.returns = append(d.returns, togo...)
		for range togo {
			d.groups = append(d.groups, kind+"/"+t.o.Advantage.GroupBy.Of(from))
		}
		n += s.hi - s.lo
	}
	if t.obj.Needs().Rewards && t.rewards.Parts[reward.Nothing] == len(d.train.spans) {
		return t.noReward()
	}
	d.advantage = make([]float64, n)
	if g := d.kinds[string(reward.Nothing)]; g != nil {
		for _, at := range g.at {
			d.returns[at] = math.NaN()
		}
		delete(d.kinds, string(reward.Nothing))
	}
	for _, g := range d.kinds {
		adv, err := advantage.Compute(g.returns, g.from, t.o.Advantage)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
		for i, at := range g.at {
			d.advantage[at] = adv[i]
		}
	}
	return nil
}

// noReward says why no chunk has a reward, and what to do.
func (t *trainer) noReward() error {
	r := &t.contract.Reward
	terms := "no dense term"
	if missing := t.rewards.Missing(); missing != "" {
		terms = "no dense term that these bags have the input for: " + missing
	}
	why := fmt.Sprintf("there is none in %s and no outcome, and the contract's reward has %s; label the bags, change the reward or use bc", rewardPlaces(t.contract), terms)
	switch r.Source {
	case contract.RewardTerms:
		why = fmt.Sprintf("the contract's reward is of dense terms only (source: terms), and has %s; change reward.terms or reward.source, or use bc", terms)
	case contract.RewardLabels:
		why = fmt.Sprintf("there is none in %s and no outcome, and the contract's reward is of labels only (source: labels); label the bags, change reward.source or use bc", rewardPlaces(t.contract))
	}
	return fmt.Errorf("%w, and objective %s tells chunks apart by them: %s", ErrNoReward, t.o.Objective, why)
}

// rate finds the rewards of the training spans. Where nothing weighs chunks by
// them the dense terms, which cost time, are left alone.
func (t *trainer) rate(ctx context.Context) ([]reward.Rewards, error) {
	c := *t.contract
	if !t.obj.Needs().Rewards {
		c.Reward.Source = contract.RewardLabels
	}
	rater, err := reward.NewRater(&c, t.o.Success)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	parts := make([]reward.Part, len(t.data.train.spans))
	for i, s := range t.data.train.spans {
		parts[i] = reward.Part{Episode: &t.data.episodes[s.episode], Lo: s.lo, Hi: s.hi}
	}
	all, err := rater.All(ctx, parts, t.o.Workers, t.o.Rating)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped before the first step: %w", ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrData, err)
	}
	return all, nil
}

// prepare describes the returns where the objective needs it, and shows it what
// is known of the training chunks where it tells the policy something of them.
func (t *trainer) prepare() error {
	c := objective.Chunks{Returns: t.data.returns, Advantages: t.data.advantage, Groups: t.data.groups}
	if t.obj.Needs().Returns {
		moments := t.describe()
		c.Standard = make([]float64, len(c.Returns)) // NaN where no reward is known
		for i := range c.Standard {
			c.Standard[i] = math.NaN()
		}
		for kind, g := range t.data.kinds {
			m := moments[kind]
			for i, at := range g.at {
				if c.Standard[at] = 0; m.Std > 0 {
					c.Standard[at] = (g.returns[i] - m.Mean) / m.Std
				}
			}
		}
	}
	teller, ok := t.obj.(objective.Teller)
	if !ok {
		return nil
	}
	if err := teller.Prepare(c); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	return nil
}

// describe returns the moments of the returns of each kind of reward: those in the
// statistics of the checkpoint that training started from, else of the training
// chunks, and then they go into the statistics.
func (t *trainer) describe() map[string]contract.Moments {
	moments, with := map[string]contract.Moments{}, *t.stats
	maps.Copy(moments, with.Returns)
	for kind, g := range t.data.kinds {
		if _, ok := moments[kind]; ok {
			continue
		}
		moments[kind] = contract.Describe(g.returns)
		if len(t.data.kinds) == 1 && with.Return != nil {
			moments[kind] = *with.Return
		}
	}
	switch len(moments) {
	case 0:
		return nil
	case 1:
		for _, m := range moments {
			with.Return, with.Returns = &m, nil
		}
	default:
		with.Return, with.Returns = nil, moments
	}
	t.stats = &with
	return moments
}

// rewardPlaces names where the rewards of a contract are looked for.
func rewardPlaces(c *contract.Contract) string {
	file := cmp.Or(c.Reward.File, contract.DefaultSidecar)
	if c.Reward.Topic == "" {
		return file
	}
	return "topic " + c.Reward.Topic + " or in " + file
}

// rewarded are the training chunks whose rewards come from one source.
type rewarded struct {
	at      []int // places among the training chunks
	returns []float64
	from    []advantage.Origin
}

// add takes the chunks of a span, the first of which is training chunk first.
func (g *rewarded) add(first int, returns []float64, from advantage.Origin) {
	for i, r := range returns {
		g.at, g.returns, g.from = append(g.at, first+i), append(g.returns, r), append(g.from, from)
	}
}

// recorded is the form of a bag's name that arfm sim record gives: suite,
// quality, number.
var recorded = regexp.MustCompile(`^(.+)_(expert|sloppy|failing|mixed)_[0-9]+$`)

// suiteOf returns the suite that a bag's tasks belong to: the one that it is
// named after, else the folder that it lies in.
func suiteOf(bag string) string {
	if m := recorded.FindStringSubmatch(filepath.Base(bag)); m != nil {
		return m[1]
	}
	return filepath.Base(filepath.Dir(bag))
}
