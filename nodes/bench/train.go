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
)

// TrainReport is the time of a training step.
type TrainReport struct {
	Machine    Machine         `json:"machine"`
	Preset     string          `json:"preset"`
	Width      int             `json:"width"`
	Parameters int             `json:"parameters"`
	Context    int             `json:"context_tokens"`
	Horizon    int             `json:"horizon"`
	Batch      int             `json:"batch"`
	Step       Times           `json:"step"`
	GFLOP      float64         `json:"gflop"`       // of matrix products, of a step
	Timing     finetune.Timing `json:"timing"`      // means, s
	Overhead   float64         `json:"overhead_pc"` // share outside network and optimiser, percent
}

func (r *TrainReport) String() string {
	return fmt.Sprintf("%s: width %d, %d parameters, %d context tokens, horizon %d, batch %d\nstep: %v, %.1f GFLOP/s\nnetwork %.2f ms, objective %.2f ms, optimiser %.2f ms, data %.2f ms, log %.2f ms: %.1f %% outside network and optimiser\non %v\n",
		r.Preset, r.Width, r.Parameters, r.Context, r.Horizon, r.Batch, r.Step, 1e3*r.GFLOP/r.Step.Median,
		1e3*r.Timing.Network, 1e3*r.Timing.Graph, 1e3*r.Timing.Optimiser, 1e3*r.Timing.Data, 1e3*r.Timing.Log, r.Overhead, r.Machine)
}

// warmUp is how many training steps are not measured.
const warmUp = 2

// Train measures steps of finetune.Train on made-up episodes, in a folder that
// is removed afterwards.
func Train(ctx context.Context, s Setup, objective string) (*TrainReport, error) {
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
	o, err := s.options(dir, int64(s.Runs+warmUp))
	if err != nil {
		return nil, err
	}
	o.Objective = objective
	var ms []float64
	o.Progress = func(p finetune.Progress) {
		if p.Step > warmUp {
			ms = append(ms, 1e3*p.Seconds)
		}
	}
	r, err := finetune.Train(ctx, s.episodes(c), c, o)
	if err != nil {
		return nil, err
	}
	t := r.Timing
	total := t.Network + t.Graph + t.Optimiser + t.Critic + t.Data + t.Log
	return &TrainReport{
		Machine: machine(), Preset: s.Preset, Width: m.Config.D, Parameters: len(m.Params.Data), Context: m.Config.ContextTokens(),
		Horizon: m.Config.Horizon, Batch: s.Batch, Timing: t, Overhead: 100 * (1 - (t.Network+t.Optimiser)/total),
		Step: Summary(ms), GFLOP: m.Config.TrainFLOPs(s.Batch) / 1e9,
	}, nil
}

// options of a training run into a folder, without evaluation and saving.
func (s Setup) options(dir string, steps int64) (finetune.Options, error) {
	o := finetune.Defaults(steps)
	o.Batch, o.Seed, o.Out, o.HeldOut = s.Batch, uint64(s.Seed), dir, 0
	o.EvalEvery, o.SaveEvery = 0, 0
	var err error
	o.Model, err = s.config()
	return o, err
}

// episodes returns four made-up ones of smooth motion with rewards.
func (s Setup) episodes(c *contract.Contract) []bags.Episode {
	const frames = 64
	rng := rand.New(rand.NewPCG(uint64(s.Seed), 2))
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
