//go:build ros

// Command sim_node is the simulated arm as a robot on ROS 2; package simulator
// is what it does.
package main

import (
	"arfm/nodes/ros"
	"arfm/nodes/simulator"
)

func main() { ros.Main("sim_node", simulator.Setup) }
