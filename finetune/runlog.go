package finetune

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"arfm/finetune/objective"
	"arfm/finetune/reward"
)

// Files in the output folder, beside the checkpoints.
const (
	StateFile = "train_state.safetensors" // what a run is resumed from; a run that has ended does without
	logFile   = "train.jsonl"
)

// ErrBusy says that another run writes to the output folder.
var ErrBusy = errors.New("another run is training in this folder")

// Line is one step in train.jsonl.
type Line struct {
	Step int64 `json:"step"`
	objective.Metrics
	LearningRate float64 `json:"lr"`
	GradNorm     float64 `json:"grad_norm"` // before the clip
	Seconds      float64 `json:"seconds"`   // that the step took
}

// runLog appends JSON lines to train.jsonl. Its lock keeps two runs out of one
// folder.
type runLog struct {
	f    *os.File
	size int64
}

// openLog opens the log at path and locks its folder.
func openLog(path string) (*runLog, error) {
	for range 100 {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fileError("open the training log", err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("training log %s: %w; wait for it or use another folder", path, ErrBusy)
		}
		if isAt(f, path) {
			return &runLog{f: f}, nil
		}
		// Its last owner removed it between our open and our lock: the lock is
		// on a file that the next run does not see.
		f.Close()
	}
	return nil, fmt.Errorf("training log %s: %w; wait for it or use another folder", path, ErrBusy)
}

// isAt says whether path still names the open file f.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

// cut drops the lines of steps after the given one, which a killed run may
// have left.
func (l *runLog) cut(step int64) (err error) {
	if l.size, err = lengthUpTo(l.f, step); err == nil {
		if err = l.f.Truncate(l.size); err == nil {
			_, err = l.f.Seek(l.size, io.SeekStart)
		}
	}
	if err != nil {
		return fileError(fmt.Sprintf("cut the training log to step %d", step), err)
	}
	return nil
}

// fileError says what could not be done and what to do about it.
func fileError(what string, err error) error {
	remedy := "check the disk"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		remedy = "check the path"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		remedy = "change the folder's owner or mode, or use another one"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		remedy = "free some space and resume"
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
		remedy = "name a folder"
	}
	return fmt.Errorf("%s: %w; %s", what, err, remedy)
}

// lengthUpTo returns the length of the whole lines up to a step.
func lengthUpTo(r io.Reader, step int64) (int64, error) {
	in, n := bufio.NewReaderSize(r, longestLine), int64(0)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF || err == bufio.ErrBufferFull {
			return n, nil // a torn line, or none of ours
		}
		if err != nil {
			return 0, err
		}
		var at struct {
			Step *int64 `json:"step"`
		}
		if json.Unmarshal(line, &at) != nil || at.Step == nil || *at.Step > step {
			return n, nil
		}
		n += int64(len(line))
	}
}

// append writes one line, whole or not at all.
func (l *runLog) append(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := l.f.Write(append(data, '\n')); err != nil {
		if l.f.Truncate(l.size) == nil { // else the next cut drops the torn line
			_, _ = l.f.Seek(l.size, io.SeekStart)
		}
		return fileError("write to the training log", err)
	}
	l.size += int64(len(data)) + 1
	return nil
}

// logRewards says in the first line of a log what the rewards are made of.
func (t *trainer) logRewards() error {
	if t.log.size > 0 {
		return nil // the run that is resumed has said it
	}
	return t.log.append(struct {
		Step    int64          `json:"step"`
		Rewards reward.Summary `json:"rewards"`
	}{0, t.rewards})
}

// sync makes the lines durable: the state that is saved next counts on them.
func (l *runLog) sync() error {
	if err := l.f.Sync(); err != nil {
		return fileError("write to the training log", err)
	}
	return nil
}

// close releases the folder; a log without a line is not left behind.
func (l *runLog) close() error {
	if info, err := l.f.Stat(); err == nil && info.Size() == 0 { // under our lock: no one else's
		_ = os.Remove(l.f.Name()) // an empty log does no harm either
	}
	return l.f.Close()
}
