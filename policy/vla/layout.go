package vla

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"arfm/policy/nn"
	"arfm/policy/nn/gemm"
)

// channels of an image.
const channels = 3

// layout lists every tensor in the order of the parameter vector. The expert's
// names are those of its PyTorch twin under the prefix "expert.".
func (c Config) layout() []nn.Spec {
	var s []nn.Spec
	var add adder = func(name string, shape ...int) { s = append(s, nn.Spec{Name: name, Shape: shape}) }
	linear := add.linear
	for _, f := range c.stateFields() {
		linear(f.name+".l1", f.n, c.D)
		linear(f.name+".l2", c.D, c.D)
		add(f.name+".type", c.D)
	}
	switch {
	case c.Text != nil:
		linear("language.proj", c.Text.Width, c.D)
		add("language.type", c.D)
	case c.Language:
		add(wordTable, c.Vocab+1, c.D) // the last row stands for "no word"
		add("language.pos", c.MaxWords, c.D)
		add("language.type", c.D)
	}
	switch {
	case c.Vision != nil:
		linear("vision.proj", c.Vision.Width, c.D)
		for i := range c.Cameras {
			add(visionPos(i), c.Vision.Tokens, c.D)
		}
	case len(c.Cameras) > 0:
		c.visionLayout(add)
	}
	if len(c.Cameras) > 0 {
		add("vision.camera", len(c.Cameras), c.D)
		add("vision.type", c.D)
	}
	linear("expert.inp", c.ActionDim, c.D)
	add("expert.pos", c.Horizon, c.D)
	linear("expert.t1", c.D, c.D)
	linear("expert.t2", c.D, c.D)
	for l := range c.Layers {
		p := fmt.Sprintf("expert.b.%d.", l)
		linear(p+"ada", c.D, 9*c.D)
		linear(p+"qkv", c.D, 3*c.D)
		linear(p+"o1", c.D, c.D)
		linear(p+"q", c.D, c.D)
		linear(p+"kv", c.D, 2*c.D)
		linear(p+"o2", c.D, c.D)
		linear(p+"f1", c.D, 4*c.D)
		linear(p+"f2", 4*c.D, c.D)
	}
	linear("expert.ada", c.D, 2*c.D)
	linear("expert.out", c.D, c.ActionDim)
	c.conditionLayout(add)
	return s
}

// adder appends a tensor to a layout.
type adder func(name string, shape ...int)

func (add adder) linear(name string, in, out int) {
	add(name+".weight", out, in)
	add(name+".bias", out)
}

func (add adder) norm(name string, d int) {
	add(name+".weight", d)
	add(name+".bias", d)
}

func visionPos(camera int) string { return fmt.Sprintf("vision.pos.%d", camera) }

// visionLayout lists the tensors of the built-in vision encoder.
func (c Config) visionLayout(add adder) {
	v := c.VisionD
	add.linear("vision.patch", c.Patch*c.Patch*channels, v)
	for i, cam := range c.Cameras {
		rows, cols := c.patches(cam)
		add(visionPos(i), rows*cols, v)
	}
	for l := range c.VisionLayers {
		p := fmt.Sprintf("vision.b.%d.", l)
		add.norm(p+"n1", v)
		add.linear(p+"qkv", v, 3*v)
		add.linear(p+"o", v, v)
		add.norm(p+"n2", v)
		add.linear(p+"f1", v, 4*v)
		add.linear(p+"f2", 4*v, v)
	}
	add.norm("vision.norm", v)
	add.linear("vision.proj", v, c.D)
}

// initialise draws the weights: linear layers uniform in +-sqrt(6/(in+out))
// (Glorot and Bengio 2010), the state's encoder wider, biases 0, norm gains 1,
// learned positions, types and cameras N(0, 0.2^2), words N(0, 0.5^2). As in
// adaLN-zero, every ada layer and the output layer are 0, so that each block
// starts as the identity and the velocity as 0.
func (c Config) initialise(p *nn.Params, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x766c61)) // stream "vla"
	for _, s := range c.layout() {
		v := p.View(s.Name)
		switch kind := tensorKind(s); kind {
		case "gain":
			for i := range v {
				v[i] = 1
			}
		case "linear":
			a := spread(s)
			for i := range v {
				v[i] = float32(a * (2*rng.Float64() - 1))
			}
		case "embedding", "words":
			std := 0.2
			if kind == "words" {
				std = 0.5
			}
			for i := range v {
				v[i] = float32(std * rng.NormFloat64())
			}
		}
	}
}

// spread returns half the width of the range that a linear layer is drawn from.
// Glorot's rule is for inputs as many as outputs: a few numbers of state through
// it are a whisper beside the words. The wider draw starts a token of the
// state at a word's size, about 0.5, however many numbers it is made of.
func spread(s nn.Spec) float64 {
	out, in := float64(s.Shape[0]), float64(s.Shape[1])
	if strings.HasPrefix(s.Name, "state.") {
		if strings.HasSuffix(s.Name, "l1.weight") {
			return math.Sqrt(3 / in)
		}
		return math.Sqrt(12 / in)
	}
	if s.Name == "condition.l1.weight" {
		return math.Sqrt(3 / in)
	}
	return math.Sqrt(6 / (in + out))
}

// block holds the views of one block of the expert.
type block struct {
	ada, qkv, o1, q, kv, o2, f1, f2 linear

	fold *foldWeights // in place of q and o2; or nil
}

