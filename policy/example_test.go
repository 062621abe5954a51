package policy_test

import (
	"fmt"
	"time"

	"arfm/policy"
)

// Example reads a chunk: when is each action due?
func Example() {
	chunk := policy.ActionChunk{
		Stamp: 10e9, Period: 50e6, Dim: 2,
		Values: []float32{0.1, -0.4, 0.2, -0.5},
	}
	for h := range chunk.Horizon() {
		due := chunk.Stamp + int64(h+1)*chunk.Period
		fmt.Println(time.Duration(due), chunk.Row(h))
	}
	// Output:
	// 10.05s [0.1 -0.4]
	// 10.1s [0.2 -0.5]
}
