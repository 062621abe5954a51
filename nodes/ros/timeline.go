package ros

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrJump says that time went back while one waited for it.
var ErrJump = errors.New("time jumped back")

// timeline is the time of a node: the wall's, or that of the last message on
// /clock.
type timeline struct {
	mu    sync.Mutex
	sim   bool
	now   int64         // ns, of the last message; 0 before the first
	heard time.Time     // when it came, or when /clock began to matter
	moved chan struct{} // closed when time moves or its source changes
	jumps uint64        // times it went back
	onGap []func(from, to int64)
}

func newTimeline() *timeline { return &timeline{moved: make(chan struct{})} }

// wake tells those who wait; t.mu is held.
func (t *timeline) wake() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// follow changes between /clock and the wall.
func (t *timeline) follow(sim bool) {
	t.mu.Lock()
	if t.sim == sim {
		t.mu.Unlock()
		return
	}
	from := t.read()
	t.sim, t.now, t.heard = sim, 0, time.Now()
	to := t.read()
	t.gap(from, to)
}

// set takes a message of /clock and returns the time before it.
func (t *timeline) set(ns int64) (from int64) {
	t.mu.Lock()
	if !t.sim {
		t.mu.Unlock()
		return ns
	}
	from = t.now
	t.now, t.heard = ns, time.Now()
	t.gap(from, ns)
	return from
}

// gap wakes those who wait, unlocks, and tells of a jump back.
func (t *timeline) gap(from, to int64) {
	var tell []func(from, to int64)
	if to < from {
		t.jumps++
		tell = t.onGap
	}
	t.wake()
	t.mu.Unlock()
	for _, f := range tell {
		f(from, to)
	}
}

func (t *timeline) read() int64 {
	if t.sim {
		return t.now
	}
	return time.Now().UnixNano()
}

// Clock is the time of a node: that of /clock if use_sim_time is set, else the
// wall's. It is safe for concurrent use.
type Clock struct{ t *timeline }

// Now returns ROS time, ns; 0 before the first message on /clock.
func (c *Clock) Now() int64 {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.read()
}

// Sim tells whether time comes from /clock.
func (c *Clock) Sim() bool {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.sim
}

// Silent returns for how long, in wall time, /clock has said nothing; 0 where
// time is the wall's.
func (c *Clock) Silent() time.Duration {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if !c.t.sim {
		return 0
	}
	return time.Since(c.t.heard)
}

// Stopped tells whether /clock has been silent for longer than d of wall time.
func (c *Clock) Stopped(d time.Duration) bool { return c.Silent() > d }

// Moved returns a channel that is closed with the next message of /clock, or when
// the time comes from elsewhere; nil where time is the wall's.
func (c *Clock) Moved() <-chan struct{} {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if !c.t.sim {
		return nil
	}
	return c.t.moved
}

// OnJump has f called after time went back: a simulation that was reset, a bag
// that plays again, use_sim_time that was set.
func (c *Clock) OnJump(f func(from, to int64)) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.onGap = append(c.t.onGap, f)
}

// WaitUntil returns nil at ROS time ns or after, ErrJump once time goes back,
// and the cause of ctx's end.
func (c *Clock) WaitUntil(ctx context.Context, ns int64) error {
	c.t.mu.Lock()
	jumps := c.t.jumps
	c.t.mu.Unlock()
	for {
		c.t.mu.Lock()
		now, sim, moved, jumped := c.t.read(), c.t.sim, c.t.moved, c.t.jumps != jumps
		c.t.mu.Unlock()
		if jumped {
			return ErrJump
		}
		if now >= ns {
			return nil
		}
		var timer <-chan time.Time
		if !sim {
			timer = time.After(time.Duration(ns - now))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		case <-timer:
		}
	}
}
