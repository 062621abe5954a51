package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"arfm/finetune/experiment"
	nodes "arfm/nodes/experiment"
	"arfm/nodes/shell"
)

// experimentFlags are the flags of arfm experiment as they are written.
type experimentFlags struct {
	budget string
	noises []float64
	seeds  int
	json   bool
}

// maxName leaves room for what files have behind their name.
const maxName = 200

const experimentDetail = `Each experiment is a set of jobs: record demonstrations of mixed quality, train,
evaluate in closed loop. Results lie in DIR/jobs (DIR is --out); the same command
goes on where a run was interrupted or killed, and experiments in one folder share
what is equal, as long as they are done by the same build of arfm. Everything that is
compared has the same data, seeds, steps and episodes. Jobs take one core each, as
many at a time as there are, and give the same results on any number of them.
DIR then has NAME.md, .json and .svg (NAME is --name), and further charts NAME-*.svg,
in place of those of an earlier command of that name.

Budgets: small takes one seed and less than an hour for multitask on two cores;
full takes three seeds and 50 episodes a task, and about twenty hours of two cores
for all five.
`

// experimentCommands are the subcommands of arfm experiment.
func experimentCommands() (out []*command) {
	summaries := map[string]string{
		"multitask": "Compare objectives on each suite, fine-tuned on mixed demonstrations.",
		"perturb":   "Compare them under noise on their actions: the policies of multitask.",
		"fewshot":   "Compare them after 10, 20 and 30 demonstrations of each task.",
		"continual": "Compare what they keep of tasks that they learn one after another.",
		"ablation":  "Compare arfm's settings: lambda, iterations, adaptive against fixed alpha.",
	}
	for _, name := range experiment.Names() {
		out = append(out, experimentCommand(name, summaries[name]))
	}
	return out
}

func experimentCommand(name, summary string) *command {
	fs := newFlags(name)
	o := nodes.Options{Experiment: name}
	var f experimentFlags
	fs.StringVar(&o.Out, "out", "", "folder for jobs, tables and charts, shared by experiments")
	fs.StringVar(&o.Name, "name", "", "what files of tables and charts begin with (default: "+name+")")
	fs.StringVar(&f.budget, "budget", "small", "how much to spend: small, full")
	fs.IntVar(&f.seeds, "seeds", 0, "how many seeds of demonstrations and training (default: the budget's)")
	fs.StringSliceVar(&o.Suites, "suites", nil, "suites of the simulated arm (default: "+strings.Join(nodes.Suites(name), ",")+")")
	if name != "ablation" {
		fs.StringSliceVar(&o.Methods, "objectives", nil, "what to compare, of "+strings.Join(experiment.MethodNames(), ", ")+", or one with options: its own, standardize, and rewards (success, dense), such as rwr:beta=2 or arfm:lambda=50:rewards=success (default: "+strings.Join(experiment.DefaultMethods, ",")+")")
	}
	if name == "perturb" {
		fs.Float64SliceVar(&f.noises, "noise", nil, "standard deviations of the noise, as `numbers`; 1 is the way of one period, a sixteenth of half an action's range")
		showDefault(fs, "noise", experiment.Budgets[0].Noises)
	}
	fs.BoolVar(&f.json, "json", false, "print the report as JSON")
	return &command{
		name: name, flags: fs, summary: summary,
		detail:  experimentDetail,
		example: "arfm experiment " + name + " --out experiments --budget small",
		run: func(ctx context.Context, std streams, _ []string) error {
			if err := f.apply(&o); err != nil {
				return err
			}
			return f.run(ctx, std, o)
		},
	}
}

// apply refuses mistakes in words and names the program.
func (f *experimentFlags) apply(o *nodes.Options) (err error) {
	if o.Out == "" {
		return usagef("--out is missing: name a folder for jobs and tables")
	}
	if o.Name != "" && (o.Name != filepath.Base(o.Name) || strings.HasPrefix(o.Name, ".") || len(o.Name) > maxName) {
		return usagef("--name %.40q is no name of a file in the folder of --out", o.Name)
	}
	if o.Budget, err = experiment.FindBudget(f.budget); err != nil {
		return usageError{err}
	}
	if f.seeds != 0 {
		o.Budget.Seeds = f.seeds
	}
	if len(f.noises) > 0 {
		o.Budget.Noises = f.noises
	}
	if _, err := o.Plan(); err != nil {
		return usageError{err}
	}
	if o.Build, err = build(); err != nil {
		return err
	}
	o.Program, o.Command = version()+", build "+o.Build, f.command(o)
	return nil
}

// command is what does the same again.
func (f *experimentFlags) command(o *nodes.Options) string {
	words := []string{"arfm", "experiment", o.Experiment, "--out", o.Out, "--budget", f.budget}
	if o.Name != "" {
		words = append(words, "--name", o.Name)
	}
	if f.seeds != 0 {
		words = append(words, "--seeds", fmt.Sprint(f.seeds))
	}
	if len(o.Suites) > 0 {
		words = append(words, "--suites", strings.Join(o.Suites, ","))
	}
	if len(o.Methods) > 0 {
		words = append(words, "--objectives", strings.Join(o.Methods, ","))
	}
	if len(f.noises) > 0 {
		words = append(words, "--noise", numbers(f.noises))
	}
	return shell.Join(words...)
}

// build is a hash of this program.
func build() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func (f *experimentFlags) run(ctx context.Context, std streams, o nodes.Options) error {
	bar := newProgress(std.err, o.Experiment)
	var jobs experiment.Estimate
	o.Before = func(e experiment.Estimate) {
		jobs = e
		fmt.Fprintf(std.err, "%s: %s\n", o.Experiment, e)
		bar.begin()
	}
	o.Progress = func(done, total int64, job string) { bar.at(done, total, job) }
	var files []string
	o.Wrote = func(_ *experiment.Report, wrote []string) { files = wrote }
	r, err := nodes.Run(ctx, o)
	bar.done()
	switch {
	case errors.Is(err, context.Canceled) && jobs.Jobs > 0:
		return interruptedError{"before its end; " + o.Command + " goes on", err}
	case err != nil:
		return err
	case f.json:
		return writeJSON(std.out, r)
	}
	fmt.Fprintf(std.out, "%s\nwrote %s\n", r.Markdown(), strings.Join(files, ", "))
	return nil
}
