package vla

import (
	"math"
	"testing"
)

// TestFLOPs holds the counts to ones made by hand: D 2, one block, H 3, A 1,
// S 2 and no other token, so T 1. A chunk of 64
// actions folds, one of three does not.
func TestFLOPs(t *testing.T) {
	c := Config{D: 2, Layers: 1, Heads: 2, Horizon: 3, ActionDim: 1, StateDim: 2, Steps: 2}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	const (
		state = 2*1*2*2 + 2*1*2*2 // two layers 2 to 2
		keys  = 2 * 1 * 2 * 4     // 2 to 4
		time  = 8 + 8 + 2*1*2*18 + 2*1*2*4
		inp   = 2 * 3 * 1 * 2
		self  = 2*3*2*6 + 2*(2*3*3*2) + 2*3*2*2
		cross = 2*3*2*2 + 2*(2*3*1*2) + 2*3*2*2
		mlp   = 2*3*2*8 + 2*3*8*2
		out   = 2 * 3 * 2 * 1
		field = inp + self + cross + mlp + out
	)
	if field != 456 || state+keys+time != 136 {
		t.Fatalf("%d and %d: the hand slipped", field, state+keys+time)
	}
	if got, want := c.SampleFLOPs(5, 2), 5.0*(state+keys+2*field); got != want {
		t.Errorf("a sample: %v, by hand %v", got, want)
	}
	const (
		keysFolded  = keys + 2*(2*1*2*2)
		crossFolded = 2 * (2 * 64 * 2 * 2) // to and from the scores of both heads
		fieldFolded = 2*64*1*2 + 2*64*2*6 + 2*(2*64*64*2) + 2*64*2*2 + crossFolded + 2*(2*64*2*8) + 2*64*2*1
	)
	long := c
	long.Horizon = 64
	if got, want := long.SampleFLOPs(5, 2), 5.0*(state+keysFolded+2*fieldFolded); got != want {
		t.Errorf("a sample, folded: %v, by hand %v", got, want)
	}
	// Of three products no gradient of the left factor is wanted: inp, and the
	// first layers of time and state.
	if got, want := c.TrainFLOPs(5), 5.0*(3*(state+keys+time+field)-inp-8-8); got != want {
		t.Errorf("a training step: %v, by hand %v", got, want)
	}
}

// TestFLOPsOfEncoders: what cameras add, by hand: a ViT of width 4 and two
// blocks on 2 patches of 3x3 pixels, then 4 to D 2, and two tokens of context.
func TestFLOPsOfEncoders(t *testing.T) {
	blind := Config{D: 2, Layers: 1, Heads: 2, Horizon: 3, ActionDim: 1, StateDim: 2, Steps: 2}
	seeing := blind
	seeing.Patch, seeing.VisionD, seeing.VisionLayers, seeing.VisionHeads = 3, 4, 2, 2
	seeing.Cameras = []Camera{{"eye", 3, 5}}
	if err := seeing.Validate(); err != nil {
		t.Fatal(err)
	}
	const (
		patch = 2 * 2 * 27 * 4
		block = 2*2*4*12 + 2*(2*2*4*2) + 2*2*4*4 + 2*(2*2*4*16)
		vit   = patch + 2*block + 2*2*4*2
		keys  = 2 * 2 * 2 * 4
		cross = 2 * (2 * 3 * 2 * 2)
	)
	if got, want := seeing.SampleFLOPs(1, 2)-blind.SampleFLOPs(1, 2), float64(vit+keys+2*cross); got != want {
		t.Errorf("a sample: %v more, by hand %v", got, want)
	}
	if got, want := seeing.TrainFLOPs(1)-blind.TrainFLOPs(1), float64(3*(vit+keys+cross)-patch); got != want {
		t.Errorf("a training step: %v more, by hand %v", got, want)
	}
}

// TestFLOPsOfCondition: what a predicted condition of one number adds, by hand.
func TestFLOPsOfCondition(t *testing.T) {
	c := Config{D: 2, Layers: 1, Heads: 2, Horizon: 3, ActionDim: 1, StateDim: 2, Steps: 2}
	told := c
	told.Condition = &Condition{Size: 1, Predicted: true}
	const first, rest = 2 * 1 * 2, 2*2*2 + 2*(2*2*1) + 2*2*2 + 2*2*1
	if got := told.SampleFLOPs(1, 2) - c.SampleFLOPs(1, 2); got != first+rest {
		t.Errorf("a sample: %v more, by hand %v", got, first+rest)
	}
	if got := told.TrainFLOPs(1) - c.TrainFLOPs(1); got != 2*first+3*rest {
		t.Errorf("a training step: %v more, by hand %v", got, 2*first+3*rest)
	}
}

// TestFLOPsOfBase: the base preset with 64 tokens of context takes about 1.9
// GFLOP for a chunk and 14 for a step on 16.
func TestFLOPsOfBase(t *testing.T) {
	c, err := Preset("base")
	if err != nil {
		t.Fatal(err)
	}
	c.ActionDim, c.StateDim, c.MaxWords = 7, 7, 63
	for _, f := range []struct {
		name      string
		got, want float64
	}{{"chunk", c.SampleFLOPs(1, 10), 1.94e9}, {"step", c.TrainFLOPs(16), 14e9}} {
		if math.Abs(f.got/f.want-1) > 0.02 {
			t.Errorf("%s: %.4g, about %.4g", f.name, f.got, f.want)
		}
	}
}
