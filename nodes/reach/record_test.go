package reach

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"arfm/bags"
	"arfm/bags/rosbag2"
	"arfm/nodes/demonstration"
	"arfm/policy/contract"
)

func loadContract(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func record(t testing.TB, dir string, o demonstration.Options) demonstration.Recorded {
	t.Helper()
	out, err := Record(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecordIsDeterministic(t *testing.T) {
	var sums [2][][]byte
	for i := range sums {
		dir := t.TempDir()
		out := record(t, dir, demonstration.Options{Episodes: 5, Seed: 3, PerBag: 3})
		if out.Episodes != 5 || len(out.Bags) != 2 {
			t.Fatalf("%+v", out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sums[i] = append(sums[i], data)
		}
	}
	if len(sums[0]) != 4 {
		t.Fatalf("%d files, want two bags of an MCAP and a metadata.yaml", len(sums[0]))
	}
	for k := range sums[0] {
		if !bytes.Equal(sums[0][k], sums[1][k]) {
			t.Errorf("file %d differs between two recordings", k)
		}
	}
}

// TestRecordedFrames reads recordings back as training does and compares every
// frame with the demonstration played again.
func TestRecordedFrames(t *testing.T) {
	c := loadContract(t)
	out := record(t, t.TempDir(), demonstration.Options{Episodes: 8, Seed: 11})
	report, err := bags.Check(t.Context(), out.Bags[0], c)
	if err != nil || report.Err() != nil {
		t.Fatal(err, report)
	}
	for _, topic := range report.Topics {
		if len(topic.Dropped) != 0 || topic.Refused != 0 {
			t.Errorf("%s: dropped %v, refused %d: %s", topic.Topic, topic.Dropped, topic.Refused, topic.Reason)
		}
	}
	episodes, _, err := bags.ReadEpisodes(t.Context(), out.Bags[0], c, bags.Options{})
	if err != nil || len(episodes) != 8 {
		t.Fatalf("%d episodes, %v", len(episodes), err)
	}
	successes, mixed := 0, demonstration.Options{Episodes: 1}
	if err := mixed.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, e := range episodes {
		rng := rand.New(rand.NewPCG(11, uint64(i)))
		w := NewWorld(rng)
		demo := newDemonstrator(mixed.Draw(rng), w, rng)
		if e.Task != Instruction || e.RewardSource != bags.RewardTopic {
			t.Errorf("episode %d: task %q, rewards from %q", i, e.Task, e.RewardSource)
		}
		for k, f := range e.Frames {
			want := []float32{float32(w.Q[0]), float32(w.Q[1]), float32(w.Target.X), float32(w.Target.Y)}
			if !slices.Equal(f.State, want) || len(f.Images) != 1 || f.Images[0].Width != ImageSide {
				t.Fatalf("episode %d frame %d: state %v, want %v", i, k, f.State, want)
			}
			set, _ := demo.next()
			if d := math.Abs(float64(f.Action[0])-set[0]) + math.Abs(float64(f.Action[1])-set[1]); d > 1e-6 {
				t.Fatalf("episode %d frame %d: action %v, want %v", i, k, f.Action, set)
			}
			if r := w.Step(set); math.Abs(r-f.Reward) > 1e-9 {
				t.Fatalf("episode %d frame %d: reward %g, want %g", i, k, f.Reward, r)
			}
		}
		if _, more := demo.next(); more && w.Steps < MaxSteps {
			t.Errorf("episode %d ends early, after %d frames", i, len(e.Frames))
		}
		if w.Success() != (e.Outcome == bags.Success) || !w.Success() != (e.Outcome == bags.Failure) {
			t.Errorf("episode %d: %s, success %v", i, e.Outcome, w.Success())
		}
		if w.Success() {
			successes++
		}
	}
	if successes != out.Successes || successes == 0 || successes == 8 {
		t.Errorf("%d successes, recorded %d", successes, out.Successes)
	}
}

func TestRecordRefuses(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, demonstration.Options{Episodes: 1, NoImages: true})
	ctx := context.Background()
	if _, err := Record(ctx, dir, demonstration.Options{Episodes: 1}); !errors.Is(err, rosbag2.ErrExists) {
		t.Errorf("an existing bag: %v", err)
	}
	if _, err := Record(ctx, dir, demonstration.Options{}); err == nil {
		t.Error("no episodes")
	}
	if _, err := Record(ctx, dir, demonstration.Options{Episodes: 1, Quality: "good"}); err == nil {
		t.Error("an unknown quality")
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	other := filepath.Join(dir, "x")
	if _, err := Record(ctx, other, demonstration.Options{Episodes: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(other); len(left) != 0 {
		t.Errorf("a cancelled recording leaves %v", left)
	}
}
