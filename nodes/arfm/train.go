package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// trainFlags are the flags of arfm train as they are written.
type trainFlags struct {
	contract, init, preset    string
	bags                      []string
	scale, standardize, group string
	lr, ema                   float64
	evalEvery, saveEvery      int64
	json                      bool
}

func trainCommand() *command {
	fs := newFlags("train")
	o := finetune.Defaults(2000)
	var f trainFlags
	f.define(fs, &o)
	return &command{
		name: "train", args: "[BAG...]", flags: fs,
		summary: "Train or fine-tune a policy on rosbags.",
		example: "arfm train --contract arm.yaml --bags recordings --objective bc --preset nano --out bc --publish checkpoints\n" +
			"arfm train --init bc/policy-00002000.safetensors --bags recordings --objective arfm --out tuned --publish checkpoints",
		run: func(ctx context.Context, std streams, args []string) error {
			if err := f.apply(fs, &o); err != nil {
				return err
			}
			c, err := f.loadContract()
			if err != nil {
				return err
			}
			episodes, err := readEpisodes(ctx, std.err, append(f.bags, args...), c, bags.DefaultMaxBytes)
			if err != nil {
				return err
			}
			bar := newProgress(std.err, "training")
			o.Progress = func(p finetune.Progress) {
				bar.at(p.Step, p.Steps, fmt.Sprintf("loss %.4f alpha %.3g ess %.1f", p.Loss, p.Alpha, p.ESS))
				if p.HeldOut != nil && !f.json {
					bar.done()
					fmt.Fprintf(std.err, "step %d: loss %.4f, held-out loss %.4f, chunk error %.4f (mean action %.4f, hold last %.4f)\n",
						p.Step, p.Loss, p.HeldOut.Loss, p.HeldOut.Policy.Normalised, p.HeldOut.MeanAction.Normalised, p.HeldOut.HoldLast.Normalised)
				}
			}
			result, err := finetune.Train(ctx, episodes, c, o)
			bar.done()
			if err != nil {
				return err
			}
			if f.json {
				return writeJSON(std.out, result)
			}
			printResult(std.out, result)
			return nil
		},
	}
}

func (f *trainFlags) define(fs *pflag.FlagSet, o *finetune.Options) {
	fs.StringVarP(&f.contract, "contract", "c", "", "contract YAML: which topics are observation, action and reward (default: that of --init)")
	fs.StringArrayVarP(&f.bags, "bags", "b", nil, "bag, or folder of bags; may be repeated")
	fs.StringVarP(&o.Objective, "objective", "o", o.Objective, "loss: "+strings.Join(finetune.Objectives, ", "))
	fs.StringVar(&o.Out, "out", "", "folder for checkpoints, training state and train.jsonl")
	fs.StringVar(&o.Publish, "publish", "", "folder to put every checkpoint into as well, for an arfm run that watches it")
	fs.StringVar(&f.init, "init", "", "checkpoint to fine-tune: its weights, statistics and architecture")
	fs.BoolVar(&o.Resume, "resume", false, "go on where the run in --out stopped")
	fs.StringVar(&f.preset, "preset", "base", "architecture: "+strings.Join(vla.Presets, ", ")+" (ignored with --init)")
	fs.Int64Var(&o.Steps, "steps", o.Steps, "optimiser steps of the whole run")
	fs.IntVar(&o.Batch, "batch", o.Batch, "chunks in a batch")
	fs.Float64Var(&f.lr, "lr", o.Optim.Schedule.Peak, "peak learning rate")
	fs.Float64Var(&f.ema, "ema", o.Optim.EMA, "decay of averaged weights, 0 for none")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "seed of every random stream")
	fs.Float64Var(&o.HeldOut, "held-out", o.HeldOut, "share of the episodes held out, or of the end of a single one")
	fs.Float64Var(&o.Beta, "beta", o.Beta, "rwr: strength of the weights")
	fs.Float64Var(&o.Alpha.Lambda, "lambda", o.Alpha.Lambda, "arfm: weight of the advantage signal against gradient variance")
	fs.Float64Var(&o.Alpha.Min, "alpha-min", o.Alpha.Min, "arfm: least alpha")
	fs.Float64Var(&o.Alpha.Max, "alpha-max", o.Alpha.Max, "arfm: greatest alpha")
	fs.IntVar(&o.Alpha.Iterations, "iterations", o.Alpha.Iterations, "arfm: bisections M when solving for alpha")
	fs.StringVar(&f.scale, "scale", string(o.Scale), "arfm: solve for alpha in units of the paper or relative ones: paper, relative")
	fs.StringVar(&f.standardize, "standardize", string(o.Advantage.Standardize), "advantages: none, zscore")
	fs.StringVar(&f.group, "group", string(o.Advantage.GroupBy), "chunks that are compared: task, all")
	fs.StringVar(&o.Tau, "tau", o.Tau, "distribution of flow time: uniform, beta")
	fs.StringVar(&o.Name, "name", o.Name, "checkpoints are NAME-STEP.safetensors")
	fs.Int64Var(&f.evalEvery, "eval-every", 0, "steps between held-out evaluations (default: a tenth of --steps)")
	fs.Int64Var(&f.saveEvery, "save-every", 0, "steps between checkpoints (default: a tenth of --steps)")
	fs.IntVar(&o.Keep, "keep", o.Keep, "newest checkpoints to keep, 0 for all")
	fs.IntVar(&o.EvalChunks, "eval-chunks", o.EvalChunks, "held-out chunks of an evaluation")
	fs.Float64Var(&o.NoiseScale, "noise-scale", o.NoiseScale, "noise that held-out samples start from: 1 samples, 0 is deterministic")
	fs.IntVar(&o.Workers, "workers", o.Workers, "threads; the same number gives the same weights to the bit")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
}

