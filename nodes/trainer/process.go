package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// ProcessArg, as the only argument, makes the program a training process.
const ProcessArg = "training-process"

// Patience with a run that is told to stop: it saves after the step in hand.
// Where the node has to end it gets less, and is killed then: the state in its
// folder is that of its last save.
const (
	stopPatience = 30 * time.Second
	killPatience = 500 * time.Millisecond
)

// maxLine bounds a line that a training process writes.
const maxLine = 1 << 16

// Process is the training process: it reads a Job from in, writes Events to
// out, and returns the exit status. SIGTERM stops the run after the step in hand.
func Process(in io.Reader, out io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	yield()
	w := &work{}
	enc := json.NewEncoder(out)
	w.tell = func(e Event) {
		if enc.Encode(e) != nil { // nobody listens: the node is gone
			os.Exit(1)
		}
	}
	if err := json.NewDecoder(io.LimitReader(in, 1<<20)).Decode(&w.job); err != nil {
		w.tell(Event{State: Failed, Message: fmt.Sprintf("the training process got no job: %v", err)})
		return 1
	}
	e := w.do(ctx)
	w.tell(e)
	if e.State == Failed {
		return 1
	}
	return 0
}

// run does a job in a training process. It stops after the step in hand when
// ctx ends, and is over soon after kill is done. tell gets each event but the
// last, one after another; the last is returned, and its state is Done, Failed
// or Canceled.
func run(ctx, kill context.Context, j Job, nice int, tell func(Event), log func(line string)) Event {
	last := Event{State: Failed, Steps: j.Steps}
	input, err := json.Marshal(j)
	if err != nil {
		last.Message = fmt.Sprintf("cannot tell the training process its job: %v", err)
		return last
	}
	self, err := os.Executable()
	if err != nil {
		last.Message = fmt.Sprintf("cannot find the program for the training process: %v", err)
		return last
	}
	cmd := exec.Command(self, ProcessArg)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", j.Threads))
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = lines(log)
	cmd.Stdout = lines(func(line string) {
		var e Event
		switch err := json.Unmarshal([]byte(line), &e); {
		case err != nil:
			log(line)
		case e.Note != "":
			tell(e)
		default:
			if last = e; !e.State.ended() {
				tell(e)
			}
		}
	})
	err = supervise(ctx, kill, cmd, nice)
	if last.State.ended() && last.Message != "" { // it said so itself
		return last
	}
	last.State, last.Message = Failed, fmt.Sprintf("the training process ended by itself (%v): is memory short? It goes on with %s", err, j.resume())
	if ctx.Err() != nil {
		last.State, last.Message = Canceled, fmt.Sprintf("stopped; %s goes on from its last save, if it had begun", j.resume())
	}
	return last
}

// supervise runs the process to its end.
func supervise(ctx, kill context.Context, cmd *exec.Cmd, nice int) error {
	started, ended := make(chan error, 1), make(chan error, 1)
	go gently(nice, cmd, started, ended)
	if err := <-started; err != nil {
		return err
	}
	stop, late := ctx.Done(), (<-chan time.Time)(nil)
	hurry := kill.Done()
	for {
		select {
		case err := <-ended:
			return err
		case <-stop:
			stop = nil
			_ = cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
			late = time.After(stopPatience)
		case <-hurry:
			stop, hurry = nil, nil
			_ = cmd.Process.Signal(syscall.SIGTERM)
			late = time.After(killPatience)
		case <-late:
			_ = cmd.Process.Kill()
		}
	}
}

// lines is a writer that calls f with every whole line, cut to maxLine.
func lines(f func(string)) io.Writer { return &lineWriter{f: f} }

type lineWriter struct {
	f   func(string)
	buf []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		w.buf = append(w.buf, line[:min(len(line), maxLine-len(w.buf))]...)
		if !found {
			return n, nil
		}
		if text := strings.TrimSpace(string(w.buf)); text != "" {
			w.f(text)
		}
		w.buf, p = w.buf[:0], rest
	}
}
