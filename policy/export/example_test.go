package export_test

import (
	"fmt"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/export"
	"arfm/policy/vla"
)

// A policy as two graphs, and what goes in and out of them.
func ExampleONNX() {
	ct, err := contract.Parse([]byte(`{version: 1, rate_hz: 20, observation: {state: [
  {topic: /joint_states, type: sensor_msgs/msg/JointState, names: [shoulder, elbow]}]},
  action: {topic: /command, type: trajectory_msgs/msg/JointTrajectory, names: [elbow], unit: position, relative: true, horizon: 16}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	nano, err := vla.Preset("nano")
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err := vla.New(nano.For(ct), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	joint := contract.Moments{Std: 1, Q01: -2, Q99: 2, Min: -3, Max: 3}
	stats := &contract.Stats{Frames: 100, State: []contract.Moments{joint, joint}, Action: []contract.Moments{joint}}
	ck := &checkpoint.Checkpoint{Model: model, Contract: ct, Stats: stats} // or checkpoint.Load

	models, err := export.ONNX(ck, export.Options{Graph: export.Parts})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range models {
		fmt.Println(m.Name, m.File.Inputs, "to", m.File.Outputs)
	}
	// Output:
	// encoder [state: float32[batch 2]] to [context: float32[batch 4 1 256] start: float32[batch 1]]
	// step [context: float32[batch 4 1 256] start: float32[batch 1] noisy: float32[batch 16 1] tau: float32[1] dt: float32[1]] to [next: float32[batch 16 1] chunk: float32[batch 16 1]]
}
