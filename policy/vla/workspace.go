package vla

import (
	"fmt"
	"runtime"
	"sync"

	"arfm/policy/flow"
	"arfm/policy/nn/vec"
)

// Workspace holds the activations of one caller, and for training the
// gradients, split over workers: each takes a contiguous share of the batch.
// For single items without training the workers share in each, see Sample. The
// worker count is part of the result to the last bit, the schedule is not. One
// goroutine at a time may use a workspace.
type Workspace struct {
	model   *Model
	maxB    int
	train   bool
	workers []*worker
	team    *team // for single items; nil: workers take items each

	gradAt *float32 // what gradW is bound to
	gradW  *weights
	mods   modulations
}

// NewWorkspace returns a workspace for batches up to maxB with GOMAXPROCS
// workers. Backward needs train. Without train the workspace takes the weights
// as they were at its first Sample; call Reset after changing them.
func (m *Model) NewWorkspace(maxB int, train bool) *Workspace {
	return m.NewWorkspaceN(maxB, train, runtime.GOMAXPROCS(0))
}

// NewWorkspaceN is NewWorkspace with a given number of workers: at most one
// per item of the batch, or without training any number for single items.
func (m *Model) NewWorkspaceN(maxB int, train bool, workers int) *Workspace {
	if maxB < 1 || workers < 1 {
		panic(fmt.Sprintf("vla: workspace for %d items and %d workers", maxB, workers))
	}
	split := maxB == 1 && !train && workers > 1
	if !split {
		workers = min(workers, maxB)
	}
	ws := &Workspace{model: m, maxB: maxB, train: train}
	share := (maxB + workers - 1) / workers
	for i := range workers {
		w := newWorker(&m.Config, share, train)
		if train && i > 0 { // the first worker writes into the caller's gradient
			g := m.Params.Like(make([]float32, len(m.Params.Data)))
			w.gradData, w.grad = g.Data, m.Config.bind(g)
		}
		w.sampled = m.w
		ws.workers = append(ws.workers, w)
	}
	if split {
		ws.form()
	}
	return ws
}

// Workers returns the number of workers.
func (ws *Workspace) Workers() int { return len(ws.workers) }

// MaxB returns the largest batch.
func (ws *Workspace) MaxB() int { return ws.maxB }

// Reset forgets what was derived from the weights.
func (ws *Workspace) Reset() { ws.mods.steps = 0 }

// worker holds the activations of its share of a batch: n items from lo on.
// N = n H action rows, M = n T context rows.
type worker struct {
	lo, n    int
	part     part     // of the items, in the job in hand:
	alone    part     // all, or
	team     part     // with the mates
	sampled  *weights // that Sample reads
	gradData []float32
	grad     *weights

	ctx, dctx []float32 // (M, D)
	state     stateActs
	ids       []int32   // (n MaxWords), -1 replaced by the row for "no word"
	text      []float32 // (n text tokens, D)
	vision    []*visionActs
	time      timeActs

	x        []float32 // (N, D) residual stream
	layers   []*layerActs
	xhat, y  []float32 // (N, D) final norm
	rstd     []float32 // (N)
	velocity []float32 // (N, A), Sample only
	noisy    []float32 // (N, A), Sample in a team only
	hand     sampling
	field    flow.Field // evaluate, bound once so that a chunk allocates nothing

	dx, ds, dy []float32 // (N, D)
	da, dqkv   []float32 // (N, D), (N, 3D)
	df         []float32 // (N, 4D)
	dkv        []float32 // (M, 2D)
	dp         []float32 // (max Tq, max Tk)
	dmod       []float32 // (n, 9D)
}

// timeActs are the activations of the time MLP and the final modulation.
type timeActs struct {
	feat, h, a, e, se []float32 // (n, D) each
	mod               []float32 // (n, 2D)
	dse               []float32 // (n, D)
}

// layerActs are the activations of one block of the expert.
type layerActs struct {
	mod       []float32 // (n, 9D)
	norm      [3]normActs
	s         [3][]float32 // (N, D), what each branch adds to the residual stream
	qkv, a1   []float32    // (N, 3D), (N, D)
	p1        []float32    // (n, heads, H, H)
	q, kv, a2 []float32    // (N, D), (M, 2D), (N, D)
	p2        []float32    // (n, heads, H, T)
	f, g      []float32    // (N, 4D), (N, 4D)
}

// normActs are the activations of a modulated layer normalisation.
type normActs struct{ xhat, rstd, y []float32 }

func newNormActs(rows, d int) normActs {
	return normActs{make([]float32, rows*d), make([]float32, rows), make([]float32, rows*d)}
}

