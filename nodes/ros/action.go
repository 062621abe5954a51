//go:build ros

package ros

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"arfm/bags/cdr"
)

// Actions are built here from the three services and two topics that they are
// made of on the wire: rclgo's action server cannot give a result with an
// aborted goal, and can wait for ever when it is closed.

// GoalStatus is how far a goal is; the values are action_msgs/GoalStatus's.
type GoalStatus int8

// The states of a goal.
const (
	GoalUnknown   GoalStatus = 0
	GoalExecuting GoalStatus = 2
	GoalCanceling GoalStatus = 3
	GoalSucceeded GoalStatus = 4
	GoalCanceled  GoalStatus = 5
	GoalAborted   GoalStatus = 6
)

var goalStatusNames = map[GoalStatus]string{
	GoalUnknown: "unknown", GoalExecuting: "executing", GoalCanceling: "canceling",
	GoalSucceeded: "succeeded", GoalCanceled: "canceled", GoalAborted: "aborted",
}

// String returns the state in one word.
func (s GoalStatus) String() string { return goalStatusNames[s] }

func (s GoalStatus) ended() bool { return s >= GoalSucceeded }

// Return codes of action_msgs/srv/CancelGoal.
const (
	cancelNone       int8 = 0
	cancelRejected   int8 = 1
	cancelUnknown    int8 = 2
	cancelTerminated int8 = 3
)

// GoalID names a goal.
type GoalID [16]byte

func goalID(rec *cdr.Record, path string) (id GoalID) {
	v, _ := rec.Lookup(path)
	b, _ := v.([]uint8)
	copy(id[:], b)
	return id
}

// Names of the services and topics below an action's name.
const (
	sendGoal  = "/_action/send_goal"
	getResult = "/_action/get_result"
	cancelOf  = "/_action/cancel_goal"
	feedback  = "/_action/feedback"
	statusOf  = "/_action/status"
)

// Goals is what an action server does with goals.
type Goals struct {
	// Accept looks at a goal's description; an error refuses the goal and says
	// why in the log. It must not take long. nil: all are accepted.
	Accept func(goal *cdr.Record) error
	// Execute works on an accepted goal, on a goroutine of its own, until it has
	// ended or ctx is done: the goal was canceled or the server is closed. It
	// fills result, whatever it returns: GoalSucceeded, GoalAborted, or
	// GoalCanceled where ctx is done.
	Execute func(ctx context.Context, g *Goal, result *cdr.Record) GoalStatus
}

// Goal is a goal that is being executed.
type Goal struct {
	ID          GoalID
	Description *cdr.Record // the action's _Goal

	server *ActionServer
	cancel context.CancelFunc
	stamp  int64         // when it was accepted, ns
	status GoalStatus    // under the server's lock
	result *cdr.Record   // once done is closed
	done   chan struct{} // closed at the end
}

// Feedback publishes the feedback that fill makes.
func (g *Goal) Feedback(fill func(fb *cdr.Record) error) error {
	fb := g.server.feedbackType.New()
	if err := fill(fb); err != nil {
		return err
	}
	msg := g.server.feedback.Type.New()
	if err := errors.Join(msg.Set("goal_id.uuid", g.ID[:]), msg.Set("feedback", fb)); err != nil {
		return err
	}
	return g.server.feedback.Publish(msg)
}

// Limits on the goals that a server keeps: those that run, and the ended ones
// whose results can still be asked for.
const (
	maxRunning = 64
	maxEnded   = 256
	maxWaiting = 256 // requests for results
)

// ActionServer is an action's server in a group.
type ActionServer struct {
	name     string
	handle   Goals
	group    *Group
	services []*Service
	feedback *Publisher
	status   *Publisher

	feedbackType, resultType, goalStatus *Type
	ctx                                  context.Context
	close                                context.CancelFunc
	running                              sync.WaitGroup

	mu    sync.Mutex
	goals []*Goal // in the order of acceptance
}

// ServeAction serves an action, pkg/action/Name.
func (n *Node) ServeAction(g *Group, name, typ string, handle Goals) (*ActionServer, error) {
	s := &ActionServer{name: name, handle: handle, group: g}
	s.ctx, s.close = context.WithCancel(context.Background())
	if err := s.open(n, typ); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.publishStatus()
	return s, nil
}

func (s *ActionServer) open(n *Node, typ string) (err error) {
	for _, t := range []struct {
		to   **Type
		name string
	}{{&s.feedbackType, typ + "_Feedback"}, {&s.resultType, typ + "_Result"}, {&s.goalStatus, "action_msgs/msg/GoalStatus"}} {
		if *t.to, err = n.ctx.Type(t.name); err != nil {
			return err
		}
	}
	if s.feedback, err = n.publisher(s.name+feedback, typ+"_FeedbackMessage", Default); err != nil {
		return err
	}
	if s.status, err = n.publisher(s.name+statusOf, "action_msgs/msg/GoalStatusArray", Latched); err != nil {
		return err
	}
	for _, x := range []struct {
		name, typ string
		most      int
		handle    Handler
	}{
		{s.name + getResult, typ + "_GetResult", maxWaiting, s.giveResult},
		{s.name + cancelOf, "action_msgs/srv/CancelGoal", maxServing, s.cancelGoals},
		{s.name + sendGoal, typ + "_SendGoal", maxServing, s.takeGoal},
	} {
		srv, err := n.serve(s.group, x.name, x.typ, x.most, x.handle)
		if err != nil {
			return err
		}
		s.services = append(s.services, srv)
	}
	return nil
}

