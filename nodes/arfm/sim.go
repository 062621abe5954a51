package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"arfm/nodes/demonstration"
	"arfm/nodes/sim"
)

// suiteNames lists the suites for a flag's help.
func suiteNames() string {
	var names []string
	for _, s := range sim.Suites {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

func simTasksCommand() *command {
	fs := newFlags("tasks")
	asJSON := fs.Bool("json", false, "print them as JSON")
	return &command{
		name: "tasks", flags: fs,
		summary: "List the suites of the simulated arm and the instructions of their tasks.",
		example: "arfm sim tasks",
		run: func(_ context.Context, std streams, _ []string) error {
			if *asJSON {
				suites := map[string][]string{}
				for _, s := range sim.Suites {
					for _, t := range s.Tasks {
						suites[s.Name] = append(suites[s.Name], t.Instruction)
					}
				}
				return writeJSON(std.out, suites)
			}
			for _, s := range sim.Suites {
				fmt.Fprintf(std.out, "%s: %s, %d s\n", s.Name, s.About, s.TimeLimit/sim.RateHz)
				for i, t := range s.Tasks {
					fmt.Fprintf(std.out, "  %d  %s\n", i, t.Instruction)
				}
			}
			return nil
		},
	}
}

func simRecordCommand() *command {
	fs := newFlags("record")
	o := demonstration.Options{Episodes: 50, Quality: demonstration.Expert, Shares: demonstration.DefaultShares, PerBag: 25}
	suite := fs.StringP("suite", "s", "object", "suite of tasks: "+suiteNames())
	fs.IntVarP(&o.Episodes, "episodes", "n", o.Episodes, "demonstrations; the suite's tasks take turns")
	quality := fs.StringP("quality", "q", string(o.Quality), "demonstrator: expert, sloppy, failing, mixed")
	shares := fs.Float64Slice("shares", []float64{o.Shares.Expert, o.Shares.Sloppy, o.Shares.Failing}, "of mixed: how much is expert, sloppy, failing, as `numbers`")
	showDefault(fs, "shares", *shares)
	out := fs.String("out", "", "folder for the bags")
	fs.IntVar(&o.PerBag, "per-bag", o.PerBag, "demonstrations in a bag")
	fs.Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same bags to the bit")
	fs.BoolVar(&o.NoImages, "no-images", false, "leave the cameras out: ten times as fast")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	return &command{
		name: "record", flags: fs,
		summary: "Record demonstrations of the simulated arm as rosbags.",
		example: "arfm sim record --suite object --episodes 200 --quality mixed --no-images --out recordings",
		run: func(ctx context.Context, std streams, _ []string) error {
			if *out == "" {
				return usagef("--out is missing: name a folder for the bags")
			}
			s, err := sim.FindSuite(*suite)
			if err != nil {
				return usageError{err}
			}
			o.Quality = demonstration.Quality(*quality)
			if len(*shares) != 3 {
				return usagef("--shares has %d numbers; give three: expert, sloppy, failing", len(*shares))
			}
			o.Shares = demonstration.Shares{Expert: (*shares)[0], Sloppy: (*shares)[1], Failing: (*shares)[2]}
			if err := o.Shares.Validate(); err != nil { // to the recorder, no shares are the usual ones
				return usageError{err}
			}
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			bar := newProgress(std.err, "recording")
			o.Progress = func(n int) { bar.at(int64(n), int64(o.Episodes), "") }
			r, err := sim.Record(ctx, *out, s, o)
			bar.done()
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(std.out, r)
			}
			printRecorded(std.out, &r)
			return nil
		},
	}
}

func printRecorded(w io.Writer, r *demonstration.Recorded) {
	tw := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	row := func(name string, t demonstration.Tally) {
		fmt.Fprintf(tw, "%s\t%d of %d succeeded\n", name, t.Successes, t.Episodes)
	}
	for _, task := range sortedKeys(r.ByTask) {
		row(task, r.ByTask[task])
	}
	for _, q := range sortedKeys(r.ByQuality) {
		row(string(q), r.ByQuality[q])
	}
	tw.Flush()
	fmt.Fprintf(w, "%d demonstrations, %d frames, in %d bags, the first of them %s\n", r.Episodes, r.Frames, len(r.Bags), r.Bags[0])
}
