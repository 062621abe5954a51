package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"arfm/finetune"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/nodes/bench/peers"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/export"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// work is what ours and peers do side by side: the same policy, weight for
// weight, on the same inputs.
type work struct {
	setup Setup
	task  peers.Task
	job   peers.Job // less the model's path

	dir   string // of its files
	ck    *checkpoint.Checkpoint
	ours  side
	want  *peers.Answer // ours
	close func()
}

// What a training step is, ours and a peer's. Both weigh by a fixed strength, so
// that it is one and the same loss.
const (
	strength   = 0.5
	stepRate   = 5e-4
	checkSteps = 3 // whose losses are held against each other
)

// prepare makes the policy, its files in dir and our side of the work; close it.
func (s Setup) prepare(ctx context.Context, task peers.Task, dir string) (*work, error) {
	m, c, err := s.model()
	if err != nil {
		return nil, err
	}
	stir(m, uint64(s.Seed))
	w := &work{setup: s, task: task, dir: dir, close: func() {}}
	w.ck = &checkpoint.Checkpoint{Model: m, Contract: c, Stats: unitStats(c), Objective: "bc"}
	p, err := s.sampler(m, c)
	if err != nil {
		return nil, err
	}
	n := s.Batch * m.Config.Horizon * m.Config.ActionDim
	w.job = peers.Job{Task: task, Batch: s.Batch, Horizon: m.Config.Horizon, State: p.state, Words: p.words, Noise: make([]float32, n)}
	flow.NewStream(uint64(s.Seed), streamNoise).Normal(w.job.Noise)
	if task == peers.Train {
		return w, w.train(ctx, n)
	}
	if err := p.act(); err != nil { // with the first noise of its stream, the job's
		return nil, err
	}
	w.want = &peers.Answer{Values: append([]float32(nil), p.chunks()...)}
	w.ours = sideFunc(p.act)
	return w, nil
}

// stir moves all weights a little: the velocity of freshly drawn ones is 0
// whatever comes in, so that any two would agree.
func stir(m *vla.Model, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	for _, name := range m.Params.Names() {
		std := 0.1
		if strings.HasSuffix(name, "ada.weight") || name == "expert.out.weight" {
			std = 0.5 / math.Sqrt(float64(m.Config.D))
		} else if strings.HasSuffix(name, ".weight") {
			continue
		}
		for i, v := 0, m.Params.View(name); i < len(v); i++ {
			v[i] += float32(std * r.NormFloat64())
		}
	}
}

// train fills in a training job of chunks of n numbers, our answer, and a run of
// finetune.Train whose steps are measured.
func (w *work) train(ctx context.Context, n int) (err error) {
	j, s := &w.job, w.setup
	r := flow.NewStream(uint64(s.Seed), "actions")
	j.Actions, j.Tau, j.Advantage = make([]float32, n), make([]float32, s.Batch), make([]float32, s.Batch)
	r.Normal(j.Actions)
	for i := range j.Tau {
		j.Tau[i] = r.Float32()
	}
	r.Normal(j.Advantage)
	j.Steps, j.Beta = checkSteps, strength
	j.Optimiser = optim.Defaults(stepRate, 1)
	j.Optimiser.Schedule = optim.Schedule{Peak: stepRate, Floor: stepRate, Total: 1}
	if w.want, err = trainSteps(w.ck.Model.Clone(), j); err != nil {
		return err
	}
	init := filepath.Join(w.dir, "init.safetensors")
	if _, err := checkpoint.Save(init, w.ck); err != nil {
		return err
	}
	o, err := s.options(filepath.Join(w.dir, "run"), 1e12)
	if err != nil {
		return err
	}
	o.Objective, o.Tuning, o.Init = "rwr", objective.Options{"beta": fmt.Sprint(strength)}, init
	t := startTraining(ctx, s, w.ck.Contract, o)
	w.ours, w.close = t, t.stop
	return nil
}

