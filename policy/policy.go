// Package policy is the domain of arfm: what a policy sees, what it answers
// and what it is. It imports nothing of the project; everything else speaks in
// these types.
//
// Units are SI and radians, time is ROS time as int64 nanoseconds, shapes are
// written in the order (B batch, T tokens, H horizon, D model width, A action
// dimension).
package policy

// Image is one camera frame as the policy sees it: RGB, 8 bits a channel,
// row-major, already resized to the contract's size. Depth is carried in the
// same form (the contract says how metres map onto 0..255).
type Image struct {
	Width, Height int
	Pix           []uint8 // (Height, Width, 3)
}

// Observation is one frame of input, resampled onto the contract's clock.
type Observation struct {
	Stamp       int64     // the frame's time, ns
	State       []float32 // (S) proprioception in the contract's order, SI units
	Images      []Image   // one per camera, in the contract's order
	Instruction string    // the task in words
}

// ActionChunk is a policy's answer: Horizon actions, one per period. Row h is
// the target for time Stamp + (h+1)*Period.
type ActionChunk struct {
	Stamp  int64     // the stamp of the observation it answers, ns
	Period int64     // time between rows, ns
	Dim    int       // A
	Values []float32 // (H, A), SI units, absolute (never relative to the state)
}

// Horizon returns H, the number of rows.
func (c *ActionChunk) Horizon() int {
	if c.Dim == 0 {
		return 0
	}
	return len(c.Values) / c.Dim
}

// Row returns row h, a view of length Dim.
func (c *ActionChunk) Row(h int) []float32 { return c.Values[h*c.Dim : (h+1)*c.Dim] }

// Info names the weights behind a Policy.
type Info struct {
	Hash      string `json:"hash"`      // SHA-256 of the checkpoint's tensor bytes, hex
	Step      int64  `json:"step"`      // optimiser steps taken
	Objective string `json:"objective"` // bc, rwr, arfm, ...
}

// Policy turns an observation into an action chunk. Act is called by one
// goroutine at a time; it fills chunk, reusing its storage where it can.
type Policy interface {
	Act(obs *Observation, chunk *ActionChunk) error
	Info() Info
}
