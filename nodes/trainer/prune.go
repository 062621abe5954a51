package trainer

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"arfm/policy/checkpoint"
)

var runName = regexp.MustCompile(`^finetune-\d{8}-\d{6}\.\d{3}$`)

// pruneRuns removes all but the newest KeepRuns run folders, and what these
// runs published unless its name has other weights by now. The job's own run
// is the newest.
func pruneRuns(j *Job) error {
	if j.KeepRuns == 0 {
		return nil
	}
	list, err := os.ReadDir(j.WorkDir) // sorted by name, which is by time
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(d os.DirEntry) bool { return !d.IsDir() || !runName.MatchString(d.Name()) })
	var failed error
	for _, d := range list[:max(0, len(list)-j.KeepRuns)] {
		dir := filepath.Join(j.WorkDir, d.Name())
		own, _ := filepath.Glob(filepath.Join(dir, d.Name()+"-*.safetensors")) // the pattern is good
		for _, path := range own {
			failed = errors.Join(failed, unpublish(path, filepath.Join(j.CheckpointDir, filepath.Base(path))))
		}
		failed = errors.Join(failed, os.RemoveAll(dir))
	}
	return failed
}

// unpublish removes the file at path if it has the weights of the one at own.
func unpublish(own, path string) error {
	a, err := checkpoint.ReadInfo(own)
	if err != nil {
		return nil // not ours to judge
	}
	if b, err := checkpoint.ReadInfo(path); err != nil || a.Hash != b.Hash {
		return nil
	}
	return os.Remove(path)
}
