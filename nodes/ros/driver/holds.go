//go:build ros

package driver

import (
	"slices"
	"sync"
	"time"

	"arfm/nodes/runner"
)

// holds are the reasons for which the arm is held: as long as there is one, it
// is. Each has a name of its own, so that none lifts another's.
type holds struct {
	tell func(runner.Event)

	mu     sync.Mutex
	active []held
	timers []*time.Timer
}

type held struct{ name, reason string }

// hold adds a reason, or gives the one of this name another text.
func (h *holds) hold(name, reason string) { h.add(name, reason, runner.Hold(reason)) }

// lose is hold where the arm does not follow any more: it starts from where it
// is measured when all holds are lifted.
func (h *holds) lose(name, reason string) { h.add(name, reason, runner.Lost(reason)) }

func (h *holds) add(name, reason string, ev runner.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(name)
	h.active = append(h.active, held{name, reason})
	h.tell(ev)
}

func (h *holds) drop(name string) (dropped bool) {
	n := len(h.active)
	h.active = slices.DeleteFunc(h.active, func(x held) bool { return x.name == name })
	return len(h.active) < n
}

// release lifts the holds of these names; motion goes on if none is left.
func (h *holds) release(names ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	any := false
	for _, name := range names {
		any = h.drop(name) || any
	}
	if any && len(h.active) == 0 {
		h.tell(runner.Resume())
	}
}

// releaseAfter lifts a hold after a while, unless it is made anew meanwhile.
func (h *holds) releaseAfter(d time.Duration, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.active, func(x held) bool { return x.name == name })
	if i < 0 {
		return
	}
	was := h.active[i]
	h.timers = append(h.timers, time.AfterFunc(d, func() {
		h.mu.Lock()
		same := slices.Contains(h.active, was)
		h.mu.Unlock()
		if same {
			h.release(name)
		}
	}))
	if len(h.timers) > 16 {
		h.timers = slices.Delete(h.timers, 0, 1)
	}
}

// rearm lifts every hold and ends a stop.
func (h *holds) rearm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = nil
	h.tell(runner.Rearm())
	h.tell(runner.Resume())
}

// reason is that of the newest hold, "" where there is none.
func (h *holds) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.active) == 0 {
		return ""
	}
	return h.active[len(h.active)-1].reason
}

// clear forgets every hold: a new loop begins armed.
func (h *holds) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = nil
}

// close stops the timers.
func (h *holds) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.timers {
		t.Stop()
	}
}
