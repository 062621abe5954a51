package sim

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"arfm/nodes/demonstration"
)

// TestDemonstrators: experts do every task, failing ones do not, sloppy ones
// mostly do. ARFM_DEMONSTRATIONS says how many of each to look at, a task.
func TestDemonstrators(t *testing.T) {
	needsMuJoCo(t)
	counts := map[demonstration.Quality]int{demonstration.Expert: 2, demonstration.Sloppy: 1, demonstration.Failing: 1}
	if testing.Short() {
		counts = map[demonstration.Quality]int{demonstration.Expert: 1}
	}
	if s := os.Getenv("ARFM_DEMONSTRATIONS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("ARFM_DEMONSTRATIONS is %q, want a number", s)
		}
		for q := range counts {
			counts[q] = n
		}
	}
	type sum struct {
		episodes, successes int
		reward              float64
	}
	all := map[demonstration.Quality]*sum{}
	for i := range Suites {
		e := newEpisode(t, &Suites[i])
		for task, instruction := range e.Tasks {
			line := ""
			for _, q := range []demonstration.Quality{demonstration.Expert, demonstration.Sloppy, demonstration.Failing} {
				n := 0
				if all[q] == nil {
					all[q] = &sum{}
				}
				for seed := range counts[q] {
					demonstrate(t, e, q, task, uint64(seed), nil)
					if e.Success() {
						n++
					} else if q == demonstration.Expert && len(os.Getenv("ARFM_DEMONSTRATIONS")) == 0 {
						t.Errorf("%s: %s: the expert fails with seed %d, progress %.2f", e.Name, e.Instruction(), seed, e.Progress())
					}
					all[q].reward += e.Return()
				}
				all[q].episodes, all[q].successes = all[q].episodes+counts[q], all[q].successes+n
				line += fmt.Sprintf("%s %d/%d  ", q, n, counts[q])
			}
			t.Logf("%-8s%-64s%s", e.Name, instruction.Instruction, line)
		}
	}
	rate := func(q demonstration.Quality) float64 {
		return float64(all[q].successes) / max(1, float64(all[q].episodes))
	}
	mean := func(q demonstration.Quality) float64 { return all[q].reward / max(1, float64(all[q].episodes)) }
	for _, q := range []demonstration.Quality{demonstration.Expert, demonstration.Sloppy, demonstration.Failing} {
		t.Logf("%s: %d of %d, return %.3f", q, all[q].successes, all[q].episodes, mean(q))
	}
	if rate(demonstration.Expert) < 0.98 || rate(demonstration.Failing) > 0.1 {
		t.Error("experts do not succeed, or failing demonstrators do")
	}
	if !testing.Short() && (rate(demonstration.Sloppy) < 0.75 || !(mean(demonstration.Expert) > mean(demonstration.Sloppy) && mean(demonstration.Sloppy) > mean(demonstration.Failing))) {
		t.Error("sloppy demonstrators do not mostly succeed, or returns do not put the qualities in order")
	}
}

// TestProgress: progress is 1 exactly while all goals hold, rewards sum to the
// progress made, success comes once it held for a moment and stays.
func TestProgress(t *testing.T) {
	for _, c := range []struct {
		suite   string
		task    int
		quality demonstration.Quality
		success bool
	}{
		{"object", 1, demonstration.Expert, true}, {"goal", 3, demonstration.Expert, true}, {"goal", 4, demonstration.Sloppy, true},
		{"long", 0, demonstration.Expert, true}, {"long", 3, demonstration.Expert, true}, {"spatial", 0, demonstration.Failing, false},
	} {
		t.Run(fmt.Sprintf("%s %d %s", c.suite, c.task, c.quality), func(t *testing.T) {
			e := newEpisode(t, suite(t, c.suite))
			first, sum, whole, reached := math.NaN(), 0.0, 0, false
			demonstrate(t, e, c.quality, c.task, 3, func(r float64) {
				if math.IsNaN(first) {
					first = e.Progress() - r/RateHz
				}
				sum += r / RateHz
				done := true
				for _, g := range e.goals {
					done = done && g.done(e)
					if p := g.progress(e); !(p >= 0 && p <= 1) || (p == 1) != g.done(e) {
						t.Fatalf("step %d: progress %g of %T, done %v", e.Steps, p, g, g.done(e))
					}
				}
				if p := e.Progress(); !(p >= 0 && p <= 1) || (p == 1) != done {
					t.Fatalf("step %d: progress %g, done %v", e.Steps, p, done)
				}
				if whole++; !done {
					whole = 0
				}
				reached = reached || whole >= staySteps
				if e.Success() != reached {
					t.Fatalf("step %d: goals hold for %d periods, success %v", e.Steps, whole, e.Success())
				}
			})
			if math.Abs(sum-(e.Progress()-first)) > 1e-9 || math.Abs(e.Return()-sum*RateHz/float64(e.Steps)) > 1e-9 {
				t.Errorf("rewards sum to %g, progress went from %g to %g", sum, first, e.Progress())
			}
			if e.Success() != c.success || first <= 0 && c.success && c.suite != "long" {
				t.Errorf("success %v, progress from %g to %g", e.Success(), first, e.Progress())
			}
		})
	}
}

