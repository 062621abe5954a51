package finetune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"

	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/finetune/reward"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// ErrOptions is wrapped by every error about options that cannot be used.
var ErrOptions = errors.New("unusable training options")

// Settings are what the weights depend on, beside the data. A resumed run must
// have those of the run that it resumes, but may have more Steps: then it ends
// with other weights than a run that had them from the start, whose learning
// rates were others.
type Settings struct {
	Objective string            `json:"objective"` // one of objective.Names
	Tuning    objective.Options `json:"tuning"`    // of objectives
	Advantage advantage.Options `json:"advantage"`
	Success   reward.Placement  `json:"success"`  // frames of a success that its flag rewards
	Model     vla.Config        `json:"model"`    // a preset; the contract fills in the dimensions
	Steps     int64             `json:"steps"`    // optimiser steps of the whole run
	Batch     int               `json:"batch"`    // B, chunks
	Optim     optim.Config      `json:"optim"`    // learning rate, EMA and so on
	Tau       string            `json:"tau"`      // flow times: uniform | beta
	Seed      uint64            `json:"seed"`     // of every random stream
	Workers   int               `json:"workers"`  // goroutines; part of the result to the last bit
	HeldOut   float64           `json:"held_out"` // share of the episodes; of each one's frames where no whole episode can be spared
}

// Options are Settings and what is done beside training.
type Options struct {
	Settings
	Out           string         `json:"-"`              // folder of checkpoints, state and log; made if it is missing
	Name          string         `json:"name"`           // checkpoints are <Name>-<step>.safetensors
	Publish       string         `json:"publish"`        // folder that each checkpoint is put into as well, for a running policy; empty: none
	KeepPublished int            `json:"keep_published"` // newest of this run's files that are kept there, 0 for all
	HoldStopped   bool           `json:"hold_stopped"`   // what is saved because ctx ended is not published
	Init          string         `json:"-"`              // checkpoint to start from: weights, architecture and statistics
	Features      string         `json:"-"`              // folder where features of frozen backbones are kept; empty: the user's folder for caches
	Resume        bool           `json:"-"`              // go on from Out's state; of Settings only Steps may change, upward
	EvalEvery     int64          `json:"eval_every"`     // steps between held-out evaluations, 0 for the last step only
	SaveEvery     int64          `json:"save_every"`     // steps between saves, 0 for the last step only
	Keep          int            `json:"keep"`           // newest checkpoints that are kept, 0 for all
	EvalChunks    int            `json:"eval_chunks"`    // held-out chunks of an evaluation, evenly spread
	NoiseScale    float64        `json:"noise_scale"`    // starting noise of held-out samples; 1 samples, 0 is deterministic
	Progress      func(Progress) `json:"-"`              // called after every step, from the training goroutine
	// Learning is called before each update of a critic that comes before the
	// first step, and behind the last; may be nil.
	Learning func(done, total int64) `json:"-"`
	// Rating is called after each episode whose rewards are found, before the
	// first step; may be nil.
	Rating func(done, total int64) `json:"-"`
	// Encoding is called before each picture that a frozen backbone encodes,
	// before the first step; may be nil.
	Encoding func(done, total int64) `json:"-"`
}

// Progress is where a run stands.
type Progress struct {
	Line
	Steps      int64    // of the whole run
	HeldOut    *HeldOut // of this step, where it was evaluated
	Checkpoint string   // path of the checkpoint that this step saved, if it did
	Hash       string   // of its weights
}

