// Package peers runs policies of arfm in other programs, to measure them side by
// side: ONNX Runtime (through Node.js) on the graph that policy/export writes,
// and PyTorch on its safetensors. A peer is a process that stays: it loads a job
// once and answers requests, a JSON object a line, so that neither its start nor
// the way to it counts.
package peers

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"arfm/finetune/optim"
)

// ErrPeer is wrapped by every error of a peer.
var ErrPeer = errors.New("peer failed")

// Task is what a peer can be asked to do.
type Task string

// Tasks.
const (
	Infer Task = "infer" // a chunk for each observation of a batch
	Train Task = "train" // an optimiser step on a batch of chunks
)

// Job is a task with all that it needs.
type Job struct {
	Task    Task      `json:"task"`
	Model   string    `json:"model"` // path of an ONNX graph or of safetensors, as Program.Model says
	Batch   int       `json:"batch"`
	Horizon int       `json:"horizon"`
	State   []float32 `json:"state"` // (B, S) normalised
	Words   []int32   `json:"words"` // (B, W), -1 for none
	Noise   []float32 `json:"noise"` // (B, H, A)
	// Feeds are the inputs of a graph that is no policy's, in place of those
	// above; the answer's Values are its first output.
	Feeds []Feed `json:"feeds,omitempty"`

	// Of training only: Answer has Steps of it with these. What is measured
	// afterwards draws noise and flow times anew for each step.
	Steps     int          `json:"steps,omitempty"`
	Actions   []float32    `json:"actions,omitempty"`   // (B, H, A) normalised
	Tau       []float32    `json:"tau,omitempty"`       // (B)
	Advantage []float32    `json:"advantage,omitempty"` // (B)
	Beta      float64      `json:"beta"`                // of the weights, softmax(beta (advantage - mean))
	Optimiser optim.Config `json:"optimiser"`           // Schedule.Peak is the learning rate of all steps
}

// Feed is an input of an ONNX graph.
type Feed struct {
	Name  string    `json:"name"`
	Type  string    `json:"type"` // float32, int64, int32, uint8 or bool
	Shape []int     `json:"shape"`
	Data  []float64 `json:"data"`
}

// Answer is what a job gives, to be held against ours.
type Answer struct {
	Values []float32 `json:"values"` // (B, H, A) chunks; of training the velocities of the first step
	Losses []float64 `json:"losses"` // of each step
	Norms  []float64 `json:"norms"`  // L2, of each step's gradient before the clip
}

// Program is a peer that this machine has.
type Program struct {
	Name  string // with its version
	Tasks []Task
	Model string // ending of the model's file: onnx or safetensors
	place string // of its library
	argv  []string
	where string // for messages
}

// Can says whether the program does a task.
func (p *Program) Can(t Task) bool { return slices.Contains(p.Tasks, t) }

//go:embed ort.js
var ortScript string

//go:embed torch_expert.py
var torchScript string

// ORTFolder is the environment variable that names the folder whose
// node_modules hold onnxruntime-node.
const ORTFolder = "ARFM_ORT"

// How to get what is missing.
const (
	getORT   = "make bench installs it into build/ort where npm is; or name a folder with node_modules/onnxruntime-node in " + ORTFolder
	getTorch = "apt-get install python3-torch, or put a python3 with a newer one first on the PATH"
)

// Find returns the peers of this machine and a line for each that it lacks.
func Find(ctx context.Context) (found []*Program, missing []string) {
	ort := &Program{Tasks: []Task{Infer}, Model: "onnx"}
	if err := findORT(ctx, ort); err != nil {
		missing = append(missing, fmt.Sprintf("ONNX Runtime: %v; %s", err, getORT))
	} else {
		found = append(found, ort)
	}
	var reasons []string
	n := len(found)
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		p := &Program{Tasks: []Task{Infer, Train}, Model: "safetensors", where: python, argv: []string{python, "-c", torchScript}}
		switch err := p.greet(ctx); {
		case err != nil:
			reasons = append(reasons, err.Error())
		case !slices.ContainsFunc(found[n:], func(o *Program) bool { return o.place == p.place }):
			found = append(found, p)
		}
	}
	if len(found) == n {
		missing = append(missing, fmt.Sprintf("PyTorch: %s; %s", strings.Join(reasons, "; "), getTorch))
	}
	return found, missing
}

