package ros

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// State is a state of a lifecycle node, numbered as lifecycle_msgs/msg/State.
type State uint8

const (
	Unknown      State = 0
	Unconfigured State = 1
	Inactive     State = 2
	Active       State = 3
	Finalized    State = 4

	Configuring     State = 10
	CleaningUp      State = 11
	ShuttingDown    State = 12
	Activating      State = 13
	Deactivating    State = 14
	ErrorProcessing State = 15
)

// String is the state's label.
func (s State) String() string {
	switch s {
	case Unconfigured:
		return "unconfigured"
	case Inactive:
		return "inactive"
	case Active:
		return "active"
	case Finalized:
		return "finalized"
	case Configuring:
		return "configuring"
	case CleaningUp:
		return "cleaningup"
	case ShuttingDown:
		return "shuttingdown"
	case Activating:
		return "activating"
	case Deactivating:
		return "deactivating"
	case ErrorProcessing:
		return "errorprocessing"
	}
	return "unknown"
}

// primary tells whether a node rests in the state.
func (s State) primary() bool { return s <= Finalized }

// Transition leads from one state to another; the numbers are those of
// lifecycle_msgs/msg/Transition.
type Transition struct {
	ID       uint8
	Label    string
	From, To State
}

// transitions is the default state machine of rcl_lifecycle.
var transitions = []Transition{
	{1, "configure", Unconfigured, Configuring},
	{10, "transition_success", Configuring, Inactive},
	{11, "transition_failure", Configuring, Unconfigured},
	{12, "transition_error", Configuring, ErrorProcessing},
	{2, "cleanup", Inactive, CleaningUp},
	{20, "transition_success", CleaningUp, Unconfigured},
	{21, "transition_failure", CleaningUp, Inactive},
	{22, "transition_error", CleaningUp, ErrorProcessing},
	{3, "activate", Inactive, Activating},
	{30, "transition_success", Activating, Active},
	{31, "transition_failure", Activating, Inactive},
	{32, "transition_error", Activating, ErrorProcessing},
	{4, "deactivate", Active, Deactivating},
	{40, "transition_success", Deactivating, Inactive},
	{41, "transition_failure", Deactivating, Active},
	{42, "transition_error", Deactivating, ErrorProcessing},
	{5, "shutdown", Unconfigured, ShuttingDown},
	{6, "shutdown", Inactive, ShuttingDown},
	{7, "shutdown", Active, ShuttingDown},
	{50, "transition_success", ShuttingDown, Finalized},
	{51, "transition_failure", ShuttingDown, Finalized},
	{52, "transition_error", ShuttingDown, ErrorProcessing},
	{60, "transition_success", ErrorProcessing, Unconfigured},
	{61, "transition_failure", ErrorProcessing, Finalized},
	{62, "transition_error", ErrorProcessing, Finalized},
}

var (
	// ErrTransition says that a state has no such transition, or is itself one.
	ErrTransition = errors.New("no such transition")
	// ErrBroken is wrapped by a callback's error that leaves the node in no
	// state to go on: error processing follows instead of the state before.
	ErrBroken = errors.New("broken")
)

// Callbacks do the work of a lifecycle node's transitions; nil does nothing. An
// error fails the transition and leaves the state as it was, one that wraps
// ErrBroken leads to Error. No two run at a time.
type Callbacks struct {
	Configure  func() error // load, declare, connect
	Activate   func() error // begin
	Deactivate func() error // stop, so that Activate can follow
	Cleanup    func() error // let go of what Configure made
	// Shutdown ends the node from any state; nil: Deactivate and Cleanup as far
	// as the state needs them. The node is finalized whatever it returns.
	Shutdown func(from State) error
	// Error brings the node back to unconfigured; with an error, or nil instead
	// of a function, it is finalized.
	Error func(error) error
}

// machine is the state machine of one node.
type machine struct {
	callbacks Callbacks
	entered   func(Transition) // after each change of state

	mu    sync.Mutex
	moved sync.Cond // the state is another
	state State
}

func newMachine(c Callbacks, entered func(Transition)) *machine {
	m := &machine{callbacks: c, entered: entered, state: Unconfigured}
	m.moved.L = &m.mu
	return m
}

// State returns the state now, that of a transition while its callback runs.
func (m *machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// available lists what leads out of a state.
func available(s State) (out []Transition) {
	for _, t := range transitions {
		if t.From == s {
			out = append(out, t)
		}
	}
	return out
}

// take goes through the transition that fits, and returns it. With wait, one in
// progress is let end first.
func (m *machine) take(wait bool, fits func(Transition) bool) (Transition, error) {
	m.mu.Lock()
	for wait && !m.state.primary() {
		m.moved.Wait()
	}
	i := slices.IndexFunc(transitions, func(t Transition) bool { return t.From == m.state && fits(t) })
	if i < 0 {
		defer m.mu.Unlock()
		return Transition{From: m.state}, ErrTransition
	}
	m.state = transitions[i].To
	m.moved.Broadcast()
	m.mu.Unlock()
	m.entered(transitions[i])
	return transitions[i], nil
}

// trigger starts a transition by its label, or by its number where the label is
// empty, and runs it to its end. Only those out of states in which a node rests
// can be asked for.
func (m *machine) trigger(label string, id uint8) error {
	begun, err := m.take(false, func(t Transition) bool {
		return t.From.primary() && (t.Label == label || label == "" && t.ID == id)
	})
	if err != nil {
		if label == "" {
			label = fmt.Sprintf("number %d", id)
		}
		return fmt.Errorf("ros: %s from %s: %w", label, begun.From, err)
	}
	return m.complete(begun)
}

// shutdown finalizes the node once a transition in progress has ended.
func (m *machine) shutdown() error {
	begun, err := m.take(true, func(t Transition) bool { return t.Label == "shutdown" })
	if err != nil {
		return nil // it is finalized
	}
	return m.complete(begun)
}

// complete runs a transition that has begun to its end.
func (m *machine) complete(begun Transition) error {
	err := m.run(begun)
	m.finish(err)
	if err != nil && errors.Is(err, ErrBroken) {
		m.finish(m.recover(err))
	}
	if err != nil {
		return fmt.Errorf("%s failed, the node is %s: %w", begun.Label, m.State(), err)
	}
	return nil
}

// finish leaves a transition's state by the way that its callback's error tells.
func (m *machine) finish(err error) {
	label := "transition_success"
	switch {
	case errors.Is(err, ErrBroken):
		label = "transition_error"
	case err != nil:
		label = "transition_failure"
	}
	_, _ = m.take(false, func(t Transition) bool { return t.Label == label }) // each has all three
}

func (m *machine) recover(err error) error {
	if m.callbacks.Error == nil {
		return err
	}
	return m.callbacks.Error(err)
}

// run calls what does the work of a transition.
func (m *machine) run(t Transition) error {
	c := m.callbacks
	call := func(f func() error) error {
		if f == nil {
			return nil
		}
		return f()
	}
	switch t.To {
	case Configuring:
		return call(c.Configure)
	case Activating:
		return call(c.Activate)
	case Deactivating:
		return call(c.Deactivate)
	case CleaningUp:
		return call(c.Cleanup)
	}
	if c.Shutdown != nil {
		return c.Shutdown(t.From)
	}
	var err error
	if t.From == Active {
		err = call(c.Deactivate)
	}
	if t.From == Active || t.From == Inactive {
		err = errors.Join(err, call(c.Cleanup))
	}
	return err
}
