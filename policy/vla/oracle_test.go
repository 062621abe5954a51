package vla

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The oracle is a second build of the whole network from Gorgonia's primitive
// ops (matrix product, elementwise +, -, *, /, exp, sqrt, sigmoid, and erf,
// which Gorgonia lacks), in float64, one item of a batch at a time. Broadcasts,
// slices and transposes are Gorgonia's weak spots, so they are made outside: a
// leaf takes its elements from a parameter by an index map, and its gradient is
// added back by the same map. Every matrix has two rows or more.
type oracle struct {
	t    *testing.T
	c    *Config
	g    *gorgonia.ExprGraph
	p    func(string) []float32 // values of a parameter
	d    map[string][]float64   // gradients
	uses []use
	n    int
}

type use struct {
	name string
	node *gorgonia.Node
	at   []int
}

type node = *gorgonia.Node

func (o *oracle) must(n node, err error) node {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

func (o *oracle) matrix(rows, cols int, f func(i, j int) float64) node {
	data := make([]float64, rows*cols)
	for i := range rows {
		for j := range cols {
			data[i*cols+j] = f(i, j)
		}
	}
	o.n++
	v := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	return gorgonia.NodeFromAny(o.g, v, gorgonia.WithName(fmt.Sprint("leaf", o.n)))
}

func (o *oracle) param(name string, rows, cols int, at func(i, j int) int) node {
	u := use{name: name, at: make([]int, 0, rows*cols)}
	v := o.p(name)
	if v == nil {
		o.t.Fatalf("no parameter %q", name)
	}
	u.node = o.matrix(rows, cols, func(i, j int) float64 {
		u.at = append(u.at, at(i, j))
		return float64(v[at(i, j)])
	})
	o.uses = append(o.uses, u)
	return u.node
}

func (o *oracle) mul(a, b node) node  { return o.must(gorgonia.Mul(a, b)) }
func (o *oracle) add(a, b node) node  { return o.must(gorgonia.Add(a, b)) }
func (o *oracle) prod(a, b node) node { return o.must(gorgonia.HadamardProd(a, b)) }
func (o *oracle) div(a, b node) node  { return o.must(gorgonia.HadamardDiv(a, b)) }
func (o *oracle) like(a node, v float64) node {
	return o.matrix(a.Shape()[0], a.Shape()[1], func(int, int) float64 { return v })
}
func (o *oracle) square(n int, v float64) node {
	return o.matrix(n, n, func(int, int) float64 { return v })
}

// rows is a vector parameter's elements lo to lo+n, repeated over rows.
func (o *oracle) rows(name string, lo, n, rows int) node {
	return o.param(name, rows, n, func(_, j int) int { return lo + j })
}

// slice is x W[lo:lo+n]ᵀ + b[lo:lo+n], W (out, in).
func (o *oracle) slice(name string, x node, lo, n int) node {
	in := x.Shape()[1]
	w := o.param(name+".weight", in, n, func(i, j int) int { return (lo+j)*in + i })
	return o.add(o.mul(x, w), o.rows(name+".bias", lo, n, x.Shape()[0]))
}

func (o *oracle) linear(name string, x node) node {
	return o.slice(name, x, 0, len(o.p(name+".bias")))
}

func (o *oracle) norm(x node) node {
	d := x.Shape()[1]
	mean := o.square(d, 1/float64(d))
	xc := o.must(gorgonia.Sub(x, o.mul(x, mean)))
	variance := o.mul(o.prod(xc, xc), mean)
	return o.div(xc, o.must(gorgonia.Sqrt(o.add(variance, o.like(x, 1e-5)))))
}

func (o *oracle) silu(x node) node { return o.prod(x, o.must(gorgonia.Sigmoid(x))) }

func (o *oracle) gelu(x node) node {
	e := o.must(gorgonia.ApplyOp(erfOp{}, o.prod(x, o.like(x, 1/math.Sqrt2))))
	return o.prod(o.prod(x, o.like(x, 0.5)), o.add(e, o.like(x, 1)))
}

// attend is multi-head attention and its output layer, head by head: q, k and v
// give a head's rows, out is (D, D).
func (o *oracle) attend(heads, d int, out string, q, k, v func(lo, n int) node) node {
	hd := d / heads
	var sum node
	for h := range heads {
		qh, kh, vh := q(h*hd, hd), k(h*hd, hd), v(h*hd, hd)
		s := o.mul(qh, o.must(gorgonia.Transpose(kh)))
		e := o.must(gorgonia.Exp(o.prod(s, o.like(s, 1/math.Sqrt(float64(hd))))))
		p := o.div(e, o.mul(e, o.square(s.Shape()[1], 1)))
		w := o.param(out+".weight", hd, d, func(i, j int) int { return j*d + h*hd + i })
		y := o.mul(o.mul(p, vh), w)
		if sum == nil {
			sum = o.add(y, o.rows(out+".bias", 0, d, y.Shape()[0]))
		} else {
			sum = o.add(sum, y)
		}
	}
	return sum
}

// place puts rows of x at token `at` of a context of t tokens: n of them.
func (o *oracle) place(x node, t, at, n int) node {
	return o.mul(o.matrix(t, x.Shape()[0], func(i, j int) float64 {
		if i == at+j && j < n {
			return 1
		}
		return 0
	}), x)
}

// features are the projected features x (n, width) of a backbone.
func (o *oracle) features(name string, f *Backbone, x []float32) node {
	return o.linear(name, o.matrix(f.Tokens, f.Width, func(i, j int) float64 { return float64(x[i*f.Width+j]) }))
}

func (o *oracle) camera(b *Batch, i, t, at int) (node, int) {
	c := o.c
	y, n := node(nil), 0
	if f := c.Vision; f != nil {
		n = f.Tokens
		pos := o.param(fmt.Sprintf("vision.pos.%d", i), n, c.D, func(p, j int) int { return p*c.D + j })
		y = o.add(o.features("vision.proj", f, b.Features[i]), pos)
	} else {
		y, n = o.patches(b, i)
	}
	y = o.add(y, o.add(o.rows("vision.camera", i*c.D, c.D, n), o.rows("vision.type", 0, c.D, n)))
	return o.place(y, t, at, n), n
}

// patches are the tokens of the built-in ViT.
func (o *oracle) patches(b *Batch, i int) (node, int) {
	c, cam := o.c, o.c.Cameras[i]
	across := (cam.Width + c.Patch - 1) / c.Patch
	n := across * ((cam.Height + c.Patch - 1) / c.Patch)
	v := c.VisionD
	x := o.linear("vision.patch", o.matrix(n, c.Patch*c.Patch*3, func(p, j int) float64 {
		y, px, ch := p/across*c.Patch+j/(c.Patch*3), p%across*c.Patch+j/3%c.Patch, j%3
		if y >= cam.Height || px >= cam.Width {
			return 0
		}
		return (float64(b.Images[i][(y*cam.Width+px)*3+ch])/255 - 0.5) / 0.5
	}))
	x = o.add(x, o.param(fmt.Sprintf("vision.pos.%d", i), n, v, func(p, j int) int { return p*v + j }))
	norm := func(name string, x node) node {
		return o.add(o.prod(o.norm(x), o.rows(name+".weight", 0, v, n)), o.rows(name+".bias", 0, v, n))
	}
	for l := range c.VisionLayers {
		p := fmt.Sprintf("vision.b.%d.", l)
		y := norm(p+"n1", x)
		part := func(k int) func(lo, n int) node {
			return func(lo, n int) node { return o.slice(p+"qkv", y, k*v+lo, n) }
		}
		x = o.add(x, o.attend(c.VisionHeads, v, p+"o", part(0), part(1), part(2)))
		x = o.add(x, o.linear(p+"f2", o.gelu(o.linear(p+"f1", norm(p+"n2", x)))))
	}
	return o.linear("vision.proj", norm("vision.norm", x)), n
}

// words are the tokens of the instruction.
func (o *oracle) words(b *Batch) node {
	c := o.c
	if f := c.Text; f != nil {
		return o.add(o.features("language.proj", f, b.Text), o.rows("language.type", 0, c.D, f.Tokens))
	}
	words := o.param("language.table", c.MaxWords, c.D, func(i, j int) int {
		id := int(b.Words[i])
		if id < 0 {
			id = c.Vocab
		}
		return id*c.D + j
	})
	words = o.add(words, o.param("language.pos", c.MaxWords, c.D, func(i, j int) int { return i*c.D + j }))
	return o.add(words, o.rows("language.type", 0, c.D, c.MaxWords))
}

func (o *oracle) context(b *Batch) node {
	c := o.c
	prefixes, from, lengths, lo := []string{"state"}, []int{0}, []int{c.StateDim}, 0
	for f, n := range c.StateFields {
		prefixes, from, lengths = append(prefixes, fmt.Sprintf("state.%d", f)), append(from, lo), append(lengths, n)
		lo += n
	}
	words := o.words(b)
	spoken := words.Shape()[0]
	t := len(prefixes) + spoken
	for _, cam := range c.Cameras {
		if c.Vision != nil {
			t += c.Vision.Tokens
			continue
		}
		t += ((cam.Height + c.Patch - 1) / c.Patch) * ((cam.Width + c.Patch - 1) / c.Patch)
	}
	ctx := o.place(words, t, len(prefixes), spoken)

	for f, p := range prefixes {
		s := o.matrix(2, lengths[f], func(_, j int) float64 { return float64(b.State[from[f]+j]) })
		s = o.add(o.linear(p+".l2", o.silu(o.linear(p+".l1", s))), o.rows(p+".type", 0, c.D, 2))
		ctx = o.add(ctx, o.place(s, t, f, 1))
	}
	at := len(prefixes) + spoken
	for i := range c.Cameras {
		y, n := o.camera(b, i, t, at)
		ctx = o.add(ctx, y)
		at += n
	}
	return ctx
}

// head is what the condition's head predicts, in each of two rows.
func (o *oracle) head(ctx node) node {
	d, k := o.c.D, ctx.Shape()[0]
	s := o.mul(o.rows("condition.head.query", 0, d, 2), o.must(gorgonia.Transpose(ctx)))
	e := o.must(gorgonia.Exp(o.prod(s, o.like(s, 1/math.Sqrt(float64(d))))))
	pooled := o.mul(o.div(e, o.mul(e, o.square(k, 1))), ctx)
	return o.linear("condition.head.l2", o.silu(o.linear("condition.head.l1", pooled)))
}

// velocity returns that and, where there is one, the head's prediction.
func (o *oracle) velocity(b *Batch) (velocity, predicted node) {
	c, d, h := o.c, o.c.D, o.c.Horizon
	ctx := o.context(b)
	half := d / 2
	e := o.matrix(h, d, func(_, j int) float64 {
		a := 1000 * float64(b.Tau[0]) * math.Pow(10000, -float64(j%half)/float64(half))
		if j < half {
			return math.Cos(a)
		}
		return math.Sin(a)
	})
	e = o.silu(o.linear("expert.t2", o.silu(o.linear("expert.t1", e))))
	x := o.linear("expert.inp", o.matrix(h, c.ActionDim, func(i, j int) float64 { return float64(b.Noisy[i*c.ActionDim+j]) }))
	x = o.add(x, o.param("expert.pos", h, d, func(i, j int) int { return i*d + j }))
	if t := c.Condition; t != nil {
		told := o.matrix(h, t.Size, func(_, j int) float64 { return float64(b.Told[j]) })
		x = o.add(x, o.linear("condition.l2", o.silu(o.linear("condition.l1", told))))
		if t.Predicted {
			predicted = o.head(ctx)
		}
	}
	modulate := func(ada string, x node, k int) node {
		scale := o.slice(ada, e, (k+1)*d, d)
		return o.add(o.prod(o.norm(x), o.add(scale, o.like(scale, 1))), o.slice(ada, e, k*d, d))
	}
	for l := range c.Layers {
		p := fmt.Sprintf("expert.b.%d.", l)
		gate := func(k int, s node) { x = o.add(x, o.prod(o.slice(p+"ada", e, k*d, d), s)) }
		of := func(name string, y node, from int) func(lo, n int) node {
			return func(lo, n int) node { return o.slice(p+name, y, from+lo, n) }
		}
		y := modulate(p+"ada", x, 0)
		gate(2, o.attend(c.Heads, d, p+"o1", of("qkv", y, 0), of("qkv", y, d), of("qkv", y, 2*d)))
		y = modulate(p+"ada", x, 3)
		gate(5, o.attend(c.Heads, d, p+"o2", of("q", y, 0), of("kv", ctx, 0), of("kv", ctx, d)))
		gate(8, o.linear(p+"f2", o.gelu(o.linear(p+"f1", modulate(p+"ada", x, 6)))))
	}
	return o.linear("expert.out", modulate("expert.ada", x, 0)), predicted
}

// run returns the velocity of one item, and a prediction, and adds the gradient
// of <velocity, r> + <prediction, rp>.
func (o *oracle) run(b *Batch, r, rp []float32) (velocity, prediction []float32) {
	o.g, o.uses = gorgonia.NewGraph(), nil
	out, predicted := o.velocity(b)
	a := o.c.ActionDim
	cost := o.must(gorgonia.Sum(o.prod(out, o.matrix(o.c.Horizon, a, func(i, j int) float64 { return float64(r[i*a+j]) }))))
	if predicted != nil {
		first := o.matrix(2, len(rp), func(i, j int) float64 { return float64(1-i) * float64(rp[j]) })
		cost = o.must(gorgonia.Add(cost, o.must(gorgonia.Sum(o.prod(predicted, first)))))
	}
	leaves := make(gorgonia.Nodes, len(o.uses))
	for i, u := range o.uses {
		leaves[i] = u.node
	}
	grads, err := gorgonia.Grad(cost, leaves...)
	if err != nil {
		o.t.Fatal(err)
	}
	read := append(grads, out)
	if predicted != nil {
		read = append(read, predicted)
	}
	values := make([]gorgonia.Value, len(read))
	for i, g := range read { // read while running: the machine reuses memory
		gorgonia.Read(g, &values[i])
	}
	vm := gorgonia.NewTapeMachine(o.g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		o.t.Fatal(err)
	}
	for i, u := range o.uses {
		for k, v := range values[i].Data().([]float64) {
			o.d[u.name][u.at[k]] += v
		}
	}
	velocity = narrow(values[len(grads)].Data().([]float64))
	if predicted != nil {
		prediction = narrow(values[len(grads)+1].Data().([]float64))[:len(rp)]
	}
	return velocity, prediction
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// TestOracle: values, and gradients by every parameter, agree with the build
// from primitive ops.
func TestOracle(t *testing.T) {
	for name, c := range encoderConfigs() {
		t.Run(name, func(t *testing.T) { againstOracle(t, c) })
	}
}

func againstOracle(t *testing.T, c Config) {
	m, b := testModel(t, c, 3), testBatch(c, 2, 3)
	ws := m.NewWorkspaceN(2, true, 2)
	out, r := make([]float32, len(b.Noisy)), randoms(len(b.Noisy), 4)
	predicted := make([]float32, c.predictions(2))
	rp, np := randoms(len(predicted), 5), c.predictions(1)
	m.Predict(ws, b, out, predicted)
	grads := m.Params.Like(make([]float32, len(m.Params.Data)))
	m.PredictBackward(ws, b, r, rp, grads.Data)

	o := &oracle{t: t, c: &c, p: m.Params.View, d: map[string][]float64{}}
	for _, name := range m.Params.Names() {
		o.d[name] = make([]float64, len(m.Params.View(name)))
	}
	k := c.Horizon * c.ActionDim
	for i := range b.B {
		want, prediction := o.run(item(c, b, i), r[i*k:(i+1)*k], rp[i*np:(i+1)*np])
		closeTo(t, fmt.Sprintf("prediction of item %d", i), predicted[i*np:(i+1)*np], prediction, 1e-5)
		closeTo(t, fmt.Sprintf("velocity of item %d", i), out[i*k:(i+1)*k], want, 1e-5)
	}
	for _, name := range m.Params.Names() {
		closeTo(t, name, grads.View(name), narrow(o.d[name]), 1e-4)
	}
}

// erfOp is the error function, elementwise on float64 tensors; its derivative
// is composed of Gorgonia's own ops.
type erfOp struct{}

func (erfOp) Arity() int { return 1 }
func (erfOp) Type() hm.Type {
	a := hm.TypeVariable('a')
	return hm.NewFnType(a, a)
}
func (erfOp) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return in[0].(tensor.Shape), nil
}
func (erfOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x := in[0].(*tensor.Dense)
	y := x.Clone().(*tensor.Dense)
	for i, v := range x.Data().([]float64) {
		y.Data().([]float64)[i] = math.Erf(v)
	}
	return y, nil
}
func (erfOp) ReturnsPtr() bool      { return false }
func (erfOp) CallsExtern() bool     { return false }
func (erfOp) OverwritesInput() int  { return -1 }
func (erfOp) WriteHash(h hash.Hash) { h.Write([]byte("erf")) }
func (erfOp) Hashcode() uint32 {
	h := fnv.New32a()
	h.Write([]byte("erf"))
	return h.Sum32()
}
func (erfOp) String() string       { return "erf" }
func (erfOp) DiffWRT(n int) []bool { return []bool{true} }
func (erfOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	x := in[0]
	sq, err := gorgonia.Square(x)
	if err != nil {
		return nil, err
	}
	neg, err := gorgonia.Neg(sq)
	if err != nil {
		return nil, err
	}
	e, err := gorgonia.Exp(neg)
	if err != nil {
		return nil, err
	}
	scaled, err := gorgonia.HadamardProd(e, gorgonia.NewConstant(2/math.Sqrt(math.Pi)))
	if err != nil {
		return nil, err
	}
	d, err := gorgonia.HadamardProd(grad, scaled)
	return gorgonia.Nodes{d}, err
}
