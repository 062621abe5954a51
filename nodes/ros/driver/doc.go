// Package driver is the inside of policy_node: it puts the policy loop between
// ROS topics. Messages come in as the contract says, serialized, and become
// frames with the decoder and the resampler that read bags; plans go out as
// trajectories, goals of a controller's action, or commands of every tick.
//
// The package needs the build tag ros.
package driver
