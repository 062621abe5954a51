package loop_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/hotswap"
)

func shake(_ *policy.Observation, c *policy.ActionChunk) error {
	for i := range c.Values {
		c.Values[i] += float32(0.4 * float64(1-2*(i/2%2)))
	}
	return nil
}

// TestGuardGoesBackToProven: two bad checkpoints in a row; the first of them
// was in use too briefly to be judged and is not what the arm goes back to.
func TestGuardGoesBackToProven(t *testing.T) {
	_, live, expert, cfg := setup(t, false)
	slot := hotswap.NewSlot(wrapped{expert, "good", nil})
	cfg.Guard, cfg.Ticks = &hotswap.GuardOptions{}, 2000
	n := 0
	s, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
		switch n++; n {
		case 700:
			slot.Swap(wrapped{expert, "bad", shake})
		case 780:
			slot.Swap(wrapped{expert, "worse", shake})
		}
		return live.Command(fx)
	}), slot, cfg)
	if err != nil || s.Rollbacks != 1 || slot.Current().Info().Hash != "good" {
		t.Errorf("in use is %s, %v (%v)", slot.Current().Info().Hash, s, err)
	}
}

// TestGuardConfirms: weights that pass their trial are what the arm goes back to.
func TestGuardConfirms(t *testing.T) {
	_, live, expert, cfg := setup(t, false)
	slot := hotswap.NewSlot(wrapped{expert, "good", nil})
	cfg.Guard, cfg.Ticks = &hotswap.GuardOptions{MinTicks: 50, Window: 200}, 1000
	n := 0
	_, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
		switch n++; n {
		case 200:
			slot.Swap(wrapped{expert, "better", nil})
		case 500:
			slot.Swap(wrapped{expert, "bad", shake})
		}
		return live.Command(fx)
	}), slot, cfg)
	if err != nil || slot.Current().Info().Hash != "better" {
		t.Errorf("in use is %s (%v)", slot.Current().Info().Hash, err)
	}
}

// dropping is the arm with a sensor that drops out.
type dropping struct {
	*eval.Live
	n, from int            // frames
	lost    func(int) bool // by frames since from
	nan     bool           // frames come but hold NaN
}

func (d *dropping) Observe(t int64, obs *policy.Observation) error {
	err := d.Live.Observe(t, obs)
	if d.n++; d.n <= d.from || !d.lost(d.n-d.from) {
		return err
	}
	if d.nan {
		obs.State[0] = float32(math.NaN())
		return err
	}
	return errors.New("/joint_states is stale")
}

// TestGuardForgivesDropouts: sensors that begin to drop out just as new weights
// come are not what those are rolled back for; bad weights are, all the same.
func TestGuardForgivesDropouts(t *testing.T) {
	for i, lost := range []func(int) bool{
		func(n int) bool { return n%4 == 0 },
		func(n int) bool { return n%40 < 25 },
		func(n int) bool { return n < 400 },
	} {
		for _, nan := range []bool{false, true} {
			for _, bad := range []bool{false, true} {
				t.Run(fmt.Sprint(i, nan, bad), func(t *testing.T) {
					_, live, expert, cfg := setup(t, false)
					slot := hotswap.NewSlot(wrapped{expert, "good", nil})
					cfg.Guard, cfg.Ticks = &hotswap.GuardOptions{}, 1500
					next := wrapped{expert, "next", nil}
					if bad {
						next.change = func(_ *policy.Observation, c *policy.ActionChunk) error {
							c.Values[0] = float32(math.Inf(1))
							return nil
						}
					}
					n := 0
					s, err := loop.Run(t.Context(), &dropping{live, 0, 300, lost, nan}, sinkFunc(func(fx *runner.Effects) error {
						if n++; n == 300 {
							slot.Swap(next)
						}
						return live.Command(fx)
					}), slot, cfg)
					if err != nil || (s.Rollbacks != 0) != bad {
						t.Errorf("%v, %v (%v)", s, s.Interventions, err)
					}
				})
			}
		}
	}
}

// TestSpareProcessor: loops that overlap leave the process as they found it.
func TestSpareProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	started, done := make(chan struct{}), make(chan error, 2)
	for i := range 2 {
		_, live, expert, cfg := setup(t, true)
		cfg.Ticks = int64(10 + 10*i)
		first := true
		go func() {
			_, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
				if first {
					first = false
					started <- struct{}{}
				}
				return live.Command(fx)
			}), hotswap.NewSlot(expert), cfg)
			done <- err
		}()
		<-started
	}
	if n := runtime.GOMAXPROCS(0); n != before+1 {
		t.Errorf("%d processors while two loops run, %d before", n, before)
	}
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the loop does not end")
		}
	}
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("%d processors are left, %d before", n, before)
	}
}

// TestCheck: a chunk that is refused moves nothing and counts against new
// weights; one that could not be checked moves nothing and does not.
func TestCheck(t *testing.T) {
	for name, want := range map[string]struct {
		err       error
		rollbacks int64
	}{
		"refused":   {errors.New("collision"), 1},
		"unchecked": {fmt.Errorf("no answer: %w", loop.ErrUnchecked), 0},
	} {
		_, live, expert, cfg := setup(t, false)
		slot := hotswap.NewSlot(wrapped{expert, "good", nil})
		cfg.Guard, cfg.Ticks = &hotswap.GuardOptions{MinTicks: 50}, 1000
		n, led := 0, 0
		cfg.Check = func(*policy.ActionChunk) error {
			if slot.Current().Info().Hash == "new" {
				return want.err
			}
			return nil
		}
		s, err := loop.Run(t.Context(), live, sinkFunc(func(fx *runner.Effects) error {
			if n++; n == 300 {
				slot.Swap(wrapped{expert, "new", nil})
			}
			if n > 350 && fx.Holding == runner.None && slot.Current().Info().Hash == "new" {
				led++
			}
			return live.Command(fx)
		}), slot, cfg)
		if err != nil || s.Rollbacks != want.rollbacks || led > 0 {
			t.Errorf("%s: %d rollbacks, %d ticks led by chunks that were not let through (%v)", name, s.Rollbacks, led, err)
		}
	}
}
