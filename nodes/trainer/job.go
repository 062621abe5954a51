// Package trainer is the inside of finetune_node: it fine-tunes on request and
// after every so many recorded episodes, and puts the checkpoints where a
// running policy picks them up.
//
// A run is a process of its own, of low priority and with a bounded number of
// threads, so that neither the robot nor the node's services wait for it, its
// memory goes back when it ends, and it can be ended at any moment. It is the
// same program, started with ProcessArg; a Job goes in as JSON, Events come
// out, one JSON line each. A run that is cut short keeps its folder, which
// arfm train --resume goes on from; the node itself begins anew.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"arfm/finetune"
	"arfm/nodes/shell"
	"arfm/nodes/training"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

// Job is one training run.
type Job struct {
	Bags     []string `json:"bags"`      // folders or files, below BagDir unless absolute; empty: the finished bags in it
	BagDir   string   `json:"bag_dir"`   //
	MaxBags  int      `json:"max_bags"`  // newest of BagDir, 0 for all
	MaxBytes int64    `json:"max_bytes"` // of memory, for frames

	Contract      string `json:"contract"`       // path; empty: the checkpoint's
	Init          string `json:"init"`           // below CheckpointDir unless absolute; empty: the newest good one in it
	CheckpointDir string `json:"checkpoint_dir"` // to publish in
	WorkDir       string `json:"work_dir"`       // of run folders
	Run           string `json:"run"`            // the folder's name, and the checkpoints' before the step
	KeepRuns      int    `json:"keep_runs"`      // newest in WorkDir, 0 for all

	Objective    string   `json:"objective"`
	Tuning       []string `json:"tuning,omitempty"` // options of objectives, each as name=value
	Preset       string   `json:"preset"`           // of a run without a checkpoint to start from
	Steps        int64    `json:"steps"`
	Batch        int      `json:"batch"`
	LearningRate float64  `json:"lr"`
	Seed         uint64   `json:"seed"`
	SaveEvery    int64    `json:"save_every"` // steps between checkpoints, each published; 0: the last only
	Threads      int      `json:"threads"`
}

// State is what the node or a run is doing; the words of TrainingStatus.
type State string

// States.
const (
	Idle     State = "idle"
	Reading  State = "reading"
	Training State = "training"
	Done     State = "done"
	Failed   State = "failed"
	Canceled State = "canceled"
)

func (s State) ended() bool { return s == Done || s == Failed || s == Canceled }

// Event says where a run stands, or in Note only what the log should hold.
type Event struct {
	State      State   `json:"state,omitempty"`
	Note       string  `json:"note,omitempty"`
	Message    string  `json:"message,omitempty"`
	Step       int64   `json:"step,omitempty"`
	Steps      int64   `json:"steps,omitempty"`
	Loss       float64 `json:"loss,omitempty"`
	Alpha      float64 `json:"alpha,omitempty"`
	ESS        float64 `json:"ess,omitempty"`
	Checkpoint string  `json:"checkpoint,omitempty"` // the last one published, a path
	Hash       string  `json:"hash,omitempty"`
}

// tellEvery is the least time between two events of progress.
const tellEvery = 200 * time.Millisecond

// work is a run in the training process.
type work struct {
	job  Job
	tell func(Event)
	told time.Time // of the last progress
	last Event
}

// progress tells where the run stands, not too often unless it must.
func (w *work) progress(must bool, edit func(*Event)) {
	edit(&w.last)
	if now := time.Now(); must || now.Sub(w.told) >= tellEvery {
		w.told = now
		w.tell(w.last)
	}
}

func (w *work) note(format string, args ...any) { w.tell(Event{Note: fmt.Sprintf(format, args...)}) }

// do runs the job and returns the last event.
func (w *work) do(ctx context.Context) Event {
	w.last = Event{State: Reading, Steps: w.job.Steps, Message: "looking for bags"}
	w.progress(true, func(*Event) {})
	r, err := w.train(ctx)
	e := w.last
	switch {
	case err == nil:
		e.State, e.Step, e.Message = Done, r.Step, w.summary(r)
		w.published(&e, r)
		if err := pruneRuns(&w.job); err != nil {
			w.note("old runs stay: %v", err)
		}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		e.State, e.Message = Canceled, "stopped before the first step"
		if r != nil && r.Step > 0 {
			e.Step = r.Step
			e.Message = fmt.Sprintf("stopped after step %d of %d; %s goes on", r.Step, w.job.Steps, w.job.resume())
		}
	default:
		e.State, e.Message = Failed, err.Error()
	}
	return e
}