func (s *ActionServer) takeGoal(req, resp *cdr.Record) error {
	now := time.Now().UnixNano()
	g := &Goal{ID: goalID(req, "goal_id.uuid"), server: s, stamp: now, status: GoalExecuting, done: make(chan struct{})}
	d, _ := req.Lookup("goal")
	g.Description, _ = d.(*cdr.Record)
	if err := s.admit(g); err != nil {
		return fmt.Errorf("goal refused: %w", err)
	}
	s.publishStatus()
	return errors.Join(resp.Set("accepted", true), SetTime(resp, "stamp", now))
}

// admit accepts a goal and begins its execution.
func (s *ActionServer) admit(g *Goal) error {
	if s.handle.Accept != nil {
		if err := s.handle.Accept(g.Description); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	running := 0
	for _, have := range s.goals {
		if have.ID == g.ID {
			return fmt.Errorf("goal %x is known already", g.ID)
		}
		if !have.status.ended() {
			running++
		}
	}
	if s.ctx.Err() != nil || running >= maxRunning {
		return fmt.Errorf("%d goals are running", running)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	g.cancel = cancel
	s.goals = append(s.goals, g)
	s.running.Go(func() {
		defer cancel()
		result := s.resultType.New()
		s.end(g, s.handle.Execute(ctx, g, result), result)
	})
	return nil
}

// end keeps a goal's result for those who ask.
func (s *ActionServer) end(g *Goal, status GoalStatus, result *cdr.Record) {
	s.mu.Lock()
	if status == GoalCanceled && g.status != GoalCanceling {
		status = GoalAborted // nobody asked: the server ends
	}
	g.status, g.result = status, result
	ended := 0
	for i := len(s.goals) - 1; i >= 0; i-- {
		if !s.goals[i].status.ended() {
			continue
		}
		if ended++; ended > maxEnded {
			s.goals = slices.Delete(s.goals, i, i+1)
		}
	}
	s.mu.Unlock()
	close(g.done)
	s.publishStatus()
}

func (s *ActionServer) find(id GoalID) *Goal {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.goals {
		if g.ID == id {
			return g
		}
	}
	return nil
}

func (s *ActionServer) giveResult(req, resp *cdr.Record) error {
	g := s.find(goalID(req, "goal_id.uuid"))
	if g == nil {
		return resp.Set("status", int8(GoalUnknown))
	}
	<-g.done
	return errors.Join(resp.Set("status", int8(g.status)), resp.Set("result", g.result))
}

// cancelGoals cancels one goal by its name, those up to a time, or all.
func (s *ActionServer) cancelGoals(req, resp *cdr.Record) error {
	id, until := goalID(req, "goal_info.goal_id.uuid"), GetTime(req, "goal_info.stamp")
	var canceling []*cdr.Record
	code := cancelRejected
	s.mu.Lock()
	known := id == GoalID{}
	for _, g := range s.goals {
		all := id == GoalID{} && until == 0
		named := g.ID == id
		known = known || named
		switch {
		case !all && !named && (until == 0 || g.stamp > until):
		case g.status.ended():
			if named {
				code = cancelTerminated
			}
		default:
			g.status = GoalCanceling
			g.cancel()
			info, err := s.info(g)
			if err != nil {
				s.mu.Unlock()
				return err
			}
			part, _ := info.Lookup("goal_info")
			canceling = append(canceling, part.(*cdr.Record))
			code = cancelNone
		}
	}
	s.mu.Unlock()
	if !known {
		code = cancelUnknown
	}
	s.publishStatus()
	return errors.Join(resp.Set("return_code", code), resp.Set("goals_canceling", canceling))
}

// info is a goal as the status topic tells it.
func (s *ActionServer) info(g *Goal) (*cdr.Record, error) {
	rec := s.goalStatus.New()
	return rec, errors.Join(rec.Set("goal_info.goal_id.uuid", g.ID[:]), SetTime(rec, "goal_info.stamp", g.stamp), rec.Set("status", int8(g.status)))
}

func (s *ActionServer) publishStatus() {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*cdr.Record, 0, len(s.goals))
	for _, g := range s.goals {
		rec, err := s.info(g)
		if err != nil {
			s.group.log(err)
			return
		}
		list = append(list, rec)
	}
	msg := s.status.Type.New()
	if err := msg.Set("status_list", list); err != nil {
		s.group.log(err)
		return
	}
	if err := s.status.Publish(msg); err != nil {
		s.group.log(err)
	}
}

// Close aborts what runs, waits for it and takes the server out of the graph.
func (s *ActionServer) Close() (err error) {
	s.mu.Lock() // no goal is admitted from here on
	s.close()
	s.mu.Unlock()
	s.running.Wait()
	for _, srv := range s.services {
		err = errors.Join(err, srv.Close())
	}
	for _, p := range []*Publisher{s.feedback, s.status} {
		if p != nil {
			err = errors.Join(err, p.Close())
		}
	}
	return err
}

// SetTime writes a time or a duration, ns, that is not negative.
func SetTime(rec *cdr.Record, path string, t int64) error {
	return errors.Join(rec.Set(path+".sec", t/1e9), rec.Set(path+".nanosec", t%1e9))
}

// GetTime reads a time or a duration, ns; 0 where there is none.
func GetTime(rec *cdr.Record, path string) int64 {
	sec, _ := rec.Lookup(path + ".sec")
	ns, _ := rec.Lookup(path + ".nanosec")
	s, _ := sec.(int32)
	n, _ := ns.(uint32)
	return int64(s)*1e9 + int64(n)
}
