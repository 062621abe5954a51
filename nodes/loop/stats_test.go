package loop

import (
	"math"
	"strings"
	"testing"

	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/hotswap"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for ns := int64(1); ns <= 100000; ns++ {
		h.add(ns)
		if v := value(bucket(ns)); v < ns || float64(v) > 1.04*float64(ns)+1 {
			t.Fatalf("%d ns falls into a bucket up to %d", ns, v)
		}
	}
	h.add(math.MaxInt64) // must not overflow the table
	q := h.Quantiles()
	if q.Count != 100001 || q.P50 < 50000 || q.P50 > 52000 || q.P99 < 99000 || q.P99 > 102500 || q.Max != math.MaxInt64 {
		t.Errorf("%+v", q)
	}
	if q := new(Histogram).Quantiles(); q != (Quantiles{}) {
		t.Errorf("empty: %+v", q)
	}
}

// row repeats one row; it allocates nothing after the first.
type row struct{ x float32 }

func (r row) Act(obs *policy.Observation, c *policy.ActionChunk) error {
	c.Stamp, c.Period, c.Dim = obs.Stamp, 50e6, 1
	c.Values = append(c.Values[:0], r.x, r.x, r.x, r.x)
	return nil
}
func (row) Info() policy.Info { return policy.Info{} }

type steady struct{ now int64 }

func (s *steady) Now() int64                     { return s.now }
func (s *steady) Advance(t int64) (int64, error) { s.now = t; return t, nil }
func (s *steady) Observe(t int64, obs *policy.Observation) error {
	obs.Stamp, obs.State = t, append(obs.State[:0], 0.1)
	return nil
}
func (s *steady) Command(*runner.Effects) error { return nil }

// TestTickAllocatesNothing counts whole ticks: observation, inference on its
// goroutine, envelope, guard, statistics.
func TestTickAllocatesNothing(t *testing.T) {
	cfg := runner.Config{Names: []string{"a"}, Period: 50e6, RowPeriod: 50e6, StateIndex: []int{0}}
	r, err := runner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	src := &steady{}
	m := &machine{src: src, sink: src, slot: hotswap.NewSlot(row{0.2}), run: r, inf: startInference(nil), guard: hotswap.NewGuard(hotswap.GuardOptions{}),
		cfg: Config{Runner: cfg, FramePeriod: 50e6, Virtual: true}}
	now := int64(0)
	tick := func() {
		if _, err := m.tick(now); err != nil {
			t.Fatal(err)
		}
		now += 50e6
	}
	for range 700 {
		tick()
	}
	if n := testing.AllocsPerRun(500, tick); n > 0.05 { // the guard's window grows by a bucket now and then
		t.Errorf("%g allocations a tick", n)
	}
	if err := m.inf.stop(); err != nil {
		t.Error(err)
	}
	s := m.stats.result(r.Counters())
	if s.Ticks < 1200 || s.Inferences < 500 || !strings.Contains(s.String(), "ticks") {
		t.Errorf("%+v", s)
	}
}
