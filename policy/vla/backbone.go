package vla

import (
	"fmt"
	"regexp"

	"arfm/policy"
	"arfm/policy/nn/vec"
)

// Backbone is a frozen encoder that lies in a file of its own: which file it
// is, and the form of its features.
type Backbone struct {
	SHA256    string `json:"sha256"`              // of the model, hex
	Tokenizer string `json:"tokenizer,omitempty"` // SHA-256 of a text encoder's tokenizer, hex
	Tokens    int    `json:"tokens"`              // feature vectors of a picture, at most of an instruction
	Width     int    `json:"width"`               // of a feature vector
}

// Encoders computes the features of the frozen backbones, which a policy reads
// in place of pictures and words. It is safe for concurrent use.
type Encoders interface {
	// Backbones describes what is there, nil for what is not.
	Backbones() (vision, text *Backbone)
	// Picture fills dst (tokens, width) with the features of a picture.
	Picture(dst []float32, im *policy.Image) error
	// Instruction fills dst (tokens, width) with the features of an
	// instruction; what it has no tokens for is 0.
	Instruction(dst []float32, text string) error
	// Close lets go of the files; no policy may use them then.
	Close() error
}

// With returns the architecture that reads the features of e in place of the
// built-in encoders; e may be nil.
func (c Config) With(e Encoders) Config {
	c.Vision, c.Text = nil, nil
	if e != nil {
		c.Vision, c.Text = e.Backbones()
	}
	return c
}

var sumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// validate bounds a backbone; nil is valid.
func (b *Backbone) validate(what string, tokenizer bool) error {
	switch {
	case b == nil:
		return nil
	case !sumForm.MatchString(b.SHA256) || tokenizer != (b.Tokenizer != "") || tokenizer && !sumForm.MatchString(b.Tokenizer):
		return fmt.Errorf("%w: the %s backbone's SHA-256 are %.70q and %.70q, they should have 64 hexadecimal digits", ErrConfig, what, b.SHA256, b.Tokenizer)
	case b.Tokens < 1 || b.Tokens > maxTokens || b.Width < 1 || b.Width > 1<<14:
		return fmt.Errorf("%w: the %s backbone gives %d features of %d numbers, at most %d of %d are read", ErrConfig, what, b.Tokens, b.Width, maxTokens, 1<<14)
	}
	return nil
}

// same says, with an error that wraps ErrConfig, whether b is the backbone that
// weights were trained with.
func (b *Backbone) same(what string, weights *Backbone) error {
	switch {
	case b == nil && weights == nil || b != nil && weights != nil && *b == *weights:
		return nil
	case b == nil:
		return fmt.Errorf("%w: the weights were trained with a %s backbone (%.12s) that is not at hand; name it in the contract", ErrConfig, what, weights.SHA256)
	case weights == nil:
		return fmt.Errorf("%w: the contract has a %s backbone, the weights were trained without; use the contract they were trained with", ErrConfig, what)
	}
	return fmt.Errorf("%w: the %s backbone is %.12s with %d features of %d numbers, the weights were trained with %.12s, %d of %d; use that file", ErrConfig, what,
		b.SHA256, b.Tokens, b.Width, weights.SHA256, weights.Tokens, weights.Width)
}

// uses checks that e has the backbones of the architecture, and no others.
func (c Config) uses(e Encoders) error {
	got := c.With(e)
	if err := got.Vision.same("vision", c.Vision); err != nil {
		return err
	}
	return got.Text.same("text", c.Text)
}

// project writes the tokens of features x, (n, k, width), into ctx from token
// at on and adds vectors (D) to each; tokens (n k, D) is scratch.
func (w *worker) project(c *Config, p *linear, tokens, x []float32, at, k int, add ...[]float32) {
	w.hand.linear, w.hand.tokens, w.hand.x, w.hand.rows = p, tokens, x, w.n*k
	w.each(stageProject, 1)
	d, t := c.D, c.ContextTokens()
	for i := range w.n * k {
		row := w.ctx[(i/k*t+at+i%k)*d:][:d]
		copy(row, tokens[i*d:(i+1)*d])
		for _, v := range add {
			vec.Add(row, row, v)
		}
	}
}

// collect copies the gradient of k tokens from token at on into tokens
// (n, k, D) and adds its sums over all of them to each of add.
func (w *worker) collect(c *Config, tokens []float32, at, k int, add ...[]float32) {
	d, t := c.D, c.ContextTokens()
	for i := range w.n {
		copy(tokens[i*k*d:(i+1)*k*d], w.dctx[(i*t+at)*d:(i*t+at+k)*d])
	}
	for _, v := range add {
		vec.AddRows(v, tokens, w.n*k)
	}
}

// perceive writes the tokens of camera i's features into ctx and returns their
// number.
func (w *worker) perceive(c *Config, p *weights, b *Batch, i, at int) int {
	k := c.Vision.Tokens
	w.project(c, &p.proj, w.vision[i].tokens, w.features(c.Vision, b.Features[i]), at, k, p.camera[i*c.D:(i+1)*c.D], p.visionType)
	for j := range w.n {
		t := (j*c.ContextTokens() + at) * c.D
		vec.Add(w.ctx[t:t+k*c.D], w.ctx[t:t+k*c.D], p.visionPos[i])
	}
	return k
}

// perceiveBackward is perceive's gradient by the weights: the backbone is
// frozen.
func (w *worker) perceiveBackward(c *Config, p, g *weights, b *Batch, i, at int) int {
	k, tokens := c.Vision.Tokens, w.vision[i].tokens
	w.collect(c, tokens, at, k, g.camera[i*c.D:(i+1)*c.D], g.visionType)
	vec.AddRows(g.visionPos[i], tokens, w.n)
	w.backward(&p.proj, &g.proj, nil, tokens, w.features(c.Vision, b.Features[i]), w.n*k, 0)
	return k
}

// features are this worker's share of features (B, tokens, width).
func (w *worker) features(f *Backbone, x []float32) []float32 {
	size := f.Tokens * f.Width
	return x[w.lo*size : (w.lo+w.n)*size]
}
