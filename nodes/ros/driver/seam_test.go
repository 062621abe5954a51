//go:build ros

package driver

import (
	"math"
	"testing"
	"time"

	"arfm/nodes/runner"
	"arfm/policy"
)

const row = int64(50e6)

// planned runs a runner for one joint and returns its plans, with the time that
// each is sent at.
func planned(t *testing.T, late int64) (plans []plan, at []int64) {
	t.Helper()
	r, err := runner.New(runner.Config{Names: []string{"a"}, Period: row, RowPeriod: row, StateIndex: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	r.Step(runner.NewPolicy(1))
	q := 0.0
	for k := range int64(60) {
		now := (k + 100) * row
		if fx := r.Step(runner.Observed(&policy.Observation{Stamp: now, State: []float32{float32(q)}})); fx.Infer != nil {
			c := &policy.ActionChunk{Stamp: now, Period: row, Dim: 1}
			for h := range 16 {
				c.Values = append(c.Values, float32(0.3*math.Sin(float64(now+int64(h+1)*row)*1e-9*2+0.02*float64(fx.Infer.Seq%2))))
			}
			r.Step(runner.ChunkReady(fx.Infer.Seq, c, nil))
		}
		if k == 55 {
			r.Step(runner.Stop("test"))
		}
		fx := r.Step(runner.Tick(now))
		if fx.Command == nil {
			continue
		}
		q = fx.Command.SetPoint[0]
		if fx.Command.Trajectory != nil {
			var p plan
			p.load(fx.Command, 16*row)
			p.first = len(plans) == 0
			plans, at = append(plans, p), append(at, now+late)
		}
	}
	if len(plans) < 5 {
		t.Fatalf("only %d plans", len(plans))
	}
	return plans, at
}

// TestSeam: whatever time a plan is sent at, it leaves from where the one before
// is, times increase, none has passed, and it ends at rest.
func TestSeam(t *testing.T) {
	for _, late := range []int64{0, 3e6, 20e6, 49e6, 130e6} {
		plans, at := planned(t, late)
		s := newSeam(1, false, late%7e6)
		var before points
		worst, jump, bend := 0.0, 0.0, 0.0
		for i := range plans {
			pts := s.lay(&plans[i], at[i])
			if pts == nil {
				t.Fatalf("late %d: plan %d gives nothing", late, i)
			}
			n := len(pts.times)
			for k := 1; k < n; k++ {
				if pts.times[k] <= pts.times[k-1] {
					t.Fatalf("late %d: plan %d has times %v", late, i, pts.times)
				}
			}
			if pts.times[0] < at[i] || pts.vel[n-1] != 0 {
				t.Errorf("late %d: plan %d begins %d ns before now, ends with velocity %g", late, i, at[i]-pts.times[0], pts.vel[n-1])
			}
			if i > 0 {
				q, v, Q, V := make([]float64, 1), make([]float64, 1), make([]float64, 1), make([]float64, 1)
				for x := at[i]; x <= at[i]+s.lead; x += 1e5 {
					before.at(x, 1, q, v)
					pts.at(x, 1, Q, V)
					worst, jump = max(worst, math.Abs(Q[0]-q[0])), max(jump, math.Abs(V[0]-v[0]))
				}
				// The limit of 5 rad/s^2 is on differences of set-points, 50 ms
				// apart; the curve through them may bend more.
				for x := at[i]; x < pts.times[n-1]; x += 1e6 {
					pts.at(x, 1, q, v)
					pts.at(x+1e6, 1, Q, V)
					bend = max(bend, math.Abs(V[0]-v[0])/1e-3)
				}
			}
			before = points{append([]int64(nil), s.sent.times...), append([]float64(nil), s.sent.pos...), append([]float64(nil), s.sent.vel...)}
		}
		t.Logf("late %v: accelerates by at most %.1f rad/s^2", time.Duration(late), bend)
		if bend > 20 {
			t.Errorf("late %v: accelerates by %.1f rad/s^2", time.Duration(late), bend)
		}
		if worst > 1e-12 || jump > 1e-12 {
			t.Errorf("late %d: seams jump by %g rad and %g rad/s", late, worst, jump)
		}
	}
}

// TestSeamEnds: with a controller that allows it the braking behind the chunk is
// left out, but not that of a hold; a plan that has passed is not sent.
func TestSeamEnds(t *testing.T) {
	plans, at := planned(t, 0)
	s := newSeam(1, true, 0)
	for i := range plans {
		p := &plans[i]
		pts := s.lay(p, at[i])
		last := pts.times[len(pts.times)-1]
		if following := p.generation != 0; following && last > p.rows || !following && last != p.times[len(p.times)-1] {
			t.Errorf("plan %d of generation %d ends at %d, its rows at %d", i, p.generation, last, p.rows)
		}
		if p.generation != 0 && pts.vel[len(pts.times)-1] == 0 {
			t.Errorf("plan %d ends at rest", i)
		}
	}
	if pts := s.lay(&plans[1], plans[1].times[len(plans[1].times)-1]+1); pts != nil {
		t.Errorf("a plan of the past gives %v", pts.times)
	}
	if pts := s.lay(&plan{points: points{times: []int64{1}, pos: []float64{1, 2}, vel: []float64{1, 2}}}, 0); pts != nil {
		t.Error("a plan of other joints is taken")
	}
}

// TestSeamAfterAJump: where the clock was set back, what was sent before is of
// no time that is to come.
func TestSeamAfterAJump(t *testing.T) {
	plans, at := planned(t, 0)
	s := newSeam(1, false, 5e6)
	if s.lay(&plans[4], at[4]) == nil {
		t.Fatal("the first plan gives nothing")
	}
	p := plans[2]
	pts := s.lay(&p, at[2])
	if pts == nil || pts.times[0] != p.times[0] || pts.pos[0] != p.pos[0] {
		t.Errorf("after a jump back it sends %+v, the plan is %+v", pts, p.points)
	}
}

// TestSenderKeepsTheNewest: a plan that waits gives way to the next, but what it
// took back stays taken back.
func TestSenderKeepsTheNewest(t *testing.T) {
	begun, release := make(chan bool), make(chan bool)
	var got []plan
	s := newSender(func(p *plan) {
		got = append(got, *p)
		if len(got) == 1 {
			begun <- true
			<-release
		}
	})
	s.put(func(p *plan) { p.stamp = 1 })
	<-begun
	s.put(func(p *plan) { p.forget = true })
	s.put(func(p *plan) { p.stamp = 2 })
	s.put(func(p *plan) { p.stamp = 3 })
	close(release)
	s.close()
	if len(got) != 2 || got[1].stamp != 3 || !got[1].first || got[1].forget {
		t.Errorf("sent %+v", got)
	}
}
