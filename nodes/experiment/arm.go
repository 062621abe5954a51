package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/experiment"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/stage"
	"arfm/nodes/training"
	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
)

// arm does jobs on the simulated arm.
type arm struct {
	contract *contract.Contract

	mu   sync.Mutex
	read map[reading]*recording
}

// reading is a Record job's ID, and how its rewards are read.
type reading struct {
	id      string
	rewards experiment.Rewards
}

// recording is read by the first job that trains on it so.
type recording struct {
	once     sync.Once
	episodes []bags.Episode
	err      error
}

var _ experiment.Worker = (*arm)(nil)

// Folders within a job's.
const (
	bagsDir  = "bags"
	trainDir = "train"
)

// saveEvery is how many steps a killed run of training may lose.
const saveEvery = 200

// Do implements experiment.Worker.
func (a *arm) Do(ctx context.Context, _ string, j experiment.Job, dir string, needs experiment.Needs, tell func(share float64)) (*experiment.Done, error) {
	var d experiment.Done
	var err error
	switch {
	case j.Record != nil:
		d.Recorded, err = a.record(ctx, j.Record, dir, tell)
	case j.Train != nil:
		d.Trained, err = a.train(ctx, j.Train, dir, needs, tell)
	default:
		d.Evaluated, err = a.evaluate(ctx, j.Evaluate, needs, tell)
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Tidy implements experiment.Worker.
func (a *arm) Tidy(j experiment.Job, dir string) error {
	if j.Train == nil {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, trainDir, finetune.StateFile))
}

// record begins anew whatever a killed run has left.
func (a *arm) record(ctx context.Context, r *experiment.Record, dir string, tell func(float64)) (*experiment.Recorded, error) {
	suite, err := sim.FindSuite(r.Suite)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, bagsDir)); err != nil {
		return nil, err
	}
	out, err := sim.Record(ctx, filepath.Join(dir, bagsDir), suite, demonstration.Options{
		Episodes: r.Episodes, Seed: r.Seed, NoImages: true,
		Shares:   demonstration.Shares{Expert: r.Expert, Sloppy: r.Sloppy, Failing: r.Failing},
		Progress: func(n int) { tell(float64(n) / float64(r.Episodes)) },
	})
	if err != nil {
		return nil, err
	}
	d := &experiment.Recorded{Episodes: out.Episodes, Successes: out.Successes}
	for _, path := range out.Bags {
		d.Bags = append(d.Bags, filepath.Join(bagsDir, filepath.Base(path)))
	}
	return d, nil
}

// rewarded is the contract as a run has it that takes its rewards from elsewhere.
func (a *arm) rewarded(r experiment.Rewards) *contract.Contract {
	c := *a.contract
	switch r {
	case experiment.SuccessRewards:
		c.Reward = contract.Reward{Source: contract.RewardLabels}
	case experiment.DenseRewards:
		c.Reward = contract.Reward{Source: contract.RewardTerms}
	}
	return &c
}

// episodes of a Record job. They are kept: many jobs train on them.
func (a *arm) episodes(ctx context.Context, id string, rewards experiment.Rewards, needs experiment.Needs) ([]bags.Episode, error) {
	a.mu.Lock()
	key := reading{id, rewards}
	r := a.read[key]
	if r == nil {
		r = &recording{}
		a.read[key] = r
	}
	a.mu.Unlock()
	r.once.Do(func() {
		var paths []string
		for _, bag := range needs.Done(id).Recorded.Bags {
			paths = append(paths, filepath.Join(needs.Dir(id), bag))
		}
		var notes []string
		r.episodes, notes, r.err = training.Read(ctx, paths, a.rewarded(rewards), training.Reading{})
		switch want := needs.Done(id).Recorded.Episodes; {
		case ctx.Err() != nil:
			return
		case r.err == nil && len(notes) > 0:
			r.err = errors.New(notes[0])
		case r.err == nil && len(r.episodes) != want:
			r.err = fmt.Errorf("it has %d episodes of %d", len(r.episodes), want)
		}
		if r.err != nil {
			r.err = fmt.Errorf("the recording of a finished job is damaged: %w; remove the folder %s to do that job again", r.err, needs.Dir(id))
		}
	})
	return r.episodes, r.err
}

// train goes on where a killed run has stopped, if its state can be used.
func (a *arm) train(ctx context.Context, t *experiment.Train, dir string, needs experiment.Needs, tell func(float64)) (*experiment.Trained, error) {
	c := a.rewarded(t.Rewards)
	episodes, err := a.episodes(ctx, t.Data, t.Rewards, needs)
	if err != nil {
		return nil, err
	}
	if episodes, err = chosen(episodes, needs.Done(t.Data).Job.Record.Suite, t); err != nil {
		return nil, err
	}
	o, err := options(t, filepath.Join(dir, trainDir))
	if err != nil {
		return nil, err
	}
	if t.Init != "" {
		if o.Init, err = trained(t.Init, needs); err != nil {
			return nil, err
		}
	}
	o.Progress = func(p finetune.Progress) { tell(float64(p.Step) / float64(p.Steps)) }
	var r *finetune.Result
	if o.Resume {
		r, err = finetune.Train(ctx, episodes, c, o)
	}
	if !o.Resume || errors.Is(err, finetune.ErrResume) { // anew, whatever lies there
		if o.Resume, err = false, os.RemoveAll(o.Out); err == nil {
			r, err = finetune.Train(ctx, episodes, c, o)
		}
	}
	if err != nil {
		return nil, err
	}
	log, err := finetune.ReadLog(o.Out)
	if err != nil {
		return nil, err
	}
	return &experiment.Trained{
		Checkpoint: filepath.Join(trainDir, filepath.Base(r.Checkpoint)), Hash: r.Hash, Frames: r.Frames, Alpha: experiment.SumUp(t, log.Lines),
	}, nil
}

