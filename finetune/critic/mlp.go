package critic

import (
	"fmt"
	"math"
	"math/rand/v2"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

const layers = 3

// mlp is a network of two hidden layers with SiLU and one output.
type mlp struct {
	layer [layers]struct {
		w, b, gw, gb []float32
		in, out      int
	}
	x      []float32         // (n, in) of the last forward pass, the caller's
	pre, a [layers][]float32 // (n, out) before and after SiLU; the last has no a
	out    []float32         // (n)
	dy, dx []float32         // (n, width)
}

func mlpLayout(name string, in, width int) (specs []nn.Spec) {
	for i, size := range [layers][2]int{{width, in}, {width, width}, {1, width}} {
		specs = append(specs, nn.Spec{Name: fmt.Sprintf("%s.%d.weight", name, i), Shape: size[:]}, nn.Spec{Name: fmt.Sprintf("%s.%d.bias", name, i), Shape: size[:1]})
	}
	return specs
}

// initialise draws weights uniformly in +-sqrt(6/(in+out)) (Glorot and Bengio
// 2010) and leaves biases 0.
func initialise(p *nn.Params, r *rand.Rand) {
	for _, name := range p.Names() {
		if s := p.Shape(name); len(s) == 2 {
			a := math.Sqrt(6 / float64(s[0]+s[1]))
			for i := range p.View(name) {
				p.View(name)[i] = float32(a * (2*r.Float64() - 1))
			}
		}
	}
}

// newMLP returns the network of that name in p for up to n samples; g gets its
// gradient, and nil has none.
func newMLP(name string, p, g *nn.Params, n int) *mlp {
	m := &mlp{}
	for i := range m.layer {
		w, b := fmt.Sprintf("%s.%d.weight", name, i), fmt.Sprintf("%s.%d.bias", name, i)
		l, s := &m.layer[i], p.Shape(w)
		l.w, l.b, l.out, l.in = p.View(w), p.View(b), s[0], s[1]
		if g != nil {
			l.gw, l.gb = g.View(w), g.View(b)
		}
		m.pre[i], m.a[i] = make([]float32, n*l.out), make([]float32, n*l.out)
	}
	m.out = m.pre[layers-1]
	m.dy, m.dx = make([]float32, n*m.layer[0].out), make([]float32, n*m.layer[0].out)
	return m
}

// forward returns the outputs (n) for x (n, in), which must stay until backward.
func (m *mlp) forward(x []float32, n int) []float32 {
	m.x = x
	for i := range m.layer {
		l := &m.layer[i]
		nn.Linear(m.pre[i], x, l.w, l.b, n, l.in, l.out)
		if i < layers-1 {
			vec.SiLU(m.a[i][:n*l.out], m.pre[i][:n*l.out])
			x = m.a[i]
		}
	}
	return m.out[:n]
}

// backward sets the gradients by the weights, given that by the outputs, (n).
func (m *mlp) backward(dOut []float32, n int) {
	dy, dx := dOut, m.dx
	for i := layers - 1; i >= 0; i-- {
		l, x := &m.layer[i], m.x
		if i > 0 {
			x = m.a[i-1]
		}
		nn.LinearGradient(l.gw, dy, x, n, l.in, l.out, 0, l.out, 0)
		clear(l.gb)
		vec.AddRows(l.gb, dy, n)
		if i == 0 {
			return
		}
		nn.LinearBackward(dx, dy, l.w, n, l.in, l.out, 0)
		vec.SiLUBackward(dx[:n*l.in], dx[:n*l.in], m.pre[i-1][:n*l.in])
		if i == layers-1 {
			dy, dx = dx, m.dy
		} else {
			dy, dx = dx, dy
		}
	}
}
