package vla

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"arfm/policy/flow"
	"arfm/policy/nn"
	"arfm/policy/nn/cpu"
	"arfm/policy/nn/gemm"
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
	folds   bool // in Sample
	share   int  // items that a worker takes at a time, at most
	workers []*worker
	turns   chan struct{} // of workers that are more than may run at a time; or nil
	crew    *crew         // for single items; nil: workers take items each

	gradAt *float32     // what the workers' gradients are bound to
	gradOf *nn.Params   // that gradient
	tasks  []task       // of phaseWeights
	next   atomic.Int32 // task, or item
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
	if split {
		workers = min(workers, maxCrew)
	} else {
		workers = min(workers, maxB)
	}
	ws := &Workspace{model: m, maxB: maxB, train: train, share: (maxB + workers - 1) / workers}
	ws.folds = !train && cpu.Has != cpu.Generic && m.Config.folds()
	if !train && !split && ws.share*m.Config.Horizon > groupRows {
		workers = ws.group(workers)
	}
	for range workers {
		w := newWorker(&m.Config, ws.share, train)
		w.turns = ws.turns
		if train {
			w.small = nn.NewParams(m.Config.smallLayout())
		}
		w.sampled = m.w
		ws.workers = append(ws.workers, w)
	}
	if split {
		ws.form()
	}
	return ws
}

// groupRows is about how many action rows a worker computes at a time where
// nothing is kept for a backward pass: so many that what lies between the layers
// stays in its second-level cache.
const groupRows = 64

// group is that many items.
func (c *Config) group() int { return max(1, groupRows/c.Horizon) }

// group makes the shares small. They are computed in turn, by twice as many
// workers as may run at a time, so that the last to end does not end much later
// than the others. It returns how many workers there are.
func (ws *Workspace) group(workers int) int {
	ws.share = ws.model.Config.group()
	if workers == 1 {
		return 1
	}
	ws.turns = make(chan struct{}, workers)
	return min(2*workers, (ws.maxB+ws.share-1)/ws.share)
}

// Workers returns the number of workers that run at a time.
func (ws *Workspace) Workers() int {
	if ws.turns != nil {
		return cap(ws.turns)
	}
	return len(ws.workers)
}

// MaxB returns the largest batch.
func (ws *Workspace) MaxB() int { return ws.maxB }

// Reset forgets what was derived from the weights.
func (ws *Workspace) Reset() { ws.mods.steps = 0 }

// worker holds the activations of its share of a batch: n items from lo on.
// N = n H action rows, M = n T context rows.
type worker struct {
	lo, n   int
	turns   chan struct{}
	part    part     // of the items that it computes, in the job in hand:
	alone   part     // all, or
	team    part     // with the mates
	sampled *weights // that Sample reads

	grad  *weights   // the caller's gradient; what is in small, from there
	small *nn.Params // this worker's gradient of the tensors of no linear layer
	pairs []pair     // of the last backward pass

	ctx, dctx []float32 // (M, D)
	state     stateActs
	ids       []int32   // (n MaxWords), -1 replaced by the row for "no word"
	text      []float32 // (n text tokens, D)
	vision    []*visionActs
	time      timeActs

	x         []float32 // (N, D) residual stream
	layers    []*layerActs
	xhat, y   []float32 // (N, D) final norm
	rstd      []float32 // (N)
	velocity  []float32 // (N, A), Sample only
	folding   []float32 // (heads T, D), scratch of fold
	hand      hand
	condition conditionActs
	field     flow.Field     // evaluate, and
	work      func(k, i int) // compute, bound once so that a chunk allocates nothing

	dx, dy, da []float32 // (N, D)
	dp         []float32 // (max Tq, max Tk)
}

// timeActs are the activations of the time MLP and the final modulation.
type timeActs struct {
	feat, h, a, e, se []float32 // (n, D) each
	mod               []float32 // (n, 2D)
	dse, dh           []float32 // (n, D)
	dmod              []float32 // (n, 2D)
}

