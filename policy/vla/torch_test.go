package vla

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// closeTo fails unless got is within tol of want, relative to want's largest
// element.
func closeTo(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	top, worst := 0.0, 0.0
	for i := range want {
		top = max(top, abs(float64(want[i])))
		worst = max(worst, abs(float64(got[i])-float64(want[i])))
		if got[i] != got[i] {
			t.Errorf("%s: element %d is NaN", what, i)
			return
		}
	}
	if worst > tol*max(top, 1e-3) {
		t.Errorf("%s: off by %.3g, largest element %.3g", what, worst, top)
	}
}

func abs(x float64) float64 { return max(x, -x) }

// TestExpertAgainstPyTorch pins values and gradients of the action expert to
// those of PyTorch; testdata/expert.py made them.
func TestExpertAgainstPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/expert.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		D, Layers, Heads, Horizon, Tokens, Batch int
		ActionDim                                int `json:"action_dim"`
		Noisy, Tau, Context, R                   []float32
		Velocity, DContext                       []float32
		Params, Grads                            map[string][]float32
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	// The words' tokens are overwritten by the golden context.
	c := Config{D: g.D, Layers: g.Layers, Heads: g.Heads, Horizon: g.Horizon, ActionDim: g.ActionDim,
		Language: true, Vocab: 1, MaxWords: g.Tokens, Steps: 1}
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range m.Params.Names() {
		if twin, ok := strings.CutPrefix(name, "expert."); ok {
			n += copy(m.Params.View(name), g.Params[twin])
			if len(m.Params.View(name)) != len(g.Params[twin]) {
				t.Errorf("%s: %d elements, PyTorch has %d", name, len(m.Params.View(name)), len(g.Params[twin]))
			}
		}
	}
	total := 0
	for _, p := range g.Params {
		total += len(p)
	}
	if n != total {
		t.Fatalf("%d expert parameters here, %d in PyTorch", n, total)
	}

	ws := m.NewWorkspaceN(g.Batch, true, 1)
	w := ws.workers[0]
	w.n, w.hand = g.Batch, hand{c: &m.Config, p: m.w}
	copy(w.ctx, g.Context)
	b := &Batch{B: g.Batch, Noisy: g.Noisy, Tau: g.Tau}
	out := make([]float32, len(g.Velocity))
	w.velocityForward(&m.Config, m.w, b, out)
	closeTo(t, "velocity", out, g.Velocity, 1e-5)

	grads := m.Params.Like(make([]float32, len(m.Params.Data)))
	ws.bind(grads.Data)
	w.velocityBackward(&m.Config, m.w, w.grad, b, g.R)
	ws.plan()
	ws.takeTasks(ws.workers)
	closeTo(t, "context gradient", w.dctx, g.DContext, 1e-4)
	for name, want := range g.Grads {
		closeTo(t, name, grads.View("expert."+name), want, 1e-4)
	}
}
