package main

import (
	"context"
	"fmt"
	"math"
	"os"

	"arfm/bags"
	"arfm/bags/rosbag2"
	"arfm/finetune/reward"
	"arfm/policy/contract"
)

// contractAndBags checks that both were named.
func contractAndBags(contract string, bags []string) error {
	switch {
	case contract == "":
		return usagef("--contract is missing: name the contract YAML")
	case len(bags) == 0:
		return usagef("name at least one bag, or a folder of bags")
	}
	return nil
}

func bagCheckCommand() *command {
	fs := newFlags("check")
	contractPath := fs.StringP("contract", "c", "", "contract YAML: which topics are observation, action and reward (examples: launch/contracts)")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "check", args: "BAG...", flags: fs,
		summary: "Say whether bags fit a contract: counts, rates, gaps, ages, dropped frames and why.",
		detail: `BAG is a bag's folder, a .mcap or .db3 file, or a folder with bags at any depth.
The exit status is 1 if a bag does not fit.

In the table: GAPS are intervals over three times the usual one; AGE is how old
a sample is when a frame takes it; DROPPED counts frames, by reason; UNSTAMPED
messages have no header time and are aligned by receive time; UNORDERED ones are
stamped before the message before; REFUSED ones cannot be used.
`,
		example: "arfm bag check --contract arm.yaml recordings",
		run: func(ctx context.Context, std streams, args []string) error {
			if err := contractAndBags(*contractPath, args); err != nil {
				return err
			}
			c, err := contract.Load(*contractPath)
			if err != nil {
				return err
			}
			found, err := bags.Find(args...)
			if err != nil {
				return err
			}
			var reports []*bags.CheckReport
			var unfit error
			for _, path := range found {
				r, err := bags.Check(ctx, path, c)
				if err != nil {
					return err
				}
				reports = append(reports, r)
				if !*asJSON {
					fmt.Fprintln(std.out, r)
				}
				if unfit == nil {
					unfit = r.Err()
				}
			}
			if *asJSON {
				if err := writeJSON(std.out, reports); err != nil {
					return err
				}
			}
			return unfit
		},
	}
}

func bagLabelCommand() *command {
	fs := newFlags("label")
	outcome := fs.String("outcome", "", "how the episode ended: success, failure, end (unknown)")
	task := fs.String("task", "", "instruction in words for the episode (default: what the recording or the contract says)")
	span := fs.String("span", "", "the episode's part of the bag as start:end, such as 10s:2m or 0%:80% (default: all of it)")
	given := fs.Float64("reward", 0, "reward given at the episode's end (default: none; training then rewards a success with 1)")
	file := fs.String("file", contract.DefaultSidecar, "name of the sidecar file; the contract's reward.file must say the same")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "label", args: "BAG...", flags: fs,
		summary: "Label bags as good or bad in a sidecar file beside them; the bags stay untouched.",
		detail: `Each call marks one episode: the whole bag, or the part that --span names. Parts
of earlier labels that it covers are replaced. The file lies in the bag's folder
(beside a single file) and can also be written by hand: CSV with the columns
stamp_ns, reward, event (start, end, success, failure), task. Events on the
contract's episode topic go before those of the file.
`,
		example: "arfm bag label --outcome success recordings/monday\narfm bag label --outcome failure --span 40s:55s recordings/monday",
		run: func(_ context.Context, std streams, args []string) error {
			switch {
			case *outcome == "":
				return usagef("--outcome is missing: success, failure or end")
			case len(args) == 0:
				return usagef("name at least one bag")
			}
			l := bags.Labelling{Outcome: bags.Event(*outcome), Task: *task, File: *file}
			if *span != "" {
				var err error
				if l.Span, err = bags.ParseSpan(*span); err != nil {
					return usageError{err}
				}
			}
			if fs.Changed("reward") {
				l.Reward = given
			}
			if !(math.Abs(*given) <= reward.MaxReward) {
				return usagef("--reward is %g, and %g is the most that training can weigh; give less", *given, reward.MaxReward)
			}
			if err := l.Validate(); err != nil {
				return usageError{err}
			}
			return labelAll(std, args, l, *asJSON)
		},
	}
}

// labelAll labels every bag the same, or none where one is missing.
func labelAll(std streams, paths []string, l bags.Labelling, asJSON bool) error {
	for _, bag := range paths {
		if _, err := os.Stat(bag); err != nil {
			return rosbag2.IOError("open", bag, err)
		}
	}
	type written struct {
		Bag      string `json:"bag"`
		File     string `json:"file"`
		Episodes int    `json:"episodes"`
	}
	var all []written
	for _, bag := range paths {
		path, n, err := bags.LabelEpisode(bag, l)
		if err != nil {
			return err
		}
		all = append(all, written{bag, path, n})
		if !asJSON {
			fmt.Fprintf(std.out, "%s marks %d episodes\n", path, n)
		}
	}
	if asJSON {
		return writeJSON(std.out, all)
	}
	return nil
}