// layerActs are the activations of one block of the expert.
type layerActs struct {
	mod       []float32 // (n, 9D)
	norm      [branches]normActs
	s         [branches][]float32 // (N, D), what each branch adds to the residual stream
	qkv, a1   []float32           // (N, 3D), (N, D)
	p1        []float32           // (n, heads, H, H)
	q, kv, a2 []float32           // (N, D), (M, 2D), (N, D)
	keys      []gemm.Packed       // (n, heads) of kv, without training
	folded    []folded            // (n), where Sample folds
	p2        []float32           // (n, heads, H, T), folded (H, heads, T)
	f, g      []float32           // (N, 4D), (N, 4D)

	dmod, dqkv, dkv, df []float32           // like mod, qkv, kv and f
	dq                  []float32           // (N, D)
	ds                  [branches][]float32 // like s
}

// normActs are the activations of a modulated layer normalisation.
type normActs struct{ xhat, rstd, y []float32 }

func newNormActs(rows, d int, train bool) normActs {
	a := normActs{make([]float32, rows*d), make([]float32, rows), nil}
	if a.y = a.xhat; train {
		a.y = make([]float32, rows*d)
	}
	return a
}

// newLayerActs returns what the blocks have in common. Without training each
// result is written over one that is done with, so that all of them stay in the
// nearer caches.
func newLayerActs(c *Config, n int, train bool) *layerActs {
	f := func(k int) []float32 { return make([]float32, n*k) }
	d, h, t := c.D, c.Horizon, c.ContextTokens()
	norm := newNormActs(n*h, d, train)
	a := &layerActs{
		norm: [branches]normActs{norm, norm, norm}, s: [branches][]float32{f(h * d), f(h * d), f(h * d)},
		qkv: f(3 * h * d), a1: f(h * d), p1: f(c.Heads * h * max(h, t)), f: f(4 * h * d),
	}
	a.q, a.a2, a.p2, a.g = a.qkv, a.a1, a.p1, a.f
	if train {
		a.norm[1], a.norm[2] = newNormActs(n*h, d, train), newNormActs(n*h, d, train)
		a.q, a.a2, a.p2, a.g = f(h*d), f(h*d), f(c.Heads*h*t), f(4*h*d)
	}
	return a
}

func newWorker(c *Config, n int, train bool) *worker {
	f := func(k int) []float32 { return make([]float32, n*k) }
	d, h, t := c.D, c.Horizon, c.ContextTokens()
	w := &worker{
		ctx: f(t * d), x: f(h * d), xhat: f(h * d), y: f(h * d), rstd: f(h), velocity: f(h * c.ActionDim),
		time:  timeActs{feat: f(d), h: f(d), a: f(d), e: f(d), se: f(d), mod: f(2 * d)},
		state: stateActs{x: f(c.StateDim), h: f(c.stateTokens() * d), a: f(c.stateTokens() * d), y: f(d)},
	}
	w.field, w.work = w.evaluate, w.compute
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
			one = newLayerActs(c, n, train)
		}
		l := *one
		l.mod, l.kv = f(9*d), f(2*t*d) // known before the first block
		if !train {
			l.keys = make([]gemm.Packed, n*c.Heads)
		}
		if train {
			l.dmod, l.dqkv, l.dkv, l.df = f(9*d), f(3*h*d), f(2*t*d), f(4*h*d)
			l.dq, l.ds = f(h*d), [branches][]float32{f(h * d), f(h * d), f(h * d)}
		}
		w.layers = append(w.layers, &l)
	}
	w.vision = newVision(c, n, train)
	w.condition = newConditionActs(c, n, train)
	if train {
		w.dctx, w.dx, w.dy, w.da = f(t*d), f(h*d), f(h*d), f(h*d)
		w.time.dse, w.time.dh, w.time.dmod = f(d), f(d), f(2*d)
		w.state.dy, w.state.dh = f(c.stateTokens()*d), f(c.stateTokens()*d)
		w.dp = make([]float32, h*max(h, t))
	}
	return w
}

// phase is what the workers do in one pass over their shares.
type phase int

const (
	phaseVelocity phase = iota
	phaseBackward
	phaseWeights
	phaseSample
)

// job is one pass: its buffers belong to the caller.
type job struct {
	phase     phase
	b         *Batch
	out       []float32
	predicted []float32 // of the condition's head, or its gradient; may be nil
	steps     int
}

// run splits the batch and waits for all shares. A single worker runs here; a
// team's helpers are there already.
func (ws *Workspace) run(j job) {
	switch k := min(len(ws.workers), j.b.B); {
	case k > 1:
		ws.spread(k, j)
	case ws.train:
		ws.workers[0].lo, ws.workers[0].n = 0, j.b.B
		ws.do(0, 1, &j)
	default:
		ws.next.Store(0)
		ws.doGroups(0, 1, &j)
	}
}

