package vla

import "testing"

// TestFolds: folding is chosen where it is less work, by hand: width 384 with four
// heads and 64 tokens saves 147456 of 344064 multiply-adds of an action in a step,
// at 18.9 million once; width 256 saves 32768 of 163840, at 8.4 million.
func TestFolds(t *testing.T) {
	wide := Config{D: 384, Layers: 6, Heads: 4, Horizon: 32, ActionDim: 7, StateDim: 7, Language: true, MaxWords: 63, Vocab: 100, Steps: 10}
	base := wide
	base.D, base.Horizon = 256, 16
	once := wide
	once.Steps = 1
	for name, c := range map[string]struct {
		Config
		folds bool
	}{"wide": {wide, true}, "base": {base, false}, "one step": {once, false}} {
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
