package main

import (
	"context"
	"fmt"
	"runtime"

	"arfm/bags"
	"arfm/finetune/reward"
	"arfm/policy/contract"
)

func bagRewardsCommand() *command {
	fs := newFlags("rewards")
	contractPath := fs.StringP("contract", "c", "", "contract YAML; its reward says which sources and terms (examples: launch/contracts)")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "rewards", args: "BAG...", flags: fs,
		summary: "Show the rewards that training finds in bags: their sources and terms.",
		detail: `BAG is a bag's folder, a .mcap or .db3 file, or a folder with bags at any depth.
Each episode has the first of: the reward topic, the sidecar file, its outcome,
dense terms. Dense terms are those of the contract's reward.terms, else all; one
whose input is missing (a camera, the outcome) is left out.

In the tables: a term's figures are those before its WEIGHT; SHARE is its part of
the rewards' size; RETURN is the mean reward of an episode, so where dense terms
tell good episodes from bad ones, success has the higher.
`,
		example: "arfm bag rewards --contract arm.yaml recordings",
		run: func(ctx context.Context, std streams, args []string) error {
			if err := contractAndBags(*contractPath, args); err != nil {
				return err
			}
			s, err := rewardsOf(ctx, std, *contractPath, args)
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(std.out, s)
			}
			fmt.Fprint(std.out, s)
			return nil
		},
	}
}

// rewardsOf reads one bag after the other, so that the frames of only one are in
// memory.
func rewardsOf(ctx context.Context, std streams, contractPath string, args []string) (*reward.Summary, error) {
	c, err := contract.Load(contractPath)
	if err != nil {
		return nil, err
	}
	rater, err := reward.NewRater(c, reward.EveryFrame)
	if err != nil {
		return nil, err
	}
	found, err := bags.Find(args...)
	if err != nil {
		return nil, err
	}
	bar := newProgress(std.err, "rewards")
	defer bar.done()
	var all []reward.Rewards
	var reports []*bags.CheckReport
	for i, path := range found {
		bar.at(int64(i), int64(len(found)), path)
		episodes, report, err := bags.ReadEpisodes(ctx, path, c, bags.Options{})
		if err != nil {
			return nil, err
		}
		parts := make([]reward.Part, len(episodes))
		for k := range episodes {
			parts[k] = reward.Part{Episode: &episodes[k], Hi: len(episodes[k].Frames)}
		}
		rewards, err := rater.All(ctx, parts, runtime.GOMAXPROCS(0), nil)
		if err != nil {
			return nil, err
		}
		all, reports = append(all, rewards...), append(reports, report)
	}
	bar.done()
	tell(std.err, bags.Notes(reports))
	s := reward.Summarize(all)
	return &s, nil
}