// spread runs j on k workers. It is a function of its own so that run's j does
// not escape.
func (ws *Workspace) spread(k int, j job) {
	do := ws.doGroups
	if ws.train {
		do = ws.do
		lo := 0
		for i, w := range ws.workers[:k] { // before any starts: they read each other's
			w.lo, w.n = lo, (j.b.B-lo)/(k-i)
			lo += w.n
		}
	}
	ws.next.Store(0)
	var wg sync.WaitGroup
	for i := range k {
		wg.Go(func() { do(i, k, &j) })
	}
	wg.Wait()
}

// doGroups is worker i of k's part of a job without a backward pass: one group
// of items after another.
func (ws *Workspace) doGroups(i, k int, j *job) {
	w := ws.workers[i]
	for {
		end := int(ws.next.Add(int32(ws.share)))
		if w.lo = end - ws.share; w.lo >= j.b.B {
			return
		}
		w.n = min(end, j.b.B) - w.lo
		w.takeTurn()
		ws.do(i, k, j)
		w.endTurn()
	}
}

// do is worker i of k's part of a job.
func (ws *Workspace) do(i, k int, j *job) {
	m, w := ws.model, ws.workers[i]
	c := &m.Config
	w.part, w.hand = w.alone, hand{c: c, p: m.w}
	switch j.phase {
	case phaseVelocity:
		w.encode(c, m.w, j.b)
		w.tell(c, m.w, j.b, j.predicted)
		w.velocityForward(c, m.w, j.b, j.out)
	case phaseBackward:
		clear(w.small.Data)
		w.pairs = w.pairs[:0]
		w.velocityBackward(c, m.w, w.grad, j.b, j.out)
		w.predictBackward(c, m.w, w.grad, j.predicted)
		w.encodeBackward(c, m.w, w.grad, j.b)
	case phaseWeights:
		ws.takeTasks(ws.workers[:k])
	case phaseSample:
		if ws.crew != nil {
			w.part = w.team
			ws.crew.begin()
		}
		w.sample(c, w.sampled, j.b, &ws.mods)
	}
	w.hand = hand{}
}

// Velocity computes the velocity field at (Noisy, Tau): out (B, H, A).
func (m *Model) Velocity(ws *Workspace, b *Batch, out []float32) { m.Predict(ws, b, out, nil) }

// Predict is Velocity and what the condition's head predicts: predicted (B, K).
// Without a head that stays as it is.
func (m *Model) Predict(ws *Workspace, b *Batch, out, predicted []float32) {
	m.check(ws, b, true)
	ws.run(job{phase: phaseVelocity, b: b, out: out[:b.B*m.Config.Horizon*m.Config.ActionDim], predicted: predicted})
}

// bind makes grad the gradient that the workers compute.
func (ws *Workspace) bind(grad []float32) {
	if ws.gradAt == &grad[0] {
		return
	}
	ws.gradAt, ws.gradOf = &grad[0], ws.model.Params.Like(grad)
	for _, w := range ws.workers {
		w.grad = ws.model.Config.bindTo(ws.gradOf, w.small)
	}
}

// Backward sets grad, as long as Params.Data, to the gradient of a scalar loss
// whose gradient by the velocity is dOut (B, H, A). It follows Velocity on the
// same training workspace and batch, with unchanged weights.
func (m *Model) Backward(ws *Workspace, b *Batch, dOut, grad []float32) {
	m.PredictBackward(ws, b, dOut, nil, grad)
}

// PredictBackward is Backward of a loss whose gradient by the predictions of
// Predict is dPredicted (B, K), nil for 0. It reaches the head and the encoders.
func (m *Model) PredictBackward(ws *Workspace, b *Batch, dOut, dPredicted, grad []float32) {
	m.check(ws, b, true)
	if !ws.train {
		panic("vla: Backward on a workspace that is not for training")
	}
	ws.bind(grad)
	ws.run(job{phase: phaseBackward, b: b, out: dOut[:b.B*m.Config.Horizon*m.Config.ActionDim], predicted: dPredicted})
	ws.plan()
	ws.run(job{phase: phaseWeights, b: b})
}
