// Package bench measures the parts of arfm on the machine at hand: inference,
// training, ingest and hot swap, and all but the last side by side with other
// programs. Each measurement returns a report that prints as text and as JSON.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"arfm/policy/contract"
	"arfm/policy/nn"
	"arfm/policy/vla"
)

// Machine is what a figure depends on beside the code.
type Machine struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPUs  int    `json:"cpus"`
	BLAS  string `json:"blas"`
	GoVer string `json:"go"`
}

func machine() Machine {
	return Machine{runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), nn.Backend(), runtime.Version()}
}

func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s, %s", m.OS, m.Arch, m.CPUs, m.BLAS, m.GoVer)
}

// Times sums up repeated runs, in milliseconds.
type Times struct {
	Runs   int     `json:"runs"`
	Min    float64 `json:"min_ms"`
	Median float64 `json:"median_ms"`
	P90    float64 `json:"p90_ms"`
	Max    float64 `json:"max_ms"`
}

func (t Times) String() string {
	return fmt.Sprintf("median %.2f ms (min %.2f, p90 %.2f, max %.2f, %d runs)", t.Median, t.Min, t.P90, t.Max, t.Runs)
}

// timed runs f once to warm up and then runs times; f's error ends it, and so
// does ctx.
func timed(ctx context.Context, runs int, f func() error) (Times, error) {
	if runs < 1 {
		return Times{}, fmt.Errorf("%w: the number of runs is %d, it must be at least 1", ErrSetup, runs)
	}
	if err := f(); err != nil {
		return Times{}, err
	}
	ms := make([]float64, runs)
	for i := range ms {
		if err := ctx.Err(); err != nil {
			return Times{}, err
		}
		start := time.Now()
		if err := f(); err != nil {
			return Times{}, err
		}
		ms[i] = float64(time.Since(start)) / 1e6
	}
	return Summary(ms), nil
}

// tempDir makes a folder that the caller removes.
func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "arfm-bench-")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w; set TMPDIR to a folder that can be written", err)
	}
	return dir, nil
}

// Summary sorts ms, which must not be empty.
func Summary(ms []float64) Times {
	slices.Sort(ms)
	n := len(ms)
	return Times{Runs: n, Min: ms[0], Median: ms[n/2], P90: ms[n*9/10], Max: ms[n-1]}
}

// ErrSetup is wrapped by every error about settings that cannot be measured.
var ErrSetup = errors.New("unusable benchmark settings")

// Setup is the policy that inference and training are measured with.
type Setup struct {
	Preset      string // nano, base, large
	Width       int    // D; 0: the preset's
	Cameras     int    // number of cameras
	ImageSize   int    // side of their images, pixels
	StateDim    int    // S
	StateFields int    // entries of the contract that the state comes from, each a token if there are several; 0: 1
	ActionDim   int    // A
	Horizon     int    // H; 0: 16
	Language    bool   // an instruction is read
	Words       int    // tokens of an instruction; 0: the preset's
	Batch       int    // observations at once, or chunks of a training step
	Runs, Seed  int
}

// maxBatch bounds what a measurement may allocate.
const maxBatch = 4096

// contract returns a contract with the setup's inputs and outputs.
func (s Setup) contract() (*contract.Contract, error) {
	if s.StateDim < 1 || s.ActionDim < 1 || s.Cameras < 0 {
		return nil, fmt.Errorf("a benchmark needs at least one state and one action and no negative number of cameras: %d, %d, %d given", s.StateDim, s.ActionDim, s.Cameras)
	}
	fields := max(1, s.StateFields)
	if fields > min(s.StateDim, contract.MaxStateFields) {
		return nil, fmt.Errorf("a state of %d numbers can come from 1 to %d fields: %d given", s.StateDim, min(s.StateDim, contract.MaxStateFields), fields)
	}
	indices := func(lo, hi int) []int {
		x := make([]int, hi-lo)
		for i := range x {
			x[i] = lo + i
		}
		return x
	}
	horizon := s.Horizon
	if horizon == 0 {
		horizon = 16
	}
	c := &contract.Contract{
		Version: 1, RateHz: 20,
		Action: contract.Action{
			Topic: "/command", Type: "std_msgs/msg/Float64MultiArray",
			Selection: contract.Selection{Field: "data", Indices: indices(0, s.ActionDim)},
			Unit:      contract.UnitPosition, Horizon: horizon,
		},
	}
	for i := range fields {
		c.Observation.State = append(c.Observation.State, contract.StateField{
			Topic: "/state", Type: "std_msgs/msg/Float64MultiArray",
			Selection: contract.Selection{Field: "data", Indices: indices(i*s.StateDim/fields, (i+1)*s.StateDim/fields)},
		})
	}
	if s.Language {
		c.Observation.Instruction.Default = "put the red block into the bowl"
	}
	if s.Cameras > 0 {
		c.Observation.Images = map[string]contract.ImageField{}
	}
	for i := range s.Cameras {
		c.Observation.Images[fmt.Sprintf("camera_%d", i)] = contract.ImageField{
			Topic: fmt.Sprintf("/camera_%d/image_raw", i), Type: "sensor_msgs/msg/Image", Size: [2]int{s.ImageSize, s.ImageSize},
		}
	}
	return c, c.Validate()
}

// config returns the architecture without what the contract fixes.
func (s Setup) config() (vla.Config, error) {
	cfg, err := vla.Preset(s.Preset)
	if s.Width != 0 {
		cfg.D = s.Width
	}
	if s.Words != 0 {
		cfg.MaxWords = s.Words
	}
	return cfg, err
}

// model returns a freshly drawn model for the setup; errors wrap ErrSetup.
func (s Setup) model() (*vla.Model, *contract.Contract, error) {
	if s.Batch < 1 || s.Batch > maxBatch {
		return nil, nil, fmt.Errorf("%w: batch is %d; it must lie in [1, %d]", ErrSetup, s.Batch, maxBatch)
	}
	c, err := s.contract()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	cfg, err := s.config()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	m, err := vla.New(cfg.For(c), uint64(s.Seed))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return m, c, nil
}
