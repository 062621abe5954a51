package finetune

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"arfm/bags"
	"arfm/finetune/objective"
	"arfm/policy/contract"
)

// Run is a training run that holds its output folder.
type Run struct {
	t     trainer
	saved *state     // that it resumes; nil: it is new
	made  [][]string // folders that it made, innermost first
}

// Train trains on episodes that were read with contract c (nil takes that of
// Options.Init or of the run that is resumed) until Options.Steps, and returns
// what it did. It is Open and Run.Train, and returns the errors of both.
func Train(ctx context.Context, episodes []bags.Episode, c *contract.Contract, o Options) (*Result, error) {
	r, err := Open(c, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Train(ctx, episodes)
}

// Open takes the output folder of a run and finds what is wrong with options,
// folders, checkpoint, contract or the run that is resumed before any bag is
// read. Contract nil takes that of Options.Init or of the run that is resumed.
// Errors wrap ErrOptions, ErrResume, ErrBusy or the sentinels of package
// checkpoint.
func Open(c *contract.Contract, o Options) (_ *Run, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Tuning = o.Tuning.Complete()
	obj, err := objective.New(o.Objective, o.Tuning)
	if err != nil {
		return nil, err
	}
	r := &Run{t: trainer{o: o, contract: c, obj: obj}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if err := r.makeFolder("output folder", o.Out); err != nil {
		return nil, err
	}
	if r.t.log, err = openLog(o.logPath()); err != nil {
		return nil, err
	}
	if o.Publish != "" {
		if err := r.makeFolder("folder to publish in", o.Publish); err != nil {
			return nil, err
		}
	}
	if r.saved, err = o.previous(); err != nil {
		return nil, err
	}
	if err := r.t.begin(r.saved); err != nil {
		return nil, err
	}
	return r, nil
}

// Contract is what the bags are to be read with.
func (r *Run) Contract() *contract.Contract { return r.t.contract }

// Train does the run's steps; a Run trains once.
//
// When ctx ends it saves after the step in hand and returns what it has with an
// error that wraps ctx's. Errors wrap ErrOptions, ErrData, ErrNoReward,
// ErrResume, objective.ErrNotFinite or optim.ErrNotFinite; none leaves a
// half-written file behind.
func (r *Run) Train(ctx context.Context, episodes []bags.Episode) (*Result, error) {
	t := &r.t
	if err := t.setUp(ctx, episodes); err != nil {
		return nil, err
	}
	defer t.step.Close()
	var err error
	if t.bags, err = bagsOf(episodes); err != nil {
		return nil, err
	}
	if r.saved != nil {
		if err := t.restore(r.saved); err != nil {
			return nil, err
		}
	}
	if err := t.log.cut(t.n); err != nil {
		return nil, err
	}
	if err := t.o.clean(); err != nil {
		return nil, err
	}
	if r.saved == nil { // from here on the run can be resumed
		err = t.saveState()
	} else {
		err = t.catchUp()
	}
	if err == nil {
		err = t.logRewards()
	}
	if err == nil {
		err = t.run(ctx)
	}
	if err != nil && t.n == 0 && r.saved == nil { // nothing was done: the folder is free for another try
		err = errors.Join(err, removeIfThere(t.o.statePath()), t.log.cut(-1))
	}
	return t.result(), err
}

// Close lets go of the output folder. A run that did not begin leaves nothing
// behind.
func (r *Run) Close() error {
	err := r.t.encoders.Close()
	if r.t.log != nil {
		err = errors.Join(err, r.t.log.close())
	}
	for _, dirs := range slices.Backward(r.made) { // one may lie in another
		for _, dir := range dirs {
			if os.Remove(dir) != nil { // stays if there is anything in it
				break
			}
		}
	}
	return err
}

// makeFolder makes the folder dir, called what, and tries whether files can be
// made in it.
func (r *Run) makeFolder(what, dir string) error {
	r.made = append(r.made, missingFolders(dir))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fileError("make the "+what, err)
	}
	f, err := os.CreateTemp(dir, "."+StateFile+".tmp-*") // clean takes it away, should this process not
	if err != nil {
		return fileError("write to the "+what, err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fileError("write to the "+what, err)
	}
	return nil
}

// missingFolders returns those of path and the folders above it that do not
// exist, innermost first.
func missingFolders(path string) (dirs []string) {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dirs
		}
		dirs = append(dirs, dir)
	}
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError("remove a file", err)
	}
	return nil
}

// bagsOf returns the absolute paths of the episodes' bags, each once, in order.
func bagsOf(episodes []bags.Episode) ([]string, error) {
	var paths []string
	for i := range episodes {
		if i > 0 && episodes[i].Bag == episodes[i-1].Bag {
			continue
		}
		path, err := filepath.Abs(episodes[i].Bag)
		if err != nil {
			return nil, fileError("find the bag "+episodes[i].Bag, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// previous returns the state that a run resumes, nil for a new run. A folder
// that holds a run, or lines in a log that may be anyone's, is not begun anew.
func (o *Options) previous() (*state, error) {
	if o.Resume {
		return readState(o.Out)
	}
	steps, err := o.saved()
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(o.statePath()); err == nil {
		return nil, fmt.Errorf("%w: folder %s already holds a run; resume it or name another folder", ErrOptions, o.Out)
	}
	if info, err := os.Lstat(o.logPath()); len(steps) > 0 || err == nil && info.Size() > 0 {
		return nil, fmt.Errorf("%w: folder %s holds checkpoints or a training log, and no state to resume from; name another folder", ErrOptions, o.Out)
	}
	return nil, nil
}
