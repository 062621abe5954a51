//go:build ros

package driver

import (
	"sync"

	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy/hotswap"
)

// states of a PolicyStatus.
const (
	stateInactive = "inactive"
	stateTracking = "tracking"
	stateHolding  = "holding"
	stateStopped  = "stopped"
)

// maxPaths bounds the files that are remembered by the hash of their weights.
const maxPaths = 64

// board is what is known of the loop, for status and diagnostics.
type board struct {
	changed chan struct{} // has an element where what the status tells changed

	mu      sync.Mutex
	running bool
	waiting string // why the loop does not run yet though the node is active
	failed  string // why it ended though the node is active
	holding runner.Intervention
	why     error                           // behind holding, where it is known
	reasons [runner.NumInterventions]string // of the last report
	stats   loop.Stats                      // of the loop that runs, or ran last
	before  loop.Stats                      // sums of those before it
	chunks  uint64
	lost    uint64 // chunks that were not published
	swaps   uint64
	back    uint64 // rollbacks
	refusal string // of the last checkpoint, "" once another is taken
	paths   map[string]string
	order   []string
}

func newBoard() *board {
	return &board{changed: make(chan struct{}, 1), paths: map[string]string{}}
}

func (b *board) poke() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// set changes the board and has the status told.
func (b *board) set(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
	b.poke()
}

// tick takes why the arm does not follow on this tick.
func (b *board) tick(holding runner.Intervention, why error) {
	b.mu.Lock()
	same := b.holding == holding
	b.holding, b.why = holding, why
	b.mu.Unlock()
	if !same {
		b.poke()
	}
}

// report keeps the sentence for an intervention.
func (b *board) report(r runner.Report) {
	if r.Intervention == runner.None {
		b.poke() // other weights took over
		return
	}
	b.mu.Lock()
	b.reasons[r.Intervention] = r.String()
	b.mu.Unlock()
	b.poke()
}

// begin and end mark the loop's run.
func (b *board) begin() {
	b.set(func() {
		b.running, b.waiting, b.failed, b.holding = true, "", "", runner.NotReady
		b.reasons = [runner.NumInterventions]string{}
		b.before.Ticks += b.stats.Ticks
		b.before.Missed += b.stats.Missed
		b.stats = loop.Stats{}
	})
}

func (b *board) end(s loop.Stats) {
	b.set(func() { b.running, b.stats = false, s })
}

func (b *board) progress(s loop.Stats) {
	b.mu.Lock()
	b.stats = s
	b.mu.Unlock()
}

// watched takes what the watcher of the checkpoints says.
func (b *board) watched(e hotswap.Event) {
	b.set(func() {
		switch e.Kind {
		case hotswap.Refused:
			b.refusal = e.Err.Error()
		case hotswap.Swapped:
			b.refusal = ""
			if e.Generation > 1 {
				b.swaps++
			}
			fallthrough
		case hotswap.Unchanged:
			if _, known := b.paths[e.Hash]; !known {
				if b.order = append(b.order, e.Hash); len(b.order) > maxPaths {
					delete(b.paths, b.order[0])
					b.order = b.order[1:]
				}
			}
			b.paths[e.Hash] = e.Path
		}
	})
}

// refused says why a checkpoint was refused last, "" where another was taken
// since.
func (b *board) refused() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal
}

// state is the one word of the status, the intervention that holds the arm and
// the same in a sentence.
func (b *board) state() (state, holding, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failed != "":
		return stateStopped, runner.Stopped.String(), b.failed
	case !b.running && b.waiting != "":
		if b.refusal != "" {
			return stateHolding, runner.NotReady.String(), b.waiting + ": " + b.refusal
		}
		return stateHolding, runner.NotReady.String(), b.waiting + ", copy a *.safetensors file there"
	case !b.running:
		return stateInactive, "", ""
	case b.holding == runner.None:
		return stateTracking, "", ""
	}
	holding, reason = b.holding.String(), b.reasons[b.holding]
	switch {
	case b.why != nil: // newer than the last report of it
		reason = holding + ": " + b.why.Error()
	case reason == "":
		reason = holding
	}
	if b.holding == runner.Stopped {
		return stateStopped, holding, reason
	}
	return stateHolding, holding, reason
}
