//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"

	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/hotswap"
)

// session is one run of the loop, from activate to deactivate.
type session struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// Activate starts the loop, which waits for the first checkpoint where there is
// none yet.
func (d *Driver) Activate() error {
	c := d.configured
	if c == nil {
		return errors.New("policy_node is not configured")
	}
	if c.loop != nil {
		return nil
	}
	if l := c.link.Load(); l != nil { // what would end the loop at once is told now
		if _, err := runner.New(d.runnerConfig(l)); err != nil {
			return err
		}
	}
	c.drain() // what was asked of a loop before
	c.holds.clear()
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{cancel: cancel, done: make(chan struct{})}
	c.loop = s
	d.active.Store(true)
	go func() {
		defer close(s.done)
		d.run(ctx)
	}()
	return nil
}

// Deactivate brakes the arm and ends the loop.
func (d *Driver) Deactivate() error {
	c := d.configured
	if c == nil || c.loop == nil {
		return nil
	}
	d.active.Store(false)
	c.loop.cancel()
	<-c.loop.done
	c.loop = nil
	c.board.set(func() { c.board.waiting, c.board.failed = "", "" })
	return nil
}

// run is the loop, once there is something to connect to.
func (d *Driver) run(ctx context.Context) {
	c := d.configured
	if c.link.Load() == nil {
		why := fmt.Sprintf("there is no checkpoint in %s yet", d.o.CheckpointDir)
		c.board.set(func() { c.board.waiting = why })
		d.journal.warn(why)
		select {
		case <-c.linked:
		case <-ctx.Done():
			return
		}
	}
	l := c.link.Load()
	cfg := d.runnerConfig(l)
	d.logLimits(l, cfg)
	send := newSender(func(p *plan) {
		if err := l.out.send(p); err != nil {
			d.journal.fail(fmt.Sprintf("output: %v", err))
		}
	})
	out := &sink{board: c.board, send: send, ticks: l.out.ticks(), rates: isRate(l.contract), horizon: int64(l.contract.Horizon()) * l.contract.Period(), idle: true, first: true}
	c.board.begin()
	stats, err := loop.Run(ctx, l.src, out, c.slot, d.loopConfig(l, cfg))
	send.close()
	c.board.end(stats)
	d.journal.info("the loop has ended: " + stats.String())
	if err != nil {
		d.journal.fail(err.Error())
		c.board.set(func() { c.board.failed = err.Error() })
	}
}

// runnerConfig is the runner's, for the contract and the limits.
func (d *Driver) runnerConfig(l *link) runner.Config {
	cfg := loop.RunnerConfig(l.contract, d.limits)
	cfg.ReplanRows, cfg.StartTolerance = d.o.ReplanRows, d.o.StartTolerance
	return cfg
}

func (d *Driver) loopConfig(l *link, run runner.Config) loop.Config {
	c := d.configured
	cfg := loop.Config{Runner: run, Control: c.control, Progress: c.board.progress}
	if d.o.Guard {
		cfg.Guard = &hotswap.GuardOptions{}
	}
	if l.gate != nil {
		cfg.Check = l.gate.Check
	}
	cfg.Report = func(r runner.Report) {
		c.board.report(r)
		if r.Intervention == runner.None {
			c.journal.info(r.String())
		} else {
			c.journal.warn(r.String())
		}
	}
	names := hashes{slot: c.slot}
	cfg.Chunk = func(generation uint64, chunk *policy.ActionChunk) {
		l.src.answered(chunk.Stamp)
		c.chunks.put(names.of(generation), chunk)
	}
	cfg.Rollback = func(err error) {
		if err != nil {
			c.journal.fail(err.Error())
			return
		}
		c.board.set(func() { c.board.back++ })
		c.journal.warn("rolled back to the weights before: the new ones needed more interventions")
	}
	return cfg
}

// hashes names the weights of a generation. An answer may come when other
// weights are in the slot already.
type hashes struct {
	slot       *hotswap.Slot
	generation [2]uint64
	hash       [2]string
}

func (h *hashes) of(generation uint64) string {
	if p, g := h.slot.Load(); g != h.generation[0] && p != nil {
		h.generation[1], h.hash[1] = h.generation[0], h.hash[0]
		h.generation[0], h.hash[0] = g, p.Info().Hash
	}
	for i, g := range h.generation {
		if g == generation {
			return h.hash[i]
		}
	}
	return ""
}
