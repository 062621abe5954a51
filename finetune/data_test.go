package finetune

import (
	"errors"
	"math"
	"slices"
	"testing"

	"arfm/bags"
	"arfm/policy/flow"
)

func newTestData(t *testing.T, relative bool, n, frames int, share float64) *dataset {
	t.Helper()
	c := newContract(t, true, relative)
	d, err := newDataset(episodes(c, n, frames), c, share, 1)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := d.stats()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.use(tiny().For(c), stats); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestChunksStopAtGapsAndEnds(t *testing.T) {
	c := newContract(t, false, false)
	eps := episodes(c, 2, 12)
	for k := 5; k < 12; k++ { // a gap between frames 4 and 5 of episode 0
		eps[0].Frames[k].Stamp += c.Period()
	}
	d, err := newDataset(eps, c, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []int{4, 4, 3, 2, 1, 4, 4, 4, 4, 3, 2, 1}
	for k, n := range want {
		if got := d.valid(&d.train, at{0, int32(k)}); got != n {
			t.Errorf("the chunk at frame %d has %d actions, want %d", k, got, n)
		}
	}
	chunk := make([]float32, 8)
	if n := d.actions(chunk, &d.train, at{0, 3}); n != 2 {
		t.Fatalf("%d valid actions", n)
	}
	last := eps[0].Frames[4].Action
	if !slices.Equal(chunk[:2], eps[0].Frames[3].Action) || !slices.Equal(chunk[2:4], last) || !slices.Equal(chunk[6:], last) {
		t.Errorf("the padded chunk is %v", chunk)
	}
}

func TestPutUndoesToTheRecordedActions(t *testing.T) {
	for _, relative := range []bool{false, true} {
		d := newTestData(t, relative, 6, 20, 0)
		b := d.newBatch(3)
		for i, k := range []int{0, 30, 59} {
			c := d.train.chunks[k]
			if err := d.put(b, i, &d.train, c); err != nil {
				t.Fatal(err)
			}
			f := d.frame(&d.train, c)
			got, want := make([]float32, 8), make([]float32, 8)
			d.norm.InverseAction(got, b.clean[i*8:(i+1)*8])
			d.contract.MakeAbsolute(got, f.State)
			n := d.actions(want, &d.train, c)
			for j := range got {
				if math.Abs(float64(got[j]-want[j])) > 1e-5 {
					t.Errorf("relative %v: action %d of chunk %d is %v, recorded %v", relative, j, k, got[j], want[j])
				}
			}
			for h := range 4 {
				if (b.mask[i*4+h] == 1) != (h < n) {
					t.Errorf("mask of chunk %d is %v for %d actions", k, b.mask[i*4:(i+1)*4], n)
				}
			}
			if pix := f.Images[0].Pix; !slices.Equal(b.in.Images[0][i*len(pix):(i+1)*len(pix)], pix) {
				t.Errorf("the image of chunk %d differs", k)
			}
			if b.in.Words[i*2] < 0 || slices.Equal(b.in.Words[0:2], b.in.Words[2:4]) {
				t.Errorf("words are %v", b.in.Words)
			}
		}
	}
}

func TestNoiseLiesOnThePath(t *testing.T) {
	d := newTestData(t, true, 4, 20, 0)
	b := d.newBatch(2)
	for i := range 2 {
		if err := d.put(b, i, &d.train, d.train.chunks[i]); err != nil {
			t.Fatal(err)
		}
	}
	b.noise(2, flow.NewStream(1, "a"), flow.NewStream(1, "b"), flow.Uniform)
	for i, u := range b.target {
		tau, x := b.in.Tau[i/8], b.in.Noisy[i]
		if end := x + (1-tau)*u; math.Abs(float64(end-b.clean[i])) > 1e-5 {
			t.Errorf("following u from A^tau leads to %v, the action is %v", end, b.clean[i])
		}
	}
}

func TestSplit(t *testing.T) {
	one := newTestData(t, true, 1, 40, 0.25)
	if len(one.train.chunks) != 30 || len(one.heldOut.chunks) != 10 {
		t.Fatalf("one episode of 40 splits into %d and %d", len(one.train.chunks), len(one.heldOut.chunks))
	}
	last := one.train.chunks[29]
	if n := one.valid(&one.train, last); n != 1 {
		t.Errorf("the last training chunk reaches %d actions into the held-out part", n-1)
	}
	many := newTestData(t, true, 8, 5, 0.25)
	if len(many.heldOut.spans) != 2 || len(many.train.spans) != 6 {
		t.Fatalf("8 episodes split into %d and %d", len(many.train.spans), len(many.heldOut.spans))
	}
	for _, h := range many.heldOut.spans {
		for _, s := range many.train.spans {
			if s.episode == h.episode {
				t.Errorf("episode %d is on both sides", h.episode)
			}
		}
	}
	two := newTestData(t, true, 2, 6, 0.5) // of two tasks: neither may leave, each gives its end
	if !slices.Equal(two.train.spans, []span{{0, 0, 3}, {1, 0, 3}}) || !slices.Equal(two.heldOut.spans, []span{{0, 3, 6}, {1, 3, 6}}) {
		t.Errorf("the only episodes of two tasks split into %v and %v", two.train.spans, two.heldOut.spans)
	}
	short := newTestData(t, true, 2, 3, 0.1)
	if len(short.heldOut.chunks) != 2 || len(short.train.chunks) != 4 {
		t.Errorf("short episodes split into %v and %v", short.train.spans, short.heldOut.spans)
	}
	if all := newTestData(t, true, 2, 3, 0); len(all.heldOut.chunks) != 0 || len(all.train.chunks) != 6 {
		t.Errorf("a share of 0 splits into %v and %v", all.train.spans, all.heldOut.spans)
	}
}

func TestBadEpisodesAreRefused(t *testing.T) {
	c := newContract(t, true, true)
	for name, spoil := range map[string]func(*bags.Frame){
		"state":  func(f *bags.Frame) { f.State = f.State[:1] },
		"action": func(f *bags.Frame) { f.Action = nil },
		"NaN":    func(f *bags.Frame) { f.Action[0] = float32(math.NaN()) },
		"images": func(f *bags.Frame) { f.Images = nil },
		"size":   func(f *bags.Frame) { f.Images[0].Pix = f.Images[0].Pix[1:] },
		"stamp":  func(f *bags.Frame) { f.Stamp = 0 },
	} {
		eps := episodes(c, 2, 5)
		spoil(&eps[1].Frames[3])
		if _, err := newDataset(eps, c, 0, 1); !errors.Is(err, ErrData) {
			t.Errorf("a bad %s gives %v", name, err)
		}
	}
	if _, err := newDataset(nil, c, 0, 1); !errors.Is(err, ErrData) {
		t.Errorf("no episodes give %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	base := newTestData(t, true, 3, 6, 0)
	print := base.fingerprint()
	for name, change := range map[string]func(*bags.Episode){
		"reward":      func(e *bags.Episode) { e.Frames[2].Reward = 1 },
		"outcome":     func(e *bags.Episode) { e.Outcome = bags.Failure },
		"action":      func(e *bags.Episode) { e.Frames[2].Action[1] += 1 },
		"pixel":       func(e *bags.Episode) { e.Frames[2].Images[0].Pix[7]++ },
		"instruction": func(e *bags.Episode) { e.Frames[2].Instruction += "!" },
	} {
		d := newTestData(t, true, 3, 6, 0)
		if d.fingerprint() != print {
			t.Fatal("the same data have another fingerprint")
		}
		change(&d.episodes[1])
		if d.fingerprint() == print {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}
