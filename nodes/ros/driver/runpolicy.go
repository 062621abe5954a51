//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// Times of ~/run_policy.
const (
	runLook     = 50 * time.Millisecond
	runFeedback = 500 * time.Millisecond
	runFails    = 5 * time.Second // without following
)

// Outcomes of a RunPolicy, as in its definition.
const (
	outcomeCompleted uint8 = iota
	outcomeCanceled
	outcomeStopped
	outcomePreempted
	outcomeFailed
)

// runs are the goals of ~/run_policy. The newest takes the place of the one
// before, and when it has ended the arm holds.
type runs struct {
	d *Driver

	mu      sync.Mutex
	current *run
}

type run struct {
	preempted chan struct{}
	begin     int64 // ROS time, ns
}

func (r *runs) accept(goal *cdr.Record) error {
	if !r.d.active.Load() {
		return errInactive
	}
	if n := len(promptOf(goal)); n > longestText {
		return fmt.Errorf("the prompt has %d bytes, %d are allowed", n, longestText)
	}
	if d := time.Duration(ros.GetTime(goal, "duration")); d < 0 {
		return fmt.Errorf("the duration is %v, give 0 for no end or more", d)
	}
	return r.d.busy()
}

func (r *runs) execute(ctx context.Context, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
	d := r.d
	me := r.start(promptOf(g.Description))
	outcome, reason := me.wait(ctx, d, g)
	r.end(me, reason)
	d.journal.info("run_policy: " + reason)
	if err := errors.Join(result.Set("outcome", outcome), result.Set("reason", reason)); err != nil {
		d.journal.fail(err.Error())
	}
	switch outcome {
	case outcomeCompleted:
		return ros.GoalSucceeded
	case outcomeCanceled:
		return ros.GoalCanceled
	}
	return ros.GoalAborted
}

// start takes the place of the goal that runs, and lets the arm move.
func (r *runs) start(prompt string) *run {
	me := &run{preempted: make(chan struct{}), begin: r.d.now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		close(r.current.preempted)
	}
	r.current = me
	r.d.prompt.Store(&prompt)
	r.d.holds.release(holdOperator, holdRun)
	r.d.board.poke()
	return me
}

// end holds the arm, unless another goal has taken over.
func (r *runs) end(me *run, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != me {
		return
	}
	r.current = nil
	r.d.prompt.Store(nil)
	r.d.holds.hold(holdRun, "run_policy is over: "+reason)
	r.d.board.poke()
}

// wait returns how the goal ends, and why.
func (me *run) wait(ctx context.Context, d *Driver, g *ros.Goal) (outcome uint8, reason string) {
	limit := ros.GetTime(g.Description, "duration") // 0: no end
	look, tell := time.NewTicker(runLook), time.NewTicker(runFeedback)
	defer look.Stop()
	defer tell.Stop()
	followed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return outcomeCanceled, "canceled"
		case <-me.preempted:
			return outcomePreempted, "a newer goal came"
		case <-tell.C:
			state := d.situation(d.configured).state
			if err := g.Feedback(func(fb *cdr.Record) error {
				return errors.Join(fb.Set("elapsed", float64(d.now()-me.begin)/1e9), fb.Set("state", state))
			}); err != nil {
				d.log.Errorf("run_policy: %v", err)
			}
		case <-look.C:
			switch s := d.situation(d.configured); {
			case !d.active.Load():
				return outcomeFailed, "policy_node was deactivated"
			case limit > 0 && d.now()-me.begin >= limit:
				return outcomeCompleted, "ran for its duration"
			case s.state == stateStopped:
				return outcomeStopped, s.reason
			case s.state == stateTracking:
				followed = time.Now()
			case time.Since(followed) > runFails:
				return outcomeFailed, s.reason
			}
		}
	}
}

// promptOf is the prompt that a goal asks for.
func promptOf(goal *cdr.Record) string {
	prompt, _ := goal.Lookup("prompt")
	text, _ := prompt.(string)
	return text
}
