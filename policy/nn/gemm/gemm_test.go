package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/policy/nn/cpu"
)

// levels are those that this machine has.
func levels() []cpu.Level {
	all := []cpu.Level{cpu.Generic, cpu.AVX2, cpu.AVX512}
	return all[:cpu.Has+1]
}

// atLevel runs f with the level lowered.
func atLevel(t testing.TB, l cpu.Level, f func()) {
	t.Helper()
	has := cpu.Has
	defer func() { cpu.Has = has }()
	cpu.Has = l
	f()
}

// problem is a random product and what surrounds its matrices in memory.
type problem struct {
	Product
	before  []float32 // C as it was
	add     []float32 // what beta multiplies
	ldAdd   int
	packA   bool
	packB   bool
	once    bool
	packers [2]Packed
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// matrix is a random op(X) (rows, columns) within longer rows.
func matrix(r *rand.Rand, rows, columns int) Matrix {
	m := Matrix{Trans: r.IntN(2) == 0}
	if m.Trans {
		rows, columns = columns, rows
	}
	m.Ld = columns + r.IntN(3)*r.IntN(20)
	m.Ld = max(m.Ld, 1)
	m.Data = normal(r, max(0, (rows-1)*m.Ld+columns)) // ends with the last number
	return m
}

func draw(r *rand.Rand, m, n, k int) *problem {
	p := &problem{}
	p.M, p.N, p.K = m, n, k
	p.A, p.B = matrix(r, m, k), matrix(r, k, n)
	p.Alpha = []float32{1, 1, -0.5}[r.IntN(3)]
	p.Beta = []float32{0, 0, 1, 0.25}[r.IntN(4)]
	p.LdC = n + r.IntN(3)*r.IntN(20)
	p.before = normal(r, m*p.LdC)
	p.add, p.ldAdd = p.before, p.LdC
	if r.IntN(2) == 0 {
		p.LdD = n + r.IntN(3)*r.IntN(20)
		p.D = normal(r, max(0, (m-1)*p.LdD+n))
		p.add, p.ldAdd = p.D, p.LdD
	}
	if p.Beta == 0 || p.D != nil {
		for i := range p.before {
			p.before[i] = float32(math.NaN())
		}
	}
	if r.IntN(3) == 0 {
		p.ColumnBias = normal(r, n)
	}
	if r.IntN(3) == 0 {
		p.RowBias = normal(r, m)
	}
	if r.IntN(4) == 0 {
		p.Clip, p.Low, p.High = true, -1, float32(r.IntN(3))
	}
	p.packA, p.packB, p.once = r.IntN(3) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	return p
}

// result computes C at the level in force.
func (p *problem) result(workers int) []float32 {
	q := p.Product
	q.C = slices.Clone(p.before)
	if p.packA && p.A.Columns == nil {
		q.A = Matrix{Packed: p.packers[0].Left(p.A.Trans, p.M, p.K, p.A.Data, p.A.Ld)}
	}
	if p.packB && p.B.Columns == nil {
		pack := p.packers[1].Right
		if p.once {
			pack = p.packers[1].RightOnce
		}
		q.B = Matrix{Packed: pack(p.B.Trans, p.K, p.N, p.B.Data, p.B.Ld)}
	}
	if workers > 0 {
		q.Parallel(workers)
	} else {
		q.Run()
	}
	return q.C
}

// compare checks C against sums in float64: within 1e-5 of the sum of
// magnitudes.
func (p *problem) compare(t *testing.T, label string, got []float32) {
	t.Helper()
	a := func(i, k int) float32 {
		if c := p.A.Columns; c != nil {
			return c.at(k, i)
		}
		return p.A.at(i, k)
	}
	b := func(k, j int) float32 {
		if c := p.B.Columns; c != nil {
			return c.at(k, j)
		}
		return p.B.at(k, j)
	}
	for i := range p.M {
		for j := range p.LdC {
			at := i*p.LdC + j
			if j >= p.N {
				if math.Float32bits(got[at]) != math.Float32bits(p.before[at]) {
					t.Fatalf("%s: %v wrote behind row %d", label, p, i)
				}
				continue
			}
			var sum, size float64
			for k := range p.K {
				v := float64(p.Alpha) * float64(a(i, k)) * float64(b(k, j))
				sum, size = sum+v, size+math.Abs(v)
			}
			if p.Beta != 0 {
				v := float64(p.Beta) * float64(p.add[i*p.ldAdd+j])
				sum, size = sum+v, size+math.Abs(v)
			}
			if p.ColumnBias != nil {
				sum, size = sum+float64(p.ColumnBias[j]), size+math.Abs(float64(p.ColumnBias[j]))
			}
			if p.RowBias != nil {
				sum, size = sum+float64(p.RowBias[i]), size+math.Abs(float64(p.RowBias[i]))
			}
			if p.Clip {
				sum = min(max(sum, float64(p.Low)), float64(p.High))
			}
			if d := math.Abs(float64(got[at]) - sum); !(d <= 1e-5*size) {
				t.Fatalf("%s: %v: C[%d][%d] = %v, want %v (off by %.3g of %.3g)", label, p, i, j, got[at], sum, d, size)
			}
		}
	}
}

func (c *Columns) at(k, j int) float32 { return c.Image[c.Offsets[k]+j/c.Width*c.Step+j%c.Width] }

func (p *problem) String() string {
	return fmt.Sprintf("(%d, %d, %d) trans %v %v ld %d %d %d D %v alpha %v beta %v bias %v %v clip %v packed %v %v once %v",
		p.M, p.N, p.K, p.A.Trans, p.B.Trans, p.A.Ld, p.B.Ld, p.LdC, p.D != nil, p.Alpha, p.Beta, p.ColumnBias != nil, p.RowBias != nil, p.Clip, p.packA, p.packB, p.once)
}

// check computes p at every level, alone and on several goroutines.
func (p *problem) check(t *testing.T) {
	t.Helper()
	var first []float32
	for _, l := range levels() {
		atLevel(t, l, func() {
			got := p.result(0)
			p.compare(t, l.String(), got)
			for _, workers := range []int{1, 3} {
				if !sameBits(p.result(workers), got) {
					t.Fatalf("%v: %v: %d goroutines give other bits than one", l, p, workers)
				}
			}
			if l > cpu.Generic {
				if first != nil && !sameBits(first, got) {
					t.Fatalf("%v: %v: other bits than a lower level", l, p)
				}
				first = got
			}
		})
	}
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

// TestTiles goes through every size of tile, and the sizes around.
func TestTiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	step := 1
	if testing.Short() {
		step = 3
	}
	for m := 1; m <= 30; m += step {
		for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 64, 65} {
			draw(r, m, n, []int{1, 3, 8, 17, 32}[r.IntN(5)]).check(t)
		}
	}
}

