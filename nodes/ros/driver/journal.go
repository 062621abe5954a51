//go:build ros

package driver

import (
	"fmt"
	"sync/atomic"
)

// journal writes to the log on a goroutine of its own: the control loop does not
// wait for /rosout.
type journal struct {
	log   Logger
	lines chan line
	lost  atomic.Int64
	done  chan struct{}
}

type line struct {
	write func(format string, args ...any) error
	text  string
}

func newJournal(log Logger) *journal {
	j := &journal{log: log, lines: make(chan line, 256), done: make(chan struct{})}
	go func() {
		defer close(j.done)
		for l := range j.lines {
			if n := j.lost.Swap(0); n > 0 {
				l.text += fmt.Sprintf(" (%d lines before this were dropped)", n)
			}
			_ = l.write("%s", l.text) // there is nowhere else to say it
		}
	}()
	return j
}

func (j *journal) put(l line) {
	select {
	case j.lines <- l:
	default:
		j.lost.Add(1)
	}
}

func (j *journal) info(text string) { j.put(line{j.log.Infof, text}) }
func (j *journal) warn(text string) { j.put(line{j.log.Warnf, text}) }
func (j *journal) fail(text string) { j.put(line{j.log.Errorf, text}) }

// close writes what waits; nothing may be put any more.
func (j *journal) close() {
	close(j.lines)
	<-j.done
}
