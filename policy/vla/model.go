// Package vla is the vision-language-action policy: context tokens from
// proprioception, language and images, and an action expert that turns noise
// into a chunk of actions by flow matching.
//
// The expert is a diffusion transformer with cross-attention (Peebles and Xie,
// arXiv 2212.09748): action tokens = Linear(A^tau) + position; blocks of
// adaLN-zero self-attention over the chunk, cross-attention to the context and
// an MLP of width 4D with exact GELU. Training calls Velocity and Backward,
// running calls Sample. The batch is split over a workspace's workers, so that
// the same workspace size on the same data gives the same bits.
package vla

import (
	"fmt"

	"arfm/policy/nn"
)

// Model is an architecture and its weights. Params.Data may be changed in
// place between calls (an optimiser does); Params itself must stay.
type Model struct {
	Config Config
	Params *nn.Params
	w      *weights
}

// New returns a model with freshly drawn weights; the same seed gives the same
// weights. The error wraps ErrConfig.
func New(c Config, seed uint64) (*Model, error) {
	m, err := NewZero(c)
	if err != nil {
		return nil, err
	}
	c.initialise(m.Params, seed)
	return m, nil
}

// NewZero returns a model whose weights are all 0, to be filled from a file.
// The error wraps ErrConfig.
func NewZero(c Config) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := nn.NewParams(c.layout())
	return &Model{Config: c, Params: p, w: c.bind(p)}, nil
}

// Clone returns a model with its own copy of the weights.
func (m *Model) Clone() *Model {
	p := m.Params.Like(append([]float32(nil), m.Params.Data...))
	return &Model{Config: m.Config, Params: p, w: m.Config.bind(p)}
}

// Batch is what the network sees for B chunks. Inputs that the architecture
// does not have are left nil.
type Batch struct {
	B      int
	State  []float32 // (B, S) normalised
	Images [][]uint8 // per camera in the order of Config.Cameras (B, height, width, 3)
	Words  []int32   // (B, MaxWords), -1 for no word
	// Features of the backbones, in place of images and words.
	Features [][]float32 // per camera (B, tokens, width)
	Text     []float32   // (B, tokens, width)
	Noisy    []float32   // (B, H, A), A^tau
	Told     []float32   // (B, K) condition; nil: what a running policy asks for
	Guide    float32     // Sample: how many times the told velocity's distance from the untold one is added; 0: none
	Tau      []float32   // (B), flow time: 0 noise, 1 action; not read by Sample
}

// NewBatch returns a batch of n zeroed chunks with room for every input of the
// architecture.
func (c Config) NewBatch(n int) *Batch {
	b := &Batch{B: n, Noisy: make([]float32, n*c.Horizon*c.ActionDim), Tau: make([]float32, n)}
	if c.StateDim > 0 {
		b.State = make([]float32, n*c.StateDim)
	}
	if c.Text != nil {
		b.Text = make([]float32, n*c.Text.Tokens*c.Text.Width)
	}
	if c.hashesWords() {
		b.Words = make([]int32, n*c.MaxWords)
		for i := range b.Words {
			b.Words[i] = -1
		}
	}
	for _, cam := range c.Cameras {
		if v := c.Vision; v != nil {
			b.Features = append(b.Features, make([]float32, n*v.Tokens*v.Width))
			continue
		}
		b.Images = append(b.Images, make([]uint8, n*cam.Height*cam.Width*channels))
	}
	return b
}

// check panics on a batch that does not fit: a bug of the caller.
func (m *Model) check(ws *Workspace, b *Batch, tau bool) {
	c := &m.Config
	want := func(what string, got, want int) {
		if got < want {
			panic(fmt.Sprintf("vla: %s has %d elements, the batch needs %d", what, got, want))
		}
	}
	if ws.model != m {
		panic("vla: the workspace belongs to another model")
	}
	if b.B < 1 || b.B > ws.maxB {
		panic(fmt.Sprintf("vla: batch of %d in a workspace for %d", b.B, ws.maxB))
	}
	want("Noisy", len(b.Noisy), b.B*c.Horizon*c.ActionDim)
	if tau {
		want("Tau", len(b.Tau), b.B)
	}
	if t := c.Condition; t != nil && b.Told != nil {
		want("Told", len(b.Told), b.B*t.Size)
	}
	if !tau && b.Guide != 0 && !c.Condition.Guidable() {
		panic("vla: guidance without a condition that may be left out")
	}
	want("State", len(b.State), b.B*c.StateDim)
	if v := c.Text; v != nil {
		want("Text", len(b.Text), b.B*v.Tokens*v.Width)
	}
	if c.hashesWords() {
		want("Words", len(b.Words), b.B*c.MaxWords)
		for _, id := range b.Words[:b.B*c.MaxWords] {
			if int(id) >= c.Vocab {
				panic(fmt.Sprintf("vla: word %d in a vocabulary of %d", id, c.Vocab))
			}
		}
	}
	if v := c.Vision; v != nil {
		want("Features", len(b.Features), len(c.Cameras))
		for i := range c.Cameras {
			want("a camera's features", len(b.Features[i]), b.B*v.Tokens*v.Width)
		}
		return
	}
	want("Images", len(b.Images), len(c.Cameras))
	for i, cam := range c.Cameras {
		want("an image", len(b.Images[i]), b.B*cam.Height*cam.Width*channels)
	}
}
