package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy"
	"arfm/policy/checkpoint"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func evalCommand() *command {
	fs := newFlags("eval")
	suite := fs.StringP("sim", "s", "", "suite of the simulated arm: "+suiteNames())
	path := fs.StringP("checkpoint", "c", "", "checkpoint to evaluate")
	var o eval.Options
	fs.IntVarP(&o.Episodes, "episodes", "n", 50, "episodes; the suite's tasks take turns")
	tasks := fs.IntSlice("tasks", nil, "numbers of the tasks to do, as arfm sim tasks lists them (default: all)")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of tasks, policy and noise: the same gives the same result")
	fs.Float64Var(&o.ActionNoise, "action-noise", 0, "standard deviation of noise on every action, rad (gripper: m)")
	fs.IntVar(&o.ReplanRows, "replan", 0, "rows of a chunk to execute before the next (default: half)")
	fs.IntVar(&o.Workers, "workers", 2, "episodes at a time; the result does not depend on it")
	deterministic := fs.Bool("deterministic", false, "start chunks from zero instead of noise: one answer to an observation")
	video := fs.String("video", "", "film the first episode of each task: FILE.mp4, FILE.gif, or FILE.png for a contact sheet")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	return &command{
		name: "eval", flags: fs,
		summary: "Measure a policy's success on the simulated arm, with 95 % intervals.",
		example: "arfm eval --sim object --checkpoint bc/policy-00002000.safetensors --episodes 100",
		run: func(ctx context.Context, std streams, _ []string) error {
			if *path == "" {
				return usagef("--checkpoint is missing: name a checkpoint that arfm train wrote")
			}
			if *suite == "" {
				return usagef("--sim is missing: name a suite, one of %s", suiteNames())
			}
			s, err := sim.FindSuite(*suite)
			if err != nil {
				return usageError{err}
			}
			for _, t := range *tasks {
				if t < 0 || t >= len(s.Tasks) {
					return usagef("--tasks: suite %s has no task %d; arfm sim tasks lists them", s.Name, t)
				}
			}
			if !sim.Available {
				return mujoco.ErrUnavailable
			}
			if *video != "" {
				if err := stage.CheckVideo(*video); err != nil {
					return err
				}
			}
			ck, err := checkpoint.Load(*path)
			if err != nil {
				return err
			}
			bar := newProgress(std.err, "evaluating")
			o.Progress = func(n int) { bar.at(int64(n), int64(o.Episodes), "") }
			open := stage.Opener(s, ck.Contract, *tasks...)
			newPolicy := func() (policy.Policy, error) {
				p, err := ck.Policy(o.Seed)
				if err == nil && *deterministic {
					p.NoiseScale = 0
				}
				return p, err
			}
			r, err := eval.Evaluate(ctx, open, newPolicy, o)
			bar.done()
			if err != nil {
				return err
			}
			if *video != "" {
				o.Episodes, o.Progress = min(o.Episodes, len(r.Tasks)), nil
				reels, err := stage.Shoot(ctx, open, newPolicy, o)
				if err != nil {
					return err
				}
				if err := stage.WriteVideo(*video, reels); err != nil {
					return err
				}
			}
			if *asJSON {
				return writeJSON(std.out, r)
			}
			fmt.Fprint(std.out, r)
			return nil
		},
	}
}
