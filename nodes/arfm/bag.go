package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"arfm/bags"
	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

func bagInfoCommand() *command {
	fs := newFlags("info")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "info", args: "BAG...", flags: fs,
		summary: "Say what is in a rosbag: storage, times, topics and their counts.",
		example: "arfm bag info recordings/monday",
		run: func(_ context.Context, std streams, args []string) error {
			if len(args) == 0 {
				return usagef("name at least one bag")
			}
			var infos []rosbag2.Info
			for _, path := range args {
				bag, err := rosbag2.Open(path)
				if err != nil {
					return err
				}
				infos = append(infos, bag.Info())
				if err := bag.Close(); err != nil {
					return err
				}
			}
			if *asJSON {
				return writeJSON(std.out, infos)
			}
			for _, in := range infos {
				printInfo(std.out, &in)
			}
			return nil
		},
	}
}

func printInfo(w io.Writer, in *rosbag2.Info) {
	fmt.Fprintf(w, "%s\n", in.Path)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	storage := in.Storage
	if in.Schema > 0 {
		storage += fmt.Sprintf(", schema %d", in.Schema)
	}
	if in.Version > 0 {
		storage += fmt.Sprintf(", metadata version %d", in.Version)
	} else {
		storage += ", no metadata.yaml"
	}
	fmt.Fprintf(tw, "  storage\t%s\n", storage)
	if in.Compression != "" {
		fmt.Fprintf(tw, "  compression\t%s\n", in.Compression)
	}
	if in.Distro != "" {
		fmt.Fprintf(tw, "  distribution\t%s\n", in.Distro)
	}
	fmt.Fprintf(tw, "  start\t%s (%d ns)\n", time.Unix(0, in.Start).UTC().Format(time.RFC3339Nano), in.Start)
	fmt.Fprintf(tw, "  duration\t%v\n", time.Duration(in.Duration))
	fmt.Fprintf(tw, "  messages\t%d (counted from %s)\n", in.Messages, in.CountSource)
	for _, f := range in.Files {
		fmt.Fprintf(tw, "  file\t%s, %d bytes\n", f.Path, f.Size)
		if f.Err != nil {
			fmt.Fprintf(tw, "  damaged\t%v\n", f.Err)
		}
	}
	for _, m := range in.Missing {
		fmt.Fprintf(tw, "  missing\t%s\n", m)
	}
	for _, m := range in.Mismatch {
		fmt.Fprintf(tw, "  mismatch\t%s\n", m)
	}
	tw.Flush()
	fmt.Fprintln(tw, "  topic\ttype\tmessages")
	for _, t := range in.Topics {
		format := ""
		if t.Format != "cdr" {
			format = fmt.Sprintf(" (%s: cannot be decoded)", t.Format)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%d%s\n", t.Name, t.Type, t.Count, format)
	}
	tw.Flush()
}

func bagCheckCommand() *command {
	fs := newFlags("check")
	contractPath := fs.StringP("contract", "c", "", "contract YAML")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "check", args: "BAG...", flags: fs,
		summary: "Say whether bags fit a contract: counts, rates, gaps, ages, dropped frames and why.",
		example: "arfm bag check --contract arm.yaml recordings",
		run: func(ctx context.Context, std streams, args []string) error {
			switch {
			case *contractPath == "":
				return usagef("--contract is missing: name the contract YAML")
			case len(args) == 0:
				return usagef("name at least one bag, or a folder of bags")
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
	task := fs.String("task", "", "instruction in words (default: the contract's)")
	span := fs.String("span", "", "the episode's part of the bag as start:end, such as 10s:2m or 0%:80% (default: all of it)")
	reward := fs.Float64("reward", 0, "reward given at the episode's end (default: none, so that success counts 1)")
	file := fs.String("file", contract.DefaultSidecar, "name of the sidecar file, the contract's reward.file")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "label", args: "BAG...", flags: fs,
		summary: "Label bags as good or bad in a sidecar file beside them; the bags stay untouched.",
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
				l.Reward = reward
			}
			if err := l.Validate(); err != nil {
				return usageError{err}
			}
			for _, bag := range args { // all or none
				if _, err := os.Stat(bag); err != nil {
					return err
				}
			}
			type written struct {
				Bag      string `json:"bag"`
				File     string `json:"file"`
				Episodes int    `json:"episodes"`
			}
			var all []written
			for _, bag := range args {
				path, n, err := bags.LabelEpisode(bag, l)
				if err != nil {
					return err
				}
				all = append(all, written{bag, path, n})
				if !*asJSON {
					fmt.Fprintf(std.out, "%s marks %d episodes\n", path, n)
				}
			}
			if *asJSON {
				return writeJSON(std.out, all)
			}
			return nil
		},
	}
}
