//go:build ros

// Command finetune_node fine-tunes the policy of a robot from its recordings,
// on request and by itself; see package trainer.
package main

import (
	"os"

	"arfm/nodes/ros"
	"arfm/nodes/trainer"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == trainer.ProcessArg {
		os.Exit(trainer.Process(os.Stdin, os.Stdout))
	}
	ros.Main("finetune_node", trainer.Setup)
}
