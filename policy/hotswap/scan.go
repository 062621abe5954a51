package hotswap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/vla"
)

// seen is a file as it was at the last look.
type seen struct {
	info  fs.FileInfo
	since time.Time // when it was first seen like this
	done  bool      // it was decided on
	hash  string    // in its header, where it was decided on and not refused
}

// same compares what changes when a file is written, replaced or relinked. The
// time of change tells of a writer that puts the time of modification back, but
// also of a name that the file has elsewhere and loses, as trainers prune: then
// the header decides.
func (s *seen) same(f listed) bool {
	if !os.SameFile(s.info, f.info) || s.info.Size() != f.info.Size() ||
		!s.info.ModTime().Equal(f.info.ModTime()) || s.info.Mode() != f.info.Mode() {
		return false
	}
	if changed(s.info).Equal(changed(f.info)) {
		return true
	}
	info, err := checkpoint.ReadInfo(f.path)
	if err != nil || s.hash == "" || info.Hash != s.hash {
		return false
	}
	s.info = f.info
	return true
}

// listed is a file in the folder.
type listed struct {
	path string
	info fs.FileInfo
}

// candidate is a file whose header is good.
type candidate struct {
	listed
	info checkpoint.Info
}

// patience is how many debounce times a settled file waits for others that
// still change, so that a burst gives one swap and an endless writer none.
const patience = 10

// list returns the folder's checkpoints. A folder that is not there is empty;
// a link that leads nowhere is listed as itself.
func (w *Watcher) list() []listed {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return nil
	}
	var out []listed
	for _, d := range entries {
		if !ours(d.Name()) {
			continue
		}
		path := filepath.Join(w.dir, d.Name())
		info, err := os.Stat(path)
		if err != nil {
			if info, err = os.Lstat(path); err != nil {
				continue // it went away
			}
		}
		out = append(out, listed{path, info})
	}
	return out
}

// scan looks at the folder and decides on the files that have settled. again
// asks for another look after the debounce time.
func (w *Watcher) scan(ctx context.Context, now time.Time) (events []Event, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ready, waited, again := w.settled(now)
	if again && waited < patience*w.o.Debounce {
		return nil, true
	}
	for _, f := range ready {
		w.files[f.path].done = true
	}
	best, events := w.candidates(ready)
	for _, c := range best {
		w.files[c.path].hash = c.info.Hash
	}
	for _, c := range best {
		if ctx.Err() != nil {
			return events, false
		}
		if p := w.slot.Current(); w.first && p != nil && c.info.Step < p.Info().Step {
			continue
		}
		e := w.try(c)
		if gone(c.path, e.Err) {
			continue
		}
		if errors.Is(e.Err, ErrChanging) {
			again = true // it counts as changed at the next look
			continue
		}
		if e.Kind != Unchanged {
			events = append(events, e)
		}
		if e.Kind != Refused {
			break
		}
		w.files[c.path].hash = "" // whatever changes it may mend it
	}
	w.first = w.first && again
	return events, again
}

// settled updates what is known of the files and returns those that have not
// been decided on and have not changed for the debounce time, how long the
// first of them has waited, and whether others still change.
func (w *Watcher) settled(now time.Time) (ready []listed, waited time.Duration, changing bool) {
	list := w.list()
	present := make(map[string]bool, len(list))
	for _, f := range list {
		present[f.path] = true
		s := w.files[f.path]
		if s == nil || !s.same(f) {
			w.files[f.path] = &seen{info: f.info, since: now}
			changing = true
			continue
		}
		if s.done {
			continue
		}
		if age := now.Sub(s.since); age >= w.o.Debounce {
			ready = append(ready, f)
			waited = max(waited, age)
		} else {
			changing = true
		}
	}
	for path := range w.files {
		if !present[path] {
			delete(w.files, path)
		}
	}
	return ready, waited, changing
}

// candidates reads the headers and returns the good files, newest first, and
// the refusals of the others.
func (w *Watcher) candidates(files []listed) (best []candidate, refused []Event) {
	for _, f := range files {
		info, err := checkpoint.ReadInfo(f.path)
		if gone(f.path, err) {
			continue
		}
		if err != nil {
			refused = append(refused, Event{Kind: Refused, Path: f.path, Err: err})
			continue
		}
		best = append(best, candidate{f, info})
	}
	slices.SortStableFunc(best, func(a, b candidate) int {
		return cmp.Or(b.listed.info.ModTime().Compare(a.listed.info.ModTime()), cmp.Compare(b.info.Step, a.info.Step), cmp.Compare(a.path, b.path))
	})
	return best, refused
}

