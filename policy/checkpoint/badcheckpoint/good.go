// Package badcheckpoint makes checkpoint files that must be refused, one per
// kind of damage, and a small good one to make them from. The tests of
// hot-swapping and `arfm bench swap` go through the same table.
package badcheckpoint

import (
	"fmt"
	"math/rand/v2"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

const goodContract = `
version: 1
rate_hz: 20
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [shoulder]}
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [elbow]}
  images:
    wrist: {topic: /wrist/image_raw, type: sensor_msgs/msg/Image, size: [16, 24]}
  instruction: {topic: /arfm/instruction, default: reach the target}
action:
  topic: /joint_trajectory_controller/joint_trajectory
  type: trajectory_msgs/msg/JointTrajectory
  names: [shoulder, elbow]
  unit: position
  relative: true
  horizon: 8
reward: {topic: /arfm/reward}
`

// Good returns a small valid checkpoint of a two-joint arm with one camera.
// Different seeds give different weights of the same architecture.
func Good(seed uint64, step int64) (*checkpoint.Checkpoint, error) {
	ct, err := contract.Parse([]byte(goodContract))
	if err != nil {
		return nil, fmt.Errorf("badcheckpoint: %w", err)
	}
	c := vla.Config{
		Preset: "tiny", D: 16, Layers: 1, Heads: 2, Patch: 8, VisionD: 16, VisionLayers: 1, VisionHeads: 2,
		Vocab: 32, MaxWords: 4, Steps: 3,
	}.For(ct)
	m, err := vla.New(c, seed)
	if err != nil {
		return nil, fmt.Errorf("badcheckpoint: %w", err)
	}
	// Fresh output layers are zero; move them so that the answers depend on
	// every weight.
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range m.Params.Data {
		m.Params.Data[i] += float32(0.1 * rng.NormFloat64())
	}
	one := contract.Moments{Mean: 0.1, Std: 0.5, Q01: -1, Q99: 1.2, Min: -1.5, Max: 1.5}
	return &checkpoint.Checkpoint{
		Model: m, Contract: ct, Objective: "arfm", Step: step,
		Stats: &contract.Stats{Frames: 1000, State: []contract.Moments{one, one}, Action: []contract.Moments{one, one}},
	}, nil
}
