package vla

import (
	"strings"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// pair is what the gradient of a linear layer is made of: dW = dyᵀ x, and db
// the sums of dy's columns. A layer that serves several cameras has one for each.
type pair struct {
	layer, g *linear
	dy, x    []float32 // (n, out), (n, in)
	n        int
}

// backward sets dx = dy W + beta dx, unless nil. The gradient by the weights is
// left to phaseWeights, so that all workers' rows go into it in one visit: dy
// and x must stay as they are until then.
func (w *worker) backward(l, g *linear, dx, dy, x []float32, n int, beta float32) {
	dy, x = dy[:n*l.out], x[:n*l.in]
	w.pairs = append(w.pairs, pair{l, g, dy, x, n})
	if dx != nil {
		nn.LinearBackward(dx, dy, l.w, n, l.in, l.out, beta)
	}
}

// task is a part of phaseWeights: outputs lo to hi of the layer of a pair of
// the first worker's, or one of the others.
type task struct{ pair, lo, hi int }

const (
	taskSmall = -1 - iota // the tensors of no linear layer
	taskWords             // the table of words
)

// Sizes of a task: that of its part of dW, which two visits should find in the
// second-level cache, but so many outputs at least that the inputs are packed
// for a good number.
const (
	taskNumbers = 1 << 17
	taskOutputs = 128
)

// plan cuts the gradients by the weights into tasks, those first whose numbers
// were computed last.
func (ws *Workspace) plan() {
	ws.tasks = append(ws.tasks[:0], task{pair: taskSmall})
	if ws.gradOf.Has(wordTable) {
		ws.tasks = append(ws.tasks, task{pair: taskWords})
	}
	pairs := ws.workers[0].pairs
	for i := len(pairs) - 1; i >= 0; i-- {
		l := pairs[i].layer
		if first(pairs, l) != i {
			continue
		}
		step := max(taskOutputs, taskNumbers/l.in)
		for lo := 0; lo < l.out; lo += step {
			ws.tasks = append(ws.tasks, task{i, lo, min(lo+step, l.out)})
		}
	}
	ws.next.Store(0)
}

// first is the first pair of a layer.
func first(pairs []pair, l *linear) int {
	for i := range pairs {
		if pairs[i].layer == l {
			return i
		}
	}
	return -1
}

// takeTasks does tasks until none is left. Who does one makes no difference.
func (ws *Workspace) takeTasks(workers []*worker) {
	for {
		i := int(ws.next.Add(1)) - 1
		if i >= len(ws.tasks) {
			return
		}
		switch t := ws.tasks[i]; t.pair {
		case taskSmall:
			ws.sumSmall(workers)
		case taskWords:
			table := workers[0].grad.table
			clear(table)
			for _, w := range workers {
				w.wordsBackward(&ws.model.Config, table)
			}
		default:
			p := workers[0].pairs[t.pair]
			p.gradient(workers, t.lo, t.hi)
		}
	}
}

// gradient sets outputs lo to hi of the gradient of p's layer, and the first
// time the bias's.
func (p *pair) gradient(workers []*worker, lo, hi int) {
	in, out, beta := p.layer.in, p.layer.out, float32(0)
	if lo == 0 {
		clear(p.g.b)
	}
	for _, w := range workers {
		for i := range w.pairs {
			q := &w.pairs[i]
			if q.layer != p.layer {
				continue
			}
			nn.LinearGradient(p.g.w, q.dy, q.x, q.n, in, out, lo, hi, beta)
			beta = 1
			if lo == 0 {
				vec.AddRows(p.g.b, q.dy, q.n)
			}
		}
	}
}

// sumSmall sets the gradients of what the workers summed up each for itself.
func (ws *Workspace) sumSmall(workers []*worker) {
	for _, name := range workers[0].small.Names() {
		to := ws.gradOf.View(name)
		copy(to, workers[0].small.View(name))
		for _, w := range workers[1:] {
			vec.Add(to, to, w.small.View(name))
		}
	}
}

// smallLayout lists the tensors of no linear layer, but for the table of words.
func (c Config) smallLayout() []nn.Spec {
	all := c.layout()
	layers := map[string]bool{}
	for _, s := range all {
		if name, ok := strings.CutSuffix(s.Name, ".weight"); ok && len(s.Shape) == 2 {
			layers[name] = true
		}
	}
	var small []nn.Spec
	for _, s := range all {
		name, _ := strings.CutSuffix(strings.TrimSuffix(s.Name, ".bias"), ".weight")
		if !layers[name] && s.Name != wordTable {
			small = append(small, s)
		}
	}
	return small
}
