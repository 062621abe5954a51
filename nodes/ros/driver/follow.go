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
	"arfm/policy/contract"
)

// holdController is the name of the hold for what the controller does.
const holdController = "controller"

const (
	goalLead     = 40 * time.Millisecond  // how long a goal may be on its way
	acceptWithin = 500 * time.Millisecond // for the answer to a goal
	lookEvery    = 500 * time.Millisecond // for the server
	tryAgain     = time.Second            // after a fault that may pass by itself
	resultWithin = 5 * time.Second        // for the result of a goal that another one followed
)

// followCodes names the results of FollowJointTrajectory. Where the arm may go
// on by itself is said with again.
var followCodes = map[int32]struct {
	name   string
	again  bool
	remedy string
}{
	-1: {"INVALID_GOAL", false, "the controller does not take this trajectory"},
	-2: {"INVALID_JOINTS", false, "its joints are not the contract's"},
	-3: {"OLD_HEADER_TIMESTAMP", true, "its clock is another"},
	-4: {"PATH_TOLERANCE_VIOLATED", false, "the arm did not follow, look what holds it back"},
	-5: {"GOAL_TOLERANCE_VIOLATED", true, "the arm did not come to the plan's end"},
}

// follow sends each plan as a goal of FollowJointTrajectory. The controller
// replaces the goal before by itself; what happens to that one is no news.
type follow struct {
	name   string
	now    func() int64
	log    Logger
	holds  *holds
	client *ros.ActionClient
	msg    *trajectory
	seam   *seam
	goal   *cdr.Record

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// sending is held while a goal is on its way: the goal that it replaces may
	// end before it is known to be accepted.
	sending sync.Mutex

	mu      sync.Mutex
	current uint64 // goals sent so far
	active  bool   // the current one has no result yet
	missing bool   // the server was not there
	faulted bool   // what was sent is not in force; waits for a first plan
	release func() // ends waiting for the goal before
	events  map[string]uint64
}

func newFollow(d *Driver, c *contract.Contract) (*follow, error) {
	msg, err := newTrajectory(d.n.Context(), c.ActionNames())
	if err != nil {
		return nil, err
	}
	f := &follow{name: d.o.ActionName, now: d.now, log: d.log, holds: d.holds, msg: msg, seam: newSeam(c.ActionDim(), d.o.NonzeroEnd, int64(goalLead)), release: func() {}, events: map[string]uint64{}}
	if f.client, err = d.n.ActionClient(d.states, f.name, "control_msgs/action/FollowJointTrajectory"); err != nil {
		return nil, err
	}
	if err = f.client.Foreign(d.n, d.states, f.taken); err != nil {
		return nil, errors.Join(err, f.client.Close())
	}
	f.goal = f.client.Goal.New()
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Go(f.look)
	return f, nil
}

func (f *follow) ticks() bool { return false }

func (f *follow) close() error {
	f.cancel()
	f.wg.Wait()
	return f.client.Close()
}

// look sees the server come and go.
func (f *follow) look() {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-t.C:
		}
		ready := f.client.Ready()
		f.mu.Lock()
		gone, back := f.active && !ready, f.missing && ready
		if back {
			f.missing = false
		}
		f.mu.Unlock()
		switch {
		case gone:
			f.gone()
		case back:
			f.log.Infof("controller: %s is there", f.name)
			f.holds.release(holdController)
		}
	}
}

// fault holds the arm: the controller does not follow what was sent.
func (f *follow) fault(name, reason string) {
	f.mu.Lock()
	f.faulted, f.active = true, false
	f.events[name]++
	f.mu.Unlock()
	f.log.Errorf("controller: %s: %s", name, reason)
	f.holds.lose(holdController, name+": "+reason)
}

// taken reacts to a goal of another client, which the controller follows from
// now on.
func (f *follow) taken(ros.GoalID) {
	f.mu.Lock()
	mine := f.active
	f.mu.Unlock()
	if mine {
		f.fault("PREEMPTED", "another client sent the controller a goal; call ~/rearm to go on")
	}
}

func (f *follow) gone() {
	f.mu.Lock()
	f.missing = true
	f.mu.Unlock()
	f.fault("NO_SERVER", fmt.Sprintf("there is no action server %s, start its controller or set action_name", f.name))
}

func (f *follow) send(p *plan) error {
	f.mu.Lock()
	if p.forget || p.first {
		f.seam.inForce, f.faulted = false, false
	}
	faulted := f.faulted
	f.mu.Unlock()
	if p.forget || faulted {
		return nil
	}
	pts := f.seam.lay(p, f.now())
	if pts == nil {
		return nil
	}
	rec, err := f.msg.fill(p.stamp, pts)
	if err != nil {
		return err
	}
	if err := f.goal.Set("trajectory", rec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.ctx, acceptWithin)
	defer cancel()
	f.sending.Lock()
	defer f.sending.Unlock()
	goal, err := f.client.Send(ctx, f.goal, nil)
	switch {
	case f.ctx.Err() != nil:
	case errors.Is(err, ros.ErrNoServer):
		f.gone()
	case errors.Is(err, ros.ErrRefused):
		f.fault("REJECTED", fmt.Sprintf("%s refused the goal, compare its joints and its limits on trajectories with the contract's", f.name))
		f.holds.releaseAfter(tryAgain, holdController)
	case err != nil:
		f.fault("NO_ANSWER", err.Error())
		f.holds.releaseAfter(tryAgain, holdController)
	default:
		f.watch(goal)
	}
	return nil
}

// watch waits for the result of a goal that takes the place of the one before.
func (f *follow) watch(goal *ros.SentGoal) {
	ctx, cancel := context.WithCancel(f.ctx)
	f.mu.Lock()
	f.release()
	f.release = func() { time.AfterFunc(resultWithin, cancel) }
	f.current++
	n := f.current
	f.active = true
	f.mu.Unlock()
	f.wg.Go(func() {
		defer cancel()
		status, result, err := goal.Result(ctx)
		f.sending.Lock()
		defer f.sending.Unlock()
		f.mu.Lock()
		mine := f.current == n && f.active
		if mine {
			f.active = false
		}
		f.mu.Unlock()
		if mine && f.ctx.Err() == nil {
			f.ended(status, result, err)
		}
	})
}

// ended reacts to the end of the goal that was in force.
func (f *follow) ended(status ros.GoalStatus, result *cdr.Record, err error) {
	switch {
	case err != nil:
		f.fault("NO_RESULT", err.Error())
		f.holds.releaseAfter(tryAgain, holdController)
	case status == ros.GoalSucceeded:
	case status == ros.GoalCanceled:
		f.fault("CANCELED", "another client took the controller over or canceled the goal; call ~/rearm to go on")
	default:
		var code int32
		var text string
		if result != nil {
			v, _ := result.Lookup("error_code")
			code, _ = v.(int32)
			v, _ = result.Lookup("error_string")
			text, _ = v.(string)
		}
		known := followCodes[code]
		if known.name == "" {
			known.name, known.remedy = "ABORTED", "the controller gave the goal up"
		}
		if text != "" {
			text = ": " + text
		}
		reason := fmt.Sprintf("%s (code %d%.200s)", known.remedy, code, text)
		if !known.again {
			reason += "; call ~/rearm to go on"
		}
		f.fault(known.name, reason)
		if known.again {
			f.holds.releaseAfter(tryAgain, holdController)
		}
	}
}

// counts says how often each fault came.
func (f *follow) counts() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]uint64, len(f.events))
	for name, n := range f.events {
		out[name] = n
	}
	return out
}
