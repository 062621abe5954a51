package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/pflag"

	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy"
	"arfm/policy/checkpoint"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// guidanceFlag adds the flag of those who run a policy.
func guidanceFlag(fs *pflag.FlagSet, weight *float64) {
	fs.Float64Var(weight, "guidance", 1, "recap: how far chunks are moved from those of a policy that is not told to do well; 1 is not at all, more takes a second evaluation of the network in each step")
}

func guidanceFits(weight float64) bool { return weight > 0 && weight <= 100 }

// evalFlags are the flags of arfm eval as they are written.
type evalFlags struct {
	suite, path, video  string
	tasks               []int
	deterministic, json bool
	guidance            float64
}

func evalCommand() *command {
	fs := newFlags("eval")
	var o eval.Options
	var f evalFlags
	fs.StringVarP(&f.suite, "sim", "s", "", "suite of the simulated arm: "+suiteNames())
	fs.StringVarP(&f.path, "checkpoint", "c", "", "checkpoint to evaluate")
	fs.IntVarP(&o.Episodes, "episodes", "n", 50, "episodes; the suite's tasks take turns")
	fs.IntSliceVar(&f.tasks, "tasks", nil, "numbers of the tasks to do, as arfm sim tasks lists them (default: all)")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of tasks, policy and noise: the same gives the same result")
	fs.Float64Var(&o.ActionNoise, "action-noise", 0, "standard deviation of noise on every action, rad (gripper: m)")
	fs.IntVar(&o.ReplanRows, "replan", 0, "rows of a chunk to execute before the next, at most all (default: half)")
	fs.IntVar(&o.Workers, "workers", 2, "episodes at a time; the result does not depend on it")
	guidanceFlag(fs, &f.guidance)
	fs.BoolVar(&f.deterministic, "deterministic", false, "start chunks from zero instead of noise: one answer to an observation")
	fs.StringVar(&f.video, "video", "", "film the first episode of each task: FILE.mp4, FILE.gif, or FILE.png for a contact sheet")
	fs.BoolVar(&f.json, "json", false, "print the result as JSON")
	return &command{
		name: "eval", flags: fs,
		summary: "Measure a policy's success on the simulated arm, with 95 % intervals.",
		example: "arfm eval --sim object --checkpoint bc/policy-00002000.safetensors --episodes 100",
		run: func(ctx context.Context, std streams, _ []string) error {
			s, err := f.check(&o)
			if err != nil {
				return err
			}
			return f.run(ctx, std, s, o)
		},
	}
}

// check refuses what can be seen before any work.
func (f *evalFlags) check(o *eval.Options) (*sim.Suite, error) {
	if f.path == "" {
		return nil, usagef("--checkpoint is missing: name a checkpoint that arfm train wrote")
	}
	if f.suite == "" {
		return nil, usagef("--sim is missing: name a suite, one of %s", suiteNames())
	}
	s, err := sim.FindSuite(f.suite)
	if err != nil {
		return nil, usageError{err}
	}
	for _, t := range f.tasks {
		if t < 0 || t >= len(s.Tasks) {
			return nil, usagef("--tasks: suite %s has no task %d; arfm sim tasks lists them", s.Name, t)
		}
	}
	if !guidanceFits(f.guidance) {
		return nil, usagef("--guidance is %v; it must lie in (0, 100]", f.guidance)
	}
	if err := o.Validate(); err != nil {
		return nil, usageError{err}
	}
	if !sim.Available {
		return nil, mujoco.ErrUnavailable
	}
	if f.video != "" {
		return s, stage.CheckVideo(f.video)
	}
	return s, nil
}

// run evaluates, prints, also what an interrupted evaluation has so far, and
// films.
func (f *evalFlags) run(ctx context.Context, std streams, s *sim.Suite, o eval.Options) error {
	ck, err := checkpoint.Load(f.path)
	if err != nil {
		return err
	}
	encoders, err := ck.Encoders()
	if err != nil {
		return err
	}
	if encoders != nil {
		defer encoders.Close()
	}
	bar := newProgress(std.err, "evaluating")
	o.Progress = func(n int) { bar.at(int64(n), int64(o.Episodes), "") }
	open := stage.Opener(s, ck.Contract, f.tasks...)
	newPolicy := func() (policy.Policy, error) {
		p, err := ck.Policy(encoders, o.Seed)
		if err != nil {
			return nil, err
		}
		p.Share(1) // episodes run side by side
		if err := p.Guide(f.guidance); err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", f.path, err)
		}
		if f.deterministic {
			p.NoiseScale = 0
		}
		return p, nil
	}
	r, err := eval.Evaluate(ctx, open, newPolicy, o)
	bar.done()
	if err != nil && r.Episodes == 0 {
		return err
	}
	if f.json {
		err = errors.Join(err, writeJSON(std.out, r))
	} else {
		fmt.Fprint(std.out, r)
	}
	if err != nil || f.video == "" {
		return err
	}
	bar = newProgress(std.err, "filming")
	defer bar.done()
	o.Episodes = min(o.Episodes, len(r.Tasks))
	reels, err := stage.Shoot(ctx, open, newPolicy, o)
	if err != nil {
		return err
	}
	return stage.WriteVideo(f.video, reels)
}
