package vla

import (
	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// encode fills ctx (n, T, D): the tokens of the state, of the words, of each
// camera, in this order. Every token carries its type's embedding.
func (w *worker) encode(c *Config, p *weights, b *Batch) {
	n, d, t := w.n, c.D, c.ContextTokens()
	at := w.encodeState(c, p, b)
	switch k := c.languageTokens(); {
	case c.Text != nil:
		w.project(c, &p.text, w.text, w.features(c.Text, b.Text), at, k, p.languageType)
		at += k
	case c.Language:
		for i := range w.n * k {
			w.ids[i] = b.Words[w.lo*k+i]
			if w.ids[i] < 0 {
				w.ids[i] = int32(c.Vocab)
			}
		}
		for i := range n {
			rows := w.ctx[(i*t+at)*d : (i*t+at+k)*d]
			nn.Embed(rows, p.table, w.ids[i*k:(i+1)*k], d)
			vec.Add(rows, rows, p.wordPos)
			for j := range k {
				vec.Add(rows[j*d:(j+1)*d], rows[j*d:(j+1)*d], p.languageType)
			}
		}
		at += k
	}
	for i := range c.Cameras {
		if c.Vision != nil {
			at += w.perceive(c, p, b, i, at)
			continue
		}
		at += w.see(c, p, b, i, at)
	}
}

// wordsBackward adds the gradient of the words to that of their table.
func (w *worker) wordsBackward(c *Config, table []float32) {
	d, t, k, at := c.D, c.ContextTokens(), c.languageTokens(), c.stateTokens()
	for i := range w.n {
		nn.EmbedBackward(table, w.dctx[(i*t+at)*d:(i*t+at+k)*d], w.ids[i*k:(i+1)*k], d)
	}
}

// encodeBackward takes dctx into the encoders' gradients.
func (w *worker) encodeBackward(c *Config, p, g *weights, b *Batch) {
	n, d, t := w.n, c.D, c.ContextTokens()
	at := w.encodeStateBackward(c, p, g, b)
	switch k := c.languageTokens(); {
	case c.Text != nil:
		w.collect(c, w.text, at, k, g.languageType)
		w.backward(&p.text, &g.text, nil, w.text, w.features(c.Text, b.Text), n*k, 0)
		at += k
	case c.Language:
		for i := range n {
			rows := w.dctx[(i*t+at)*d : (i*t+at+k)*d]
			vec.Add(g.wordPos, g.wordPos, rows)
			vec.AddRows(g.languageType, rows, k)
		}
		at += k
	}
	for i := range c.Cameras {
		if c.Vision != nil {
			at += w.perceiveBackward(c, p, g, b, i, at)
			continue
		}
		at += w.seeBackward(c, p, g, i, at)
	}
}