func (j *Job) out() string { return filepath.Join(j.WorkDir, j.Run) }

// resume is the command that goes on with the run.
func (j *Job) resume() string { return shell.Join("arfm", "train", "--resume", "--out", j.out()) }

func (w *work) published(e *Event, r *finetune.Result) {
	e.Checkpoint, e.Hash = filepath.Join(w.job.CheckpointDir, filepath.Base(r.Checkpoint)), r.Hash
}

func (w *work) summary(r *finetune.Result) string {
	text := fmt.Sprintf("%d steps of %s on %d frames", r.Step, w.job.Objective, r.Frames)
	if r.Unweighted {
		text += "; every chunk has the same advantage, so rewards changed nothing: label good and bad episodes of one task"
	}
	if r.Evaluation != nil {
		text += fmt.Sprintf("; held-out loss %.4f", r.Evaluation.Loss)
	}
	return text
}

func (w *work) train(ctx context.Context) (*finetune.Result, error) {
	o, c, err := w.options()
	if err != nil {
		return nil, err
	}
	run, err := finetune.Open(c, o) // before any bag is read
	if err != nil {
		return nil, err
	}
	defer run.Close()
	episodes, err := w.read(ctx, run.Contract())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.job.splits()))
	}
	w.progress(true, func(e *Event) { e.State, e.Message = Training, "training" })
	return run.Train(ctx, episodes)
}

// options are those of the run, and its contract: nil for the checkpoint's.
func (w *work) options() (o finetune.Options, c *contract.Contract, err error) {
	j := &w.job
	o = finetune.Defaults(j.Steps)
	o.Objective, o.Batch, o.Seed, o.Workers = j.Objective, j.Batch, j.Seed, j.Threads
	for _, option := range j.Tuning {
		name, value, ok := strings.Cut(option, "=")
		if !ok {
			return o, nil, fmt.Errorf("the option %.80q of objectives is no name=value, such as beta=2", option)
		}
		o.Tuning[name] = value
	}
	if err := training.Complete(&o, j.Preset, j.LearningRate, 0); err != nil {
		return o, nil, err
	}
	o.EvalEvery, o.SaveEvery = 0, j.SaveEvery
	o.Out, o.Name = j.out(), j.Run
	o.Publish, o.HoldStopped = j.CheckpointDir, true
	o.Progress = func(p finetune.Progress) {
		w.progress(p.Step == 1 || p.Step == p.Steps, func(e *Event) {
			e.Step, e.Loss, e.Alpha, e.ESS = p.Step, p.Loss, p.Alpha, p.ESS
			if p.Checkpoint != "" {
				e.Checkpoint, e.Hash = filepath.Join(j.CheckpointDir, filepath.Base(p.Checkpoint)), p.Hash
			}
		})
	}
	if o.Init, err = w.init(); err != nil {
		return o, nil, err
	}
	if j.Contract != "" {
		c, err = contract.Load(j.Contract)
	}
	return o, c, err
}

// init returns the checkpoint to start from, empty for random weights.
func (w *work) init() (string, error) {
	j := &w.job
	if j.Init != "" {
		return below(j.CheckpointDir, j.Init), nil
	}
	slot := hotswap.NewSlot(nil)
	e, err := hotswap.NewWatcher(j.CheckpointDir, slot, hotswap.Options{PollOnly: true}, func(e hotswap.Event) {
		w.note("passed over: %v", e.Err)
	}).Reload()
	switch {
	case err == nil:
		w.note("starting from %s", e.Path)
		return e.Path, nil
	case !errors.Is(err, hotswap.ErrNoCheckpoint):
		return "", err
	case j.Contract == "":
		return "", fmt.Errorf("there is no checkpoint in %s to start from; put one there, or set the parameter contract to train from random weights", j.CheckpointDir)
	}
	w.note("there is no checkpoint in %s: starting from random weights, preset %s", j.CheckpointDir, j.Preset)
	return "", nil
}

// below resolves a path that a user gave against the folder it is meant in.
func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// newRun names a run folder that work_dir does not have.
func newRun(workDir string, now time.Time) string {
	name := "finetune-" + now.UTC().Format("20060102-150405.000")
	for {
		if _, err := os.Lstat(filepath.Join(workDir, name)); err != nil {
			return name
		}
		now = now.Add(time.Millisecond)
		name = "finetune-" + now.UTC().Format("20060102-150405.000")
	}
}
