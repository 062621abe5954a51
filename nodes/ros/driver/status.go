//go:build ros

package driver

import (
	"context"
	"errors"
	"time"

	"arfm/nodes/ros"
)

// statusEvery is how often status and diagnostics come without a change, and
// stillAfter how long a clock may stand before that is said.
const (
	statusEvery = time.Second
	stillAfter  = time.Second
)

// situation is all that the status tells.
type situation struct {
	state, holding, reason, instruction string
}

// situation tells what the node is doing. What stands before all else is said first.
func (d *Driver) situation(c *configured) (s situation) {
	s.state, s.holding, s.reason = c.board.state()
	if s.state == stateInactive {
		return s
	}
	if link := c.link.Load(); link != nil {
		_, s.instruction, _ = link.src.topics()
	} else {
		s.instruction = d.text()
	}
	still, _ := d.still.Load().(string)
	switch {
	case still != "" && s.state != stateStopped:
		s.state, s.reason = stateHolding, still
		if s.holding == "" {
			s.holding = "NotReady"
		}
	case s.holding == "Held":
		if r := c.holds.reason(); r != "" {
			s.reason = r
		}
	}
	return s
}

// watchClock notices a clock that stands still.
type watchClock struct {
	at   int64
	when time.Time
}

func (w *watchClock) still(now int64) string {
	if now != w.at {
		w.at, w.when = now, time.Now()
		return ""
	}
	switch {
	case time.Since(w.when) < stillAfter:
		return ""
	case now == 0:
		return "there is no time on /clock yet, start what publishes it or set use_sim_time to false"
	}
	return "the time on /clock stands still"
}

// announce publishes the status until ctx is done.
func (d *Driver) announce(ctx context.Context) {
	every := time.NewTicker(statusEvery)
	defer every.Stop()
	clock := watchClock{when: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.board.changed:
		case <-every.C:
		}
		d.still.Store(clock.still(d.now()))
		if err := d.publishStatus(); err != nil {
			d.log.Errorf("status: %v", err)
		}
	}
}

func (d *Driver) publishStatus() error {
	s := d.situation(d.configured)
	rec := d.status.Type.New()
	b := d.board
	b.mu.Lock()
	ticks, missed := b.before.Ticks+b.stats.Ticks, b.before.Missed+b.stats.Missed
	chunks, swaps, back := b.chunks, b.swaps, b.back
	b.mu.Unlock()
	err := errors.Join(ros.SetTime(rec, "header.stamp", max(d.now(), 0)),
		rec.Set("state", s.state), rec.Set("holding", s.holding), rec.Set("reason", s.reason), rec.Set("instruction", s.instruction),
		rec.Set("swaps", swaps), rec.Set("rollbacks", back),
		rec.Set("ticks", ticks), rec.Set("missed_ticks", missed), rec.Set("chunks", chunks))
	if p, generation := d.slot.Load(); p != nil {
		info := p.Info()
		err = errors.Join(err, rec.Set("checkpoint", info.Hash), rec.Set("path", d.pathOf(info.Hash)),
			rec.Set("step", max(info.Step, 0)), rec.Set("objective", info.Objective), rec.Set("generation", generation))
	}
	if err != nil {
		return err
	}
	return d.status.Publish(rec)
}

func (c *configured) pathOf(hash string) string {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	return c.board.paths[hash]
}
