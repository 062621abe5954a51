//go:build ros

package driver

import (
	"arfm/nodes/loop"
	"arfm/nodes/runner"
)

// sink is the loop's sink: it hands plans, or the commands of every tick, to the
// output's sender.
type sink struct {
	board   *board
	send    *sender
	ticks   bool  // every tick is sent, with the rates of the joints
	rates   bool  // set-points are rates already
	horizon int64 // of a chunk, ns
	idle    bool  // nothing was commanded on the last tick
	first   bool  // the next plan is the first since
}

var _ loop.Sink = (*sink)(nil)

// Command implements loop.Sink.
func (s *sink) Command(fx *runner.Effects) error {
	s.board.tick(fx.Holding, fx.Err)
	cmd := fx.Command
	switch {
	case cmd == nil && s.idle:
	case cmd == nil:
		s.idle, s.first = true, true
		s.send.put(func(p *plan) { p.forget = true })
	case s.ticks:
		s.idle = false
		s.send.put(func(p *plan) {
			p.reset()
			if s.rates {
				p.add(cmd.Stamp, cmd.SetPoint, cmd.Velocity)
			} else {
				p.add(cmd.Stamp, cmd.Velocity, cmd.Velocity)
			}
		})
	default:
		s.idle = false
		if cmd.Trajectory == nil {
			return nil
		}
		s.send.put(func(p *plan) {
			p.load(cmd, s.horizon)
			p.first = s.first
		})
		s.first = false
	}
	return nil
}
