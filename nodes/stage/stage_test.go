package stage_test

import (
	"context"
	"errors"
	"image"
	"image/gif"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/launch"
	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

// still is a policy that wants to stay where it is.
type still struct {
	c   *contract.Contract
	off float32 // of the first joint, rad: a policy that turns away
}

func (s still) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	chunk.Stamp, chunk.Period, chunk.Dim = obs.Stamp, s.c.Period(), s.c.ActionDim()
	chunk.Values = chunk.Values[:0]
	for range s.c.Horizon() {
		for i := range s.c.ActionDim() {
			v := obs.State[i]
			if i == 0 {
				v += s.off
			}
			chunk.Values = append(chunk.Values, v)
		}
	}
	return nil
}

func (still) Info() policy.Info { return policy.Info{Hash: "still"} }

func load(t *testing.T, name string) *contract.Contract {
	t.Helper()
	yaml, err := launch.Contracts.ReadFile("contracts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func suite(t *testing.T, name string) *sim.Suite {
	t.Helper()
	if !sim.Available {
		t.Skip("this build has no MuJoCo: build with -tags mujoco")
	}
	s, err := sim.FindSuite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContractsThatDoNotFit(t *testing.T) {
	s, err := sim.FindSuite("object")
	if err != nil {
		t.Fatal(err)
	}
	reach, slow, extra := load(t, "reach_2dof.yaml"), load(t, "sim_state.yaml"), load(t, "sim_state.yaml")
	slow.RateHz = 10
	extra.Action.Names = append([]string{"elbow"}, extra.Action.Names[1:]...)
	for want, c := range map[string]*contract.Contract{"/target": reach, "20 Hz": slow, "shoulder_pan_joint": extra} {
		_, err := stage.New(s, c)
		if !errors.Is(err, eval.ErrContract) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, it should name %s", err, want)
		}
	}
	if _, err := stage.New(s, load(t, "sim_state.yaml")); !sim.Available && !errors.Is(err, mujoco.ErrUnavailable) {
		t.Errorf("without MuJoCo: %v", err)
	}
}

// TestEvaluateStill: a policy that does nothing does no task, and no
// intervention is needed to hold the arm.
func TestEvaluateStill(t *testing.T) {
	s, c := suite(t, "goal"), load(t, "sim_state.yaml")
	r, err := eval.Evaluate(t.Context(), stage.Opener(s, c), func() (policy.Policy, error) { return still{c: c}, nil }, eval.Options{Episodes: 5, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.Successes != 0 || len(r.Tasks) != 5 || len(r.Interventions) != 0 {
		t.Errorf("%+v", r)
	}
	if r, err = eval.Evaluate(t.Context(), stage.Opener(s, c, 3), func() (policy.Policy, error) { return still{c: c}, nil }, eval.Options{Episodes: 2}); err != nil || len(r.Tasks) != 1 || r.Tasks[0].Task != s.Tasks[3].Instruction {
		t.Errorf("task 3 alone: %+v (%v)", r.Tasks, err)
	}
}

// TestLive: episode follows episode in the policy loop; in between the arm is
// brought home, and the runner ramps in without a jump.
func TestLive(t *testing.T) {
	s, c := suite(t, "goal"), load(t, "sim_state.yaml")
	st, err := stage.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	live, err := eval.NewLive(st, eval.LiveOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	cfg := live.LoopConfig(8)
	cfg.Ticks = int64(3*s.TimeLimit + 300)
	var last []float64
	worst, limits := 0.0, stage.Limits()
	stats, err := loop.Run(t.Context(), live, sink{live, func(fx *runner.Effects) {
		if fx.Command == nil {
			last = nil
			return
		}
		for j, x := range fx.Command.SetPoint {
			if last != nil {
				worst = max(worst, (x-last[j])*sim.RateHz/limits.Velocity[j], (last[j]-x)*sim.RateHz/limits.Velocity[j])
			}
		}
		last = append(last[:0], fx.Command.SetPoint...)
	}}, hotswap.NewSlot(still{c: c, off: 0.3}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := live.Results(); got.Episodes < 3 || got.Successes != 0 {
		t.Errorf("%+v after %v", got, stats)
	}
	if worst > 1+1e-9 {
		t.Errorf("a set-point moved at %.2f of the joint's velocity limit", worst)
	}
}

type sink struct {
	*eval.Live
	see func(*runner.Effects)
}

func (s sink) Command(fx *runner.Effects) error {
	s.see(fx)
	return s.Live.Command(fx)
}

// TestVideo: a contact sheet and an animation of two episodes.
func TestVideo(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes an animation, which takes a minute under the race detector")
	}
	s, c := suite(t, "goal"), load(t, "sim_state.yaml")
	reels, err := stage.Shoot(context.Background(), stage.Opener(s, c), func() (policy.Policy, error) { return still{c: c, off: 0.5}, nil }, eval.Options{Episodes: 2})
	if errors.Is(err, mujoco.ErrRender) {
		t.Skip("this machine cannot render: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	want := s.TimeLimit/stage.VideoEvery + 1
	if len(reels) != 2 || len(reels[0].Frames) != want || reels[1].Task != s.Tasks[1].Instruction {
		t.Fatalf("%d reels, %d frames, not 2 and %d", len(reels), len(reels[0].Frames), want)
	}
	dir := t.TempDir()
	open := func(name string) io.ReadCloser {
		path := filepath.Join(dir, name)
		if err := stage.WriteVideo(path, reels); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	sheet, err := png.Decode(open("sheet.png"))
	if err != nil || sheet.Bounds().Dx() <= 8*stage.VideoWidth || sheet.Bounds().Dy() <= 2*stage.VideoHeight {
		t.Errorf("the contact sheet: %v (%v)", sheet.Bounds(), err)
	}
	if g, err := gif.DecodeAll(open("film.gif")); err != nil || len(g.Image) != 2*want {
		t.Errorf("the animation: %v", err)
	}
	for path, want := range map[string]string{"x.avi": ".mp4", filepath.Join(dir, "none", "x.png"): "folder"} {
		if err := stage.WriteVideo(path, reels); !errors.Is(err, stage.ErrVideo) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSpread(t *testing.T) {
	for n, want := range map[int][]int{1: {0}, 3: {0, 1, 2}, 9: {0, 2, 4, 6, 8}} {
		r := stage.Reel{Frames: reel(n)}
		got := r.Spread(5)
		if len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("5 of %d frames: %v", n, got)
		}
	}
}

func reel(n int) []image.Image {
	return make([]image.Image, n)
}
