package vla

import "arfm/policy/nn"

// encode fills ctx (n, T, D): the state token, the word tokens, the patches of
// each camera, in this order. Every token carries its type's embedding.
func (w *worker) encode(c *Config, p *weights, b *Batch) {
	n, d, t, at := w.n, c.D, c.ContextTokens(), 0
	if c.StateDim > 0 {
		s := &w.state
		p.state1.forward(s.h, b.State[w.lo*c.StateDim:], n)
		nn.SiLU(s.a[:n*d], s.h[:n*d])
		p.state2.forward(s.y, s.a, n)
		for i := range n {
			row := w.ctx[i*t*d : (i*t+1)*d]
			copy(row, s.y[i*d:(i+1)*d])
			nn.Add(row, p.stateType)
		}
		at = 1
	}
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
			nn.Add(rows, p.wordPos)
			for j := range k {
				nn.Add(rows[j*d:(j+1)*d], p.languageType)
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
	n, d, t, at := w.n, c.D, c.ContextTokens(), 0
	if c.StateDim > 0 {
		s, dy := &w.state, w.dy[:n*d]
		for i := range n {
			copy(dy[i*d:(i+1)*d], w.dctx[i*t*d:(i*t+1)*d])
		}
		nn.AddRows(g.stateType, dy, n)
		dh := w.da[:n*d]
		p.state2.backward(&g.state2, dh, dy, s.a, n, 0)
		nn.SiLUBackward(dh, dh, s.h[:n*d])
		p.state1.backward(&g.state1, nil, dh, b.State[w.lo*c.StateDim:], n, 0)
		at = 1
	}
	if c.Language {
		k := c.MaxWords
		for i := range n {
			rows := w.dctx[(i*t+at)*d : (i*t+at+k)*d]
			nn.EmbedBackward(g.table, rows, w.ids[i*k:(i+1)*k], d)
			nn.Add(g.wordPos, rows)
			nn.AddRows(g.languageType, rows, k)
		}
		at += k
	}
	for i := range c.Cameras {
		at += w.seeBackward(c, p, g, i, at)
	}
}
