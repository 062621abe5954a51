package sim

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"arfm/bags"
	"arfm/bags/rosbag2"
	"arfm/nodes/demonstration"
	"arfm/nodes/sim/mujoco"
	"arfm/policy/contract"
)

// needsCameras skips a test where nothing can be rendered.
func needsCameras(t testing.TB) {
	t.Helper()
	a := newArena(t, nil, nil)
	r, err := mujoco.NewRenderer(a.w, ImageSide, ImageSide)
	if errors.Is(err, mujoco.ErrRender) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

func record(t testing.TB, suiteName string, o demonstration.Options) demonstration.Recorded {
	t.Helper()
	out, err := Record(context.Background(), t.TempDir(), suite(t, suiteName), o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func loadContract(t testing.TB, name string) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRecordIsDeterministic: the same options give the same bytes.
func TestRecordIsDeterministic(t *testing.T) {
	needsCameras(t)
	o := demonstration.Options{Episodes: 2, Seed: 5, PerBag: 1, Quality: demonstration.Mixed}
	a, b := record(t, "goal", o), record(t, "goal", o)
	if len(a.Bags) != 2 || a.Episodes != 2 {
		t.Fatalf("%+v", a)
	}
	for i := range a.Bags {
		files, err := os.ReadDir(a.Bags[i])
		if err != nil || len(files) != 2 {
			t.Fatal(err, files)
		}
		for _, f := range files {
			x, err := os.ReadFile(filepath.Join(a.Bags[i], f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			y, err := os.ReadFile(filepath.Join(b.Bags[i], f.Name()))
			if err != nil || !bytes.Equal(x, y) {
				t.Errorf("%s differs between two recordings (%v)", f.Name(), err)
			}
		}
	}
}

// TestRecordFits: every suite's recordings fit both contracts, without a frame
// dropped, and hold what the demonstrator did.
func TestRecordFits(t *testing.T) {
	needsCameras(t)
	for i := range Suites {
		s := &Suites[i]
		if testing.Short() && s.Name != "goal" {
			continue
		}
		out := record(t, s.Name, demonstration.Options{Episodes: 1, Seed: uint64(i), Quality: demonstration.Expert})
		for _, name := range []string{"sim_state.yaml", "sim_vision.yaml"} {
			checkBag(t, &out, loadContract(t, name), s.Name+" "+name)
		}
	}
	out := record(t, "goal", demonstration.Options{Episodes: 2, NoImages: true})
	checkBag(t, &out, loadContract(t, "sim_state.yaml"), "without images")
	if report, err := bags.Check(t.Context(), out.Bags[0], loadContract(t, "sim_vision.yaml")); err != nil || !errors.Is(report.Err(), bags.ErrTopic) {
		t.Errorf("a recording without images fits a contract with them: %v, %v", err, report.Err())
	}
}

// checkBag reads a recording as training does.
func checkBag(t *testing.T, out *demonstration.Recorded, c *contract.Contract, name string) {
	t.Helper()
	episodes, report, err := bags.ReadEpisodes(t.Context(), out.Bags[0], c, bags.Options{})
	if err != nil || report.Err() != nil {
		t.Fatalf("%s: %v, %v", name, err, report)
	}
	for _, topic := range report.Topics {
		if len(topic.Dropped) != 0 || topic.Refused+topic.Skipped+topic.Unstamped+topic.OutOfOrder != 0 {
			t.Errorf("%s: %s: dropped %v, refused %d: %s", name, topic.Topic, topic.Dropped, topic.Refused, topic.Reason)
		}
	}
	frames, successes := 0, 0
	for _, e := range episodes {
		frames += len(e.Frames)
		if e.Outcome == bags.Success {
			successes++
		}
		if out.ByTask[e.Task].Episodes != 1 || e.RewardSource != bags.RewardTopic {
			t.Errorf("%s: task %q, rewards from %q", name, e.Task, e.RewardSource)
		}
		sum := 0.0
		for _, f := range e.Frames {
			sum += f.Reward / RateHz
			if len(f.Images) != len(c.Observation.Images) || len(f.Action) != Joints {
				t.Fatalf("%s: a frame of %d images and %d actions", name, len(f.Images), len(f.Action))
			}
		}
		if e.Outcome == bags.Success && !(sum > 0.5 && sum < 1.001) {
			t.Errorf("%s: %s: rewards of a success sum to a progress of %g", name, e.Task, sum)
		}
	}
	if len(episodes) != out.Episodes || frames != out.Frames || successes != out.Successes || len(report.Problems)+len(report.Notes) != 0 {
		t.Errorf("%s: %d episodes, %d frames, %d successes, want %d, %d, %d; %v %v", name,
			len(episodes), frames, successes, out.Episodes, out.Frames, out.Successes, report.Problems, report.Notes)
	}
}

func TestRecordRefuses(t *testing.T) {
	needsMuJoCo(t)
	ctx, dir, s := context.Background(), t.TempDir(), suite(t, "object")
	one := demonstration.Options{Episodes: 1, NoImages: true, Quality: demonstration.Expert}
	if _, err := Record(ctx, dir, s, one); err != nil {
		t.Fatal(err)
	}
	if _, err := Record(ctx, dir, s, one); !errors.Is(err, rosbag2.ErrExists) {
		t.Errorf("an existing bag: %v", err)
	}
	if _, err := Record(ctx, dir, nil, one); err == nil {
		t.Error("no suite")
	}
	if _, err := Record(ctx, dir, s, demonstration.Options{}); err == nil {
		t.Error("no episodes")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	other := filepath.Join(dir, "x")
	if _, err := Record(cancelled, other, s, one); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(other); len(left) != 0 {
		t.Errorf("a cancelled recording leaves %v", left)
	}
}

// TestUnavailable: without MuJoCo everything says what to install.
func TestUnavailable(t *testing.T) {
	if Available {
		t.Skip("built with MuJoCo")
	}
	if _, err := Record(context.Background(), filepath.Join(t.TempDir(), "x"), suite(t, "object"), demonstration.Options{Episodes: 1}); !errors.Is(err, mujoco.ErrUnavailable) {
		t.Error(err)
	}
}

func TestFindSuite(t *testing.T) {
	if _, err := FindSuite("libero"); err == nil {
		t.Error("an unknown suite is found")
	}
	for _, s := range Suites {
		if got, err := FindSuite(s.Name); err != nil || got.Name != s.Name || len(got.Tasks) != 5 {
			t.Errorf("%s: %v, %v", s.Name, got, err)
		}
	}
}
