// Package training is what all who train from recordings share: how bags become
// episodes within a bound on memory, and how the few words that a user chooses
// become the options of a run.
package training

import (
	"context"
	"errors"
	"fmt"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/optim"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// Complete makes options whole: the architecture of a preset, a peak learning
// rate with warm-up and cosine over the run's steps, the decay of averaged
// weights (0: none), and a tenth of the steps between evaluations and between
// saves. Its error is that of vla.Preset.
func Complete(o *finetune.Options, preset string, lr, ema float64) (err error) {
	if o.Model, err = vla.Preset(preset); err != nil {
		return err
	}
	o.Optim = optim.Defaults(lr, o.Steps)
	o.Optim.EMA = ema
	o.EvalEvery, o.SaveEvery = max(1, o.Steps/10), max(1, o.Steps/10)
	return nil
}

// Reading says how Read reads.
type Reading struct {
	MaxBytes int64                                  // of memory, for the frames of all bags together; 0: bags.DefaultMaxBytes
	Progress func(done, total int64, path string)   // before each bag; may be nil
	Report   func(path string, r *bags.CheckReport) // after each; may be nil
	// Skip takes a bag that cannot be used, and reading goes on without it. It
	// ends where the memory is used up. nil: the first such bag is the error.
	Skip func(path string, err error)
}

// Read reads the episodes of bags in the given order, and returns what the user
// should know of them. Errors are those of bags.ReadEpisodes; with Skip only
// ctx's end, and that no bag can be used.
func Read(ctx context.Context, paths []string, c *contract.Contract, r Reading) (episodes []bags.Episode, notes []string, err error) {
	if r.MaxBytes == 0 {
		r.MaxBytes = bags.DefaultMaxBytes
	}
	var reports []*bags.CheckReport
	var used int64
	var first error
	for i, path := range paths {
		if r.Progress != nil {
			r.Progress(int64(i), int64(len(paths)), path)
		}
		e, report, err := bags.ReadEpisodes(ctx, path, c, bags.Options{MaxBytes: max(1, r.MaxBytes-used)})
		full := errors.Is(err, bags.ErrTooLarge) && used > 0
		if full {
			err = fmt.Errorf("%w; the %d bags before it took %d of %d MiB, so train on fewer bags at a time", err, len(reports), used>>20, r.MaxBytes>>20)
		}
		if err != nil {
			if r.Skip == nil || ctx.Err() != nil {
				return nil, nil, err
			}
			r.Skip(path, err)
			if full {
				break
			}
			if first == nil {
				first = err
			}
			continue
		}
		used += report.Bytes
		if r.Report != nil {
			r.Report(path, report)
		}
		episodes, reports = append(episodes, e...), append(reports, report)
	}
	if len(reports) == 0 && first != nil {
		return nil, nil, fmt.Errorf("none of the %d bags can be used: %w", len(paths), first)
	}
	return episodes, bags.Notes(reports), nil
}
