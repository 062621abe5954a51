package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/nodes/shell"
	"arfm/nodes/training"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// trainFlags are the flags of arfm train as they are written.
type trainFlags struct {
	contract, init, preset string
	bags                   []string
	standardize, group     string
	tuning                 *flag.FlagSet // options of objectives
	lr, ema                float64
	evalEvery, saveEvery   int64
	json                   bool
	sameBags               bool // those of the run that is resumed
	report                 bool
	typed                  string // the command
}

const trainDetail = `Without --init a policy begins from random weights and --contract is needed;
with it, the checkpoint brings weights, architecture, statistics and contract.

--resume --out DIR goes on where the run in DIR stopped or was killed, with the
settings, contract and bags it was begun with, and ends with the weights of an
unbroken run. A flag may repeat a setting but not change it, except
  --steps           more of them; the learning rate then follows the longer run
  --bags            the same recordings in another place
  --publish --keep --keep-published --eval-every --save-every --eval-chunks
  --noise-scale     what is done beside training

Where rewards come from, the first that an episode has: the contract's reward
topic, the sidecar file (arfm bag label), the episode's outcome, dense terms
computed from its frames (arfm bag rewards shows them).

DIR holds NAME-STEP.safetensors, train_state.safetensors (to resume from),
train.jsonl (a line on the rewards, then one for each step) and, with --report,
report.html.
`

func trainCommand() *command {
	fs := newFlags("train")
	o := finetune.Defaults(2000)
	var f trainFlags
	f.define(fs, &o)
	return &command{
		name: "train", args: "[BAG...]", flags: fs,
		summary: "Train or fine-tune a policy on rosbags.",
		detail:  trainDetail,
		example: "arfm train --contract arm.yaml --bags recordings --objective bc --preset nano --out bc --publish checkpoints\n" +
			"arfm train --init bc/policy-00002000.safetensors --bags recordings --objective arfm --out tuned --publish checkpoints\n" +
			"arfm train --resume --out tuned",
		run: func(ctx context.Context, std streams, args []string) error {
			f.bags = append(f.bags, args...)
			f.typed = typed(fs, args)
			c, err := f.apply(fs, &o)
			if err != nil {
				return err
			}
			return f.train(ctx, std, c, o)
		},
	}
}

// train opens the run, reads the bags and trains.
func (f *trainFlags) train(ctx context.Context, std streams, c *contract.Contract, o finetune.Options) error {
	bar := newProgress(std.err, "training")
	o.Progress = func(p finetune.Progress) {
		bar.at(p.Step, p.Steps, fmt.Sprintf("loss %.4f alpha %.3g ess %.1f", p.Loss, p.Alpha, p.ESS))
		if p.HeldOut != nil && !f.json {
			bar.done()
			fmt.Fprintf(std.err, "step %d: loss %.4f, held-out loss %.4f, chunk error %.4f (mean action %.4f, hold last %.4f)\n",
				p.Step, p.Loss, p.HeldOut.Loss, p.HeldOut.Policy.Normalised, p.HeldOut.MeanAction.Normalised, p.HeldOut.HoldLast.Normalised)
		}
	}
	o.Rating, o.Encoding, o.Learning = phase(std.err, "computing rewards"), phase(std.err, "encoding pictures"), phase(std.err, "learning values")
	run, err := finetune.Open(c, o)
	if err != nil {
		return err
	}
	defer run.Close()
	episodes, err := readEpisodes(ctx, std.err, f.bags, run.Contract(), bags.DefaultMaxBytes)
	if f.sameBags && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; if the recordings moved, name their new place with --bags", err)
	}
	if err != nil {
		return err
	}
	bar.begin()
	result, err := run.Train(ctx, episodes)
	bar.done()
	if f.report && result != nil && result.Step > 0 {
		path, failed := f.write(&o, result)
		if failed != nil {
			return errors.Join(err, failed)
		}
		fmt.Fprintf(std.err, "report: %s\n", path)
	}
	switch {
	case errors.Is(err, context.Canceled) && result != nil && result.Step > 0:
		return interruptedError{fmt.Sprintf("after step %d of %d; %s goes on", result.Step, o.Steps, shell.Join("arfm", "train", "--resume", "--out", o.Out)), err}
	case err != nil:
		return err
	case f.json:
		return writeJSON(std.out, result)
	}
	printResult(std.out, result)
	return nil
}

// write puts the report on a run into its folder.
func (f *trainFlags) write(o *finetune.Options, r *finetune.Result) (path string, err error) {
	log, err := finetune.ReadLog(o.Out)
	if err != nil {
		return "", err
	}
	path = filepath.Join(o.Out, "report.html")
	return path, training.Page(log, r, o, f.typed).WriteFile(path)
}

// phase returns what shows the progress of a part of the work before the first step.
func phase(w io.Writer, label string) func(done, total int64) {
	bar := newProgress(w, label)
	return func(done, total int64) {
		if done == 0 {
			bar.begin()
		}
		bar.at(done, total, "")
		if done == total {
			bar.done()
		}
	}
}