// findORT fills in what runs the library of ORTFolder, else of build/ort.
func findORT(ctx context.Context, p *Program) error {
	folder := os.Getenv(ORTFolder)
	if folder == "" {
		folder = filepath.Join("build", "ort")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "onnxruntime-node")); err != nil {
		return fmt.Errorf("no onnxruntime-node in %s", folder)
	}
	p.where, p.argv = "node", []string{"node", "-e", ortScript, "--", folder}
	return p.greet(ctx)
}

// greet starts the program once, for its name.
func (p *Program) greet(ctx context.Context) error {
	q, err := p.Start(ctx, 1)
	if err != nil {
		return err
	}
	defer q.Close()
	var hello struct{ Name, Place string }
	if err := q.ask(request{Do: "hello"}, &hello); err != nil {
		return err
	}
	p.Name, p.place = hello.Name, hello.Place
	return nil
}

// Process is a running peer.
type Process struct {
	Program *Program
	Threads int
	ctx     context.Context // that the process lives for
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	said    tail
}

// maxLine bounds an answer.
const maxLine = 64 << 20

// Start starts the program with a number of threads, for as long as ctx lives.
func (p *Program) Start(ctx context.Context, threads int) (*Process, error) {
	n := strconv.Itoa(threads)
	q := &Process{Program: p, Threads: threads, ctx: ctx, cmd: exec.CommandContext(ctx, p.argv[0], append(p.argv[1:len(p.argv):len(p.argv)], n)...)}
	// Libraries below PyTorch take their threads from here; what the caller has
	// set for itself is not for them.
	q.cmd.Env = append(os.Environ(), "OMP_NUM_THREADS="+n, "OPENBLAS_NUM_THREADS="+n, "MKL_NUM_THREADS="+n)
	q.cmd.Stderr, q.cmd.WaitDelay = &q.said, time.Second
	var err error
	if q.in, err = q.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrPeer, p.where, err)
	}
	out, err := q.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrPeer, p.where, err)
	}
	q.out = bufio.NewScanner(out)
	q.out.Buffer(nil, maxLine)
	if err := q.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", p.where, err)
	}
	return q, nil
}

// Open loads a job in place of the one before and returns what it gives.
func (q *Process) Open(j *Job) (*Answer, error) {
	var a Answer
	return &a, q.ask(request{Do: "open", Job: j}, &a)
}

// Run does the job n times and returns what each took, in milliseconds.
func (q *Process) Run(n int) ([]float64, error) {
	var r struct{ MS []float64 }
	if err := q.ask(request{Do: "run", Runs: n}, &r); err != nil {
		return nil, err
	}
	if len(r.MS) != n {
		return nil, fmt.Errorf("%w: %s says that it ran %d times, not %d", ErrPeer, q.name(), len(r.MS), n)
	}
	return r.MS, nil
}

// Close ends the process.
func (q *Process) Close() error {
	q.in.Close() // it ends where its input does
	late := time.AfterFunc(5*time.Second, func() { _ = q.cmd.Process.Kill() })
	defer late.Stop()
	return q.cmd.Wait()
}

// request is a line to a peer.
type request struct {
	Do   string `json:"do"` // hello, open or run
	Job  *Job   `json:"job,omitempty"`
	Runs int    `json:"runs,omitempty"`
}

// ask sends a request and reads what answers it.
func (q *Process) ask(r request, reply any) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPeer, q.name(), err)
	}
	if _, err := q.in.Write(append(line, '\n')); err != nil || !q.out.Scan() {
		return q.gone()
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(q.out.Bytes(), &failed); err != nil {
		return fmt.Errorf("%w: %s answers %.200q", ErrPeer, q.name(), q.out.Bytes())
	}
	if failed.Error != "" {
		return fmt.Errorf("%w: %s: %s", ErrPeer, q.name(), failed.Error)
	}
	if err := json.Unmarshal(q.out.Bytes(), reply); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPeer, q.name(), err)
	}
	return nil
}

// gone says why there is no answer.
func (q *Process) gone() error {
	if err := q.ctx.Err(); err != nil {
		return err
	}
	if err := q.out.Err(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPeer, q.name(), err)
	}
	_ = q.Close() // its last words have all come
	return fmt.Errorf("%w: %s ended: %s", ErrPeer, q.name(), q.said.lastLine())
}

func (q *Process) name() string {
	if q.Program.Name != "" {
		return q.Program.Name
	}
	return q.Program.where
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

// lastLine is the last line that says something; of an error in Python its
// message, of one in Node.js the message above the trace.
func (t *tail) lastLine() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "Error: ") {
			return l
		}
	}
	return lines[len(lines)-1]
}