// TestTimeLimit: an arm that does nothing is out of time, and has not succeeded.
func TestTimeLimit(t *testing.T) {
	e := newEpisode(t, suite(t, "goal"))
	begin(t, e, 0, 1)
	q, _ := e.Arena.Joint()
	for i := range e.TimeLimit {
		if e.Done() {
			t.Fatalf("done after %d of %d periods", i, e.TimeLimit)
		}
		if _, err := e.Step(q, [Joints]float64{}); err != nil {
			t.Fatal(err)
		}
	}
	if !e.Done() || e.Success() || e.Steps != e.TimeLimit {
		t.Errorf("after %d periods: done %v, success %v", e.Steps, e.Done(), e.Success())
	}
	if e.Begin(-1, nil) == nil || e.Begin(len(e.Tasks), nil) == nil {
		t.Error("a task that is not there begins")
	}
}

// TestEpisodesRepeat: an episode is the same to the bit, whatever the arena did
// before it.
func TestEpisodesRepeat(t *testing.T) {
	fresh, used := newEpisode(t, suite(t, "long")), newEpisode(t, suite(t, "long"))
	trace := func(e *Episode, q demonstration.Quality, task int) (out []float64) {
		demonstrate(t, e, q, task, 9, func(r float64) {
			out = append(append(append(out, r), e.Arena.w.QPos...), e.Arena.w.QVel...)
		})
		return out
	}
	trace(used, demonstration.Failing, 2)
	want := trace(fresh, demonstration.Sloppy, 0)
	got := trace(used, demonstration.Sloppy, 0)
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("number %d is %g, want %g", i, got[i], want[i])
		}
	}
}

// TestStarts: objects stand apart and within reach, at other places for other
// seeds, and the instruction says which is meant.
func TestStarts(t *testing.T) {
	for i := range Suites {
		e := newEpisode(t, &Suites[i])
		for task := range e.Tasks {
			seen := map[vec]bool{}
			for seed := range uint64(3) {
				begin(t, e, task, seed)
				seen[e.Arena.Object(0)] = true
				if e.Success() || e.Done() || e.Progress() > 0.5 {
					t.Errorf("%s: %s begins with progress %g", e.Name, e.Instruction(), e.Progress())
				}
				for a := range e.Objects {
					p := e.Arena.Object(a)
					if want := tableTop + e.Objects[a].Rest(); math.Abs(p[2]-want) > 1e-3 || e.Arena.ObjectSpeed(a) > 0.03 {
						t.Errorf("%s: the %s does not rest: %v, %g m/s", e.Name, e.Objects[a].Name, p, e.Arena.ObjectSpeed(a))
					}
					for b := range a {
						if d := flat(p, e.Arena.Object(b)); d < 0.06 {
							t.Errorf("%s: objects stand %.3f m apart", e.Name, d)
						}
					}
				}
				if spot := e.Tasks[task].spot; spot >= 0 && flat(e.Arena.Object(e.target), e.objectSpots[spot]) > 2*e.jitter {
					t.Errorf("%s: the object meant stands at %v", e.Instruction(), e.Arena.Object(e.target))
				}
			}
			if len(seen) != 3 {
				t.Errorf("%s: three seeds give %d starts", e.Name, len(seen))
			}
		}
	}
}

// TestObjectsRest: nothing creeps over the table in 5 s.
func TestObjectsRest(t *testing.T) {
	e := newEpisode(t, suite(t, "object"))
	begin(t, e, 0, 1)
	before := make([]vec, len(e.Objects))
	for i := range before {
		before[i] = e.Arena.Object(i)
	}
	if err := e.Arena.Advance(5e9); err != nil {
		t.Fatal(err)
	}
	for i, p := range before {
		if d := distance(p, e.Arena.Object(i)); d > 1e-3 {
			t.Errorf("the %s creeps %g m in 5 s", e.Objects[i].Name, d)
		}
	}
}