func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	trials := 400
	if testing.Short() {
		trials = 40
	}
	size := func() int {
		return []int{1 + r.IntN(4), 1 + r.IntN(40), 1 + r.IntN(130), r.IntN(2) * r.IntN(500)}[r.IntN(4)]
	}
	for range trials {
		draw(r, size(), size(), size()).check(t)
	}
	draw(r, 40, 50, 3*maxK+5).check(t)
	draw(r, leftBlock/maxK+100, 40, maxK).check(t) // more than one block of A
}

func TestColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 150 {
		p := draw(r, 1+r.IntN(70), 1+r.IntN(150), 1+r.IntN(70))
		n, of := p.N, &p.B
		if i%2 == 0 {
			n, of = p.M, &p.A
		}
		c := &Columns{Width: 1 + r.IntN(60), Offsets: make([]int, p.K)}
		c.Step = c.Width + r.IntN(5)
		for k := range c.Offsets {
			c.Offsets[k] = r.IntN(50)
		}
		c.Image = normal(r, slices.Max(c.Offsets)+(n-1)/c.Width*c.Step+min(n, c.Width))
		*of = Matrix{Columns: c}
		p.check(t)
	}
}

func TestRefuses(t *testing.T) {
	f := make([]float32, 12)
	for name, p := range map[string]Product{
		"short A":   {M: 3, N: 3, K: 5, A: Matrix{Data: f, Ld: 5}, B: Matrix{Data: make([]float32, 15), Ld: 3}, C: f, LdC: 3},
		"short B":   {M: 3, N: 3, K: 4, A: Matrix{Data: f, Ld: 4}, B: Matrix{Data: f[:11], Ld: 3}, C: f, LdC: 3},
		"short C":   {M: 3, N: 3, K: 4, A: Matrix{Data: f, Ld: 4}, B: Matrix{Data: f, Ld: 3}, C: f[:8], LdC: 3},
		"short D":   {M: 3, N: 3, K: 4, A: Matrix{Data: f, Ld: 4}, B: Matrix{Data: f, Ld: 3}, C: f, LdC: 3, D: f[:8], LdD: 3},
		"narrow":    {M: 3, N: 3, K: 4, A: Matrix{Data: f, Ld: 3}, B: Matrix{Data: f, Ld: 3}, C: f, LdC: 3},
		"bias":      {M: 3, N: 3, K: 4, A: Matrix{Data: f, Ld: 4}, B: Matrix{Data: f, Ld: 3}, C: f, LdC: 3, RowBias: f[:2:2]},
		"packed":    {M: 3, N: 3, K: 4, A: Matrix{Packed: new(Packed).Left(false, 4, 3, f, 3)}, B: Matrix{Data: f, Ld: 3}, C: f, LdC: 3},
		"wrong way": {M: 3, N: 4, K: 3, A: Matrix{Packed: new(Packed).Right(false, 3, 3, f, 3)}, B: Matrix{Data: f, Ld: 4}, C: f, LdC: 4},
		"columns":   {M: 3, N: 3, K: 1, A: Matrix{Data: f, Ld: 1}, B: Matrix{Columns: &Columns{Image: f, Offsets: []int{10}, Width: 3}}, C: f, LdC: 3},
		"before":    {M: 3, N: 3, K: 1, A: Matrix{Data: f, Ld: 1}, B: Matrix{Columns: &Columns{Image: f, Offsets: []int{-1}, Width: 3}}, C: f, LdC: 3},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			p.Run()
		})
	}
}

// TestConcurrent multiplies on many goroutines at a time.
func TestConcurrent(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	p := draw(r, 70, 150, 90)
	p.packA, p.packB = false, false
	want := p.result(0)
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 50 {
				if !sameBits(p.result(i%4), want) {
					t.Fatal("other bits than alone")
				}
			}
		})
	}
}

func ExampleProduct() {
	// y = x Wᵀ + b, at least 0, with W packed once.
	w, b := []float32{1, 2, 3, 4, -5, -6}, []float32{0.5, 0, 1} // (3, 2)
	packed := new(Packed).Right(true, 2, 3, w, 2)
	y := make([]float32, 3)
	p := Product{
		M: 1, N: 3, K: 2, Alpha: 1, A: Matrix{Data: []float32{1, 1}, Ld: 2}, B: Matrix{Packed: packed},
		C: y, LdC: 3, ColumnBias: b, Clip: true, High: float32(math.Inf(1)),
	}
	p.Run()
	fmt.Println(y)
	// Output: [3.5 7 0]
}
