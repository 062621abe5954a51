package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// InferReport is the time from observation to action chunk.
type InferReport struct {
	Machine    Machine `json:"machine"`
	Preset     string  `json:"preset"`
	Parameters int     `json:"parameters"`
	Context    int     `json:"context_tokens"`
	Horizon    int     `json:"horizon"`
	Steps      int     `json:"euler_steps"`
	Chunk      Times   `json:"chunk"`
	Allocs     float64 `json:"allocs_per_chunk"`
}

func (r *InferReport) String() string {
	return fmt.Sprintf("%s: %d parameters, %d context tokens, horizon %d, %d Euler steps\nchunk: %v, %.0f chunks/s, %.1f allocations\non %v\n",
		r.Preset, r.Parameters, r.Context, r.Horizon, r.Steps, r.Chunk, 1e3/r.Chunk.Median, r.Allocs, r.Machine)
}

// Infer measures Act of a freshly drawn policy on one observation, until ctx
// ends.
func Infer(ctx context.Context, s Setup) (*InferReport, error) {
	m, c, err := s.model()
	if err != nil {
		return nil, err
	}
	stats := &contract.Stats{Frames: 1, State: unitMoments(s.StateDim), Action: unitMoments(s.ActionDim)}
	p, err := vla.NewPolicy(m, c, stats, nil, policy.Info{}, uint64(s.Seed))
	if err != nil {
		return nil, err
	}
	obs := &policy.Observation{State: make([]float32, s.StateDim), Instruction: c.Observation.Instruction.Default}
	for _, cam := range c.Cameras() {
		img := policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 3*cam.Width*cam.Height)}
		for i := range img.Pix {
			img.Pix[i] = uint8(i * 31)
		}
		obs.Images = append(obs.Images, img)
	}
	var chunk policy.ActionChunk
	times, err := timed(ctx, s.Runs, func() error { return p.Act(obs, &chunk) })
	if err != nil {
		return nil, err
	}
	allocs, err := allocations(10, func() error { return p.Act(obs, &chunk) })
	return &InferReport{
		Machine: machine(), Preset: s.Preset, Parameters: len(m.Params.Data), Context: m.Config.ContextTokens(),
		Horizon: m.Config.Horizon, Steps: p.Steps, Chunk: times, Allocs: allocs,
	}, err
}

// unitMoments describes numbers that are normalised already.
func unitMoments(n int) []contract.Moments {
	m := make([]contract.Moments, n)
	for i := range m {
		m[i] = contract.Moments{Std: 1, Q01: -1, Q99: 1, Min: -1, Max: 1}
	}
	return m
}

// allocations returns the heap allocations of one call of f: the least of a few
// means over n, as the process is counted and the runtime allocates now and then
// for itself, for threads and for goroutines that wait.
func allocations(n int, f func() error) (float64, error) {
	least := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if err := f(); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/float64(n))
	}
	return least, nil
}
