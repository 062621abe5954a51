package finetune

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"arfm/finetune/reward"
)

// Log is what a run's train.jsonl holds.
type Log struct {
	Lines   []Line // one for each step
	HeldOut []HeldOut
	Rewards *reward.Summary // nil where the run was begun by an older version
}

// longestLine of a log, in bytes, and mostLines: what a run writes is far below.
const (
	longestLine = 1 << 20
	mostLines   = 1 << 24
)

// ReadLog reads the log of the run in the folder out. A torn last line, as a
// running or killed run leaves it, is left out.
func ReadLog(out string) (*Log, error) {
	path := filepath.Join(out, logFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError("open the training log", err)
	}
	defer f.Close()
	return readLog(f, path, mostLines)
}

// readLog reads a log of at most so many lines from r, the file at path.
func readLog(r io.Reader, path string, most int) (*Log, error) {
	log, in := new(Log), bufio.NewReaderSize(r, longestLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return log, nil
		case n > most:
			return nil, fmt.Errorf("training log %s: it has more than %d lines, which no run writes; is it a run's?", path, most)
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("training log %s: line %d is longer than a run writes; is it a run's?", path, n)
		case err != nil:
			return nil, fileError("read the training log", err)
		}
		if err := log.add(line); err != nil {
			return nil, fmt.Errorf("training log %s, line %d: %w; is it a run's?", path, n, err)
		}
	}
}

// add takes up one line.
func (l *Log) add(line []byte) error {
	var entry struct {
		Line
		HeldOut *HeldOut        `json:"held_out"`
		Rewards *reward.Summary `json:"rewards"`
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return err
	}
	switch {
	case entry.Rewards != nil:
		l.Rewards = entry.Rewards
	case entry.HeldOut != nil:
		l.HeldOut = append(l.HeldOut, *entry.HeldOut)
	default:
		l.Lines = append(l.Lines, entry.Line)
	}
	return nil
}
