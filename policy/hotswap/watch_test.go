package hotswap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
)

// save writes a good checkpoint and returns it.
func save(t testing.TB, path string, seed uint64, step int64) *checkpoint.Checkpoint {
	t.Helper()
	ck, err := badcheckpoint.Good(seed, step)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	return ck
}

// inUse returns a slot that runs a checkpoint saved outside the watched folder.
func inUse(t testing.TB, seed uint64, step int64) (*Slot, *checkpoint.Checkpoint) {
	t.Helper()
	ck := save(t, filepath.Join(t.TempDir(), "running.safetensors"), seed, step)
	p, err := ck.Policy(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	return NewSlot(p), ck
}

// act lets the slot's policy answer once.
func act(t testing.TB, s *Slot) {
	t.Helper()
	obs := policy.Observation{State: []float32{0.1, 0.2}, Instruction: "reach", Images: []policy.Image{{Width: 24, Height: 16, Pix: make([]uint8, 24*16*3)}}}
	var chunk policy.ActionChunk
	if err := s.Current().Act(&obs, &chunk); err != nil {
		t.Fatal(err)
	}
	if chunk.Horizon() != 8 {
		t.Fatalf("a chunk of %d", chunk.Horizon())
	}
}

// started runs a watcher until the test ends and returns its events.
func started(t testing.TB, dir string, s *Slot, o Options) (*Watcher, <-chan Event) {
	t.Helper()
	events := make(chan Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	w := NewWatcher(dir, s, o, func(e Event) { events <- e })
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w, events
}

// next waits for an event; the time-out only ends a test that has failed.
func next(t testing.TB, events <-chan Event) Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
		return Event{}
	}
}

func wantSwap(t testing.TB, e Event, s *Slot, ck *checkpoint.Checkpoint) {
	t.Helper()
	if e.Kind != Swapped || e.Err != nil || e.Hash != ck.Hash || e.Step != ck.Step {
		t.Fatalf("%v %s step %d %v, want a swap to step %d", e.Kind, e.Path, e.Step, e.Err, ck.Step)
	}
	if p, gen := s.Load(); p.Info().Hash != ck.Hash || gen != e.Generation {
		t.Fatalf("in use is %+v at generation %d, the event says %d", p.Info(), gen, e.Generation)
	}
}

var quick = Options{Debounce: 5 * time.Millisecond, Poll: 20 * time.Millisecond}

// TestWatch swaps by events alone: the poll is an hour away.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	s, running := inUse(t, 1, 10)
	_, events := started(t, dir, s, Options{Debounce: 5 * time.Millisecond, Poll: time.Hour, Expect: running})
	for step := int64(20); step < 50; step += 10 {
		ck := save(t, filepath.Join(dir, "ckpt.safetensors"), uint64(step), step)
		wantSwap(t, next(t, events), s, ck)
		act(t, s)
	}
}

func TestWatchByPolling(t *testing.T) {
	dir := t.TempDir()
	s, _ := inUse(t, 1, 10)
	o := quick
	o.PollOnly = true
	_, events := started(t, dir, s, o)
	ck := save(t, filepath.Join(dir, "ckpt.safetensors"), 2, 20)
	wantSwap(t, next(t, events), s, ck)
}