// apply turns what was written into options; mistakes in words are usage errors.
func (f *trainFlags) apply(fs *pflag.FlagSet, o *finetune.Options) error {
	switch {
	case o.Out == "":
		return usagef("--out is missing: name a folder for the checkpoints")
	case f.contract == "" && f.init == "":
		return usagef("--contract is missing: name the contract YAML, or a checkpoint with --init")
	}
	model, err := vla.Preset(f.preset)
	if err != nil {
		return usageError{err}
	}
	o.Model, o.Init = model, f.init
	adam := optim.Defaults(f.lr, o.Steps)
	adam.EMA = f.ema
	o.Optim = adam
	o.Scale = objective.Scale(f.scale)
	o.Advantage = advantage.Options{Standardize: advantage.Standardize(f.standardize), GroupBy: advantage.GroupBy(f.group)}
	o.EvalEvery, o.SaveEvery = max(1, o.Steps/10), max(1, o.Steps/10)
	if fs.Changed("eval-every") {
		o.EvalEvery = f.evalEvery
	}
	if fs.Changed("save-every") {
		o.SaveEvery = f.saveEvery
	}
	if err := o.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// loadContract returns the contract of --contract, or of the checkpoint of --init.
func (f *trainFlags) loadContract() (*contract.Contract, error) {
	if f.contract != "" {
		return contract.Load(f.contract)
	}
	ck, err := checkpoint.Load(f.init)
	if err != nil {
		return nil, err
	}
	return ck.Contract, nil
}

// readEpisodes reads every bag below the paths with the contract. The frames of
// all of them together take up to maxBytes of memory.
func readEpisodes(ctx context.Context, w io.Writer, paths []string, c *contract.Contract, maxBytes int64) ([]bags.Episode, error) {
	if len(paths) == 0 {
		return nil, usagef("name the bags to train on with --bags")
	}
	found, err := bags.Find(paths...)
	if err != nil {
		return nil, err
	}
	bar := newProgress(w, "reading")
	defer bar.done()
	var episodes []bags.Episode
	var used int64
	for i, path := range found {
		bar.at(int64(i), int64(len(found)), path)
		e, report, err := bags.ReadEpisodes(ctx, path, c, bags.Options{MaxBytes: max(1, maxBytes-used)})
		if errors.Is(err, bags.ErrTooLarge) && i > 0 {
			return nil, fmt.Errorf("%w; the %d bags before it took %d of %d MiB, so train on fewer bags at a time", err, i, used>>20, maxBytes>>20)
		}
		if err != nil {
			return nil, err
		}
		used += report.Bytes
		if dropped := report.Ticks - report.Frames; dropped > 0 {
			fmt.Fprintf(w, "%s: %d of %d frames dropped (arfm bag check says why)\n", path, dropped, report.Ticks)
		}
		episodes = append(episodes, e...)
	}
	return episodes, nil
}

func printResult(w io.Writer, r *finetune.Result) {
	fmt.Fprintln(w, r)
	ms := func(s float64) time.Duration { return time.Duration(s * 1e9).Round(10 * time.Microsecond) }
	t := r.Timing
	fmt.Fprintf(w, "a step took %v in the network, %v in the objective, %v in the optimiser, %v in data, %v in the log\n",
		ms(t.Network), ms(t.Graph), ms(t.Optimiser), ms(t.Data), ms(t.Log))
}
