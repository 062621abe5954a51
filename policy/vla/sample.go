package vla

import (
	"arfm/policy/flow"
	"arfm/policy/nn/cpu"
)

// modulations are the outputs of all ada layers at the flow times of an Euler
// integration, with 1 + scale in place of each scale: they depend on the weights
// and the number of steps only.
type modulations struct {
	steps  int         // 0: nothing computed
	layers [][]float32 // per block (steps, 9D)
	final  []float32   // (steps, 2D)
	time   timeActs
	tau    []float32
}

// fill computes the modulations at tau = 0, 1/steps, ..., (steps-1)/steps.
func (m *modulations) fill(c *Config, p *weights, steps int) {
	d := c.D
	if len(m.tau) < steps {
		f := func(k int) []float32 { return make([]float32, steps*k) }
		m.tau, m.final = f(1), f(2*d)
		m.time = timeActs{feat: f(d), h: f(d), a: f(d), e: f(d), se: f(d)}
		m.layers = make([][]float32, c.Layers)
		for l := range m.layers {
			m.layers[l] = f(9 * d)
		}
	}
	for i := range steps {
		m.tau[i] = float32(i) / float32(steps)
	}
	m.time.forward(p, m.tau, steps, d)
	for l := range p.blocks {
		p.blocks[l].ada.forward(m.layers[l], m.time.se, steps)
		for k := range steps * branches {
			increment(m.layers[l][(3*k+1)*d:][:d])
		}
	}
	p.ada.forward(m.final, m.time.se, steps)
	for i := range steps {
		increment(m.final[(2*i+1)*d:][:d])
	}
	m.steps = steps
}

func increment(x []float32) {
	for i := range x {
		x[i]++
	}
}

// Sample integrates the velocity field from Noisy (noise, tau = 0) to actions
// (tau = 1) by steps Euler steps and leaves the chunk in Noisy. The context and
// its keys and values are computed once, without training folded with the layers
// around cross-attention where Config.Steps steps pay for it; the time modulations
// once per workspace, until Reset or another number of steps (a training
// workspace, whose weights move, computes them on each call). In a workspace for
// single items the workers compute an item together: n of them give what one gives
// but for rounding.
func (m *Model) Sample(ws *Workspace, b *Batch, steps int) {
	m.check(ws, b, false)
	if steps < 1 {
		panic("vla: Sample needs at least one step")
	}
	if !ws.train && ws.mods.steps == 0 {
		ws.pack()
	}
	if ws.mods.steps != steps || ws.train {
		ws.mods.fill(&m.Config, m.w, steps)
	}
	ws.run(job{phase: phaseSample, b: b, steps: steps})
}

// pack packs the weights that a sample reads over and over: what each member of
// a team takes of them, or all for all workers.
func (ws *Workspace) pack() {
	c := &ws.model.Config
	if ws.crew == nil && cpu.Has == cpu.Generic {
		return
	}
	var in store
	for i, w := range ws.workers {
		p := &w.alone
		if ws.crew != nil {
			p = &w.team
		}
		if ws.folds {
			w.makeRoom(c, p, ws.share, &in)
		}
		if i > 0 && ws.crew == nil {
			w.sampled = ws.workers[0].sampled
			continue
		}
		if w.sampled == ws.model.w {
			w.sampled = new(weights)
		}
		ws.model.w.share(w.sampled, c, p, ws.folds, ws.share, &in)
	}
}

// hand is what a worker has in hand.
type hand struct {
	c     *Config
	p     *weights
	mods  *modulations
	step  int // of the integration
	guide float32
	stage stage

	b      *Batch
	camera int
	linear *linear   // of rows of features:
	x      []float32 // (rows, width)
	tokens []float32 // (rows, D)
	rows   int
}

func (w *worker) sample(c *Config, p *weights, b *Batch, mods *modulations) {
	n, rows := w.n, c.Horizon*c.ActionDim
	w.hand.p, w.hand.mods, w.hand.guide = p, mods, b.Guide
	w.encode(c, p, b)
	if b.Guide != 0 {
		w.untell(c, p)
	}
	w.tell(c, p, b, nil)
	w.each(stageKeys, 1)
	flow.Euler(w.field, b.Noisy[w.lo*rows:(w.lo+n)*rows], w.velocity[:n*rows], mods.steps)
}

// takeTurn waits until the worker may run.
func (w *worker) takeTurn() {
	if w.turns != nil {
		w.turns <- struct{}{}
	}
}

func (w *worker) endTurn() {
	if w.turns != nil {
		<-w.turns
	}
}

// evaluate is a flow.Field: the velocity at x and at the flow time of the step
// in hand, whose modulations are there already.
func (w *worker) evaluate(v, x []float32, _ float32) {
	w.endTurn()
	w.takeTurn()
	w.velocityAt(v, x, w.condition.y)
	if w.hand.guide != 0 {
		w.guide(v, x)
	}
	w.hand.step++
}

// velocityAt is evaluate under a condition's embedding (n, D).
func (w *worker) velocityAt(v, x, condition []float32) {
	c, p, s, d := w.hand.c, w.hand.p, w.hand.step, w.hand.c.D
	w.embed(c, p, x)
	w.heed(c, condition)
	w.blocks(c)
	w.head(c, p, w.hand.mods.final[s*2*d:(s+1)*2*d], 0, v)
}