func (f *trainFlags) define(fs *pflag.FlagSet, o *finetune.Options) {
	fs.StringVarP(&f.contract, "contract", "c", "", "contract YAML: which topics are observation, action and reward (default: that of --init)")
	fs.StringArrayVarP(&f.bags, "bags", "b", nil, "bag, or folder of bags; may be repeated, like BAG")
	fs.StringVarP(&o.Objective, "objective", "o", o.Objective, "how chunks are treated: "+objective.Summary())
	fs.StringVar(&o.Out, "out", "", "folder for checkpoints, training state and train.jsonl")
	fs.BoolVar(&o.Resume, "resume", false, "go on where the run in --out stopped; no other flag is needed")
	fs.StringVar(&f.init, "init", "", "checkpoint to fine-tune: its weights, statistics, architecture and contract")
	fs.StringVar(&f.preset, "preset", o.Model.Preset, "architecture: "+strings.Join(vla.Presets, ", ")+" (ignored with --init)")
	fs.Int64Var(&o.Steps, "steps", o.Steps, "optimiser steps of the whole run")
	fs.IntVar(&o.Batch, "batch", o.Batch, "chunks in a batch")
	fs.Float64Var(&f.lr, "lr", o.Optim.Schedule.Peak, "peak learning rate; warm-up and cosine to a tenth follow from --steps")
	fs.Float64Var(&f.ema, "ema", o.Optim.EMA, "decay of averaged weights, such as 0.999; they are what is saved (0 or nothing: no averaging)")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "seed of every random stream")
	fs.Float64Var(&o.HeldOut, "held-out", o.HeldOut, "share of the episodes held out to measure the error on; of the end of each where none can be spared")
	fs.StringVar(&f.standardize, "standardize", string(o.Advantage.Standardize), "divide advantages by their group's deviation: none, zscore")
	fs.StringVar(&f.group, "group", string(o.Advantage.GroupBy), "chunks that are compared for their advantage: task (of the same instruction), suite (of recordings of one name, or in one folder), all")
	fs.StringVar(&o.Tau, "tau", o.Tau, "distribution of flow time in training: uniform, beta")
	fs.StringVar(&o.Name, "name", o.Name, "checkpoints are NAME-STEP.safetensors")
	fs.Int64Var(&f.saveEvery, "save-every", f.saveEvery, "steps between checkpoints, 0 for the last step only (default: a tenth of --steps)")
	fs.IntVar(&o.Keep, "keep", o.Keep, "newest checkpoints to keep in --out, 0 for all")
	fs.StringVar(&o.Publish, "publish", o.Publish, "folder to put every checkpoint into as well, for an arfm run that watches it")
	fs.IntVar(&o.KeepPublished, "keep-published", o.KeepPublished, "newest of this run's checkpoints to keep in --publish, 0 for all")
	fs.Int64Var(&f.evalEvery, "eval-every", f.evalEvery, "steps between held-out evaluations, 0 for the last step only (default: a tenth of --steps)")
	fs.IntVar(&o.EvalChunks, "eval-chunks", o.EvalChunks, "held-out chunks of an evaluation")
	fs.Float64Var(&o.NoiseScale, "noise-scale", o.NoiseScale, "scale of the noise that held-out actions are sampled from: 1 as trained, 0 always the same action")
	fs.StringVar(&o.Features, "features", o.Features, "folder where the features of a frozen vision backbone are kept between runs (default: arfm/features in the user's folder for caches)")
	fs.IntVar(&o.Workers, "workers", o.Workers, "threads; the same number gives the same weights to the bit")
	fs.BoolVar(&f.report, "report", false, "write report.html into --out: losses, rewards, advantages, weights, alpha")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	f.tuning = flag.NewFlagSet("", flag.ContinueOnError)
	objective.Define(f.tuning, o.Tuning)
	fs.AddGoFlagSet(f.tuning)
}

// apply turns what was written into options and the contract, nil for that of
// --init; mistakes in words are usage errors.
func (f *trainFlags) apply(fs *pflag.FlagSet, o *finetune.Options) (c *contract.Contract, err error) {
	if o.Out == "" {
		return nil, usagef("--out is missing: name a folder for the checkpoints")
	}
	var options []string // of objectives, that were given
	f.tuning.VisitAll(func(v *flag.Flag) {
		if fs.Changed(v.Name) {
			options = append(options, v.Name)
		}
	})
	if o.Resume {
		if c, err = f.takeUp(fs, o.Out); err != nil {
			return nil, err
		}
	}
	switch {
	case f.contract == "" && f.init == "" && !o.Resume:
		return nil, usagef("--contract is missing: name the contract YAML, or a checkpoint with --init")
	case len(f.bags) == 0:
		return nil, usagef("name the bags to train on with --bags")
	}
	for _, name := range options {
		if owner := objective.Owner(name); owner != o.Objective && slices.Contains(objective.Names(), o.Objective) {
			return nil, usagef("--%s is an option of objective %s, which %s does not have; leave it out", name, owner, o.Objective)
		}
	}
	if err := training.Complete(o, f.preset, f.lr, f.ema); err != nil {
		return nil, usageError{err}
	}
	o.Init = f.init
	o.Tuning = objective.Options{}
	f.tuning.VisitAll(func(v *flag.Flag) { o.Tuning[v.Name] = v.Value.String() })
	o.Advantage = advantage.Options{Standardize: advantage.Standardize(f.standardize), GroupBy: advantage.GroupBy(f.group)}
	if fs.Changed("eval-every") {
		o.EvalEvery = f.evalEvery
	}
	if fs.Changed("save-every") {
		o.SaveEvery = f.saveEvery
	}
	if err := o.Validate(); err != nil {
		return nil, usageError{err}
	}
	if f.contract != "" {
		return contract.Load(f.contract)
	}
	return c, nil
}

