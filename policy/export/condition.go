package export

import (
	"math"

	"arfm/policy/vla"
)

// condition is what a policy adds to every action token, (B, 1, D), of what its
// head predicts from the context (B, T, D), or (1, 1, D) of what it always asks for.
func (g *graph) condition(c *vla.Config, context string) (y string) {
	t := c.Condition
	g.within("condition", func() {
		x := ""
		if t.Predicted {
			query := g.reshape(g.param("condition.head.query"), c.D, 1)
			score := g.op("Mul", g.op("MatMul", context, query), g.number(float32(1/math.Sqrt(float64(c.D)))))
			p := g.node("Softmax", map[string]any{"axis": -1}, 1, g.transpose(score, 0, 2, 1))[0]
			x = g.linear("condition.head.l2", g.silu(g.linear("condition.head.l1", g.op("MatMul", p, context))))
		} else {
			x = g.floats("condition.ask", t.Ask, 1, 1, t.Size)
		}
		y = g.linear("condition.l2", g.silu(g.linear("condition.l1", x)))
	})
	return y
}
