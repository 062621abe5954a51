package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"arfm/bags"
	"arfm/finetune"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// TrainReport is the time of a training step.
type TrainReport struct {
	Machine    Machine         `json:"machine"`
	Preset     string          `json:"preset"`
	Parameters int             `json:"parameters"`
	Context    int             `json:"context_tokens"`
	Horizon    int             `json:"horizon"`
	Batch      int             `json:"batch"`
	Step       Times           `json:"step"`
	Timing     finetune.Timing `json:"timing"`      // means, s
	Overhead   float64         `json:"overhead_pc"` // share outside network and optimiser, percent
}

func (r *TrainReport) String() string {
	return fmt.Sprintf("%s: %d parameters, %d context tokens, horizon %d, batch %d\nstep: %v\nnetwork %.2f ms, objective %.2f ms, optimiser %.2f ms, data %.2f ms, log %.2f ms: %.1f %% outside network and optimiser\non %v\n",
		r.Preset, r.Parameters, r.Context, r.Horizon, r.Batch, r.Step,
		1e3*r.Timing.Network, 1e3*r.Timing.Graph, 1e3*r.Timing.Optimiser, 1e3*r.Timing.Data, 1e3*r.Timing.Log, r.Overhead, r.Machine)
}

// Train measures steps of finetune.Train on made-up episodes, in a folder that
// is removed afterwards.
func Train(ctx context.Context, s Setup, objective string, batch int) (*TrainReport, error) {
	m, c, err := s.model()
	if err != nil {
		return nil, err
	}
	if s.Runs < 1 {
		return nil, fmt.Errorf("%w: the number of steps is %d, it must be at least 1", ErrSetup, s.Runs)
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	const warmUp = 2
	o := finetune.Defaults(int64(s.Runs + warmUp))
	o.Objective, o.Batch, o.Seed, o.Out, o.HeldOut = objective, batch, uint64(s.Seed), dir, 0
	o.EvalEvery, o.SaveEvery = 0, 0
	if o.Model, err = vla.Preset(s.Preset); err != nil {
		return nil, err
	}
	var ms []float64
	o.Progress = func(p finetune.Progress) {
		if p.Step > warmUp {
			ms = append(ms, 1e3*p.Seconds)
		}
	}
	r, err := finetune.Train(ctx, madeUp(c, rand.New(rand.NewPCG(uint64(s.Seed), 2))), c, o)
	if err != nil {
		return nil, err
	}
	t := r.Timing
	total := t.Network + t.Graph + t.Optimiser + t.Data + t.Log
	return &TrainReport{
		Machine: machine(), Preset: s.Preset, Parameters: len(m.Params.Data), Context: m.Config.ContextTokens(),
		Horizon: m.Config.Horizon, Batch: batch, Timing: t, Overhead: 100 * (1 - (t.Network+t.Optimiser)/total),
		Step: Summary(ms),
	}, nil
}

// madeUp returns four episodes of smooth motion with rewards.
func madeUp(c *contract.Contract, rng *rand.Rand) []bags.Episode {
	const frames = 64
	episodes := make([]bags.Episode, 4)
	for i := range episodes {
		e := bags.Episode{Bag: "made up", Index: i, Task: c.Observation.Instruction.Default, RewardSource: bags.RewardTopic}
		phase := rng.Float64()
		for k := range frames {
			f := bags.Frame{Reward: rng.Float64(), Action: make([]float32, c.ActionDim())}
			f.Stamp, f.Instruction = int64(k)*c.Period(), e.Task
			f.State = make([]float32, c.StateDim())
			for d := range f.State {
				f.State[d] = float32(math.Sin(0.1*float64(k) + phase + float64(d)))
			}
			for d := range f.Action {
				f.Action[d] = float32(math.Sin(0.1*float64(k+1) + phase + float64(d)))
			}
			for _, cam := range c.Cameras() {
				img := policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 3*cam.Width*cam.Height)}
				for p := range img.Pix {
					img.Pix[p] = uint8(rng.Uint32())
				}
				f.Images = append(f.Images, img)
			}
			e.Frames = append(e.Frames, f)
		}
		episodes[i] = e
	}
	return episodes
}
