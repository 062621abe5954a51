package vla

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"arfm/policy/nn/workers"
)

// sampled is what Sample makes of b.
func sampled(m *Model, ws *Workspace, b *Batch) []float32 {
	x := clone(b)
	m.Sample(ws, x, m.Config.Steps)
	return x.Noisy
}

// drawnConfigs are architectures of odd sizes: single tokens and actions, heads
// that workers cannot share equally.
func drawnConfigs() map[string]Config {
	configs := encoderConfigs()
	few := testConfig()
	few.Cameras, few.Language, few.StateFields = nil, false, nil
	few.Horizon, few.Heads, few.Layers = 1, 1, 1
	configs["one token, one action, one head"] = few
	long := testConfig()
	long.Horizon = groupRows + 6
	configs["a long chunk"] = long
	rng := rand.New(rand.NewPCG(3, 1))
	for i := range 6 {
		c := testConfig()
		c.Heads, c.VisionHeads = 1+rng.IntN(5), 1+rng.IntN(3)
		c.D, c.VisionD = 2*c.Heads*(1+rng.IntN(30)), c.VisionHeads*(1+rng.IntN(9))
		c.Horizon, c.MaxWords, c.ActionDim, c.Steps = 1+rng.IntN(40), 1+rng.IntN(20), 1+rng.IntN(8), 1+rng.IntN(30)
		configs[fmt.Sprintf("drawn %d", i)] = c
	}
	return configs
}

// TestTeam: workers that share in an item give what one gives, on weights as
// they lie, but for rounding; as many always give the same bits.
func TestTeam(t *testing.T) {
	for name, c := range drawnConfigs() {
		t.Run(name, func(t *testing.T) {
			m, b := testModel(t, c, 1), testBatch(c, 1, 1)
			want := sampled(m, m.NewWorkspaceN(1, true, 1), b)
			for _, n := range []int{1, 2, 3, 4, 7} {
				ws := m.NewWorkspaceN(1, false, n)
				if ws.Workers() != n {
					t.Fatalf("%d workers of %d", ws.Workers(), n)
				}
				got := sampled(m, ws, b)
				closeTo(t, fmt.Sprintf("%d workers", n), got, want, 1e-5)
				for range 3 {
					if !slices.Equal(got, sampled(m, ws, b)) {
						t.Fatalf("%d workers: two runs differ", n)
					}
				}
				if !slices.Equal(got, sampled(m, m.NewWorkspaceN(1, false, n), b)) {
					t.Errorf("%d workers: a fresh workspace differs", n)
				}
			}
		})
	}
}

// TestTeamBatches: items of a batch are as those alone.
func TestTeamBatches(t *testing.T) {
	c := testConfig()
	m, rng := testModel(t, c, 1), rand.New(rand.NewPCG(3, 2))
	one := m.NewWorkspaceN(1, false, 2)
	for _, n := range []int{2, 1 + rng.IntN(33), 33} {
		b := testBatch(c, n, uint64(n))
		all, rows := sampled(m, m.NewWorkspaceN(n, false, 2), b), c.Horizon*c.ActionDim
		for _, workers := range []int{1, 3} {
			for _, most := range []int{n, 2 * n} { // in groups, too
				if !slices.Equal(sampled(m, m.NewWorkspaceN(most, false, workers), b), all) {
					t.Errorf("%d items: %d workers with room for %d give other bits than two", n, workers, most)
				}
			}
		}
		for i := range n {
			closeTo(t, fmt.Sprintf("item %d of %d", i, n), sampled(m, one, item(c, b, i)), all[i*rows:(i+1)*rows], 1e-5)
		}
	}
}

// TestTeamVelocity: other jobs than Sample run on one worker as ever, before
// and after it.
func TestTeamVelocity(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	alone, team := m.NewWorkspaceN(1, false, 1), m.NewWorkspaceN(1, false, 2)
	want, got := make([]float32, len(b.Noisy)), make([]float32, len(b.Noisy))
	m.Velocity(alone, b, want)
	for range 2 {
		m.Velocity(team, b, got)
		if !slices.Equal(got, want) {
			t.Error("the velocity differs")
		}
		sampled(m, team, b)
	}
}

// TestTeamReset: after Reset all workers have the new weights.
func TestTeamReset(t *testing.T) {
	for name, c := range encoderConfigs() {
		m, b := testModel(t, c, 1), testBatch(c, 1, 1)
		ws := m.NewWorkspaceN(1, false, 2)
		before := sampled(m, ws, b)
		for i := range m.Params.Data {
			m.Params.Data[i] *= 0.9
		}
		ws.Reset()
		after := sampled(m, ws, b)
		if slices.Equal(before, after) {
			t.Errorf("%s: the old weights", name)
		}
		if !slices.Equal(after, sampled(m, m.NewWorkspaceN(1, false, 2), b)) {
			t.Errorf("%s: not the new weights", name)
		}
	}
}

// TestTeamOnOneProcessor: nobody waits for a worker that has no processor.
func TestTeamOnOneProcessor(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	ws := m.NewWorkspaceN(1, false, 3)
	want := sampled(m, ws, b)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if !slices.Equal(sampled(m, ws, b), want) {
		t.Error("another result on one processor")
	}
}

// TestTeamInACrowd: goroutines that compute as well get their share of the
// processors, and a chunk does not wait for them at every stage.
func TestTeamInACrowd(t *testing.T) {
	c := testConfig()
	c.Layers, c.Steps = 6, 50
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	ws := m.NewWorkspaceN(1, false, 2)
	sampled(m, ws, b)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var stop atomic.Bool
	defer stop.Store(true)
	for range 4 {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	done := make(chan bool)
	go func() {
		for range 3 {
			sampled(m, ws, b)
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second): // 900 stages each; with a turn of all others in each they take minutes
		t.Error("the chunk is not there")
	}
}

// TestTeamLeavesNoGoroutine: policies come and go with hot swaps, and their
// goroutines with them.
func TestTeamLeavesNoGoroutine(t *testing.T) {
	c := testConfig()
	m, b := testModel(t, c, 1), testBatch(c, 1, 1)
	before := runtime.NumGoroutine()
	for range 50 {
		sampled(m, m.NewWorkspaceN(1, false, 4), b)
	}
	for range 1000 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// TestCrew: each part of a stage is done once, before the next stage begins,
// whether who waits spins, sleeps or is late.
func TestCrew(t *testing.T) {
	const n, stages = 5, 300
	for name, set := range map[string]func(*crew){
		"begin": (*crew).begin,
		"spin":  func(t *crew) { t.spin.Store(true); t.yield.Store(false) },
		"sleep": func(t *crew) { t.spin.Store(false); t.yield.Store(false) },
		"yield": func(t *crew) { t.spin.Store(false); t.yield.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrew(n)
			defer c.close()
			set(c)
			var done [stages][n]int // plain memory: the race detector sees what is out of order
			for from := 0; from < stages; {
				k := min(rand.IntN(20), stages-from)
				c.run(k, func(stage, part int) {
					if rand.IntN(100) == 0 {
						time.Sleep(3 * workers.Watch)
					}
					s := from + stage
					if s > 0 && done[s-1] != [n]int{1, 1, 1, 1, 1} {
						t.Errorf("stage %d begins, of the one before parts were done %v times", s, done[s-1])
					}
					done[s][part]++
				})
				from += k
				if from > 0 && done[from-1] != [n]int{1, 1, 1, 1, 1} {
					t.Fatalf("stage %d: parts done %v times", from-1, done[from-1])
				}
				if rand.IntN(50) == 0 {
					time.Sleep(3 * workers.Watch)
				}
			}
		})
	}
}
