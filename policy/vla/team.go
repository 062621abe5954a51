package vla

import "runtime"

// A team computes one item together. Each worker takes some of the attention
// heads with their columns of the queries, keys and values, and some of the
// MLPs' width; of the layer that leads back to the residual stream it has the
// matching columns of the weight, so that its product is one term of a sum
// (Shoeybi et al., arXiv 1909.08053). The terms are added in the workers' order
// by each of them, to its own residual stream: they meet once in each branch of
// a block, and the streams stay equal to the bit. Rows of patches and features
// are projected by one worker each.
type team struct {
	join *join
	job  job // in hand
	// call wakes the goroutines of all workers but the first, which wait from
	// chunk to chunk: a new one for each would be an allocation now and then.
	call []chan *Workspace
}

// part is what a worker computes of its items: all, or its share in a team.
type part struct {
	i     int
	mates []*worker // in order, the worker itself among them
	join  *join     // nil for one alone
}

// of is the worker's share of what is so long.
func (p *part) of(size int) (lo, hi int) {
	return p.i * size / len(p.mates), (p.i + 1) * size / len(p.mates)
}

// meet waits for the mates.
func (p *part) meet() {
	if p.join != nil {
		p.join.wait(p.i)
	}
}

// form makes the workers a team.
func (ws *Workspace) form() {
	ws.team = &team{join: newJoin(len(ws.workers))}
	for i, w := range ws.workers {
		w.team = part{i, ws.workers, ws.team.join}
	}
}

// start starts the goroutines. They end when nobody has the workspace any more.
func (t *team) start(ws *Workspace) {
	for i := 1; i < len(ws.workers); i++ {
		call := make(chan *Workspace)
		t.call = append(t.call, call)
		go help(i, call)
	}
	runtime.AddCleanup(ws, func(calls []chan *Workspace) {
		for _, call := range calls {
			close(call)
		}
	}, t.call)
}

// help is worker i's goroutine. While it waits it does not hold the workspace.
func help(i int, call <-chan *Workspace) {
	for ws := range call {
		ws.together(i)
		ws.team.join.arrive()
	}
}

// sample runs a job of phaseSample on one item.
func (t *team) sample(ws *Workspace, j job) {
	if t.call == nil {
		t.start(ws)
	}
	t.job = j
	t.join.begin()
	for _, call := range t.call {
		call <- ws
	}
	ws.together(0)
	t.join.wait(0)
	t.job = job{}
}

// together is worker i's part of the job in hand.
func (ws *Workspace) together(i int) {
	w := ws.workers[i]
	w.lo, w.n, w.part = 0, ws.team.job.b.B, w.team
	w.sample(&ws.model.Config, w.sampled, ws.team.job.b, &ws.mods)
}

// share packs into to the weights that part p reads over and over. The others
// are the model's.
func (w *weights) share(to *weights, c *Config, p *part) {
	blocks, vision := to.blocks, to.vision
	*to = *w
	if blocks == nil {
		blocks, vision = make([]block, len(w.blocks)), make([]visionBlock, len(w.vision))
	}
	to.blocks, to.vision = blocks, vision
	for l := range blocks {
		b, from := &blocks[l], &w.blocks[l]
		lo, hi := p.of(c.Heads)
		lo, hi = lo*c.D/c.Heads, hi*c.D/c.Heads
		b.ada = from.ada
		b.qkv.packRows(&from.qkv, lo, hi, 3)
		b.o1.packColumns(&from.o1, lo, hi, p.i == 0)
		b.q.packRows(&from.q, lo, hi, 1)
		b.kv.packRows(&from.kv, lo, hi, 2)
		b.o2.packColumns(&from.o2, lo, hi, p.i == 0)
		lo, hi = p.of(from.f1.out)
		b.f1.packRows(&from.f1, lo, hi, 1)
		b.f2.packColumns(&from.f2, lo, hi, p.i == 0)
	}
	for l := range vision {
		b, from := &vision[l], &w.vision[l]
		lo, hi := p.of(c.VisionHeads)
		lo, hi = lo*c.VisionD/c.VisionHeads, hi*c.VisionD/c.VisionHeads
		b.n1, b.n2 = from.n1, from.n2
		b.qkv.packRows(&from.qkv, lo, hi, 3)
		b.o.packColumns(&from.o, lo, hi, p.i == 0)
		lo, hi = p.of(from.f1.out)
		b.f1.packRows(&from.f1, lo, hi, 1)
		b.f2.packColumns(&from.f2, lo, hi, p.i == 0)
	}
}
