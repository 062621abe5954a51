package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// InferReport is the time from observation to action chunk.
type InferReport struct {
	Machine    Machine `json:"machine"`
	Preset     string  `json:"preset"`
	Width      int     `json:"width"`
	Parameters int     `json:"parameters"`
	Context    int     `json:"context_tokens"`
	Horizon    int     `json:"horizon"`
	Batch      int     `json:"batch"`
	Steps      int     `json:"euler_steps"`
	Chunk      Times   `json:"chunk"` // of all chunks of a batch
	GFLOP      float64 `json:"gflop"` // of matrix products, of all chunks of a batch
	Allocs     float64 `json:"allocs_per_chunk"`
	// Resident and ResidentPeak are what this process holds in memory after the
	// chunks and what it held at most, bytes; 0 where the system does not say.
	Resident     int64 `json:"resident_bytes"`
	ResidentPeak int64 `json:"resident_peak_bytes"`
}

func (r *InferReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: width %d, %d parameters, %d context tokens, horizon %d, batch %d, %d Euler steps\n",
		r.Preset, r.Width, r.Parameters, r.Context, r.Horizon, r.Batch, r.Steps)
	fmt.Fprintf(&b, "chunk: %v, %.0f chunks/s, %.1f GFLOP/s, %.1f allocations\n",
		r.Chunk, 1e3*float64(r.Batch)/r.Chunk.Median, 1e3*r.GFLOP/r.Chunk.Median, r.Allocs)
	if r.Resident > 0 {
		fmt.Fprintf(&b, "memory: %.0f MB resident, %.0f MB at most\n", float64(r.Resident)/1e6, float64(r.ResidentPeak)/1e6)
	}
	fmt.Fprintf(&b, "on %v\n", r.Machine)
	return b.String()
}

// Infer measures chunks of a freshly drawn policy on one batch of observations,
// until ctx ends.
func Infer(ctx context.Context, s Setup) (*InferReport, error) {
	m, c, err := s.model()
	if err != nil {
		return nil, err
	}
	p, err := s.sampler(m, c)
	if err != nil {
		return nil, err
	}
	times, err := timed(ctx, s.Runs, p.act)
	if err != nil {
		return nil, err
	}
	r := &InferReport{
		Machine: machine(), Preset: s.Preset, Width: m.Config.D, Parameters: len(m.Params.Data), Context: m.Config.ContextTokens(),
		Horizon: m.Config.Horizon, Batch: s.Batch, Steps: m.Config.Steps, Chunk: times,
		GFLOP: m.Config.SampleFLOPs(s.Batch, m.Config.Steps) / 1e9,
	}
	if r.Allocs, err = allocations(10, p.act); err != nil {
		return nil, err
	}
	r.Allocs /= float64(s.Batch)
	r.Resident, r.ResidentPeak = resident()
	return r, nil
}

// sampler makes chunks for one batch of observations: of a single one as a
// policy in its loop does, of more as its model does.
type sampler struct {
	act    func() error // draws noise and makes the chunks
	chunks func() []float32
	state  []float32 // (B, S)
	words  []int32   // (B, MaxWords), -1 for none
}

// streamNoise is the stream that a policy draws its noise from.
const streamNoise = "noise"

func (s Setup) sampler(m *vla.Model, c *contract.Contract) (*sampler, error) {
	b := m.Config.NewBatch(s.Batch)
	r := flow.NewStream(uint64(s.Seed), "observations")
	for i := range b.State {
		b.State[i] = 2*r.Float32() - 1
	}
	text := c.Observation.Instruction.Default
	if m.Config.Language {
		one := vla.Words(text, m.Config.Vocab, m.Config.MaxWords)
		for i := range s.Batch {
			copy(b.Words[i*len(one):], one)
		}
	}
	for _, pix := range b.Images {
		for i := range pix {
			pix[i] = uint8(i * 31)
		}
	}
	p := &sampler{state: b.State, words: b.Words}
	if s.Batch == 1 {
		return p, p.alone(s, m, c, b)
	}
	ws, noise := m.NewWorkspace(s.Batch, false), flow.NewStream(uint64(s.Seed), streamNoise)
	p.act = func() error {
		noise.Normal(b.Noisy)
		m.Sample(ws, b, m.Config.Steps)
		return nil
	}
	p.chunks = func() []float32 { return b.Noisy }
	return p, nil
}

// alone lets a policy answer the one observation of b.
func (p *sampler) alone(s Setup, m *vla.Model, c *contract.Contract, b *vla.Batch) error {
	pol, err := vla.NewPolicy(m, c, unitStats(c), nil, policy.Info{}, uint64(s.Seed))
	if err != nil {
		return err
	}
	obs := &policy.Observation{State: b.State, Instruction: c.Observation.Instruction.Default}
	for i, cam := range c.Cameras() {
		obs.Images = append(obs.Images, policy.Image{Width: cam.Width, Height: cam.Height, Pix: b.Images[i]})
	}
	var chunk policy.ActionChunk
	p.act = func() error { return pol.Act(obs, &chunk) }
	p.chunks = func() []float32 { return chunk.Values }
	return nil
}

// unitStats describe states and actions that are normalised already.
func unitStats(c *contract.Contract) *contract.Stats {
	one := []contract.Moments{{Std: 1, Q01: -1, Q99: 1, Min: -1, Max: 1}}
	return &contract.Stats{Frames: 1, State: slices.Repeat(one, c.StateDim()), Action: slices.Repeat(one, c.ActionDim())}
}

// allocations returns the heap allocations of one call of f: the least of up to
// 40 means over n, as the process is counted and the runtime allocates for
// itself, for threads and, until its pools are full, for goroutines that wait.
func allocations(n int, f func() error) (float64, error) {
	least := math.Inf(1)
	for i := 0; i < 40 && least > 0; i++ {
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

// resident returns how much memory this process holds and how much it held at
// most, as Linux counts it; elsewhere 0.
func resident() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		switch {
		case err != nil:
		case f[0] == "VmRSS:":
			now = n << 10
		case f[0] == "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak
}