// trained returns the path of the checkpoint of a Train job that is done.
func trained(id string, needs experiment.Needs) (string, error) {
	path := filepath.Join(needs.Dir(id), needs.Done(id).Trained.Checkpoint)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the checkpoint %s of a finished job: %w; remove the folder %s to do that job again", path, fs.ErrNotExist, needs.Dir(id))
	}
	return path, nil
}

// options of a run of training. Nothing is held out: demonstrations are few, and
// policies are judged on the arm.
func options(t *experiment.Train, out string) (finetune.Options, error) {
	o := finetune.Defaults(t.Steps)
	if err := training.Complete(&o, t.Preset, t.Rate, 0); err != nil {
		return o, err
	}
	o.Objective, o.Tuning, o.Advantage = t.Objective, t.Tuning, t.Advantage
	o.Batch, o.Seed, o.Workers, o.HeldOut = t.Batch, t.Seed, t.Workers, 0
	o.Out, o.EvalEvery, o.SaveEvery, o.Keep = out, 0, saveEvery, 1
	_, err := os.Lstat(filepath.Join(out, finetune.StateFile))
	o.Resume = err == nil
	return o, nil
}

// chosen returns the episodes of a suite that a run trains on.
func chosen(episodes []bags.Episode, name string, t *experiment.Train) (out []bags.Episode, err error) {
	if len(t.Tasks) == 0 {
		return episodes, nil
	}
	suite, err := sim.FindSuite(name)
	if err != nil {
		return nil, err
	}
	of := func(task int) (all []bags.Episode) {
		for _, e := range episodes {
			if e.Task == suite.Tasks[task].Instruction {
				all = append(all, e)
			}
		}
		return all
	}
	for _, k := range t.Tasks {
		out = append(out, of(k)...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of %d demonstrations of %s is of tasks %v", len(episodes), name, t.Tasks)
	}
	if r := t.Replay; r != nil {
		for _, k := range r.Tasks {
			old := of(k)
			out = append(out, old[:min(r.Episodes, len(old))]...)
		}
	}
	return out, nil
}

// evaluate runs the chosen policy on one stage.
func (a *arm) evaluate(ctx context.Context, e *experiment.Evaluate, needs experiment.Needs, tell func(float64)) (*experiment.Evaluated, error) {
	best := 0
	if e.Choice != "" {
		best = needs.Done(e.Choice).Chosen.Best
	}
	path, err := trained(e.Policies[best], needs)
	if err != nil {
		return nil, err
	}
	ck, err := checkpoint.Load(path)
	if err != nil {
		return nil, err
	}
	suite, err := sim.FindSuite(e.Suite)
	if err != nil {
		return nil, err
	}
	unit, err := noiseUnit(ck)
	if err != nil {
		return nil, err
	}
	var d experiment.Evaluated
	_, err = eval.Evaluate(ctx, stage.Opener(suite, ck.Contract, e.Tasks...), single(ck, e.Seed), eval.Options{
		Episodes: e.Episodes, Seed: e.Seed, ActionNoise: e.Noise, NoiseUnit: unit, Workers: 1,
		Progress: func(n int) { tell(float64(n) / float64(e.Episodes)) },
		Each: func(o eval.Outcome) {
			d.Outcomes = append(d.Outcomes, experiment.Outcome{Task: o.Task, Success: o.Success, Time: o.Time})
		},
	})
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// single returns what makes policies that compute on one core.
func single(ck *checkpoint.Checkpoint, seed uint64) func() (policy.Policy, error) {
	return func() (policy.Policy, error) {
		p, err := ck.Policy(nil, seed)
		if err != nil {
			return nil, err
		}
		p.Share(1)
		return p, nil
	}
}

// noiseUnit returns the unit of noise for each element of an action: the way of
// one period, in its own unit, when it goes through half the range of the
// normalised action in the time of a chunk. Actions are places up to a chunk
// away; noise that is large beside a period's way is large beside what the
// policy can put right.
func noiseUnit(ck *checkpoint.Checkpoint) (unit []float64, err error) {
	n, err := contract.NewNormalizer(ck.Contract, ck.Stats)
	if err != nil {
		return nil, err
	}
	for _, scale := range n.Coefficients().ActionScale {
		unit = append(unit, float64(scale)/float64(ck.Contract.Action.Horizon))
	}
	return unit, nil
}
