package vla_test

import (
	"fmt"

	"arfm/policy/flow"
	"arfm/policy/vla"
)

// Training needs Velocity and Backward, running needs Sample.
func Example() {
	c, err := vla.Preset("nano")
	if err != nil {
		panic(err)
	}
	c.StateDim, c.ActionDim = 6, 6
	m, err := vla.New(c, 1)
	if err != nil {
		panic(err)
	}
	b := c.NewBatch(1)
	copy(b.Words, vla.Words("reach the red block", c.Vocab, c.MaxWords))

	// One gradient step on one demonstrated chunk.
	action, noise := make([]float32, len(b.Noisy)), make([]float32, len(b.Noisy))
	flow.NewStream(1, "noise").Normal(noise)
	target, v := make([]float32, len(b.Noisy)), make([]float32, len(b.Noisy))
	flow.Target(target, action, noise)
	b.Tau[0] = 0.3
	flow.Interpolate(b.Noisy, action, noise, b.Tau[0])
	ws := m.NewWorkspaceN(1, true, 1)
	grad := make([]float32, len(m.Params.Data))
	loss := func() (sum float64) {
		m.Velocity(ws, b, v)
		for i := range v {
			sum += float64((v[i] - target[i]) * (v[i] - target[i]) / float32(len(v)))
			v[i] = 2 * (v[i] - target[i]) / float32(len(v))
		}
		return sum
	}
	before := loss()
	m.Backward(ws, b, v, grad)
	for i := range grad {
		m.Params.Data[i] -= 0.01 * grad[i]
	}
	fmt.Println("the loss falls:", loss() < before)

	// A chunk from noise.
	copy(b.Noisy, noise)
	m.Sample(ws, b, c.Steps)
	fmt.Println("chunk:", c.Horizon, "x", c.ActionDim)
	// Output:
	// the loss falls: true
	// chunk: 16 x 6
}
