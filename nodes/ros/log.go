//go:build ros

package ros

import (
	"fmt"
	"sync"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// Log writes to the console and to /rosout, at the levels of --log-level:
// Debugf, Infof, Warnf, Errorf. It is safe for concurrent use.
type Log struct {
	*rclgo.Logger

	mu   sync.Mutex
	last map[string]*throttle
}

type throttle struct {
	next    time.Time
	skipped int
}

func newLog(l *rclgo.Logger) *Log { return &Log{Logger: l, last: map[string]*throttle{}} }

// InfoEvery logs at most once in d of wall time for each format.
func (l *Log) InfoEvery(d time.Duration, format string, args ...any) {
	l.every(rclgo.LogSeverityInfo, d, format, args)
}

// WarnEvery logs at most once in d of wall time for each format, and says how
// many it left out.
func (l *Log) WarnEvery(d time.Duration, format string, args ...any) {
	l.every(rclgo.LogSeverityWarn, d, format, args)
}

// ErrorEvery is WarnEvery for errors.
func (l *Log) ErrorEvery(d time.Duration, format string, args ...any) {
	l.every(rclgo.LogSeverityError, d, format, args)
}

func (l *Log) every(level rclgo.LogSeverity, d time.Duration, format string, args []any) {
	l.mu.Lock()
	t := l.last[format]
	if t == nil {
		t = &throttle{}
		l.last[format] = t
	}
	now := time.Now()
	if now.Before(t.next) {
		t.skipped++
		l.mu.Unlock()
		return
	}
	skipped := t.skipped
	*t = throttle{next: now.Add(d)}
	l.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if skipped > 0 {
		text += fmt.Sprintf(" (and %d more like it)", skipped)
	}
	_ = l.Log(level, text)
}
