//go:build ros

package trainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/ros"
	"arfm/nodes/ros/param"
)

// Rates of what the node tells of a run.
const (
	feedbackEvery = 200 * time.Millisecond
	statusEvery   = 500 * time.Millisecond
)

// lookEvery is how often the node looks for new bags once enough episodes ended.
const lookEvery = 2 * time.Second

// node is finetune_node.
type node struct {
	*ros.Node
	ctx context.Context // of the process

	group       *ros.Group
	status      *ros.Publisher
	server      *ros.ActionServer
	diagnostics *ros.Diagnostics

	live    context.Context // while active; nil before
	die     context.CancelFunc
	watched chan struct{} // closed when watch has ended

	mu        sync.Mutex
	now       Event
	published time.Time
	running   chan struct{} // closed at the end of the run in progress; nil: none
	episodes  int           // that ended since the last run began
}

// Setup makes a ROS node finetune_node. ctx is the process's: when it ends, a
// run in progress is ended within half a second.
func Setup(ctx context.Context, rn *ros.Node) error {
	n := &node{Node: rn, ctx: ctx, now: Event{State: Idle}}
	if err := rn.Declare(declarations()...); err != nil {
		return err
	}
	var err error
	if n.diagnostics, err = rn.Diagnose(""); err != nil {
		return err
	}
	n.diagnostics.Add("training", n.diagnose)
	return rn.Lifecycle(ros.Callbacks{Configure: n.configure, Activate: n.activate, Deactivate: n.deactivate, Cleanup: n.cleanup, Shutdown: n.shutdown})
}

func (n *node) shutdown(from ros.State) (err error) {
	if from == ros.Active {
		err = n.deactivate()
	}
	return errors.Join(err, n.cleanup(), n.diagnostics.Close())
}

// configure connects; parameters without which no run can begin are missed here.
func (n *node) configure() (err error) {
	if _, err := n.job(nil); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.cleanup())
		}
	}()
	n.group = n.Context().NewGroup(func(err error) { n.Log.Errorf("%v", err) })
	if n.status, err = n.Publisher("~/training_status", "arfm/msg/TrainingStatus", ros.Latched); err != nil {
		return err
	}
	if n.server, err = n.ServeAction(n.group, "~/finetune", "arfm/action/Finetune", ros.Goals{Accept: n.accept, Execute: n.execute}); err != nil {
		return err
	}
	typ, err := n.Context().Type("arfm/msg/EpisodeEvent")
	if err != nil {
		return err
	}
	if _, err = n.Subscribe(n.group, "/arfm/episode", typ.Name(), ros.Default, func(m ros.Message) { n.episode(typ, m) }); err != nil {
		return err
	}
	n.published = time.Time{} // the new publisher has told nobody
	n.tell(n.now)
	return nil
}

// cleanup lets go of what configure made, of a part of it, or of nothing.
func (n *node) cleanup() (err error) {
	if n.server != nil {
		err = n.server.Close()
	}
	if n.group != nil {
		n.group.Close()
	}
	if n.status != nil {
		err = errors.Join(err, n.status.Close())
	}
	n.server, n.group, n.status = nil, nil, nil
	return err
}

func (n *node) activate() error {
	n.mu.Lock()
	n.live, n.die = context.WithCancel(n.ctx)
	n.episodes = 0
	n.mu.Unlock()
	n.watched = make(chan struct{})
	go n.watch(n.live, n.watched)
	return nil
}

// deactivate ends a run in progress, which keeps what it last saved.
func (n *node) deactivate() error {
	n.die()
	<-n.watched
	n.mu.Lock()
	running := n.running
	n.mu.Unlock()
	if running != nil {
		<-running
	}
	return nil
}

// free says why no run can begin now, nil if one can; n.mu is held.
func (n *node) free() error {
	switch {
	case n.live == nil || n.live.Err() != nil:
		return errors.New("the node is not active; ros2 lifecycle set it")
	case n.running != nil:
		return fmt.Errorf("a run is in progress, at step %d of %d; wait for it or cancel it", n.now.Step, n.now.Steps)
	}
	return nil
}

