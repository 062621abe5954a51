package finetune_test

import (
	"context"
	"fmt"
	"os"

	"arfm/bags"
	"arfm/finetune"
	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

const contractYAML = `
version: 1
rate_hz: 10
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [slide], align: hold}
action: {from: next_state, names: [slide], unit: position, horizon: 4}
`

// Train on recordings that bags.ReadEpisodes would return; here they are made
// up: a slide that moves at constant speed.
func ExampleTrain() {
	c, err := contract.Parse([]byte(contractYAML))
	if err != nil {
		panic(err)
	}
	var episodes []bags.Episode
	for i := range 4 {
		e := bags.Episode{Index: i, Task: "move", Outcome: bags.Success, RewardSource: bags.RewardSuccess}
		for k := range 20 {
			e.Frames = append(e.Frames, bags.Frame{
				Observation: policy.Observation{Stamp: int64(k) * c.Period(), State: []float32{float32(k)}},
				Action:      []float32{float32(k + 1)},
			})
		}
		episodes = append(episodes, e)
	}
	out, err := os.MkdirTemp("", "arfm")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(out)
	o := finetune.Defaults(20)
	o.Out, o.Batch = out, 8
	o.Model = vla.Config{Preset: "tiny", D: 16, Layers: 1, Heads: 2, Steps: 4}
	r, err := finetune.Train(context.Background(), episodes, c, o)
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Step, "steps,", r.Frames, "frames,", r.HeldOut, "held out")
	// Output: 20 steps, 60 frames, 20 held out
}