// TestBadFilesChangeNothing gives the watcher every bad file while the old
// policy goes on: each is refused once, with its own reason.
func TestBadFilesChangeNothing(t *testing.T) {
	dir := t.TempDir()
	s, running := inUse(t, 1, 10)
	good := filepath.Join(t.TempDir(), "good.safetensors")
	save(t, good, 2, 20)
	file, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	o := quick
	o.Expect = running
	_, events := started(t, dir, s, o)
	for i, k := range badcheckpoint.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			if k.Skip != "" {
				t.Skip(k.Skip)
			}
			before := s.Generation()
			path := filepath.Join(dir, strings.ReplaceAll(k.Name, " ", "-")+".safetensors")
			if err := k.Make(path, file); err != nil {
				t.Fatal(err)
			}
			e := next(t, events)
			// On a busy machine the file may be seen halfway written.
			for !errors.Is(e.Err, k.Want) && (errors.Is(e.Err, checkpoint.ErrEmpty) || errors.Is(e.Err, checkpoint.ErrTruncated)) {
				e = next(t, events)
			}
			if e.Kind != Refused || e.Path != path || !errors.Is(e.Err, k.Want) {
				t.Fatalf("%v %s: %v, want %v", e.Kind, e.Path, e.Err, k.Want)
			}
			if !strings.Contains(e.Err.Error(), path) {
				t.Errorf("the file is not named: %v", e.Err)
			}
			if p, gen := s.Load(); p.Info().Hash != running.Hash || gen != before {
				t.Fatalf("a bad file changed the slot: %+v", p.Info())
			}
			act(t, s)
			// The bad file stays while a good one comes: the next event is
			// about that, so the bad one is not reported again.
			ck := save(t, filepath.Join(dir, "good.safetensors"), uint64(100+i), int64(100+i))
			wantSwap(t, next(t, events), s, ck)
			if err := s.Rollback(); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{path, filepath.Join(dir, "good.safetensors")} {
				if err := os.Remove(p); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestFolderComesAndGoes: the folder is missing at first, is removed with all
// files and made again, and is replaced by another one under the same name.
func TestFolderComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	s := NewSlot(nil)
	_, events := started(t, dir, s, quick)
	if e := next(t, events); e.Kind != Polling || !errors.Is(e.Err, ErrNoEvents) {
		t.Fatalf("%+v", e)
	}
	swap := func(step int64) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		ck := save(t, filepath.Join(dir, "a.safetensors"), uint64(step), step)
		e := next(t, events)
		for e.Kind == Polling {
			e = next(t, events)
		}
		wantSwap(t, e, s, ck)
	}
	swap(1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	swap(2)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	swap(3)
	if p := s.Previous(); p == nil || p.Info().Step != 2 {
		t.Error("the weights before are not kept")
	}
}

// TestNotifierFollowsThePath: events come from the folder that is at the path
// now, not from the one that was there when watching began.
func TestNotifierFollowsThePath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n := newNotifier(dir, false)
	defer n.close()
	if err := n.attach(); err != nil {
		t.Skip(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := n.attach(); !errors.Is(err, ErrNoEvents) {
		t.Errorf("no folder: %v", err)
	}
	if err := n.attach(); err != nil {
		t.Errorf("told twice: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := n.attach(); err != nil {
		t.Fatal(err)
	}
	// Replaced between two looks.
	if err := errors.Join(os.Rename(dir, dir+".older"), os.Mkdir(dir, 0o755), n.attach()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.safetensors"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for late := time.After(30 * time.Second); ; {
		select {
		case e := <-n.events():
			if filepath.Base(e.Name) == "x.safetensors" && n.concerns(e) {
				return
			}
		case <-late:
			t.Fatal("no event from the new folder")
		}
	}
}

func TestSymbolicLinkIsFollowed(t *testing.T) {
	dir, store := t.TempDir(), t.TempDir()
	s, _ := inUse(t, 1, 10)
	_, events := started(t, dir, s, quick)
	link := filepath.Join(dir, "latest.safetensors")
	for step := int64(20); step < 40; step += 10 {
		target := filepath.Join(store, time.Duration(step).String()+".safetensors")
		ck := save(t, target, uint64(step), step)
		if err := os.Symlink(target, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
		wantSwap(t, next(t, events), s, ck)
	}
}

// TestActWhileSwapping is the control loop beside a watcher: one goroutine
// acts all the time, and the chunk always fits the generation.
func TestActWhileSwapping(t *testing.T) {
	dir := t.TempDir()
	s, _ := inUse(t, 1, 10)
	_, events := started(t, dir, s, quick)
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		obs := policy.Observation{State: []float32{0.1, 0.2}, Images: []policy.Image{{Width: 24, Height: 16, Pix: make([]uint8, 24*16*3)}}}
		var chunk policy.ActionChunk
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Current().Act(&obs, &chunk); err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	for step := int64(20); step < 100; step += 10 {
		ck := save(t, filepath.Join(dir, "ckpt.safetensors"), uint64(step), step)
		wantSwap(t, next(t, events), s, ck)
		if step%20 == 0 {
			if err := s.Rollback(); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	if n := <-done; n == 0 {
		t.Error("the loop never acted")
	}
}

func TestWatchFunction(t *testing.T) {
	dir := t.TempDir()
	ck := save(t, filepath.Join(dir, "a.safetensors"), 1, 1)
	ctx, cancel := context.WithCancel(context.Background())
	s := NewSlot(nil)
	if err := Watch(ctx, dir, s, quick, func(e Event) { wantSwap(t, e, s, ck); cancel() }); err != nil {
		t.Error(err)
	}
	if p := s.Current(); p == nil || p.Info().Hash != ck.Hash {
		t.Error("nothing was swapped in")
	}
}

func TestEventKinds(t *testing.T) {
	for k, want := range map[Kind]string{Swapped: "swapped", Refused: "refused", Unchanged: "unchanged", Polling: "polling", 9: "unknown"} {
		if k.String() != want {
			t.Errorf("%d is %q", k, k.String())
		}
	}
}
