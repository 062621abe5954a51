package ros

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// walk triggers transitions and returns what happened: callbacks, states.
func walk(c func(log func(string)) Callbacks, steps string) string {
	var events []string
	log := func(s string) { events = append(events, s) }
	m := newMachine(c(log), func(t Transition) { log(fmt.Sprintf("%d:%s", t.ID, t.To)) })
	for step := range strings.FieldsSeq(steps) {
		if err := m.trigger(step, 0); err != nil {
			log("(" + err.Error() + ")")
		}
	}
	return strings.Join(events, " ")
}

func TestLifecycle(t *testing.T) {
	say := func(log func(string), what string, err error) func() error {
		return func() error { log("[" + what + "]"); return err }
	}
	good := func(log func(string)) Callbacks {
		return Callbacks{Configure: say(log, "configure", nil), Activate: say(log, "activate", nil), Deactivate: say(log, "deactivate", nil), Cleanup: say(log, "cleanup", nil)}
	}
	failing := errors.New("no camera")
	broken := fmt.Errorf("no arm: %w", ErrBroken)
	tests := []struct {
		callbacks   func(log func(string)) Callbacks
		steps, want string
	}{
		{func(func(string)) Callbacks { return Callbacks{} }, "configure activate", "1:configuring 10:inactive 3:activating 30:active"},
		{good, "configure activate deactivate cleanup shutdown", "1:configuring [configure] 10:inactive 3:activating [activate] 30:active 4:deactivating [deactivate] 40:inactive 2:cleaningup [cleanup] 20:unconfigured 5:shuttingdown 50:finalized"},
		{good, "configure activate shutdown configure", "1:configuring [configure] 10:inactive 3:activating [activate] 30:active 7:shuttingdown [deactivate] [cleanup] 50:finalized (ros: configure from finalized: no such transition)"},
		{good, "configure shutdown", "1:configuring [configure] 10:inactive 6:shuttingdown [cleanup] 50:finalized"},
		{good, "activate transition_success nonsense", "(ros: activate from unconfigured: no such transition) (ros: transition_success from unconfigured: no such transition) (ros: nonsense from unconfigured: no such transition)"},
		{func(log func(string)) Callbacks { return Callbacks{Configure: say(log, "configure", failing)} }, "configure", "1:configuring [configure] 11:unconfigured (configure failed, the node is unconfigured: no camera)"},
		{func(log func(string)) Callbacks { return Callbacks{Activate: say(log, "activate", failing)} }, "configure activate", "1:configuring 10:inactive 3:activating [activate] 31:inactive (activate failed, the node is inactive: no camera)"},
		{func(log func(string)) Callbacks { return Callbacks{Cleanup: say(log, "cleanup", failing)} }, "configure cleanup shutdown", "1:configuring 10:inactive 2:cleaningup [cleanup] 21:inactive (cleanup failed, the node is inactive: no camera) 6:shuttingdown [cleanup] 51:finalized (shutdown failed, the node is finalized: no camera)"},
		{func(log func(string)) Callbacks { return Callbacks{Configure: say(log, "configure", broken)} }, "configure", "1:configuring [configure] 12:errorprocessing 62:finalized (configure failed, the node is finalized: no arm: broken)"},
		{func(log func(string)) Callbacks {
			return Callbacks{Activate: say(log, "activate", broken), Error: func(err error) error { log("[error " + err.Error() + "]"); return nil }}
		}, "configure activate configure", "1:configuring 10:inactive 3:activating [activate] 32:errorprocessing [error no arm: broken] 60:unconfigured (activate failed, the node is unconfigured: no arm: broken) 1:configuring 10:inactive"},
		{func(log func(string)) Callbacks {
			return Callbacks{Deactivate: say(log, "deactivate", broken), Error: func(error) error { return failing }}
		}, "configure activate deactivate", "1:configuring 10:inactive 3:activating 30:active 4:deactivating [deactivate] 42:errorprocessing 61:finalized (deactivate failed, the node is finalized: no arm: broken)"},
		{func(log func(string)) Callbacks {
			return Callbacks{Shutdown: func(from State) error { log("[shutdown " + from.String() + "]"); return nil }}
		}, "configure activate shutdown", "1:configuring 10:inactive 3:activating 30:active 7:shuttingdown [shutdown active] 50:finalized"},
	}
	for _, test := range tests {
		if got := walk(test.callbacks, test.steps); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.steps, got, test.want)
		}
	}
}

func TestTransitionByNumberAndWhileBusy(t *testing.T) {
	var m *machine
	m = newMachine(Callbacks{Configure: func() error {
		if m.State() != Configuring {
			t.Errorf("the state is %s in the callback", m.State())
		}
		if err := m.trigger("shutdown", 0); !errors.Is(err, ErrTransition) {
			t.Errorf("a transition in a transition: %v", err)
		}
		return nil
	}}, func(Transition) {})
	for _, id := range []uint8{0, 3, 10} {
		if err := m.trigger("", id); !errors.Is(err, ErrTransition) {
			t.Errorf("number %d: %v", id, err)
		}
	}
	if err := m.trigger("", 1); err != nil || m.State() != Inactive {
		t.Errorf("%v, %s", err, m.State())
	}
	if got := available(Inactive); !reflect.DeepEqual(got, []Transition{transitions[4], transitions[8], transitions[17]}) {
		t.Errorf("from inactive: %v", got)
	}
}

// A node that is to end while a transition is in progress lets go of what that
// one has made.
func TestShutdownWaitsForATransition(t *testing.T) {
	for _, failure := range []error{nil, errors.New("no camera"), ErrBroken} {
		entered, leave, ended := make(chan bool), make(chan error), make(chan error)
		cleaned := false
		m := newMachine(Callbacks{
			Configure: func() error { close(entered); return <-leave },
			Cleanup:   func() error { cleaned = true; return nil },
		}, func(Transition) {})
		go func() { ended <- m.trigger("configure", 0) }()
		<-entered
		down := make(chan error)
		go func() { down <- m.shutdown() }()
		select {
		case err := <-down:
			t.Fatalf("shut down in the midst of it: %v", err)
		case leave <- failure:
		}
		if err := <-ended; !errors.Is(err, failure) {
			t.Errorf("configure: %v", err)
		}
		if err := <-down; err != nil || m.State() != Finalized || cleaned != (failure == nil) {
			t.Errorf("after %v: %v, %s, cleaned up: %t", failure, err, m.State(), cleaned)
		}
		if err := m.shutdown(); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}
