package hotswap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// What a watcher can say beside the errors of package checkpoint.
var (
	ErrRejected     = errors.New("these weights were rolled back, reload to use them all the same")
	ErrWarmUp       = errors.New("the policy does not act on an empty observation, train again from an earlier checkpoint")
	ErrChanging     = errors.New("the file changed while it was read, it is looked at again")
	ErrNoCheckpoint = errors.New("there is no checkpoint in the folder, copy a *.safetensors file there")
	ErrNoEvents     = errors.New("the file system sends no events, the folder is polled instead")
)

// Options of a watcher. The zero value is ready to use.
type Options struct {
	Debounce time.Duration // how long a file must stay unchanged before it is read; default 100 ms
	Poll     time.Duration // how often the folder is looked at without any event; default 1 s
	PollOnly bool          // do not ask the file system for events

	// Expect is the running checkpoint: new ones must have its architecture
	// and contract. The watcher keeps these two and not the weights. Nil: the
	// first checkpoint that is swapped in says what the others must have.
	Expect *checkpoint.Checkpoint
	// Contract is what checkpoints must be made for, where none runs yet. Nil:
	// whatever the first one is made for.
	Contract *contract.Contract
	Seed     uint64 // of the noise of the policies that are swapped in
	// Deterministic policies start every chunk from zero instead of noise: one
	// answer to an observation, near the mean of what could be sampled.
	Deterministic bool
	// Guidance is the weight of vla.Policy.Guide; 0 stands for 1, none. With
	// another, checkpoints that cannot be guided are refused.
	Guidance float64
}

// Kind says what an Event tells.
type Kind int

// Kinds of events.
const (
	Swapped   Kind = iota // the weights of Path are in use
	Refused               // the file at Path was refused for Err; nothing changed
	Unchanged             // the newest checkpoint is in use already (only from Reload)
	Polling               // the folder cannot be watched for Err and is polled
)

// String names the kind in one lower-case word.
func (k Kind) String() string {
	switch k {
	case Swapped:
		return "swapped"
	case Refused:
		return "refused"
	case Unchanged:
		return "unchanged"
	case Polling:
		return "polling"
	}
	return "unknown"
}

// Event is what a watcher reports. Err is one sentence that names the file.
type Event struct {
	Kind       Kind
	Path       string        // the file, or the folder for Polling
	Hash       string        // of the weights, where they were read
	Step       int64         // optimiser steps of the weights
	Generation uint64        // of the slot after a swap
	Took       time.Duration // reading, checking and warming up
	Err        error
}

// Watcher looks for new checkpoints in a folder and swaps good ones into a
// slot. Reading and checking run on the watcher's own thread, which gives way
// to the control loop; the slot changes in one atomic step at the end. At most
// one checkpoint is loaded at a time, so that memory holds the current, the
// previous and the next weights and no more.
type Watcher struct {
	dir    string
	slot   *Slot
	o      Options
	report func(Event)

	mu     sync.Mutex // one scan or reload at a time
	files  map[string]*seen
	first  bool // only files that were there at the start have been seen
	expect *running

	encoders vla.Encoders // of the running policy, and of those to come
}

// running is what a new checkpoint must share with the running one.
type running struct {
	config   *vla.Config // nil: any, until the first checkpoint
	contract *contract.Contract
}

// NewWatcher returns a watcher of the *.safetensors files in dir, except those
// whose name starts with a dot or contains train_state. report, which may be
// nil, is called on the watcher's goroutine and must not block for long. dir
// need not exist yet.
func NewWatcher(dir string, slot *Slot, o Options, report func(Event)) *Watcher {
	if o.Debounce <= 0 {
		o.Debounce = 100 * time.Millisecond
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if report == nil {
		report = func(Event) {}
	}
	w := &Watcher{dir: dir, slot: slot, o: o, report: report, files: map[string]*seen{}, first: true}
	if e := o.Expect; e != nil {
		config := e.Model.Config
		w.expect = &running{&config, e.Contract}
		w.o.Expect = nil // so that its weights can be freed
	} else if o.Contract != nil {
		w.expect = &running{contract: o.Contract}
	}
	return w
}

// Watch runs a watcher until ctx ends, see NewWatcher and Run.
func Watch(ctx context.Context, dir string, slot *Slot, o Options, report func(Event)) error {
	return NewWatcher(dir, slot, o, report).Run(ctx)
}

// Run watches until ctx ends and then returns nil.
//
// A file is read once it has not changed for Debounce; among those that are
// new or changed the youngest, then the one with the most steps, is tried
// first, and the next only if it is refused. So a burst of writes gives one
// swap, and a file that is dropped in later is used even if it has fewer steps
// (a new training run counts from zero) — except at the start, where a slot
// that is in use keeps its weights against files with fewer steps. A refused
// file is reported once, and again only when it changes.
func (w *Watcher) Run(ctx context.Context) error {
	n := newNotifier(w.dir, w.o.PollOnly)
	defer n.close()
	poll := time.NewTicker(w.o.Poll)
	defer poll.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	armed := true // settle will fire
	for {
		look := false
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			look = true
		case <-settle.C:
			armed, look = false, true
		case e, ok := <-n.events():
			look = ok && n.concerns(e)
		case <-n.errors(): // events were lost
			look = true
		}
		if !look || armed {
			continue
		}
		if err := n.attach(); err != nil {
			w.report(Event{Kind: Polling, Path: w.dir, Err: err})
		}
		if w.look(ctx) {
			settle.Reset(w.o.Debounce)
			armed = true
		}
	}
}