// visionBlock holds the views of one block of the ViT.
type visionBlock struct {
	n1, n2         affine
	qkv, o, f1, f2 linear
}

// weights are the views of a parameter vector, or of a gradient, by role.
type weights struct {
	state                        []stateEncoder
	table, wordPos, languageType []float32
	text                         linear // of a backbone's features
	patch                        linear
	visionPos                    [][]float32 // per camera (P, VD), of a backbone's features (tokens, D)
	vision                       []visionBlock
	visionNorm                   affine
	proj                         linear    // of the ViT's or a backbone's features
	camera, visionType           []float32 // (cameras, D), (D)
	inp, t1, t2, ada, out        linear
	pos                          []float32 // (H, D)
	blocks                       []block
	condition                    conditionWeights
}

// linear is the weight (out, in) and bias (out) of a layer.
type linear struct {
	w, b    []float32
	in, out int
	packed  *gemm.Packed // w, where it does not change for long; or nil
}

// forward computes y (n, out) from x (n, in).
func (l *linear) forward(y, x []float32, n int) {
	if l.packed != nil {
		nn.PackedLinear(y, x, l.packed, l.b, n, l.in, l.out)
		return
	}
	nn.Linear(y, x, l.w, l.b, n, l.in, l.out)
}

// packRows makes l the outputs lo to hi of each of so many equal parts of
// from's, packed into the memory of an earlier pack or the store.
func (l *linear) packRows(from *linear, lo, hi, parts int, to *store) {
	w, b := make([]float32, 0, parts*(hi-lo)*from.in), l.b[:0]
	for i := range parts {
		at := i * from.out / parts
		w = append(w, from.w[(at+lo)*from.in:(at+hi)*from.in]...)
		b = append(b, from.b[at+lo:at+hi]...)
	}
	*l = linear{b: b, in: from.in, out: len(b), packed: l.packed}
	l.pack(w, l.in, to)
}

// packColumns makes l the term of from that inputs lo to hi give, with or
// without the bias.
func (l *linear) packColumns(from *linear, lo, hi int, bias bool, to *store) {
	*l = linear{in: hi - lo, out: from.out, packed: l.packed}
	if bias {
		l.b = from.b
	}
	l.pack(from.w[lo:], from.in, to)
}

// store is where packed weights lie, and how many rows they will be multiplied
// with.
type store struct {
	bulk gemm.Bulk
	rows int
}

// onceRows is up to how many rows it counts that each weight is read once: the
// weights of a chunk come from the third-level cache.
const onceRows = 32

func (l *linear) pack(w []float32, ld int, to *store) {
	if l.packed == nil {
		l.packed = new(gemm.Packed).In(&to.bulk, l.in, l.out)
	}
	pack := l.packed.Right
	if to.rows <= onceRows {
		pack = l.packed.RightOnce
	}
	pack(true, l.in, l.out, w, ld)
}

// affine is the gain and bias of a layer normalisation.
type affine struct{ gain, bias []float32 }

// wordTable names the table of words.
const wordTable = "language.table"

// bind resolves the names once.
func (c Config) bind(p *nn.Params) *weights { return c.bindTo(p, p) }

// bindTo takes linear layers and the table of words from p, all else from small.
func (c Config) bindTo(p, small *nn.Params) *weights {
	lin := func(name string) linear {
		s := p.Shape(name + ".weight")
		return linear{p.View(name + ".weight"), p.View(name + ".bias"), s[1], s[0], nil}
	}
	norm := func(name string) affine { return affine{small.View(name + ".weight"), small.View(name + ".bias")} }
	w := &weights{}
	for _, f := range c.stateFields() {
		w.state = append(w.state, stateEncoder{f.lo, lin(f.name + ".l1"), lin(f.name + ".l2"), small.View(f.name + ".type")})
	}
	if c.Language {
		w.languageType = small.View("language.type")
	}
	switch {
	case c.Text != nil:
		w.text = lin("language.proj")
	case c.Language:
		w.table, w.wordPos = p.View(wordTable), small.View("language.pos")
	}
	if len(c.Cameras) > 0 {
		w.proj, w.camera, w.visionType = lin("vision.proj"), small.View("vision.camera"), small.View("vision.type")
		for i := range c.Cameras {
			w.visionPos = append(w.visionPos, small.View(visionPos(i)))
		}
	}
	if c.seesPatches() {
		w.patch, w.visionNorm = lin("vision.patch"), norm("vision.norm")
		for l := range c.VisionLayers {
			n := fmt.Sprintf("vision.b.%d.", l)
			w.vision = append(w.vision, visionBlock{norm(n + "n1"), norm(n + "n2"), lin(n + "qkv"), lin(n + "o"), lin(n + "f1"), lin(n + "f2")})
		}
	}
	w.inp, w.pos, w.t1, w.t2 = lin("expert.inp"), small.View("expert.pos"), lin("expert.t1"), lin("expert.t2")
	for l := range c.Layers {
		n := fmt.Sprintf("expert.b.%d.", l)
		w.blocks = append(w.blocks, block{lin(n + "ada"), lin(n + "qkv"), lin(n + "o1"), lin(n + "q"), lin(n + "kv"), lin(n + "o2"), lin(n + "f1"), lin(n + "f2"), nil})
	}
	w.ada, w.out = lin("expert.ada"), lin("expert.out")
	w.condition = c.bindCondition(small, lin)
	return w
}
