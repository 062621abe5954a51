//go:build ros

package ros

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"arfm/bags/cdr"
)

// ErrRefused says that an action's server did not accept a goal.
var ErrRefused = errors.New("the server refused the goal")

// ActionClient sends goals to an action's server.
type ActionClient struct {
	Goal *Type // of descriptions

	name                 string
	send, result, cancel *Client
	feedback             *Subscription

	status *Subscription // where Foreign asked for it

	mu       sync.Mutex
	watchers map[GoalID]func(*cdr.Record)
	sent     []GoalID // the latest
	foreign  []GoalID // goals of others that were told
}

// remembered bounds the goals that a client remembers by name.
const remembered = 256

// Foreign calls told, in the client's group, for every goal that the server
// begins to execute for another client from now on. Servers need not say that a goal was
// pre-empted: Humble's joint_trajectory_controller does not.
func (c *ActionClient) Foreign(n *Node, g *Group, told func(GoalID)) (err error) {
	t, err := n.ctx.Type("action_msgs/msg/GoalStatusArray")
	if err != nil {
		return err
	}
	latched := time.Now().Add(time.Second) // what comes until then was there before
	c.status, err = n.subscribe(g, c.name+statusOf, "action_msgs/msg/GoalStatusArray", Latched, func(m Message) {
		rec, err := t.Decode(m.Data)
		if err != nil {
			return
		}
		v, _ := rec.Lookup("status_list")
		list, _ := v.([]*cdr.Record)
		for _, s := range list {
			status, _ := s.Lookup("status")
			id := goalID(s, "goal_info.goal_id.uuid")
			if status == int8(GoalExecuting) && c.isForeign(id) && time.Now().After(latched) {
				told(id)
			}
		}
	})
	return err
}

// isForeign says, once for each goal, whether another client sent it.
func (c *ActionClient) isForeign(id GoalID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.sent, id) || slices.Contains(c.foreign, id) {
		return false
	}
	if c.foreign = append(c.foreign, id); len(c.foreign) > 2*remembered {
		c.foreign = last(c.foreign, remembered)
	}
	return true
}

// last returns the last n elements at most.
func last(ids []GoalID, n int) []GoalID { return slices.Clone(ids[max(0, len(ids)-n):]) }

// SentGoal is a goal that a server accepted.
type SentGoal struct {
	ID     GoalID
	client *ActionClient
}

// ActionClient makes a client of an action, pkg/action/Name; answers come in
// through g.
func (n *Node) ActionClient(g *Group, name, typ string) (c *ActionClient, err error) {
	c = &ActionClient{name: name, watchers: map[GoalID]func(*cdr.Record){}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.Goal, err = n.ctx.Type(typ + "_Goal"); err != nil {
		return c, err
	}
	if c.send, err = n.Client(g, name+sendGoal, typ+"_SendGoal"); err != nil {
		return c, err
	}
	if c.result, err = n.Client(g, name+getResult, typ+"_GetResult"); err != nil {
		return c, err
	}
	if c.cancel, err = n.Client(g, name+cancelOf, "action_msgs/srv/CancelGoal"); err != nil {
		return c, err
	}
	c.feedback, err = n.subscribe(g, name+feedback, typ+"_FeedbackMessage", Default, c.takeFeedback)
	return c, err
}

// Ready says whether there is a server.
func (c *ActionClient) Ready() bool { return c.send.Ready() && c.result.Ready() }

func (c *ActionClient) takeFeedback(m Message) {
	rec, err := c.feedback.Type.Decode(m.Data)
	if err != nil {
		return
	}
	c.mu.Lock()
	watch := c.watchers[goalID(rec, "goal_id.uuid")]
	c.mu.Unlock()
	if fb, _ := rec.Lookup("feedback"); watch != nil && fb != nil {
		watch(fb.(*cdr.Record))
	}
}

// Send sends a goal; the error wraps ErrNoServer or ErrRefused. feedback, which
// may be nil, is called in the client's group until Result has returned.
func (c *ActionClient) Send(ctx context.Context, goal *cdr.Record, feedback func(*cdr.Record)) (*SentGoal, error) {
	g := &SentGoal{client: c}
	if _, err := rand.Read(g.ID[:]); err != nil {
		return nil, err
	}
	req := c.send.Request.New()
	if err := errors.Join(req.Set("goal_id.uuid", g.ID[:]), req.Set("goal", goal)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.sent = append(c.sent, g.ID); len(c.sent) > 2*remembered {
		c.sent = last(c.sent, remembered)
	}
	if feedback != nil {
		c.watchers[g.ID] = feedback
	}
	c.mu.Unlock()
	answer, err := c.send.Call(ctx, req)
	if err == nil {
		if ok, _ := answer.Lookup("accepted"); ok == true {
			return g, nil
		}
		err = fmt.Errorf("ros: action %s: %w", c.name, ErrRefused)
	}
	c.forget(g.ID)
	return nil, err
}

func (c *ActionClient) forget(id GoalID) {
	c.mu.Lock()
	delete(c.watchers, id)
	c.mu.Unlock()
}

// Result waits for the goal's end, or ctx's, and returns how it ended and the
// action's _Result.
func (g *SentGoal) Result(ctx context.Context) (GoalStatus, *cdr.Record, error) {
	defer g.client.forget(g.ID)
	req := g.client.result.Request.New()
	if err := req.Set("goal_id.uuid", g.ID[:]); err != nil {
		return GoalUnknown, nil, err
	}
	answer, err := g.client.result.Call(ctx, req)
	if err != nil {
		return GoalUnknown, nil, err
	}
	status, _ := answer.Lookup("status")
	result, _ := answer.Lookup("result")
	s, _ := status.(int8)
	rec, _ := result.(*cdr.Record)
	return GoalStatus(s), rec, nil
}

// Cancel asks the server to cancel the goal; Result tells whether it did.
func (g *SentGoal) Cancel(ctx context.Context) error {
	req := g.client.cancel.Request.New()
	if err := req.Set("goal_info.goal_id.uuid", g.ID[:]); err != nil {
		return err
	}
	answer, err := g.client.cancel.Call(ctx, req)
	if err != nil {
		return err
	}
	if code, _ := answer.Lookup("return_code"); code != cancelNone && code != cancelTerminated {
		return fmt.Errorf("ros: action %s: the server does not cancel the goal (code %v)", g.client.name, code)
	}
	return nil
}

// Close ends the client.
func (c *ActionClient) Close() (err error) {
	for _, x := range []*Client{c.send, c.result, c.cancel} {
		if x != nil {
			err = errors.Join(err, x.Close())
		}
	}
	for _, x := range []*Subscription{c.feedback, c.status} {
		if x != nil {
			err = errors.Join(err, x.Close())
		}
	}
	return err
}