func newWorker(c *Config, n int, train bool) *worker {
	f := func(k int) []float32 { return make([]float32, n*k) }
	d, h, t := c.D, c.Horizon, c.ContextTokens()
	w := &worker{
		ctx: f(t * d), x: f(h * d), xhat: f(h * d), y: f(h * d), rstd: f(h), velocity: f(h * c.ActionDim), noisy: f(h * c.ActionDim),
		time:  timeActs{f(d), f(d), f(d), f(d), f(d), f(2 * d), f(d)},
		state: stateActs{f(c.StateDim), f(c.stateTokens() * d), f(c.stateTokens() * d), f(d)},
	}
	w.field = w.evaluate
	w.alone = part{mates: []*worker{w}}
	w.part = w.alone
	switch {
	case c.Text != nil:
		w.text = f(c.Text.Tokens * d)
	case c.Language:
		w.ids = make([]int32, n*c.MaxWords)
	}
	var one *layerActs // without training one block's activations serve all
	for range c.Layers {
		if one == nil || train {
			one = &layerActs{
				mod: f(9 * d), norm: [3]normActs{newNormActs(n*h, d), newNormActs(n*h, d), newNormActs(n*h, d)},
				s:   [3][]float32{f(h * d), f(h * d), f(h * d)},
				qkv: f(3 * h * d), a1: f(h * d), p1: f(c.Heads * h * h),
				q: f(h * d), a2: f(h * d), p2: f(c.Heads * h * t),
				f: f(4 * h * d), g: f(4 * h * d),
			}
		}
		l := *one
		l.kv = f(2 * t * d) // keys and values of the context outlive a block
		w.layers = append(w.layers, &l)
	}
	w.vision = newVision(c, n, train)
	if train {
		w.dctx, w.dx, w.ds, w.dy, w.da = f(t*d), f(h*d), f(h*d), f(h*d), f(h*d)
		w.dqkv, w.df, w.dkv, w.dmod = f(3*h*d), f(4*h*d), f(2*t*d), f(9*d)
		w.dp = make([]float32, h*max(h, t))
	}
	return w
}

// phase is what the workers do in one pass over their shares.
type phase int

const (
	phaseVelocity phase = iota
	phaseBackward
	phaseSum
	phaseSample
)

// job is one pass: its buffers belong to the caller.
type job struct {
	phase     phase
	b         *Batch
	out, grad []float32
	steps     int
}

// run splits the batch, or its one item, and waits for all shares. A single
// share runs here and starts no goroutine.
func (ws *Workspace) run(j job) {
	if ws.team != nil && j.phase == phaseSample {
		ws.team.sample(ws, j)
		return
	}
	k := min(len(ws.workers), j.b.B)
	if k == 1 {
		ws.workers[0].lo, ws.workers[0].n = 0, j.b.B
		ws.do(0, 1, &j)
		return
	}
	ws.spread(k, j)
}

// spread runs j on k workers. It is a function of its own so that run's j does
// not escape.
func (ws *Workspace) spread(k int, j job) {
	lo := 0
	var wg sync.WaitGroup
	for i, w := range ws.workers[:k] {
		w.lo, w.n = lo, (j.b.B-lo)/(k-i)
		lo += w.n
		wg.Go(func() { ws.do(i, k, &j) })
	}
	wg.Wait()
}

// do is worker i of k's part of a job.
func (ws *Workspace) do(i, k int, j *job) {
	m, w := ws.model, ws.workers[i]
	c := &m.Config
	w.part = w.alone
	switch j.phase {
	case phaseVelocity:
		w.encode(c, m.w, j.b)
		w.velocityForward(c, m.w, j.b, j.out)
	case phaseBackward:
		g := ws.gradW
		if i > 0 {
			clear(w.gradData)
			g = w.grad
		}
		w.velocityBackward(c, m.w, g, j.b, j.out)
		w.encodeBackward(c, m.w, g, j.b)
	case phaseSum: // each worker adds one stretch of all gradients, in order
		lo, hi := i*len(j.grad)/k, (i+1)*len(j.grad)/k
		for _, other := range ws.workers[1:k] {
			vec.Add(j.grad[lo:hi], j.grad[lo:hi], other.gradData[lo:hi])
		}
	case phaseSample:
		w.sample(c, w.sampled, j.b, &ws.mods)
	}
}

// Velocity computes the velocity field at (Noisy, Tau): out (B, H, A).
func (m *Model) Velocity(ws *Workspace, b *Batch, out []float32) {
	m.check(ws, b, true)
	ws.run(job{phase: phaseVelocity, b: b, out: out[:b.B*m.Config.Horizon*m.Config.ActionDim]})
}

// Backward adds to grad, as long as Params.Data, the gradient of a scalar loss
// whose gradient by the velocity is dOut (B, H, A). It follows Velocity on the
// same training workspace and batch, with unchanged weights.
func (m *Model) Backward(ws *Workspace, b *Batch, dOut, grad []float32) {
	m.check(ws, b, true)
	if !ws.train {
		panic("vla: Backward on a workspace that is not for training")
	}
	if ws.gradAt != &grad[0] {
		ws.gradAt, ws.gradW = &grad[0], m.Config.bind(m.Params.Like(grad))
	}
	j := job{phase: phaseBackward, b: b, out: dOut[:b.B*m.Config.Horizon*m.Config.ActionDim], grad: grad}
	ws.run(j)
	if len(ws.workers) > 1 && b.B > 1 {
		j.phase = phaseSum
		ws.run(j)
	}
}
