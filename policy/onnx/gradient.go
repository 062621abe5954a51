package onnx

import (
	"fmt"
	"maps"
	"slices"
)

// trainingDomain is the one of Gradient.
const trainingDomain = "ai.onnx.preview.training"

// trainingOps lists the operators of that domain.
var trainingOps = map[string]*operator{
	"Gradient": {name: "Gradient", from: 1, min: 1, max: many, prepare: func(*call) (func() error, error) {
		return nil, fmt.Errorf("a gradient is left in the graph")
	}},
}

// newestTraining is the newest version of that domain that is known.
const newestTraining = 1

const (
	maxGradients = 64      // in a graph
	maxGradNodes = 1 << 14 // that take their place
	maxRefused   = 1 << 8  // that are named
)

// gradients puts ordinary nodes in the place of Gradient: those that compute
// its y again where it is given other values than those called xs and zs, and
// those of reverse-mode differentiation from y back to xs. Between the nodes
// that it puts there and those of files is no difference, so a gradient of a
// gradient needs nothing more than that the inner one goes first.
type gradients struct {
	m      *Model
	maker  map[int]*node
	state  map[*node]progress
	by     *node // the Gradient that is being rewritten
	put    []*node
	fresh  int
	number map[float64]int // constants

	refused []error // nodes that are not differentiable, as far as maxRefused
	seen    map[*node]bool
}

type progress int

const (
	begun progress = iota + 1
	done
)

// differentiate is gradients with the first refusal as an error.
func (m *Model) differentiate() error {
	refused, err := m.gradients()
	if len(refused) > 0 {
		return refused[0]
	}
	return err
}

