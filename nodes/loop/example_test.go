package loop_test

import (
	"context"
	"fmt"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/reach"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
)

// Ten seconds of the simulated arm, as fast as they can be computed.
func Example() {
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		panic(err)
	}
	stage, err := reach.NewStage(c)
	if err != nil {
		panic(err)
	}
	arm, err := eval.NewLive(stage, eval.LiveOptions{Seed: 1})
	if err != nil {
		panic(err)
	}
	defer arm.Close()
	expert, err := reach.NewExpertPolicy(c)
	if err != nil {
		panic(err)
	}
	cfg := arm.LoopConfig(8)
	cfg.Ticks = 10 * reach.RateHz
	stats, err := loop.Run(context.Background(), arm, arm, hotswap.NewSlot(expert), cfg)
	if err != nil {
		panic(err)
	}
	fmt.Println(stats.Ticks, "ticks,", stats.Inferences, "chunks,", stats.Missed, "missed")
	// Output: 200 ticks, 25 chunks, 0 missed
}