func (n *node) accept(*cdr.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.free()
}

func (n *node) execute(ctx context.Context, g *ros.Goal, result *cdr.Record) ros.GoalStatus {
	var sent time.Time
	last := n.train(ctx, g.Description, func(e Event) {
		if time.Since(sent) < feedbackEvery {
			return
		}
		sent = time.Now()
		if err := g.Feedback(e.progress); err != nil {
			n.Log.WarnEvery(time.Minute, "feedback: %v", err)
		}
	})
	err := errors.Join(result.Set("success", last.State == Done), result.Set("message", last.Message), result.Set("checkpoint", last.Checkpoint),
		result.Set("hash", last.Hash), result.Set("step", uint64(last.Step)))
	if err != nil {
		n.Log.Errorf("result: %v", err)
	}
	switch last.State {
	case Done:
		return ros.GoalSucceeded
	case Canceled:
		return ros.GoalCanceled
	}
	return ros.GoalAborted
}

// train does a run: a goal's, or with nil one by the parameters alone.
func (n *node) train(ctx context.Context, goal *cdr.Record, feedback func(Event)) Event {
	n.mu.Lock()
	if err := n.free(); err != nil { // another was faster
		n.mu.Unlock()
		return Event{State: Failed, Message: err.Error()}
	}
	live, ended := n.live, make(chan struct{})
	n.running, n.episodes = ended, 0
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.running = nil
		n.mu.Unlock()
		close(ended)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(live, cancel)()
	last := Event{State: Failed}
	if j, err := n.job(goal); err != nil {
		last.Message = err.Error()
	} else {
		n.Log.Infof("run %s begins", j.Run)
		last = run(ctx, live, j, param.Get[int](n.Params, "nice"), func(e Event) {
			if e.Note != "" {
				n.Log.Infof("%s", e.Note)
				return
			}
			n.tell(e)
			feedback(e)
		}, func(line string) { n.Log.Warnf("training process: %s", line) })
	}
	n.tell(last)
	switch last.State {
	case Done:
		n.Log.Infof("done: %s, in %s (%.12s)", last.Message, last.Checkpoint, last.Hash)
	case Failed:
		n.Log.Errorf("the run failed: %s", last.Message)
	default:
		n.Log.Infof("the run was %s: %s", last.State, last.Message)
	}
	return last
}

// episode counts what ends on /arfm/episode.
func (n *node) episode(typ *ros.Type, m ros.Message) {
	rec, err := typ.Decode(m.Data)
	if err != nil {
		n.Log.WarnEvery(time.Minute, "/arfm/episode: %v", err)
		return
	}
	if start, _ := rec.Type().Constant("START"); lookup[uint8](rec, "event") == start {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.episodes++
}

// watch begins runs by itself, until live ends.
func (n *node) watch(live context.Context, watched chan<- struct{}) {
	defer close(watched)
	known := map[string]bool{}
	fresh := func() (found bool) {
		dir := param.Get[string](n.Params, "bag_dir")
		if dir == "" {
			return false
		}
		all, err := offers(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be made yet
			n.Log.WarnEvery(time.Minute, "looking for new bags: %v", err)
		}
		for _, path := range all {
			found = found || !known[path]
			known[path] = true
		}
		return found
	}
	fresh()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-live.Done():
			return
		case <-tick.C:
		}
		n.mu.Lock()
		due := n.after() > 0 && n.episodes >= n.after() && n.free() == nil
		n.mu.Unlock()
		if due && fresh() {
			n.train(live, nil, func(Event) {})
		}
	}
}

func (n *node) after() int { return param.Get[int](n.Params, "train_after_episodes") }

// offers names what a run in bagDir would find, one string for each bag and
// split.
func offers(bagDir string) (all []string, err error) {
	all, open, err := bags.Finished(bagDir)
	for _, path := range open {
		all = append(all, rosbag2.EndedSplits(path)...)
	}
	return all, err
}
