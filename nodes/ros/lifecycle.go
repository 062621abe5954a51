//go:build ros

package ros

import (
	"errors"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// Lifecycle makes the node a managed one: unconfigured at first, changed by
// `ros2 lifecycle`, and by Run where the parameter autostart is set.
func (n *Node) Lifecycle(callbacks Callbacks) error {
	if n.machine != nil {
		return errors.New("ros: the node has a lifecycle already")
	}
	if err := n.Declare(param.Declaration{Name: "autostart", Default: param.Of(true), ReadOnly: true, Description: "configure and activate the node when it starts"}); err != nil {
		return err
	}
	events, err := n.publisher("~/transition_event", "lifecycle_msgs/msg/TransitionEvent", Default)
	if err != nil {
		return err
	}
	n.machine = newMachine(callbacks, func(t Transition) {
		n.Log.Infof("%s", t.To)
		rec := events.Type.New()
		if err := errors.Join(setTransition(rec, t), rec.Set("timestamp", uint64(n.Clock.Now())), events.Publish(rec)); err != nil {
			n.Log.Errorf("transition event: %v", err)
		}
		if t.From == Configuring && t.To == Inactive {
			n.warnUnused(false)
		}
	})
	for name, s := range map[string]struct {
		typ    string
		handle Handler
	}{
		"change_state":              {"ChangeState", n.changeState},
		"get_state":                 {"GetState", func(_, resp *cdr.Record) error { return setState(resp, "current_state", n.State()) }},
		"get_available_states":      {"GetAvailableStates", n.availableStates},
		"get_available_transitions": {"GetAvailableTransitions", func(_, resp *cdr.Record) error { return n.describeTransitions(resp, available(n.State())) }},
		"get_transition_graph":      {"GetAvailableTransitions", func(_, resp *cdr.Record) error { return n.describeTransitions(resp, transitions) }},
	} {
		if _, err := n.Serve(n.group, "~/"+name, "lifecycle_msgs/srv/"+s.typ, s.handle); err != nil {
			return err
		}
	}
	return nil
}

// State returns the lifecycle state; Active for a node without lifecycle.
func (n *Node) State() State {
	if n.machine == nil {
		return Active
	}
	return n.machine.State()
}

// Trigger goes through a transition by its label and returns when it is done.
// Errors are logged.
func (n *Node) Trigger(label string) error { return n.trigger(label, 0) }

func (n *Node) trigger(label string, id uint8) error { return n.logged(n.machine.trigger(label, id)) }

func (n *Node) logged(err error) error {
	if err != nil {
		n.Log.Errorf("%v", err)
	}
	return err
}

func setState(rec *cdr.Record, path string, s State) error {
	return errors.Join(rec.Set(path+".id", uint8(s)), rec.Set(path+".label", s.String()))
}

// setTransition fills a TransitionEvent or a TransitionDescription.
func setTransition(rec *cdr.Record, t Transition) error {
	return errors.Join(rec.Set("transition.id", t.ID), rec.Set("transition.label", t.Label),
		setState(rec, "start_state", t.From), setState(rec, "goal_state", t.To))
}

// changeState takes the label, or the number where there is none, as rclcpp.
func (n *Node) changeState(req, resp *cdr.Record) error {
	err := n.trigger(lookup[string](req, "transition.label"), lookup[uint8](req, "transition.id"))
	return resp.Set("success", err == nil)
}

var states = []State{Unknown, Unconfigured, Inactive, Active, Finalized, Configuring, CleaningUp, ShuttingDown, Activating, Deactivating, ErrorProcessing}

func (n *Node) availableStates(_, resp *cdr.Record) error {
	return put(n, resp, "available_states", "lifecycle_msgs/msg/State", states, func(r *cdr.Record, s State) error {
		return errors.Join(r.Set("id", uint8(s)), r.Set("label", s.String()))
	})
}

func (n *Node) describeTransitions(resp *cdr.Record, all []Transition) error {
	return put(n, resp, "available_transitions", "lifecycle_msgs/msg/TransitionDescription", all, setTransition)
}
