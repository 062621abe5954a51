//go:build ros

// Command policy_node runs a policy on a robot arm under ROS 2; package driver
// is what it does.
package main

import (
	"arfm/nodes/ros"
	"arfm/nodes/ros/driver"
)

func main() { ros.Main("policy_node", driver.Setup) }
