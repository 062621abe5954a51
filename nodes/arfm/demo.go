package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"arfm/nodes/demo"
	"arfm/nodes/sim"
)

func demoCommand() *command {
	fs := newFlags("demo")
	o := demo.Defaults()
	fs.StringVarP(&o.Suite, "suite", "s", o.Suite, "tasks of the simulated arm: "+suiteNames())
	fs.StringVar(&o.Out, "out", o.Out, "folder for bags, checkpoints and report")
	fs.BoolVar(&o.Force, "force", false, "replace the demo that lies in --out")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "seed; the same seed gives the same figures on the same number of CPUs")
	fs.IntVar(&o.Episodes, "episodes", o.Episodes, "demonstrations to record")
	fs.Int64Var(&o.Steps, "steps", o.Steps, "steps of behaviour cloning")
	fs.Int64Var(&o.TuneSteps, "tune-steps", o.TuneSteps, "steps of fine-tuning")
	fs.IntVar(&o.Evaluations, "evaluations", o.Evaluations, "episodes of each evaluation; the suite's tasks take turns")
	asJSON := fs.Bool("json", false, "print the report as JSON")
	return &command{
		name: "demo", flags: fs,
		summary: "Record, train, fine-tune, hot-swap and compare: the whole story in one command.",
		detail: `A simulated UR5e does the tasks of a suite. The folder then holds what can be
tried with the other commands (bags, contract.yaml, bc, arfm and checkpoints) and
the report to look at, report/index.html.
`,
		example: "arfm demo --out demo",
		run: func(ctx context.Context, std streams, _ []string) error {
			if _, err := sim.FindSuite(o.Suite); err != nil {
				return usageError{err}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Run = []string{self, "run"}
			var bar *progress
			stage := ""
			o.Progress = func(s string, done, total int64) {
				if s != stage {
					bar.done()
					bar, stage = newProgress(std.err, s), s
				}
				bar.at(done, total, "")
			}
			o.Say = func(line string) {
				bar.done()
				if !*asJSON {
					fmt.Fprintln(std.out, line)
				}
			}
			r, err := demo.Run(ctx, o)
			bar.done()
			if errors.Is(err, demo.ErrOptions) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(std.out, r)
			}
			fmt.Fprintf(std.out, "\n%vreport: %s\n", r, demo.Page(o.Out))
			return nil
		},
	}
}