// gradients rewrites every Gradient of the graph, and says which nodes on their
// way are not differentiable here; where there are any, the graph is of no use.
func (m *Model) gradients() (refused []error, err error) {
	var all []*node
	for _, n := range m.engine.nodes {
		if n.operator == trainingOps["Gradient"] {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	if len(all) > maxGradients {
		return nil, fmt.Errorf("the graph has %d gradients, at most %d are supported: %w", len(all), maxGradients, ErrTooLarge)
	}
	g := &gradients{m: m, maker: map[int]*node{}, state: map[*node]progress{}, number: map[float64]int{}, seen: map[*node]bool{}}
	for _, n := range m.engine.nodes {
		for _, o := range n.outputs {
			g.maker[o] = n
		}
	}
	for _, n := range all {
		if err := g.rewrite(n); err != nil {
			return g.refused, err
		}
	}
	m.engine.nodes = append(slices.DeleteFunc(m.engine.nodes, func(n *node) bool { return g.state[n] == done }), g.put...)
	return g.refused, m.order()
}

// rewrite puts nodes in the place of one Gradient, after those that its y
// depends on.
func (g *gradients) rewrite(n *node) error {
	switch g.state[n] {
	case done:
		return nil
	case begun:
		return fmt.Errorf("the graph has a cycle through %s", g.m.describe(n))
	}
	g.state[n] = begun
	y, xs, cut, err := g.names(n)
	if err != nil {
		return g.m.failed(n, err)
	}
	path, inner := g.between(cut, y)
	for inner != nil {
		if err := g.rewrite(inner); err != nil {
			return err
		}
		path, inner = g.between(cut, y)
	}
	g.by = n
	if path, y, err = g.substitute(path, cut, y); err != nil {
		return err
	}
	ends := map[int]bool{}
	for _, v := range cut {
		ends[v] = true
	}
	for i, x := range xs {
		xs[i] = cut[x]
	}
	slopes, err := g.backward(path, xs, ends, y)
	if err != nil {
		return err
	}
	for i, out := range n.outputs {
		slope, ok := slopes[xs[i]]
		if !ok { // y does not depend on it
			slope = g.expand(g.constant(0, xs[i]), xs[i])
		}
		g.keep(&node{op: "Identity", operator: operators["Identity"], inputs: []int{slope}, outputs: []int{out}})
	}
	g.state[n] = done
	return g.full()
}

// names reads what a Gradient names: the values y and xs, and for each of xs and
// zs, where differentiation ends, the value that it is given.
func (g *gradients) names(n *node) (y int, xs []int, cut map[int]int, err error) {
	first, _ := n.attrs["xs"].([]string)
	second, _ := n.attrs["zs"].([]string)
	target, _ := n.attrs["y"].(string)
	list := slices.Concat(first, second, []string{target})
	ids := make([]int, len(list))
	for i, name := range list {
		if ids[i] = g.m.names.number[name]; ids[i] == 0 {
			return 0, nil, nil, fmt.Errorf("it names %q, which nothing makes", name)
		}
	}
	if len(ids)-1 != len(n.inputs) || len(n.outputs) > len(first) || slices.Contains(n.inputs, 0) {
		return 0, nil, nil, fmt.Errorf("it has %d inputs and %d outputs for %d xs and %d zs", len(n.inputs), len(n.outputs), len(first), len(second))
	}
	cut = map[int]int{}
	for i, v := range n.inputs {
		if cut[ids[i]] != 0 {
			return 0, nil, nil, fmt.Errorf("it names %q twice", list[i])
		}
		cut[ids[i]] = v
	}
	return ids[len(n.inputs)], ids[:len(first)], cut, nil
}

// between lists the nodes that y depends on, each after those that it reads
// from, where values in cut depend on nothing. If a Gradient is among them, which
// is to be rewritten first, it gives that.
func (g *gradients) between(cut map[int]int, y int) (path []*node, inner *node) {
	type visit struct {
		n    *node
		next int // input
	}
	seen := map[*node]bool{}
	var stack []visit
	enter := func(v int) {
		if n := g.maker[v]; cut[v] == 0 && n != nil && !seen[n] {
			seen[n] = true
			stack = append(stack, visit{n: n})
		}
	}
	for enter(y); len(stack) > 0; {
		top := &stack[len(stack)-1]
		if top.n.operator == trainingOps["Gradient"] && g.state[top.n] != done {
			return nil, top.n
		}
		if top.next == len(top.n.inputs) {
			path = append(path, top.n)
			stack = stack[:len(stack)-1]
			continue
		}
		v := top.n.inputs[top.next]
		top.next++
		enter(v)
	}
	return path, nil
}

// substitute repeats the nodes of path that read a value in whose place the
// Gradient is given another. In cut each value then has the one that stands for
// it.
func (g *gradients) substitute(path []*node, cut map[int]int, y int) ([]*node, int, error) {
	instead := map[int]int{}
	for _, v := range slices.Sorted(maps.Keys(cut)) { // in one order every time
		if given := cut[v]; v != given {
			instead[v] = g.add("Identity", nil, given) // which nothing else reads
			cut[v] = instead[v]
		}
	}
	out := slices.Clone(path)
	for i, n := range path {
		if !slices.ContainsFunc(n.inputs, func(v int) bool { return instead[v] != 0 }) {
			continue
		}
		c := *n
		c.inputs, c.outputs = slices.Clone(n.inputs), slices.Clone(n.outputs)
		for k, v := range c.inputs {
			if instead[v] != 0 {
				c.inputs[k] = instead[v]
			}
		}
		for k, v := range n.outputs {
			c.outputs[k] = g.value()
			if cut[v] == 0 {
				instead[v] = c.outputs[k]
			}
		}
		out[i] = &c
		g.keep(&c)
		if err := g.full(); err != nil {
			return nil, 0, err
		}
	}
	if instead[y] != 0 {
		y = instead[y]
	}
	return out, y, nil
}

// backward gives the slope of the sum of y's elements along each value between
// xs and y. Nothing goes back beyond ends.
func (g *gradients) backward(path []*node, xs []int, ends map[int]bool, y int) (map[int]int, error) {
	active := map[int]bool{} // depends on xs
	for _, x := range xs {
		active[x] = true
	}
	for _, n := range path {
		for _, i := range slopeInputs(n) {
			if active[n.inputs[i]] {
				for _, o := range n.outputs {
					active[o] = active[o] || !ends[o]
				}
			}
		}
	}
	slopes := map[int]int{y: g.expand(g.constant(1, y), y)}
	for _, n := range slices.Backward(path) {
		for _, o := range n.outputs {
			slope, ok := slopes[o]
			if !ok || !active[o] || ends[o] {
				continue
			}
			g.through(n, slope, active, slopes)
		}
		if err := g.full(); err != nil {
			return nil, err
		}
	}
	return slopes, nil
}

// through adds what a node's inputs get by its chain rule. Those of a node that
// has none get its output's slope, so that the nodes before it are seen too.
func (g *gradients) through(n *node, slope int, active map[int]bool, slopes map[int]int) {
	rule, ok := slopeOf(n)
	if ok = ok && n.version >= 7 && rule.along != nil && len(n.outputs) == 1; !ok {
		g.refuse(n, "")
	}
	for _, i := range slopeInputs(n) {
		v := n.inputs[i]
		if !active[v] {
			continue
		}
		part := slope
		if ok {
			along, why := rule.along(g, n, i, slope)
			if why != "" {
				g.refuse(n, ": "+why)
			} else {
				part = along
			}
		}
		if before, ok := slopes[v]; ok {
			part = g.add("Add", nil, before, part)
		}
		slopes[v] = part
	}
}

// refuse notes that a node is not differentiable; one without an operator is
// refused elsewhere.
func (g *gradients) refuse(n *node, why string) {
	if g.seen[n] || n.operator == nil || len(g.refused) == maxRefused {
		return
	}
	g.seen[n] = true
	more := fmt.Sprintf("; %s is not differentiable here%s", g.m.describe(n), why)
	g.refused = append(g.refused, g.m.failed(g.by, unsupported(g.by.op, g.by.domain, g.by.version, more)))
}

// full refuses more nodes than may take the place of gradients.
func (g *gradients) full() error {
	if len(g.put) <= maxGradNodes {
		return nil
	}
	return g.m.failed(g.by, fmt.Errorf("gradients take more than %d nodes: %w", maxGradNodes, ErrTooLarge))
}

// keep puts a node into the graph.
func (g *gradients) keep(n *node) {
	n.name, n.number, n.of = g.by.name, g.by.number, g.by
	if n.version == 0 {
		n.version = gradientOpset
	}
	g.put = append(g.put, n)
	for _, o := range n.outputs {
		g.maker[o] = n
	}
}

// gradientOpset is that of the form in which nodes are put.
const gradientOpset = 17

// value numbers a new value.
func (g *gradients) value() int {
	for {
		g.fresh++
		if name := fmt.Sprintf("gradient.%d", g.fresh); g.m.names.number[name] == 0 {
			return g.m.names.of(name)
		}
	}
}
