package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress draws a bar on a terminal once a job has taken two seconds;
// elsewhere it draws nothing.
type progress struct {
	w     io.Writer
	label string
	start time.Time
	bar   *progressbar.ProgressBar
	shown bool
}

func newProgress(w io.Writer, label string) *progress {
	p := &progress{w: w, label: label, start: time.Now()}
	f, ok := w.(*os.File)
	p.shown = ok && term.IsTerminal(int(f.Fd()))
	return p
}

// begin counts the two seconds from now.
func (p *progress) begin() { p.start = time.Now() }

// at says that done of total are done; note stands behind the label.
func (p *progress) at(done, total int64, note string) {
	if !p.shown || time.Since(p.start) < 2*time.Second {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetPredictTime(true),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	p.bar.Describe(p.label + " " + note)
	_ = p.bar.Set64(done) // a bar that cannot be drawn must not stop the work
}

// done takes the bar away; p may be nil.
func (p *progress) done() {
	if p != nil && p.bar != nil {
		_ = p.bar.Clear()
	}
}
