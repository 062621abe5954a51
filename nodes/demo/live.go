package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
)

// LiveReport is what the second process did while training went on.
type LiveReport struct {
	Swaps   []Swap           `json:"swaps"` // after the first checkpoint
	Stats   loop.Stats       `json:"stats"`
	Results eval.LiveResults `json:"results"`
	Tasks   []LiveEpisode    `json:"episodes"`
}

// LiveEpisode is one task that the running policy did, or did not do.
type LiveEpisode struct {
	Time    float64 `json:"t"` // when it ended, s since the process started
	Success bool    `json:"success"`
}

// Swap is one change of weights in the running policy.
type Swap struct {
	Time float64 `json:"t"` // s since the process started
	Step int64   `json:"step"`
	Hash string  `json:"hash"`
}

// live is the second process: arfm run on the simulated arm.
type live struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error

	mu     sync.Mutex
	report LiveReport
	first  bool // the first checkpoint is in use
	news   chan struct{}
}

// liveEvent is the part of arfm run's JSON lines that the demo reads.
type liveEvent struct {
	Time    float64           `json:"t"`
	Event   string            `json:"event"`
	Text    string            `json:"text"`
	Step    int64             `json:"step"`
	Hash    string            `json:"hash"`
	Stats   *loop.Stats       `json:"stats"`
	Results *eval.LiveResults `json:"results"`
	Task    *eval.Outcome     `json:"episode"`
}

// startLive starts the process and returns when its policy runs.
func startLive(ctx context.Context, run []string, flags ...string) (*live, error) {
	if len(run) == 0 {
		return nil, errors.New("demo: no command to run the policy with")
	}
	args := append(run[1:len(run):len(run)], flags...)
	l := &live{cmd: exec.Command(run[0], args...), ended: make(chan error, 1), news: make(chan struct{}, 1)}
	l.cmd.Stderr = &l.stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the running policy: %w", err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e liveEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				l.take(e)
			}
		}
		l.ended <- l.cmd.Wait()
	}()
	if err := l.until(ctx, func() bool { return l.first }); err != nil {
		_, stopped := l.stop()
		return nil, errors.Join(err, stopped)
	}
	return l, nil
}

func (l *live) take(e liveEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case e.Event == "swapped" && !l.first:
		l.first = true
	case e.Event == "swapped":
		l.report.Swaps = append(l.report.Swaps, Swap{e.Time, e.Step, e.Hash})
	case e.Task != nil:
		l.report.Tasks = append(l.report.Tasks, LiveEpisode{e.Time, e.Task.Success})
	case e.Stats != nil && e.Results != nil:
		l.report.Stats, l.report.Results = *e.Stats, *e.Results
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// await waits until the weights with this hash run, and then for a second of
// ticks with them.
func (l *live) await(ctx context.Context, hash string) error {
	err := l.until(ctx, func() bool {
		n := len(l.report.Swaps)
		return n > 0 && l.report.Swaps[n-1].Hash == hash
	})
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until waits for a condition on what the process has reported.
func (l *live) until(ctx context.Context, ok func() bool) error {
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		done := ok()
		l.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-l.news:
		case err := <-l.ended:
			l.ended <- err
			return fmt.Errorf("the running policy ended by itself (%v): %s", err, bytes.TrimSpace(l.stderr.Bytes()))
		case <-timeout.C:
			return errors.New("the running policy did not take over a checkpoint within 20 s")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop interrupts the process and returns what it did.
func (l *live) stop() (LiveReport, error) {
	_ = l.cmd.Process.Signal(os.Interrupt) // it may have ended already
	var err error
	select {
	case err = <-l.ended:
	case <-time.After(5 * time.Second):
		err = errors.Join(errors.New("the running policy did not stop within 5 s"), l.cmd.Process.Kill(), <-l.ended)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report, err
}