// gone tells a file that was removed meanwhile, as a trainer prunes old ones,
// from a link that leads nowhere.
func gone(path string, err error) bool {
	if !errors.Is(err, checkpoint.ErrNotFound) {
		return false
	}
	_, err = os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// try validates a candidate and swaps it in. The steps go from cheap to dear:
// known hash, architecture and contract from the header, then the weights with
// their sums, the probe, and one warm-up call.
func (w *Watcher) try(c candidate) Event {
	start := time.Now()
	e := Event{Kind: Refused, Path: c.path, Hash: c.info.Hash, Step: c.info.Step}
	if p := w.slot.Current(); p != nil && p.Info().Hash == c.info.Hash {
		e.Kind = Unchanged
		return e
	}
	p, ck, err := w.prepare(c)
	if err != nil {
		e.Err = err
		return e
	}
	gen, err := w.slot.offer(p)
	switch { // by another hand meanwhile
	case errors.Is(err, errInUse):
		e.Kind = Unchanged
		return e
	case err != nil:
		e.Err = named(c.path, err)
		return e
	}
	if w.expect == nil || w.expect.config == nil {
		config := ck.Model.Config
		w.expect = &running{&config, ck.Contract}
	}
	e.Kind, e.Generation, e.Took = Swapped, gen, time.Since(start)
	return e
}

// prepare loads a candidate and makes sure that it acts.
func (w *Watcher) prepare(c candidate) (*vla.Policy, *checkpoint.Checkpoint, error) {
	if w.slot.Rejected(c.info.Hash) {
		return nil, nil, named(c.path, ErrRejected)
	}
	if err := w.matches(c.info); err != nil {
		return nil, nil, named(c.path, err)
	}
	ck, err := checkpoint.Load(c.path)
	if err != nil {
		return nil, nil, err
	}
	if ck.Hash != c.info.Hash { // replaced since its header was read
		return nil, nil, named(c.path, ErrChanging)
	}
	if err := ck.Verify(); err != nil {
		return nil, nil, err
	}
	encoders := w.encoders // no others match those of the running policy
	if encoders == nil {
		if encoders, err = ck.Encoders(); err != nil {
			return nil, nil, err
		}
	}
	p, err := w.ready(c.path, ck, encoders)
	switch {
	case err == nil:
		w.encoders = encoders
	case encoders != nil && w.encoders == nil:
		encoders.Close()
	}
	return p, ck, err
}

// ready makes the policy of the checkpoint at path and lets it act once.
func (w *Watcher) ready(path string, ck *checkpoint.Checkpoint, e vla.Encoders) (*vla.Policy, error) {
	p, err := ck.Policy(e, w.o.Seed)
	if err != nil {
		return nil, err
	}
	if w.o.Deterministic {
		p.NoiseScale = 0
	}
	if err := p.Guide(cmp.Or(w.o.Guidance, 1)); err != nil {
		return nil, named(path, err)
	}
	if err := warmUp(p, ck.Model.Config); err != nil {
		return nil, named(path, err)
	}
	return p, nil
}

func (w *Watcher) matches(i checkpoint.Info) error {
	if w.expect == nil {
		return nil
	}
	config := &i.Config
	if w.expect.config != nil {
		config = w.expect.config
	}
	return i.Matches(*config, w.expect.contract)
}

// warmUp lets the policy answer an empty observation once: buffers and caches
// are in place before the control loop asks, and an answer that is not finite
// is found here.
func warmUp(p policy.Policy, c vla.Config) error {
	obs := policy.Observation{State: make([]float32, c.StateDim)}
	for _, cam := range c.Cameras {
		obs.Images = append(obs.Images, policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, cam.Width*cam.Height*3)})
	}
	var chunk policy.ActionChunk
	if err := p.Act(&obs, &chunk); err != nil {
		return fmt.Errorf("%w (%w)", ErrWarmUp, err)
	}
	for i, v := range chunk.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%w (element %d of the chunk is %v)", ErrWarmUp, i, v)
		}
	}
	return nil
}

// named puts the file's name before a sentence that lacks it.
func named(path string, err error) error { return fmt.Errorf("checkpoint %s: %w", path, err) }