// Defaults returns options for a run of the given length: ARFM with relative
// scale and advantages standardised within a task, on the base preset, batches
// of 64, a learning rate of 5e-4.
func Defaults(steps int64) Options {
	model, err := vla.Preset("base")
	if err != nil {
		panic("finetune: " + err.Error()) // the preset is a constant
	}
	return Options{
		Settings: Settings{
			Objective: "arfm", Tuning: objective.Options{}.Complete(),
			Advantage: advantage.Options{Standardize: advantage.ZScore, GroupBy: advantage.ByTask},
			Success:   reward.EveryFrame,
			Model:     model, Steps: steps, Batch: 64, Optim: optim.Defaults(5e-4, steps),
			Tau: "uniform", Workers: runtime.GOMAXPROCS(0), HeldOut: 0.1,
		},
		Name: "policy", EvalEvery: max(1, steps/10), SaveEvery: max(1, steps/10), Keep: 5, KeepPublished: 5,
		EvalChunks: 128, NoiseScale: 1,
	}
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)

// Validate returns what cannot be used, wrapping ErrOptions, or nil.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case o.Steps < 1 || o.Steps > 1e12:
		return bad("steps is %d; it must be at least 1", o.Steps)
	case o.Batch < 1 || o.Batch > 1<<16:
		return bad("batch is %d; it must lie in [1, 65536]", o.Batch)
	case o.Workers < 1 || o.Workers > 1024:
		return bad("workers is %d; it must lie in [1, 1024]", o.Workers)
	case o.Success != reward.EveryFrame && o.Success != reward.LastFrame:
		return bad("success reward on %q is unknown; use %q or %q", o.Success, reward.EveryFrame, reward.LastFrame)
	case !(o.HeldOut >= 0 && o.HeldOut <= 0.9):
		return bad("the held-out share is %v; it must lie in [0, 0.9]", o.HeldOut)
	case o.Out == "":
		return bad("there is no output folder")
	case !nameForm.MatchString(o.Name):
		return bad("checkpoint name %q; use letters, digits, '.', '_' and '-', at most 100", o.Name)
	case o.EvalEvery < 0 || o.SaveEvery < 0 || o.Keep < 0 || o.KeepPublished < 0:
		return bad("an interval or the number of checkpoints to keep is negative")
	case o.EvalChunks < 1 || o.EvalChunks > 1<<20:
		return bad("an evaluation of %d chunks; it must have 1 to 1048576", o.EvalChunks)
	case !(o.NoiseScale >= 0 && o.NoiseScale <= 10):
		return bad("noise scale is %v; it must lie in [0, 10]", o.NoiseScale)
	}
	_, noObjective := objective.New(o.Objective, o.Tuning)
	_, noSampler := flow.SamplerByName(o.Tau)
	for _, err := range []error{noObjective, noSampler, o.Optim.Validate(), o.Advantage.Validate()} {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	return nil
}

// difference names the first setting in which a run differs from the one that
// it resumes; "" if none. More steps, with the learning rates of a run of that
// length, are no difference.
func (s *Settings) difference(saved *Settings) (string, error) {
	if s.Steps > saved.Steps {
		was := *saved
		was.Steps, was.Optim.Schedule.Total, was.Optim.Schedule.WarmUp = s.Steps, s.Optim.Schedule.Total, s.Optim.Schedule.WarmUp
		saved = &was
	}
	var maps [2]map[string]any
	for i, x := range []*Settings{s, saved} {
		data, err := json.Marshal(x)
		if err != nil {
			return "", err
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber() // a float64 does not tell seeds of 64 bits apart
		if err := d.Decode(&maps[i]); err != nil {
			return "", err
		}
	}
	t := reflect.TypeFor[Settings]()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("json")
		if now, was := maps[0][name], maps[1][name]; !reflect.DeepEqual(now, was) {
			return fmt.Sprintf("%s is %v now and was %v", name, now, was), nil
		}
	}
	return "", nil
}

func (o *Options) checkpointPath(step int64) string {
	return filepath.Join(o.Out, fmt.Sprintf("%s-%08d.safetensors", o.Name, step))
}

func (o *Options) statePath() string { return filepath.Join(o.Out, StateFile) }
func (o *Options) logPath() string   { return filepath.Join(o.Out, logFile) }
