package finetune

import (
	"fmt"
	"slices"
	"strings"

	"arfm/finetune/reward"
	"arfm/policy/checkpoint"
)

// Result is what a run has done.
type Result struct {
	Step       int64                 `json:"step"`
	Checkpoint string                `json:"checkpoint"` // path of the newest
	Hash       string                `json:"hash"`
	Parent     string                `json:"parent,omitempty"`
	Frames     int                   `json:"frames"`          // chunks of the training split
	HeldOut    int                   `json:"held_out_frames"` // of the held-out split
	Rewards    map[reward.Source]int `json:"rewards"`         // episodes of the training split by source
	Terms      []reward.TermStats    `json:"reward_terms,omitempty"`
	LeftOut    []reward.LeftOut      `json:"reward_terms_left_out,omitempty"` // dense terms whose input is missing
	Unweighted bool                  `json:"unweighted"`                      // rewards were to weigh the chunks, but all Advantages are equal
	AtLower    float64               `json:"alpha_at_lower_bound,omitempty"`  // share of the steps of this call
	AtUpper    float64               `json:"alpha_at_upper_bound,omitempty"`
	Evaluation *HeldOut              `json:"evaluation,omitempty"`
	Timing     Timing                `json:"timing"`
	Advantages []float64             `json:"-"` // of the chunks of the training split; where a critic learns them, as it ends
}

// Timing is the mean time of a step, in seconds, by what it was spent on.
type Timing struct {
	Network   float64 `json:"network"` // forward and backward
	Graph     float64 `json:"graph"`   // the rest of the training step: losses, weights, the machine
	Optimiser float64 `json:"optimiser"`
	Critic    float64 `json:"critic,omitempty"`
	Data      float64 `json:"data"` // batch assembly and noise
	Log       float64 `json:"log"`
}

func (t *trainer) result() *Result {
	r := t.last
	r.Step, r.Parent = t.n, t.parent
	r.Advantages = t.advantages()
	r.Rewards, r.Terms, r.LeftOut = t.rewards.Parts, t.rewards.Terms, t.rewards.LeftOut
	if a := r.Advantages; t.obj.Needs().Rewards && len(a) > 0 {
		r.Unweighted = slices.Min(a) == slices.Max(a)
	}
	r.Frames, r.HeldOut = len(t.data.train.chunks), len(t.data.heldOut.chunks)
	if n := float64(t.n - t.begun); n > 0 {
		s := t.spent
		r.AtLower, r.AtUpper = float64(t.bound.lower)/n, float64(t.bound.upper)/n
		r.Timing = Timing{s.Network / n, s.Graph / n, s.Optimiser / n, s.Critic / n, s.Data / n, s.Log / n}
	}
	if r.Checkpoint == "" && t.saved == t.n && t.n > 0 { // resumed at its end
		r.Checkpoint = t.o.checkpointPath(t.n)
		if info, err := checkpoint.ReadInfo(r.Checkpoint); err == nil {
			r.Hash = info.Hash
		}
	}
	return &r
}

// advantages returns those of all training chunks, by the critic if there is one.
func (t *trainer) advantages() []float64 {
	if t.critic == nil {
		return t.data.advantage
	}
	all, learned := make([]int, len(t.data.advantage)), make([]float32, len(t.data.advantage))
	for k := range all {
		all[k] = k
	}
	t.appraise(learned, all)
	adv := make([]float64, len(learned))
	for k, a := range learned {
		adv[k] = float64(a)
	}
	return adv
}

// mostly is the share of steps from which on alpha's bound is told.
const mostly = 0.5

// Notes are what a user should know of how the objective fared, a sentence each.
func (r *Result) Notes() (notes []string) {
	if len(r.Rewards) > 1 {
		notes = append(notes, "rewards come from several sources: episodes are compared only within theirs, those with none have advantage 0")
	}
	switch {
	case r.Unweighted:
		notes = append(notes, "every chunk has the same advantage, so rewards changed nothing: label good and bad episodes of one task")
	case r.AtLower > mostly:
		notes = append(notes, fmt.Sprintf("alpha lay on its lower bound in %.0f %% of the steps, where all chunks count almost alike, as with bc: raise lambda", 100*r.AtLower))
	case r.AtUpper > mostly:
		notes = append(notes, fmt.Sprintf("alpha lay on its upper bound in %.0f %% of the steps, where it does not adapt: lower lambda, unless chunks are only good or bad, as of rewards for success alone", 100*r.AtUpper))
	}
	return notes
}

// String says in a few lines what a run did.
func (r *Result) String() string {
	var b strings.Builder
	rewards := reward.Summary{Parts: r.Rewards, LeftOut: r.LeftOut}
	fmt.Fprintf(&b, "%d steps on %d frames (%d held out), rewards: %s", r.Step, r.Frames, r.HeldOut, rewards.Sources())
	if missing := rewards.Missing(); missing != "" {
		fmt.Fprintf(&b, "\nreward terms left out: %s", missing)
	}
	for _, note := range r.Notes() {
		b.WriteString("\n" + note)
	}
	if r.Evaluation != nil {
		fmt.Fprintf(&b, "\n%s", r.Evaluation)
	}
	fmt.Fprintf(&b, "\n%s (%.12s)", r.Checkpoint, r.Hash)
	return b.String()
}
