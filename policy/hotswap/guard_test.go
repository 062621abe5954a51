package hotswap

import (
	"math"
	"math/rand/v2"
	"testing"
)

// feed gives the guard n calls of ten ticks each with k interventions and
// returns the number of calls that asked for a rollback.
func feed(g *Guard, gen uint64, n int, k int64) (asked int) {
	for range n {
		if g.Observe(gen, k, 10) {
			asked++
		}
	}
	return asked
}

func TestGuard(t *testing.T) {
	o := GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400}
	for _, c := range []struct {
		name                string
		before, after       int64 // interventions in ten ticks
		nBefore, nAfter     int
		want                int
		rateBefore, onTrial float64
	}{
		{"much worse", 1, 5, 40, 40, 1, 0.1, 0},
		{"no worse", 1, 1, 40, 20, 0, 0.1, 0.1},
		{"better", 5, 0, 40, 20, 0, 0.5, 0},
		{"within the margin", 1, 2, 40, 20, 0, 0.1, 0.2},
		{"above the margin", 1, 3, 40, 20, 1, 0.1, 0},
		{"too few ticks after", 0, 10, 40, 4, 0, 0, 1},
		{"just enough ticks after", 0, 10, 40, 5, 1, 0, 0},
		{"too few ticks before", 0, 10, 4, 30, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewGuard(o)
			if n := feed(g, 1, c.nBefore, c.before); n != 0 {
				t.Fatalf("the first weights were rolled back")
			}
			if n := feed(g, 2, c.nAfter, c.after); n != c.want {
				t.Errorf("asked %d times, want %d", n, c.want)
			}
			before, after, _ := g.Rates()
			if math.Abs(before-c.rateBefore) > 1e-9 || math.Abs(after-c.onTrial) > 1e-9 {
				t.Errorf("rates %g and %g, want %g and %g", before, after, c.rateBefore, c.onTrial)
			}
		})
	}
}

// TestGuardForgetsOldTicks: the rate before is that of the last window.
func TestGuardForgetsOldTicks(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 100, 9)
	feed(g, 1, 60, 0)
	if n := feed(g, 2, 10, 3); n != 1 {
		t.Errorf("asked %d times: the bad start long ago still counts", n)
	}
	if n := len(g.before.buckets); n > 32 {
		t.Errorf("%d buckets", n)
	}
}

// TestGuardAfterRollback: the restored weights are not on trial, and the rate
// of the failed ones is not what the next are measured against.
func TestGuardAfterRollback(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 40, 0)
	if feed(g, 2, 10, 10) != 1 {
		t.Fatal("no rollback")
	}
	g.RolledBack(3)
	feed(g, 2, 3, 10) // ticks until the slot's next chunk
	if feed(g, 3, 20, 0) != 0 {
		t.Error("the restored weights were rolled back")
	}
	if before, _, _ := g.Rates(); before != 0 {
		t.Errorf("rate before is %g", before)
	}
	if feed(g, 4, 10, 5) != 1 {
		t.Error("the next bad weights stay")
	}
}

// TestGuardJudgesWhatFollowsARollback: other weights may be swapped in before
// the restored ones have answered once; they are on trial all the same.
func TestGuardJudgesWhatFollowsARollback(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 40, 0)
	if feed(g, 2, 10, 10) != 1 {
		t.Fatal("no rollback")
	}
	g.RolledBack(3)
	if feed(g, 4, 10, 10) != 1 {
		t.Error("weights that came in place of the restored ones were not judged")
	}
}

// TestGuardProven: which generation proved itself last.
func TestGuardProven(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	if g.Proven() != 0 {
		t.Error("proven before anything ran")
	}
	for _, step := range []struct {
		gen  uint64
		n    int
		k    int64
		want uint64
	}{
		{1, 40, 0, 1}, {2, 20, 0, 1}, {2, 20, 0, 2}, // a whole window
		{3, 4, 10, 2}, {4, 10, 10, 2}, // cut short; failed
		{6, 10, 0, 2}, {7, 1, 0, 6}, // replaced after a fair trial
	} {
		feed(g, step.gen, step.n, step.k)
		if g.Proven() != step.want {
			t.Errorf("after %+v: generation %d is proven", step, g.Proven())
		}
	}
}

// TestGuardWithoutRollback: the rollback came too late because other weights
// were swapped in; those are on trial against the proven ones.
func TestGuardWithoutRollback(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 40, 0)
	feed(g, 2, 10, 10)
	if feed(g, 3, 10, 5) != 1 {
		t.Error("weights that followed failed ones were not judged")
	}
}

// TestGuardQuickSwaps: weights that were in use for a moment only are no
// measure for those that follow.
func TestGuardQuickSwaps(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 40, 0)
	feed(g, 2, 3, 10)
	feed(g, 3, 3, 10)
	if feed(g, 4, 10, 5) != 1 {
		t.Error("bad weights stay after a series of quick swaps")
	}
}

// TestGuardPasses: after a whole window weights have proved themselves, and
// what happens later is no longer blamed on the swap.
func TestGuardPasses(t *testing.T) {
	g := NewGuard(GuardOptions{Margin: 0.1, MinTicks: 50, Window: 400})
	feed(g, 1, 40, 0)
	if feed(g, 2, 40, 0) != 0 || feed(g, 2, 20, 10) != 0 {
		t.Error("proven weights were rolled back")
	}
}

func TestGuardDefaults(t *testing.T) {
	g := NewGuard(GuardOptions{})
	if g.o.Margin <= 0 || g.o.MinTicks <= 0 || g.o.Window < g.o.MinTicks {
		t.Errorf("%+v", g.o)
	}
	if o := (GuardOptions{MinTicks: 5000}).withDefaults(); o.Window < 5000 {
		t.Errorf("%+v", o)
	}
}

// TestGuardTellsChance: interventions that come in runs, more of them in one task
// than in another, hardly ever make weights that are as good look worse; weights
// that need over twice as many are found out three times in four.
func TestGuardTellsChance(t *testing.T) {
	const trials = 400
	// judge runs tasks of 80 ticks, each with its own share of runs of ten ticks
	// with interventions, before and after a swap.
	judge := func(seed uint64, before, after float64) bool {
		rng := rand.New(rand.NewPCG(seed, 1))
		g := NewGuard(GuardOptions{})
		bad := 0
		for gen, share := range []float64{before, after} {
			for range 20 {
				task := share * (0.3 + 1.4*rng.Float64())
				for range 8 {
					k := int64(0)
					if rng.Float64() < task {
						k = 1
					}
					for range 10 {
						if g.Observe(uint64(gen+1), k, 1) {
							bad++
						}
					}
				}
			}
		}
		return bad > 0
	}
	same, worse := 0, 0
	for seed := range uint64(trials) {
		if judge(seed, 0.3, 0.3) {
			same++
		}
		if judge(seed, 0.3, 0.7) {
			worse++
		}
	}
	t.Logf("rolled back: %d of %d as good, %d of %d with over twice the interventions", same, trials, worse, trials)
	if same > trials/20 || worse < trials*7/10 {
		t.Errorf("rolled back %d of %d as good, %d of %d worse", same, trials, worse, trials)
	}
}