// look scans once and reports; again is true while a file may still change.
func (w *Watcher) look(ctx context.Context) (again bool) {
	var events []Event
	gently(func() { events, again = w.scan(ctx, time.Now()) })
	for _, e := range events {
		w.report(e)
	}
	return again
}

// Reload tries the checkpoints in the folder at once, youngest first, until one
// is good, whether or not it was refused or rolled back before: what an operator
// asks for. The event is Swapped, Unchanged or, with the error of the youngest,
// Refused; the other refusals are reported. It may be called whether or not Run
// is running.
func (w *Watcher) Reload() (Event, error) {
	var e Event
	var refused []Event
	gently(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		files := w.list()
		best, headers := w.candidates(files)
		hashes := map[string]string{}
		for _, c := range best {
			hashes[c.path] = c.info.Hash
		}
		for _, c := range best {
			w.slot.Forgive(c.info.Hash)
			if e = w.try(c); e.Kind != Refused {
				break
			}
			refused = append(refused, e)
			delete(hashes, c.path)
		}
		refused = append(refused, headers...)
		switch {
		case e.Kind != Refused && len(best) > 0:
			// What was passed over now is not taken by Run later.
			for _, f := range files {
				w.files[f.path] = &seen{info: f.info, since: time.Now(), done: true, hash: hashes[f.path]}
			}
		case len(refused) > 0:
			e, refused = refused[0], refused[1:]
		default:
			e = Event{Kind: Refused, Path: w.dir, Err: fmt.Errorf("hotswap %s: %w", w.dir, ErrNoCheckpoint)}
		}
	})
	for _, r := range refused {
		w.report(r)
	}
	return e, e.Err
}

// ours reports whether a file of this name may be a checkpoint.
func ours(name string) bool {
	return strings.HasSuffix(name, ".safetensors") && !strings.HasPrefix(name, ".") && !strings.Contains(name, "train_state")
}

// notifier is fsnotify on the folder, as long as there is one. Watching the
// folder and not the files sees files that are renamed into place.
type notifier struct {
	dir  string
	w    *fsnotify.Watcher // nil: no events
	on   os.FileInfo       // the folder that is watched, nil while none is
	told bool              // the failure was reported
	err  error
}

func newNotifier(dir string, pollOnly bool) *notifier {
	n := &notifier{dir: filepath.Clean(dir), told: pollOnly}
	if !pollOnly {
		n.w, n.err = fsnotify.NewWatcher()
	}
	return n
}

// attach watches the folder that is at the path now: it may have been removed
// and made again, or replaced by a rename. The error is for the first failure
// of a row.
func (n *notifier) attach() error {
	if n.w != nil {
		var info os.FileInfo
		if info, n.err = os.Stat(n.dir); n.err == nil {
			if n.on != nil && os.SameFile(n.on, info) {
				return nil
			}
			n.detach()
			if n.err = n.w.Add(n.dir); n.err == nil {
				n.on, n.told = info, false
				return nil
			}
		} else {
			n.detach()
		}
	}
	if n.told {
		return nil
	}
	n.told = true
	return fmt.Errorf("hotswap %s: %w (%v)", n.dir, ErrNoEvents, n.err)
}

func (n *notifier) detach() {
	if n.on != nil {
		n.w.Remove(n.dir) // fails where the folder is gone: so is the watch
		n.on = nil
	}
}

func (n *notifier) close() {
	if n.w != nil {
		n.w.Close()
	}
}

// concerns reports whether an event is about a checkpoint or the folder itself.
func (n *notifier) concerns(e fsnotify.Event) bool {
	if filepath.Clean(e.Name) == n.dir {
		if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			n.detach()
		}
		return true
	}
	return ours(filepath.Base(e.Name))
}

func (n *notifier) events() <-chan fsnotify.Event {
	if n.w == nil {
		return nil
	}
	return n.w.Events
}

func (n *notifier) errors() <-chan error {
	if n.w == nil {
		return nil
	}
	return n.w.Errors
}
