//go:build ros

package trainer

import (
	"cmp"
	"errors"
	"path/filepath"
	"runtime"
	"time"

	"arfm/bags/cdr"
	"arfm/finetune/objective"
	"arfm/nodes/ros/param"
	"arfm/policy/vla"
)

// declarations are the node's parameters. All but train_after_episodes are read
// when a run begins, so that a change holds for the next one.
func declarations() []param.Declaration {
	most := func(from, to int64) *param.IntegerRange { return &param.IntegerRange{From: from, To: to} }
	return []param.Declaration{
		{Name: "bag_dir", Default: param.Of(""), Description: "folder in and below which recordings appear; a goal's relative paths begin here"},
		{Name: "checkpoint_dir", Default: param.Of(""), Description: "folder in which checkpoints are published and the newest good one is taken to start from; policy_node watches it"},
		{Name: "work_dir", Default: param.Of(""), Description: "folder that gets a folder for each run, with its log and the state to resume it from (arfm train --resume); empty: finetune in checkpoint_dir"},
		{Name: "contract", Default: param.Of(""), Description: "contract YAML, which must fit the checkpoint's; empty: the checkpoint's own. With it and without any checkpoint a run begins from random weights"},
		{Name: "objective", Default: param.Of("arfm"), OneOf: objective.Names(), Description: "how chunks are treated: " + objective.Summary()},
		{Name: "objective_options", Default: param.Of([]string{}), Description: "options of objectives, each as name=value, such as beta=2; arfm train --help names them"},
		{Name: "steps", Default: param.Of(2000), IntegerRange: most(1, 1e9), Description: "optimiser steps of a run"},
		{Name: "batch", Default: param.Of(64), IntegerRange: most(1, 1<<16), Description: "chunks in a batch"},
		{Name: "lr", Default: param.Of(5e-4), DoubleRange: &param.DoubleRange{From: 1e-8, To: 1}, Description: "peak learning rate; warm-up and cosine to a tenth follow from steps"},
		{Name: "preset", Default: param.Of("base"), OneOf: vla.Presets, Description: "architecture of a run that begins from random weights"},
		{Name: "seed", Default: param.Of(0), IntegerRange: most(0, 1<<62), Description: "seed of every random stream"},
		{Name: "save_every", Default: param.Of(0), IntegerRange: most(0, 1e9), Description: "steps between checkpoints, each of them published; 0: only the last step's"},
		{Name: "keep_runs", Default: param.Of(10), IntegerRange: most(0, 1e6), Description: "newest runs whose folders and published checkpoints are kept; 0: all"},
		{Name: "max_bags", Default: param.Of(100), IntegerRange: most(0, 1e6), Description: "newest bags of bag_dir that are trained on where a goal names none; 0: all"},
		{Name: "max_memory_mib", Default: param.Of(4096), IntegerRange: most(1, 1<<20), Description: "memory for the frames of the bags, MiB"},
		{Name: "train_after_episodes", Default: param.Of(0), IntegerRange: most(0, 1e6), Description: "episodes that must end on /arfm/episode, and be in a new bag, before a run begins by itself; 0: only goals begin runs"},
		{Name: "nice", Default: param.Of(10), IntegerRange: most(0, 19), Description: "niceness of the training process; 0 competes with the robot's programs, 19 takes what they leave"},
		{Name: "threads", Default: param.Of(max(1, runtime.NumCPU()/2)), IntegerRange: most(1, 1024), Description: "threads of the training process; the same number gives the same weights to the bit"},
	}
}

// job is a run as the parameters have it; a goal, which may be nil, says what
// it wants otherwise.
func (n *node) job(goal *cdr.Record) (Job, error) {
	p := n.Params
	j := Job{
		MaxBags: param.Get[int](p, "max_bags"), MaxBytes: param.Get[int64](p, "max_memory_mib") << 20,
		Contract: param.Get[string](p, "contract"), KeepRuns: param.Get[int](p, "keep_runs"),
		Objective: param.Get[string](p, "objective"), Preset: param.Get[string](p, "preset"),
		Steps: param.Get[int64](p, "steps"), Batch: param.Get[int](p, "batch"), LearningRate: param.Get[float64](p, "lr"),
		Seed: uint64(param.Get[int64](p, "seed")), SaveEvery: param.Get[int64](p, "save_every"), Threads: param.Get[int](p, "threads"),
	}
	for _, option := range param.Get[[]string](p, "objective_options") {
		if option != "" {
			j.Tuning = append(j.Tuning, option)
		}
	}
	j.BagDir, j.CheckpointDir = param.Get[string](p, "bag_dir"), param.Get[string](p, "checkpoint_dir")
	if j.CheckpointDir == "" {
		return j, errors.New("the parameter checkpoint_dir is empty; set it to the folder that policy_node watches")
	}
	j.WorkDir = cmp.Or(param.Get[string](p, "work_dir"), filepath.Join(j.CheckpointDir, "finetune"))
	for _, dir := range []*string{&j.BagDir, &j.CheckpointDir, &j.WorkDir} {
		if *dir == "" {
			continue
		}
		var err error
		if *dir, err = filepath.Abs(*dir); err != nil {
			return j, err
		}
	}
	j.Run = newRun(j.WorkDir, time.Now())
	if goal != nil {
		j.Bags = lookup[[]string](goal, "bags")
		j.Init = lookup[string](goal, "init")
		if o := lookup[string](goal, "objective"); o != "" {
			j.Objective = o
		}
		if s := lookup[uint32](goal, "steps"); s > 0 {
			j.Steps = int64(s)
		}
	}
	return j, nil
}

// lookup is the value at path, zero where there is none of that type.
func lookup[T any](rec *cdr.Record, path string) T {
	v, _ := rec.Lookup(path)
	t, _ := v.(T)
	return t
}
