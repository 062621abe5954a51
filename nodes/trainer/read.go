package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"arfm/bags"
	"arfm/bags/rosbag2"
	"arfm/nodes/training"
	"arfm/policy/contract"
)

// read reads the job's bags: all that are named, or the newest usable ones.
func (w *work) read(ctx context.Context, c *contract.Contract) ([]bags.Episode, error) {
	j := &w.job
	reading := training.Reading{MaxBytes: j.MaxBytes, Progress: func(done, total int64, path string) {
		w.progress(false, func(e *Event) { e.Message = fmt.Sprintf("reading bag %d of %d: %s", done+1, total, path) })
	}}
	var paths []string
	var err error
	if len(j.Bags) > 0 {
		for _, b := range j.Bags {
			paths = append(paths, below(j.BagDir, b))
		}
		paths, err = bags.Find(paths...)
	} else {
		reading.Skip = func(path string, err error) { w.note("bag left out: %v", err) }
		paths, err = w.newest()
	}
	if err != nil {
		return nil, err
	}
	episodes, notes, err := training.Read(ctx, paths, c, reading)
	for _, n := range notes {
		w.note("%s", n)
	}
	// In the order in which arfm train --resume reads them again.
	slices.SortStableFunc(episodes, func(a, b bags.Episode) int { return cmp.Compare(a.Bag, b.Bag) })
	return episodes, err
}

// newest lists the finished bags in BagDir, the newest first, and before them
// what has been split off of recordings that go on.
func (w *work) newest() ([]string, error) {
	j := &w.job
	if j.BagDir == "" {
		return nil, errors.New("the parameter bag_dir is empty; set it, or name bags in the goal")
	}
	paths, open, err := bags.Finished(j.BagDir)
	if err != nil {
		return nil, err
	}
	for _, path := range open {
		if splits := rosbag2.EndedSplits(path); len(splits) > 0 {
			linked, err := j.link(path, splits)
			if err != nil {
				return nil, err
			}
			w.note("%s is still being recorded, or broke off: its first %d splits are used", path, len(splits))
			paths = append([]string{linked}, paths...)
			continue
		}
		w.note("%s is still being recorded, or broke off: name it in a goal to use it as far as it goes", path)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w in %s whose recording has ended; end one, or name bags in the goal", bags.ErrNoBag, j.BagDir)
	}
	if j.MaxBags > 0 && len(paths) > j.MaxBags {
		paths = paths[:j.MaxBags]
	}
	return paths, nil
}

// splits is a folder in the run's for links to splits, so that the run can be
// resumed with what it was begun with.
func (j *Job) splits() string { return filepath.Join(j.out(), "splits") }

// link makes one bag of splits.
func (j *Job) link(bag string, splits []string) (string, error) {
	dir := j.splits()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(dir, filepath.Base(bag)+"-")
	for _, s := range splits {
		if err == nil {
			s, err = filepath.Abs(s)
		}
		if err == nil {
			err = os.Symlink(s, filepath.Join(dir, filepath.Base(s)))
		}
	}
	return dir, err
}
