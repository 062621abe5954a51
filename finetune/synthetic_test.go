package finetune

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"arfm/bags"
	"arfm/finetune/objective"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

const testContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [a, b], align: hold, max_age_ms: 100}
%s  instruction: {topic: /arfm/instruction, default: "reach"}
action:
  topic: /command
  type: trajectory_msgs/msg/JointTrajectory
  names: [a, b]
  unit: position
  relative: %v
  horizon: 4
normalize: quantile
`

func newContract(t testing.TB, camera, relative bool) *contract.Contract {
	t.Helper()
	images := ""
	if camera {
		images = "  images:\n    top: {topic: /top, type: sensor_msgs/msg/Image, size: [16, 16], align: hold, max_age_ms: 200}\n"
	}
	c, err := contract.Parse(fmt.Appendf(nil, testContract, images, relative))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tiny is an architecture that trains in milliseconds.
func tiny() vla.Config {
	return vla.Config{
		Preset: "tiny", D: 16, Layers: 1, Heads: 2, Patch: 8, VisionD: 8, VisionLayers: 1, VisionHeads: 2,
		Vocab: 16, MaxWords: 2, Steps: 4,
	}
}

// episodes are made in memory: two joints reach for a goal of the task along
// an exponential approach; every third episode fails, with a wrong goal.
func episodes(c *contract.Contract, n, frames int) []bags.Episode {
	rng := rand.New(rand.NewPCG(9, 9))
	out := make([]bags.Episode, n)
	for i := range out {
		e := &out[i]
		e.Bag, e.Index, e.Task, e.Outcome, e.RewardSource = "memory", i, []string{"reach left", "reach right"}[i%2], bags.Success, "success"
		goal := [2]float64{float64(i%2)*2 - 1, 0.5}
		if i%3 == 2 {
			e.Outcome = bags.Failure
			goal = [2]float64{-goal[0], -0.5}
		}
		q := [2]float64{rng.NormFloat64() * 0.3, rng.NormFloat64() * 0.3}
		for k := range frames {
			f := bags.Frame{Observation: policy.Observation{Stamp: int64(k+1) * c.Period(), Instruction: e.Task}}
			f.State = []float32{float32(q[0]), float32(q[1])}
			for j := range q {
				q[j] += 0.15*(goal[j]-q[j]) + 0.002*rng.NormFloat64()
			}
			f.Action = []float32{float32(q[0]), float32(q[1])}
			for _, cam := range c.Cameras() {
				pix := make([]uint8, 3*cam.Width*cam.Height)
				for p := range pix {
					pix[p] = uint8(128 + 100*math.Sin(float64(p)/9+goal[0]))
				}
				f.Images = append(f.Images, policy.Image{Width: cam.Width, Height: cam.Height, Pix: pix})
			}
			e.Frames = append(e.Frames, f)
		}
	}
	return out
}

// testOptions trains the tiny model for a few steps.
func testOptions(t testing.TB, steps int64) Options {
	t.Helper()
	o := Defaults(steps)
	o.Model, o.Batch, o.Out, o.Workers, o.Seed = tiny(), 8, t.TempDir(), 2, 42
	o.Optim.Schedule.Peak, o.Optim.Schedule.WarmUp = 3e-3, 2
	o.SaveEvery, o.EvalEvery, o.EvalChunks, o.HeldOut = 5, 10, 16, 0.25
	o.Optim.EMA, o.Tuning = 0.9, smallCritic
	return o
}

// smallCritic is one that learns in no time.
var smallCritic = objective.Options{"critic-width": "16", "critic-batch": "8", "critic-warm-up": "10"}

// newTrainer is a trainer that has not begun.
func newTrainer(t testing.TB, o Options, c *contract.Contract) *trainer {
	t.Helper()
	obj, err := objective.New(o.Objective, o.Tuning)
	if err != nil {
		t.Fatal(err)
	}
	return &trainer{o: o, contract: c, obj: obj}
}
