package ros

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestClockOfMessages(t *testing.T) {
	line := newTimeline()
	clock := &Clock{line}
	before := time.Now().UnixNano()
	if now := clock.Now(); now < before || clock.Sim() || clock.Stopped(0) {
		t.Errorf("wall time is %d before %d, sim %v, stopped %v", now, before, clock.Sim(), clock.Stopped(0))
	}
	line.set(5) // not followed yet
	var jumps [][2]int64
	clock.OnJump(func(from, to int64) { jumps = append(jumps, [2]int64{from, to}); clock.Now() })
	line.follow(true)
	if clock.Now() != 0 || len(jumps) != 1 || jumps[0][1] != 0 || !clock.Sim() {
		t.Errorf("at the start of simulated time: now %d, jumps %v", clock.Now(), jumps)
	}
	for _, ns := range []int64{100, 200, 200, 150, 300} {
		line.set(ns)
	}
	if clock.Now() != 300 || len(jumps) != 2 || jumps[1] != [2]int64{200, 150} {
		t.Errorf("now %d, jumps %v", clock.Now(), jumps)
	}
	if clock.Stopped(time.Hour) || !clock.Stopped(0) {
		t.Errorf("silent for %v", clock.Silent())
	}
	line.follow(false)
	if clock.Now() < before || len(jumps) != 2 {
		t.Errorf("back on the wall: now %d, jumps %v", clock.Now(), jumps)
	}
}

func TestMoved(t *testing.T) {
	line := newTimeline()
	clock := &Clock{line}
	if clock.Moved() != nil {
		t.Error("the wall's time moves by steps")
	}
	line.follow(true)
	for _, step := range []func(){func() { line.set(1000) }, func() { line.set(500) }, func() { line.follow(false) }} {
		moved := clock.Moved()
		select {
		case <-moved:
			t.Error("it moved before the step")
		default:
		}
		step()
		select {
		case <-moved:
		default:
			t.Error("it did not move")
		}
	}
}

func TestWaitUntil(t *testing.T) {
	line := newTimeline()
	clock := &Clock{line}
	ctx := context.Background()
	if err := clock.WaitUntil(ctx, clock.Now()+2e6); err != nil {
		t.Error(err)
	}
	line.follow(true)
	line.set(1000)
	if err := clock.WaitUntil(ctx, 1000); err != nil {
		t.Error(err)
	}
	wait := func(ctx context.Context, ns int64) chan error {
		done := make(chan error, 1)
		go func() { done <- clock.WaitUntil(ctx, ns) }()
		return done
	}
	reached, after := wait(ctx, 3000), wait(ctx, 4000)
	line.set(2000)
	select {
	case err := <-reached:
		t.Errorf("returned early: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	line.set(3000)
	if err := <-reached; err != nil {
		t.Error(err)
	}
	line.set(500)
	if err := <-after; !errors.Is(err, ErrJump) {
		t.Errorf("after a jump back: %v", err)
	}
	ctx, stop := context.WithCancel(ctx)
	ended := wait(ctx, 9000)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
