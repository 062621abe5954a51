package vla

import (
	"errors"
	"math"
	"slices"
	"testing"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/flow"
)

const armYAML = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder]}
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [elbow, wrist]}
  images:
    wrist: {topic: /wrist/image_raw, type: sensor_msgs/msg/Image, size: [16, 24]}
  instruction: {topic: /arfm/instruction, type: std_msgs/msg/String, default: reach the red block}
action:
  topic: /controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [elbow, shoulder]
  unit: position
  relative: true
  horizon: 4
`

func arm(t testing.TB) (*contract.Contract, *contract.Stats) {
	t.Helper()
	c, err := contract.Parse([]byte(armYAML))
	if err != nil {
		t.Fatal(err)
	}
	moments := func(lo, hi float64) contract.Moments {
		return contract.Moments{Mean: (lo + hi) / 2, Std: (hi - lo) / 4, Q01: lo, Q99: hi, Min: lo, Max: hi}
	}
	return c, &contract.Stats{Frames: 100,
		State:  []contract.Moments{moments(-1, 1), moments(0, 2), moments(-3, 1)},
		Action: []contract.Moments{moments(-0.5, 0.5), moments(-0.1, 0.3)},
	}
}

func armPolicy(t testing.TB, seed uint64) (*Policy, *policy.Observation) {
	t.Helper()
	ct, stats := arm(t)
	base := testConfig()
	base.Patch = 8
	m := testModel(t, base.For(ct), 1)
	p, err := NewPolicy(m, ct, stats, nil, policy.Info{Hash: "abc", Step: 3, Objective: "arfm"}, seed)
	if err != nil {
		t.Fatal(err)
	}
	obs := &policy.Observation{Stamp: 50e6 * 7, State: []float32{0.2, 1.5, -2}, Instruction: "reach the red block",
		Images: []policy.Image{{Width: 24, Height: 16, Pix: make([]uint8, 24*16*3)}}}
	for i := range obs.Images[0].Pix {
		obs.Images[0].Pix[i] = uint8(i * 7)
	}
	return p, obs
}

// TestPolicyAct builds the chunk by hand: normalise, sample from the stream's
// noise, un-normalise, undo relative.
func TestPolicyAct(t *testing.T) {
	p, obs := armPolicy(t, 9)
	var chunk policy.ActionChunk
	if err := p.Act(obs, &chunk); err != nil {
		t.Fatal(err)
	}
	if chunk.Stamp != obs.Stamp || chunk.Period != 50e6 || chunk.Dim != 2 || chunk.Horizon() != 4 {
		t.Errorf("chunk %+v", chunk)
	}
	c := p.model.Config
	b := c.NewBatch(1)
	copy(b.State, []float32{0.2, 0.5, -0.5}) // the quantiles onto [-1, 1]
	copy(b.Images[0], obs.Images[0].Pix)
	copy(b.Words, Words(obs.Instruction, c.Vocab, c.MaxWords))
	flow.NewStream(9, "noise").Normal(b.Noisy)
	p.model.Sample(p.model.NewWorkspaceN(1, true, 1), b, c.Steps)
	want := make([]float32, len(b.Noisy))
	for h := range 4 { // relative to elbow (state 1) and shoulder (state 0)
		want[2*h] = b.Noisy[2*h]*0.5 + 1.5
		want[2*h+1] = b.Noisy[2*h+1]*0.2 + 0.1 + 0.2
	}
	closeTo(t, "chunk", chunk.Values, want, 1e-5)
	if p.Info() != (policy.Info{Hash: "abc", Step: 3, Objective: "arfm"}) {
		t.Errorf("info %+v", p.Info())
	}
}

func TestPolicyNoise(t *testing.T) {
	act := func(p *Policy, obs *policy.Observation) []float32 {
		var chunk policy.ActionChunk
		if err := p.Act(obs, &chunk); err != nil {
			t.Fatal(err)
		}
		return chunk.Values
	}
	a, obs := armPolicy(t, 1)
	b, _ := armPolicy(t, 1)
	first := act(a, obs)
	if !slices.Equal(first, act(b, obs)) {
		t.Error("the same seed gives another chunk")
	}
	if slices.Equal(first, act(a, obs)) {
		t.Error("the second chunk has the first one's noise")
	}
	a.Reseed(1)
	if !slices.Equal(first, act(a, obs)) {
		t.Error("reseeding does not start the noise again")
	}
	a.NoiseScale = 0
	if !slices.Equal(act(a, obs), act(a, obs)) {
		t.Error("without noise two chunks differ")
	}
}

func TestPolicyRefusesObservations(t *testing.T) {
	p, good := armPolicy(t, 1)
	for name, change := range map[string]func(*policy.Observation){
		"short state": func(o *policy.Observation) { o.State = o.State[:2] },
		"NaN":         func(o *policy.Observation) { o.State = []float32{0, float32(math.NaN()), 0} },
		"no image":    func(o *policy.Observation) { o.Images = nil },
		"wrong size":  func(o *policy.Observation) { o.Images = []policy.Image{{Width: 16, Height: 24, Pix: o.Images[0].Pix}} },
		"missing rows": func(o *policy.Observation) {
			o.Images = []policy.Image{{Width: 24, Height: 16, Pix: o.Images[0].Pix[:9]}}
		},
	} {
		obs, chunk := *good, policy.ActionChunk{Stamp: 1}
		change(&obs)
		if err := p.Act(&obs, &chunk); !errors.Is(err, ErrObservation) || chunk.Stamp != 1 {
			t.Errorf("%s: error %v, chunk %+v", name, err, chunk)
		}
	}
}

func TestNewPolicyRefusesAnotherContract(t *testing.T) {
	ct, stats := arm(t)
	for name, change := range map[string]func(*Config){
		"state":       func(c *Config) { c.StateDim++; c.StateFields = nil },
		"fields":      func(c *Config) { c.StateFields = []int{2, 1} },
		"action":      func(c *Config) { c.ActionDim++ },
		"horizon":     func(c *Config) { c.Horizon++ },
		"camera":      func(c *Config) { c.Cameras = []Camera{{"front", 16, 24}} },
		"no camera":   func(c *Config) { c.Cameras = nil },
		"camera size": func(c *Config) { c.Cameras = []Camera{{"wrist", 24, 16}} },
	} {
		c := testConfig().For(ct)
		change(&c)
		m, err := New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewPolicy(m, ct, stats, nil, policy.Info{}, 1); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	whole := testConfig().For(ct)
	if !slices.Equal(whole.StateFields, []int{1, 2}) {
		t.Errorf("fields of %v numbers", whole.StateFields)
	}
	whole.StateFields = nil // as weights of before had it
	if _, err := NewPolicy(testModel(t, whole, 1), ct, stats, nil, policy.Info{}, 1); err != nil {
		t.Error(err)
	}
	m := testModel(t, testConfig().For(ct), 1)
	if _, err := NewPolicy(m, ct, &contract.Stats{}, nil, policy.Info{}, 1); !errors.Is(err, contract.ErrStats) {
		t.Errorf("empty statistics: error %v", err)
	}
}

// TestPolicyShare: any number of workers gives the same chunk but for rounding.
func TestPolicyShare(t *testing.T) {
	var want policy.ActionChunk
	for workers := range 4 {
		p, obs := armPolicy(t, 1)
		if workers == 0 {
			if err := p.Act(obs, &want); err != nil {
				t.Fatal(err)
			}
			continue
		}
		p.Share(workers)
		var got policy.ActionChunk
		if err := p.Act(obs, &got); err != nil {
			t.Fatal(err)
		}
		if p.ws.Workers() != workers {
			t.Errorf("%d workers of %d", p.ws.Workers(), workers)
		}
		closeTo(t, "chunk", got.Values, want.Values, 1e-5)
	}
}

func TestPolicyAllocatesNothing(t *testing.T) {
	p, obs := armPolicy(t, 1)
	var chunk policy.ActionChunk
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Act(obs, &chunk); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