// trainSteps does the steps of a training job on the model's weights.
func trainSteps(m *vla.Model, j *peers.Job) (*peers.Answer, error) {
	c := m.Config
	b := &vla.Batch{B: j.Batch, State: j.State, Words: j.Words, Tau: j.Tau, Noisy: make([]float32, len(j.Noise))}
	f := &field{m: m, ws: m.NewWorkspace(j.Batch, true), b: b}
	step, err := objective.Compile(f, objective.RWR{Beta: j.Beta}, j.Batch, c.Horizon, c.ActionDim)
	if err != nil {
		return nil, err
	}
	defer step.Close()
	adam, err := optim.New(j.Optimiser, m.Params.Data)
	if err != nil {
		return nil, err
	}
	flow.Target(step.Target, j.Actions, j.Noise)
	for i, n := 0, c.Horizon*c.ActionDim; i < j.Batch; i++ {
		at, end := i*n, (i+1)*n
		flow.Interpolate(b.Noisy[at:end], j.Actions[at:end], j.Noise[at:end], j.Tau[i])
	}
	copy(step.Advantage, j.Advantage)
	for i := range step.Mask {
		step.Mask[i] = 1
	}
	var a peers.Answer
	for i := range j.Steps {
		metrics, err := step.Run()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			a.Values = append(a.Values, f.out...)
		}
		info, err := adam.Update(m.Params.Data, step.Grad)
		if err != nil {
			return nil, err
		}
		a.Losses, a.Norms = append(a.Losses, metrics.Loss), append(a.Norms, info.GradNorm)
	}
	return &a, nil
}

// field is an objective.Field that remembers its last velocities.
type field struct {
	m   *vla.Model
	ws  *vla.Workspace
	b   *vla.Batch
	out []float32
}

func (f *field) Params() []float32 { return f.m.Params.Data }

func (f *field) Velocity(out []float32) {
	f.m.Velocity(f.ws, f.b, out)
	f.out = out
}

func (f *field) Backward(dOut, grad []float32) { f.m.Backward(f.ws, f.b, dOut, grad) }

// training is a run of finetune.Train that stands still but for the steps that
// it is asked for.
type training struct {
	next func() (float64, bool)
	stop func()
	err  error
}

func startTraining(ctx context.Context, s Setup, c *contract.Contract, o finetune.Options) *training {
	t := &training{}
	next, stop := iter.Pull(func(yield func(float64) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o.Progress = func(p finetune.Progress) {
			if !yield(1e3 * p.Seconds) {
				cancel()
			}
		}
		_, t.err = finetune.Train(ctx, s.episodes(c), c, o)
	})
	t.next, t.stop = next, stop
	return t
}

// Run does n steps.
func (t *training) Run(n int) ([]float64, error) {
	ms := make([]float64, n)
	for i := range ms {
		var ok bool
		if ms[i], ok = t.next(); !ok {
			return nil, t.err
		}
	}
	return ms, nil
}

// write puts the policy into a file as a program takes it, once for each kind,
// and returns its path.
func (w *work) write(kind string) (string, error) {
	path := filepath.Join(w.dir, "policy."+kind)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	switch kind {
	case "onnx":
		models, err := export.ONNX(w.ck, export.Options{Graph: export.Sampler})
		if err != nil {
			return "", err
		}
		data, err := models[0].File.Bytes()
		if err != nil {
			return "", err
		}
		return path, os.WriteFile(path, data, 0o600)
	case "safetensors":
		tensors, meta, err := export.Tensors(w.ck)
		if err != nil {
			return "", err
		}
		return path, checkpoint.WriteTensors(path, tensors, meta)
	}
	return "", fmt.Errorf("policies are not written as %s", kind)
}

// ErrDisagrees says that a peer computes something else than we do.
var ErrDisagrees = errors.New("the peer computes something else")

// agreement is how near a peer's numbers have to come to ours, relative to the
// largest of them or 1.
const agreement = 1e-4

// open gives a peer the work and holds its answer to ours; where it differs the
// error wraps ErrDisagrees.
func (w *work) open(q *peers.Process) error {
	path, err := w.write(q.Program.Model)
	if err != nil {
		return err
	}
	job := w.job
	job.Model = path
	got, err := q.Open(&job)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what      string
		got, want []float64
	}{
		{"chunk or velocity", wide(got.Values), wide(w.want.Values)},
		{"loss", got.Losses, w.want.Losses},
		{"norm of the gradient", got.Norms, w.want.Norms},
	} {
		if err := agree(c.what, c.got, c.want); err != nil {
			return err
		}
	}
	return nil
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func agree(what string, got, want []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%w: %s of %d numbers, ours of %d", ErrDisagrees, what, len(got), len(want))
	}
	top := 1.0
	for _, v := range want {
		top = max(top, math.Abs(v))
	}
	for i, v := range want {
		if d := math.Abs(got[i] - v); !(d <= agreement*top) {
			return fmt.Errorf("%w: %s %d is %.6g, ours %.6g", ErrDisagrees, what, i, got[i], v)
		}
	}
	return nil
}