// Flags in which a resumed run may differ from its beginning: what they say
// does not reach the weights, or is compared elsewhere (contract, bags, init).
var mayChange = []string{
	"contract", "bags", "init", "out", "resume", "json", "report", "features",
	"publish", "keep", "keep-published", "eval-every", "save-every", "eval-chunks", "noise-scale",
}

// takeUp sets the flags that were not given to what the run in the folder out
// was begun with, refuses those that contradict it, and returns its contract.
func (f *trainFlags) takeUp(fs *pflag.FlagSet, out string) (*contract.Contract, error) {
	saved, err := finetune.ReadSaved(out)
	if err != nil {
		return nil, err
	}
	longer, err := fs.GetInt64("steps")
	if err != nil {
		return nil, err
	}
	was := newFlags("saved")
	o := saved.Options
	(&trainFlags{evalEvery: o.EvalEvery, saveEvery: o.SaveEvery}).define(was, &o)
	was.VisitAll(func(w *pflag.Flag) {
		now := fs.Lookup(w.Name)
		switch {
		case err != nil || now.Changed && slices.Contains(mayChange, w.Name):
		case !now.Changed && w.Value.Type() != "stringArray":
			err = fs.Set(w.Name, w.DefValue)
		case now.Changed && now.Value.String() != w.DefValue && !(w.Name == "steps" && longer > o.Steps):
			cure := "leave the flag out"
			if w.Name == "steps" {
				cure = "leave the flag out or give more, to go on for longer"
			}
			err = fmt.Errorf("--%s is %s and the run in %s was begun with %s; %s, or begin a run in another folder", w.Name, now.Value, out, w.DefValue, cure)
		}
	})
	if len(f.bags) == 0 {
		f.bags, f.sameBags = saved.Bags, true
	}
	return saved.Contract, err
}

// typed is the command with the flags that were given.
func typed(fs *pflag.FlagSet, args []string) string {
	words := []string{"arfm", fs.Name()}
	fs.Visit(func(v *pflag.Flag) {
		switch values, several := v.Value.(pflag.SliceValue); {
		case several:
			for _, value := range values.GetSlice() {
				words = append(words, "--"+v.Name, value)
			}
		case v.Value.Type() == "bool":
			words = append(words, "--"+v.Name)
		default:
			words = append(words, "--"+v.Name, v.Value.String())
		}
	})
	return shell.Join(append(words, args...)...)
}

// readEpisodes reads every bag below the paths with the contract. The frames of
// all of them together take up to maxBytes of memory.
func readEpisodes(ctx context.Context, w io.Writer, paths []string, c *contract.Contract, maxBytes int64) ([]bags.Episode, error) {
	found, err := bags.Find(paths...)
	if err != nil {
		return nil, err
	}
	bar := newProgress(w, "reading")
	defer bar.done()
	episodes, notes, err := training.Read(ctx, found, c, training.Reading{
		MaxBytes: maxBytes, Progress: bar.at,
		Report: func(path string, r *bags.CheckReport) {
			if dropped := r.Ticks - r.Frames; dropped > 0 {
				fmt.Fprintf(w, "%s: %d of %d frames dropped (arfm bag check says why)\n", path, dropped, r.Ticks)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	bar.done()
	tell(w, notes)
	return episodes, nil
}

// tell writes what the user should know of bags.
func tell(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
}

func printResult(w io.Writer, r *finetune.Result) {
	fmt.Fprintln(w, r)
	ms := func(s float64) time.Duration { return time.Duration(s * 1e9).Round(10 * time.Microsecond) }
	t := r.Timing
	if t.Network == 0 { // a run that was at its end already
		return
	}
	critic := ""
	if t.Critic > 1e-5 {
		critic = fmt.Sprintf("%v in the critic, ", ms(t.Critic))
	}
	fmt.Fprintf(w, "a step took %v in the network, %v in the objective, %v in the optimiser, %s%v in data, %v in the log\n",
		ms(t.Network), ms(t.Graph), ms(t.Optimiser), critic, ms(t.Data), ms(t.Log))
}
