package objective

import (
	"math"
	"math/rand/v2"

	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// mlp is a small velocity field over vectors of dimension dim: three hidden
// layers with SiLU on (x, sinusoids of tau).
type mlp struct {
	dim, width, n int
	params        *nn.Params
	x             []float32 // (n, dim) A^tau
	tau           []float32 // (n)
	h             [4][]float32
	pre           [3][]float32
	d0, d1        []float32
}

const tauFeatures = 8

func newMLP(dim, width, n int, seed uint64) *mlp {
	in := dim + tauFeatures
	m := &mlp{dim: dim, width: width, n: n, params: nn.NewParams([]nn.Spec{
		{Name: "0.w", Shape: []int{width, in}}, {Name: "0.b", Shape: []int{width}},
		{Name: "1.w", Shape: []int{width, width}}, {Name: "1.b", Shape: []int{width}},
		{Name: "2.w", Shape: []int{width, width}}, {Name: "2.b", Shape: []int{width}},
		{Name: "3.w", Shape: []int{dim, width}}, {Name: "3.b", Shape: []int{dim}},
	})}
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, name := range m.params.Names() {
		if shape := m.params.Shape(name); len(shape) == 2 {
			for i := range m.params.View(name) {
				m.params.View(name)[i] = float32(rng.NormFloat64() / math.Sqrt(float64(shape[1])))
			}
		}
	}
	m.x, m.tau = make([]float32, n*dim), make([]float32, n)
	m.h[0] = make([]float32, n*in)
	for i := range m.pre {
		m.pre[i], m.h[i+1] = make([]float32, n*width), make([]float32, n*width)
	}
	m.d0, m.d1 = make([]float32, n*width), make([]float32, n*width)
	return m
}

func (m *mlp) Params() []float32 { return m.params.Data }

func (m *mlp) features() {
	in := m.dim + tauFeatures
	for i := range m.n {
		row := m.h[0][i*in : (i+1)*in]
		copy(row, m.x[i*m.dim:(i+1)*m.dim])
		for k := range tauFeatures / 2 {
			s, c := math.Sincos(math.Pi * float64(k+1) / 2 * float64(m.tau[i]))
			row[m.dim+2*k], row[m.dim+2*k+1] = float32(s), float32(c)
		}
	}
}

var layers = [4][2]string{{"0.w", "0.b"}, {"1.w", "1.b"}, {"2.w", "2.b"}, {"3.w", "3.b"}}

func (m *mlp) widths(layer int) (in, out int) {
	shape := m.params.Shape(layers[layer][0])
	return shape[1], shape[0]
}

func (m *mlp) Velocity(out []float32) {
	m.features()
	for i := range 3 {
		in, w := m.widths(i)
		nn.Linear(m.pre[i], m.h[i], m.params.View(layers[i][0]), m.params.View(layers[i][1]), m.n, in, w)
		vec.SiLU(m.h[i+1], m.pre[i])
	}
	nn.Linear(out, m.h[3], m.params.View("3.w"), m.params.View("3.b"), m.n, m.width, m.dim)
}

func (m *mlp) Backward(dOut, grad []float32) {
	g := m.params.Like(grad)
	clear(grad)
	backward := func(dx []float32, layer int, dy []float32) {
		in, out := m.widths(layer)
		nn.LinearGradient(g.View(layers[layer][0]), dy, m.h[layer], m.n, in, out, 0, out, 0)
		vec.AddRows(g.View(layers[layer][1]), dy, m.n)
		if layer > 0 {
			nn.LinearBackward(dx, dy, m.params.View(layers[layer][0]), m.n, in, out, 0)
		}
	}
	backward(m.d0, 3, dOut)
	for i := 2; i >= 0; i-- {
		vec.SiLUBackward(m.d0, m.d0, m.pre[i])
		backward(m.d1, i, m.d0)
		m.d0, m.d1 = m.d1, m.d0
	}
}
