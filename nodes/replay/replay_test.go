package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"arfm/bags/bagtest"
	"arfm/nodes/demonstration"
	"arfm/nodes/loop"
	"arfm/nodes/reach"
	"arfm/nodes/replay"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

func load(t testing.TB, name string) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func recorded(t testing.TB, q demonstration.Quality, episodes int) string {
	t.Helper()
	out, err := reach.Record(context.Background(), t.TempDir(), demonstration.Options{Episodes: episodes, Seed: 5, Quality: q})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bags[0]
}

func open(t testing.TB, path string, c *contract.Contract, o replay.Options) *replay.Source {
	t.Helper()
	s, err := replay.Open(t.Context(), path, c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestExpertAgainstRecordings: the expert foresees an expert's actions better
// than those of demonstrators that fail, and nearby rows better than far ones.
func TestExpertAgainstRecordings(t *testing.T) {
	c := load(t, "reach_2dof.yaml")
	expert, err := reach.NewExpertPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	var mae [2]float64
	for i, q := range []demonstration.Quality{demonstration.Expert, demonstration.Failing} {
		src := open(t, recorded(t, q, 6), c, replay.Options{})
		s, err := loop.Run(t.Context(), src, src, hotswap.NewSlot(expert), src.LoopConfig(reach.Limits(), 8))
		if err != nil {
			t.Fatal(err)
		}
		e := src.Errors()
		t.Logf("%s: %v", q, e)
		if n := src.Counts(); n.Refused != 0 || n.Breaks != 0 || n.Rounds != 1 {
			t.Errorf("%+v", n)
		}
		if s.Frames.Failed > 2 || s.Ticks < 100 || e.Count < 100 {
			t.Errorf("%+v, %d compared", s, e.Count)
		}
		mae[i] = e.MAE[0] + e.MAE[1]
		if e.ByRow[0] > e.ByRow[10] {
			t.Errorf("the next step is harder to foresee than the tenth: %v", e.ByRow)
		}
	}
	if mae[0] > 0.2 || mae[1] < 1.5*mae[0] {
		t.Errorf("errors %v", mae)
	}
}

// oracle answers with the recorded actions, found by a first pass.
type oracle map[int64][]float32

func (o oracle) Act(obs *policy.Observation, c *policy.ActionChunk) error {
	c.Stamp, c.Period, c.Dim, c.Values = obs.Stamp, reach.Period, 2, c.Values[:0]
	for h := range int64(16) {
		row := o[obs.Stamp+(h+1)*reach.Period]
		if row == nil {
			row = []float32{0, 0}
		}
		c.Values = append(c.Values, row...)
	}
	return nil
}
func (oracle) Info() policy.Info { return policy.Info{} }

// TestOracleHasNoError: rows, stamps and recorded actions line up. With one
// period of difference the error would be that of a moving arm.
func TestOracleHasNoError(t *testing.T) {
	c := load(t, "reach_2dof.yaml")
	path := recorded(t, demonstration.Expert, 3)
	truth := oracle{}
	for _, fill := range []bool{true, false} {
		src := open(t, path, c, replay.Options{})
		cfg := src.LoopConfig(reach.Limits(), 8)
		if fill { // what the state was at t is where the command for t had put it
			var obs policy.Observation
			start, end := src.Span()
			for at := start; at <= end; at += reach.Period {
				if err := src.Observe(at, &obs); err == nil {
					truth[at] = append([]float32(nil), obs.State[:2]...)
				}
			}
			continue
		}
		if _, err := loop.Run(t.Context(), src, src, hotswap.NewSlot(truth), cfg); err != nil {
			t.Fatal(err)
		}
		if e := src.Errors(); e.Count < 50 || e.MAE[0] > 1e-6 || e.MAE[1] > 1e-6 {
			t.Errorf("%+v", e)
		}
	}
}

func TestLoopAndSpeed(t *testing.T) {
	c := load(t, "reach_2dof.yaml")
	path := recorded(t, demonstration.Expert, 1)
	expert, err := reach.NewExpertPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, speed := range []float64{0, 10} {
		src := open(t, path, c, replay.Options{Speed: speed, Loop: true})
		cfg := src.LoopConfig(reach.Limits(), 8)
		cfg.Ticks = 100
		s, err := loop.Run(t.Context(), src, src, hotswap.NewSlot(expert), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if n := src.Counts(); n.Rounds < 2 || s.Ticks != 100 || s.Inferences < 4 {
			t.Errorf("speed %g: %+v, %+v", speed, n, s)
		}
	}
}

// TestRealBag plays a recording of a real arm: twist actions, no names, zero
// stamps.
func TestRealBag(t *testing.T) {
	c := load(t, "tactile_servo_3dof.yaml")
	src := open(t, bagtest.Shared(t, "bags/arm/ros2bag_2025-03-19_14-25-15.db3"), c, replay.Options{})
	h, a := c.Horizon(), c.ActionDim()
	s, err := loop.Run(t.Context(), src, src, hotswap.NewSlot(zero{h, a, c.Period()}), src.LoopConfig(runner.Limits{}, 8))
	if err != nil {
		t.Fatal(err)
	}
	n := src.Counts()
	t.Log(s, src.Errors(), n)
	if s.Frames.Used == 0 || n.Messages == 0 {
		t.Errorf("%+v, %+v", s, n)
	}
}

type zero struct {
	h, a   int
	period int64
}

func (z zero) Act(obs *policy.Observation, c *policy.ActionChunk) error {
	*c = policy.ActionChunk{Stamp: obs.Stamp, Period: z.period, Dim: z.a, Values: make([]float32, z.h*z.a)}
	return nil
}
func (zero) Info() policy.Info { return policy.Info{} }

func TestOpenRefuses(t *testing.T) {
	c := load(t, "reach_2dof.yaml")
	path := recorded(t, demonstration.Expert, 1)
	if _, err := replay.Open(t.Context(), path, load(t, "tactile_servo_3dof.yaml"), replay.Options{}); !errors.Is(err, replay.ErrTopic) {
		t.Errorf("another contract: %v", err)
	}
	if _, err := replay.Open(t.Context(), path, c, replay.Options{Speed: -1}); err == nil {
		t.Error("a negative speed")
	}
	if _, err := replay.Open(t.Context(), path+"x", c, replay.Options{}); err == nil {
		t.Error("no bag")
	}
	src := open(t, path, c, replay.Options{})
	_, end := src.Span()
	if _, err := src.Advance(end + 1); !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %v", err)
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "reach")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	rec, err := reach.Record(context.Background(), dir, demonstration.Options{Episodes: 2, Quality: demonstration.Expert})
	if err != nil {
		panic(err)
	}
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		panic(err)
	}
	expert, err := reach.NewExpertPolicy(c)
	if err != nil {
		panic(err)
	}
	src, err := replay.Open(context.Background(), rec.Bags[0], c, replay.Options{})
	if err != nil {
		panic(err)
	}
	defer src.Close()
	stats, err := loop.Run(context.Background(), src, src, hotswap.NewSlot(expert), src.LoopConfig(reach.Limits(), 8))
	if err != nil {
		panic(err)
	}
	fmt.Println(stats.Missed, "ticks missed,", src.Errors().Count > 0)
	// Output: 0 ticks missed, true
}
