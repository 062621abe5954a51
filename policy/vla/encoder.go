package vla

import (
	"arfm/policy/nn"
	"arfm/policy/nn/vec"
)

// encode fills ctx (n, T, D): the state tokens, the word tokens, the patches of
// each camera, in this order. Every token carries its type's embedding.
func (w *worker) encode(c *Config, p *weights, b *Batch) {
	n, d, t := w.n, c.D, c.ContextTokens()
	at := w.encodeState(c, p, b)
	if c.Language {
		k := c.MaxWords
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
		at += w.see(c, p, b, i, at)
	}
}

// encodeBackward takes dctx into the encoders' gradients.
func (w *worker) encodeBackward(c *Config, p, g *weights, b *Batch) {
	n, d, t := w.n, c.D, c.ContextTokens()
	at := w.encodeStateBackward(c, p, g, b)
	if c.Language {
		k := c.MaxWords
		for i := range n {
			rows := w.dctx[(i*t+at)*d : (i*t+at+k)*d]
			nn.EmbedBackward(g.table, rows, w.ids[i*k:(i+1)*k], d)
			vec.Add(g.wordPos, g.wordPos, rows)
			vec.AddRows(g.languageType, rows, k)
		}
		at += k
	}
	for i := range c.Cameras {
		at += w.seeBackward(c, p, g, i, at)
	}
}
