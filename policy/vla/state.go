package vla

import (
	"fmt"

	"arfm/policy/nn/vec"
)

// stateField is a part of the state vector that has a token: n numbers from lo
// on, and the prefix of its tensors' names.
type stateField struct {
	name  string
	lo, n int
}

// stateFields lists what the state tokens are made of: the whole state, which
// tells how its parts lie to each other, then each field by itself, which the
// instruction's words can pick out.
func (c Config) stateFields() []stateField {
	if c.StateDim == 0 {
		return nil
	}
	fields, lo := []stateField{{"state", 0, c.StateDim}}, 0
	for i, n := range c.StateFields {
		fields = append(fields, stateField{fmt.Sprintf("state.%d", i), lo, n})
		lo += n
	}
	return fields
}

// stateEncoder holds the views of one state token's encoder.
type stateEncoder struct {
	lo     int // its first number in the state vector
	l1, l2 linear
	typ    []float32 // (D)
}

// stateActs are the activations of the state tokens.
type stateActs struct {
	x    []float32 // (n, S), regrouped: field after field, (n, its length) each
	h, a []float32 // (tokens, n, D)
	y    []float32 // (n, D)

	dy, dh []float32 // (tokens, n, D)
}

// numbers returns what token f is made of, (n, length): of the whole state,
// token 0, the batch's own rows.
func (w *worker) numbers(c *Config, p *weights, b *Batch, f int) []float32 {
	if f == 0 {
		return b.State[w.lo*c.StateDim:]
	}
	return w.state.x[w.n*p.state[f].lo:]
}

// encodeState fills the first tokens of ctx and returns their number.
func (w *worker) encodeState(c *Config, p *weights, b *Batch) int {
	s, n, d, row := &w.state, w.n, c.D, c.ContextTokens()*c.D
	for f := range p.state {
		e := &p.state[f]
		x, h, a := w.numbers(c, p, b, f), s.h[f*n*d:(f+1)*n*d], s.a[f*n*d:(f+1)*n*d]
		if f > 0 {
			for i := range n {
				copy(x[i*e.l1.in:(i+1)*e.l1.in], b.State[(w.lo+i)*c.StateDim+e.lo:])
			}
		}
		e.l1.forward(h, x, n)
		vec.SiLU(a, h)
		e.l2.forward(s.y, a, n)
		for i := range n {
			token := w.ctx[i*row+f*d : i*row+(f+1)*d]
			copy(token, s.y[i*d:(i+1)*d])
			vec.Add(token, token, e.typ)
		}
	}
	return len(p.state)
}

// encodeStateBackward takes dctx into the gradients of the state's encoders
// and returns the number of tokens.
func (w *worker) encodeStateBackward(c *Config, p, g *weights, b *Batch) int {
	s, n, d, row := &w.state, w.n, c.D, c.ContextTokens()*c.D
	for f := range p.state {
		dy, dh := s.dy[f*n*d:(f+1)*n*d], s.dh[f*n*d:(f+1)*n*d]
		e, ge := &p.state[f], &g.state[f]
		for i := range n {
			copy(dy[i*d:(i+1)*d], w.dctx[i*row+f*d:])
		}
		vec.AddRows(ge.typ, dy, n)
		w.backward(&e.l2, &ge.l2, dh, dy, s.a[f*n*d:(f+1)*n*d], n, 0)
		vec.SiLUBackward(dh, dh, s.h[f*n*d:(f+1)*n*d])
		w.backward(&e.l1, &ge.l1, nil, dh, w.numbers(c, p, b, f), n, 0)
	}
	return len(p.state)
}
