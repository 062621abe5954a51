package reward

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"arfm/bags"
	"arfm/bags/bagtest"
	"arfm/policy"
	"arfm/policy/contract"
)

const testContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [a, b, gripper]}
%saction:
  topic: /command
  type: trajectory_msgs/msg/JointTrajectory
  names: [a, b]
  unit: position
  horizon: 4
reward: %s
`

// newContract has two joints and a gripper in the state, and cameras as the
// lines of its images say.
func newContract(t testing.TB, images, reward string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse(fmt.Appendf(nil, testContract, images, reward))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leg is a part of a made-up episode: joint a goes to a place along a minimum
// jerk, the gripper to an opening in the first 0.3 s.
type leg struct{ seconds, to, grip float64 }

// play makes the frames of legs at 20 Hz, with noise on every number.
func play(legs []leg, noise float64, seed uint64) []bags.Frame {
	rng := rand.New(rand.NewPCG(seed, 1))
	var out []bags.Frame
	q, g := 0.0, legs[0].grip
	for _, l := range legs {
		from, grip := q, g
		n := int(math.Round(l.seconds * 20))
		for k := range n {
			x := float64(k+1) / float64(n)
			q = from + (l.to-from)*x*x*x*(10+x*(6*x-15))
			g = grip + (l.grip-grip)*min(1, float64(k+1)/6)
			s := []float32{float32(q + noise*rng.NormFloat64()), float32(0.5*q + noise*rng.NormFloat64()), float32(g + noise*rng.NormFloat64())}
			out = append(out, bags.Frame{
				Observation: policy.Observation{Stamp: int64(len(out)+1) * 50e6, State: s},
				Action:      []float32{float32(q), float32(0.5 * q)},
			})
		}
	}
	return out
}

// pick is an episode of picking and placing: there (1.5 s), close (to 3.0 s), away
// with a way point, rest, and back.
var pick = []leg{{1.5, 1, 1}, {1.5, 1, 0}, {1, 2, 0}, {1, 3, 0}, {1, 3, 0}, {1, 2, 0}, {1, 2, 1}, {2, 0, 1}}

// TestSubGoals finds the parts of an episode with known ones: the frame at which
// the gripper or the arm has come to rest, within a tenth of a second, and no
// other, with noise and without.
func TestSubGoals(t *testing.T) {
	in := newContract(t, "", "{}").RewardInputs()
	// closed at 1.8 s, at rest at 5.0, back at 7.0 (where the gripper has opened
	// at 7.3), the end at 10.
	want := []float64{1.8, 5, 7.3, 10}
	for _, noise := range []float64{0, 0.001, 0.005} {
		for seed := range uint64(20) {
			frames := play(pick, noise, seed)
			got := SubGoals(frames, in)
			ok := len(got) == len(want)
			for i := range want {
				ok = ok && math.Abs(float64(frames[got[i]].Stamp)*1e-9-want[i]) <= 0.2
			}
			if !ok || got[len(got)-1] != len(frames)-1 {
				t.Errorf("noise %v, seed %d: sub-goals at frames %v, want %v s", noise, seed, got, want)
			}
		}
	}
}

func TestSubGoalsOfDullEpisodes(t *testing.T) {
	in := newContract(t, "", "{}").RewardInputs()
	still := []leg{{10, 0, 0.5}}
	for name, c := range map[string]struct {
		frames []bags.Frame
		want   []int
	}{
		"nothing":            {nil, nil},
		"one frame":          {play(pick, 0, 1)[:1], []int{0}},
		"two frames":         {play(pick, 0, 1)[:2], []int{1}},
		"standing still":     {play(still, 0, 1), []int{199}},
		"noise":              {play(still, 0.001, 1), []int{199}},
		"more noise":         {play(still, 0.01, 2), []int{199}},
		"never at rest":      {play([]leg{{5, 3, 1}}, 0.001, 3), []int{99}},
		"a short stop":       {play([]leg{{1, 1, 1}, {0.1, 1, 1}, {1, 2, 1}}, 0, 1), []int{41}},
		"a flicker of grip":  {flicker(play([]leg{{2, 1, 1}}, 0, 1), 20, 2), []int{39}},
		"a grip that stays":  {flicker(play([]leg{{2, 1, 1}}, 0, 1), 15, 8), []int{15, 39}},
		"the end is at rest": {play([]leg{{2, 1, 1}, {0.25, 1, 1}}, 0, 1), []int{44}},
	} {
		if got := SubGoals(c.frames, in); !slices.Equal(got, c.want) {
			t.Errorf("%s: sub-goals at %v, want %v", name, got, c.want)
		}
	}
	slips := play(pick, 0.001, 4)
	want := SubGoals(slips, in)
	for _, i := range []int{20, 21, 95, 96, 110, 170} { // two readings of a joint that are far off
		slips[i].State[0] += 1.4
	}
	near := func(a, b int) bool { return a-b <= 2 && b-a <= 2 }
	if got := SubGoals(slips, in); !slices.EqualFunc(got, want, near) || len(got) != 4 {
		t.Errorf("with wrong readings there are sub-goals at %v, without at %v", got, want)
	}
	none := newContract(t, "", "{joints: [a, b]}").RewardInputs()
	none.GripperState = -1
	if got := SubGoals(flicker(play([]leg{{2, 1, 1}}, 0, 1), 15, 8), none); !slices.Equal(got, []int{39}) {
		t.Errorf("without a gripper there are sub-goals at %v", got)
	}
}

// flicker closes the gripper for n frames.
func flicker(frames []bags.Frame, at, n int) []bags.Frame {
	for i := at; i < at+n; i++ {
		frames[i].State[2] = 0
	}
	return frames
}

// TestSubGoalsOfARealArm: on a recording of a real arm, whose servos now and then
// misread a joint by 1.4 rad, a sub-goal is a frame before which the arm moved
// and after which it does not.
func TestSubGoalsOfARealArm(t *testing.T) {
	path := bagtest.Shared(t, "bags/arm/ros2bag_2025-03-19_14-25-15.db3")
	c, err := contract.Load("../../launch/contracts/tactile_servo_3dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	episodes, _, err := bags.ReadEpisodes(t.Context(), path, c, bags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames := episodes[0].Frames
	goals := SubGoals(frames, c.RewardInputs())
	t.Logf("%d frames, sub-goals at %v", len(frames), goals)
	if len(goals) < 2 || len(goals) > 20 || goals[len(goals)-1] != len(frames)-1 {
		t.Fatalf("sub-goals of %d frames are %v", len(frames), goals)
	}
	moved := func(from, to int) (most float64) {
		for i := from + 1; i < to; i++ {
			for j := range 3 {
				most = max(most, math.Abs(float64(frames[i].State[j]-frames[from].State[j])))
			}
		}
		return most
	}
	for _, g := range goals[:len(goals)-1] {
		if before, after := moved(g-20, g), moved(g, g+4); before < 5*after || after > 0.05 {
			t.Errorf("the arm moves by %.3f rad in 2 s before frame %d and by %.3f in 0.4 s after it", before, g, after)
		}
	}
}
