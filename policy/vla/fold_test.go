package vla

import (
	"slices"
	"testing"
)

// TestFolds: folding is chosen where it is less work, by hand: width 384 with four
// heads and 64 tokens saves 147456 of 344064 multiply-adds of an action in a step,
// at 18.9 million once; width 256 saves 32768 of 163840, at 8.4 million.
func TestFolds(t *testing.T) {
	wide := Config{D: 384, Layers: 6, Heads: 4, Horizon: 32, ActionDim: 7, StateDim: 7, Language: true, MaxWords: 63, Vocab: 100, Steps: 10}
	base := wide
	base.D, base.Horizon = 256, 16
	once, short := wide, wide
	once.Steps, short.Horizon, short.Steps = 1, 4, 100
	for name, c := range map[string]struct {
		Config
		folds bool
	}{"wide": {wide, true}, "base": {base, false}, "one step": {once, false}, "short chunks": {short, false}} {
		if c.ContextTokens() != 64 || c.Config.folds() != c.folds {
			t.Errorf("%s: %d tokens, folds %v", name, c.ContextTokens(), c.Config.folds())
		}
	}
}

// TestBothAreDrawn: the tests of Sample see architectures that fold and some that do not.
func TestBothAreDrawn(t *testing.T) {
	fold, apart := 0, 0
	for _, c := range drawnConfigs() {
		if c.folds() {
			fold++
		} else {
			apart++
		}
	}
	if fold < 3 || apart < 3 {
		t.Errorf("%d fold, %d do not", fold, apart)
	}
}

// TestFolded: what holds apart holds folded: no allocation, the weights after
// Reset, an item's bits whatever the room, the workers and the neighbours.
func TestFolded(t *testing.T) {
	c := testConfig()
	c.Horizon, c.Steps = 32, 100
	c.Condition = &Condition{Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}
	if !c.folds() {
		t.Fatal("it does not fold")
	}
	m, b := testModel(t, c, 1), testBatch(c, 5, 1)
	one := item(c, b, 0)
	b.Guide, one.Guide = 1.5, 1.5
	sample := func(ws *Workspace, b *Batch) []float32 {
		x := clone(b)
		m.Sample(ws, x, 3)
		return x.Noisy
	}
	for _, workers := range []int{1, 2, 3} { // three for two heads
		team, room := m.NewWorkspaceN(1, false, workers), m.NewWorkspaceN(40, false, workers)
		if n := testing.AllocsPerRun(20, func() { m.Sample(team, one, 3) }); n != 0 {
			t.Errorf("%d workers: %v allocations", workers, n)
		}
		sample(room, b)
		for i := range m.Params.Data {
			m.Params.Data[i] *= 0.9
		}
		team.Reset()
		room.Reset()
		want := sample(m.NewWorkspaceN(5, true, 1), b)
		closeTo(t, "a team after Reset", sample(team, one), want[:len(one.Noisy)], 1e-5)
		got := sample(room, b)
		closeTo(t, "a batch after Reset", got, want, 1e-5)
		if !slices.Equal(got[:len(one.Noisy)], sample(room, one)) || !slices.Equal(got, sample(m.NewWorkspaceN(5, false, 1), b)) {
			t.Errorf("%d workers: bits depend on the room or the neighbours", workers)
		}
	}
}
