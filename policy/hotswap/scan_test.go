package hotswap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/contract"
)

// clock drives a watcher's scans with a time of its own.
type clock struct {
	t   testing.TB
	w   *Watcher
	now time.Time
	dir string
}

func newClock(t testing.TB, s *Slot, o Options) *clock {
	dir := t.TempDir()
	return &clock{t, NewWatcher(dir, s, o, nil), time.Now(), dir}
}

func (c *clock) path(name string) string { return filepath.Join(c.dir, name+".safetensors") }

// look scans after d.
func (c *clock) look(d time.Duration) ([]Event, bool) {
	c.now = c.now.Add(d)
	return c.w.scan(context.Background(), c.now)
}

// settle scans twice, a debounce time apart.
func (c *clock) settle() []Event {
	c.t.Helper()
	if e, _ := c.look(0); len(e) != 0 {
		c.t.Fatalf("an event before the file has settled: %+v", e)
	}
	e, again := c.look(c.w.o.Debounce)
	if again {
		c.t.Fatal("nothing changes, but another look is asked for")
	}
	return e
}

// one returns the only event.
func one(t testing.TB, events []Event) Event {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("%d events, want one: %+v", len(events), events)
	}
	return events[0]
}

func none(t testing.TB, events []Event) {
	t.Helper()
	if len(events) != 0 {
		t.Fatalf("events: %+v", events)
	}
}

// TestBurst: many files and rewrites in a short time give one swap, to the
// newest.
func TestBurst(t *testing.T) {
	s, _ := inUse(t, 1, 10)
	c := newClock(t, s, Options{})
	var last *checkpoint.Checkpoint
	for i := range 8 {
		if i%2 == 0 {
			save(t, c.path("rewritten"), uint64(i), int64(20+i))
		}
		last = save(t, c.path(fmt.Sprint("step", i)), uint64(50+i), int64(50+i))
		e, again := c.look(c.w.o.Debounce / 4)
		none(t, e)
		if !again {
			t.Fatal("no other look is asked for while files change")
		}
	}
	e, again := c.look(c.w.o.Debounce)
	if again {
		t.Error("another look is asked for")
	}
	wantSwap(t, one(t, e), s, last)
	none(t, c.settle())
	if s.Generation() != 2 {
		t.Errorf("generation %d", s.Generation())
	}
}

// TestDebounce: a file is not read before it has been left alone long enough.
func TestDebounce(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	ck := save(t, c.path("a"), 1, 1)
	for range 4 {
		if e, again := c.look(c.w.o.Debounce / 5); len(e) != 0 || !again {
			t.Fatalf("%+v, again %v", e, again)
		}
	}
	c.look(c.w.o.Debounce / 10)
	e, _ := c.look(c.w.o.Debounce)
	wantSwap(t, one(t, e), s, ck)
}

// TestEndlessWriter: a file that never settles does not keep others waiting
// for ever, and is itself left alone.
func TestEndlessWriter(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	ck := save(t, c.path("good"), 1, 1)
	var events []Event
	looks := 0
	for ; len(events) == 0 && looks < 100; looks++ {
		if err := os.WriteFile(c.path("endless"), make([]byte, looks+1), 0o600); err != nil {
			t.Fatal(err)
		}
		events, _ = c.look(c.w.o.Debounce / 2)
	}
	wantSwap(t, one(t, events), s, ck)
	if looks < patience {
		t.Errorf("swapped after %d looks, before the burst was over", looks)
	}
}

// TestNewestFirst picks by steps, then by age, and falls back to the next when
// the newest is bad.
func TestNewestFirst(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	save(t, c.path("a"), 1, 100)
	b := save(t, c.path("b"), 2, 300)
	save(t, c.path("c"), 3, 300)
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.path("c"), past, past); err != nil {
		t.Fatal(err)
	}
	save(t, c.path("bad"), 4, 400)
	file, err := os.ReadFile(c.path("bad"))
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-2] ^= 1
	if err := os.WriteFile(c.path("bad"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	e := c.settle()
	if len(e) != 2 || e[0].Kind != Refused || !errors.Is(e[0].Err, checkpoint.ErrHash) || e[0].Step != 400 {
		t.Fatalf("%+v", e)
	}
	wantSwap(t, e[1], s, b)
	none(t, c.settle())
}

// TestFewerSteps: at the start older files do not displace the weights in use;
// a file that is dropped in later does, as a new training run counts from zero.
func TestFewerSteps(t *testing.T) {
	s, running := inUse(t, 1, 1000)
	c := newClock(t, s, Options{Expect: running})
	save(t, c.path("old"), 2, 900)
	none(t, c.settle())
	ck := save(t, c.path("new-run"), 3, 5)
	wantSwap(t, one(t, c.settle()), s, ck)
}

func TestIgnoredNames(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	for _, name := range []string{".hidden", "train_state", "run3.train_state"} {
		if err := os.WriteFile(c.path(name), []byte("no checkpoint"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e, again := c.look(0)
	none(t, e)
	if again || len(c.w.files) != 0 {
		t.Errorf("watched: %v", c.w.files)
	}
}

// TestReportedOnce: a bad file is reported once, and again when it changes.
func TestReportedOnce(t *testing.T) {
	s, running := inUse(t, 1, 10)
	c := newClock(t, s, Options{Expect: running})
	if err := os.WriteFile(c.path("x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := one(t, c.settle()); !errors.Is(e.Err, checkpoint.ErrEmpty) {
		t.Fatal(e.Err)
	}
	for range 3 {
		e, again := c.look(time.Hour)
		none(t, e)
		if again {
			t.Error("another look is asked for")
		}
	}
	if err := os.WriteFile(c.path("x"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e := one(t, c.settle()); !errors.Is(e.Err, checkpoint.ErrTruncated) {
		t.Fatal(e.Err)
	}
	ck := save(t, c.path("x"), 2, 20)
	wantSwap(t, one(t, c.settle()), s, ck)
}

// TestSameWeights under another name or saved again change nothing.
func TestSameWeights(t *testing.T) {
	s, running := inUse(t, 1, 10)
	c := newClock(t, s, Options{Expect: running})
	save(t, c.path("copy"), 1, 10)
	none(t, c.settle())
	save(t, c.path("copy"), 1, 10)
	none(t, c.settle())
	if s.Generation() != 1 {
		t.Errorf("generation %d", s.Generation())
	}
}

// TestRolledBackStaysOut until an operator reloads.
func TestRolledBackStaysOut(t *testing.T) {
	s, running := inUse(t, 1, 10)
	c := newClock(t, s, Options{Expect: running})
	ck := save(t, c.path("worse"), 2, 20)
	wantSwap(t, one(t, c.settle()), s, ck)
	if err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	none(t, c.settle())
	save(t, c.path("worse-again"), 2, 20)
	if e := one(t, c.settle()); e.Kind != Refused || !errors.Is(e.Err, ErrRejected) {
		t.Fatalf("%+v", e)
	}
	if s.Current().Info().Hash != running.Hash {
		t.Fatal("rolled back weights are in use again")
	}
	e, err := c.w.Reload()
	if err != nil {
		t.Fatal(err)
	}
	wantSwap(t, e, s, ck)
	if e, err := c.w.Reload(); err != nil || e.Kind != Unchanged {
		t.Errorf("second reload: %+v, %v", e, err)
	}
}

func TestReload(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	if e, err := c.w.Reload(); e.Kind != Refused || !errors.Is(err, ErrNoCheckpoint) {
		t.Errorf("empty folder: %+v, %v", e, err)
	}
	if err := os.WriteFile(c.path("bad"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := c.w.Reload(); e.Kind != Refused || !errors.Is(err, checkpoint.ErrTruncated) {
		t.Errorf("a bad file alone: %+v, %v", e, err)
	}
	var told []Event
	c.w.report = func(e Event) { told = append(told, e) }
	ck := save(t, c.path("good"), 1, 1)
	e, err := c.w.Reload()
	if err != nil {
		t.Fatal(err)
	}
	wantSwap(t, e, s, ck)
	if len(told) != 1 || told[0].Path != c.path("bad") || told[0].Kind != Refused {
		t.Errorf("told %+v", told)
	}
	none(t, c.settle()) // later looks find both decided on
}

// TestReloadTakesTheYoungest that is good: a fine-tuned policy counts its steps
// from zero and is newer than its parent all the same.
func TestReloadTakesTheYoungest(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	for i, name := range []string{"parent", "tuned", "torn"} {
		save(t, c.path(name), uint64(i+1), int64(800-300*i))
		at := time.Unix(1e9+int64(i), 0)
		if name == "torn" {
			if err := os.Truncate(c.path(name), 9999); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(c.path(name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	e, err := c.w.Reload()
	if err != nil || e.Kind != Swapped || e.Path != c.path("tuned") {
		t.Fatalf("%+v, %v", e, err)
	}
	none(t, c.settle()) // the parent does not come back
	if s.Generation() != 1 {
		t.Errorf("generation %d", s.Generation())
	}
}

// TestFirstSetsTheExpectation: without Expect the first checkpoint says what
// the others must have.
func TestFirstSetsTheExpectation(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	first := save(t, c.path("first"), 1, 1)
	wantSwap(t, one(t, c.settle()), s, first)
	other := *first
	ct := *first.Contract
	ct.RateHz = 10
	other.Contract, other.Step = &ct, 2
	other.Model = first.Model.Clone()
	other.Model.Params.Data[0]++
	if _, err := checkpoint.Save(c.path("other"), &other); err != nil {
		t.Fatal(err)
	}
	if e := one(t, c.settle()); !errors.Is(e.Err, checkpoint.ErrContract) {
		t.Fatalf("%+v", e)
	}
}

// TestContractFormatting: the same contract written differently is the same.
func TestContractFormatting(t *testing.T) {
	s, running := inUse(t, 1, 10)
	c := newClock(t, s, Options{Expect: running})
	ck := save(t, c.path("a"), 2, 20)
	file, err := os.ReadFile(c.path("a"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(`rate_hz: 20\n`)) {
		t.Fatal("the contract is not where it was expected")
	}
	tensors, meta, err := checkpoint.ReadTensors(c.path("a"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	meta["contract"] = "# by hand\n" + string(bytes.Replace([]byte(meta["contract"]), []byte("rate_hz: 20\n"), []byte("rate_hz:   2.0e1  # frames\n"), 1))
	if err := checkpoint.WriteTensors(c.path("a"), tensors, meta); err != nil {
		t.Fatal(err)
	}
	wantSwap(t, one(t, c.settle()), s, ck)
}

// TestRemovedMeanwhile: a file that goes away before it is read is no bad file.
func TestRemovedMeanwhile(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	save(t, c.path("pruned"), 1, 2)
	f := c.w.list()
	if err := os.Remove(c.path("pruned")); err != nil {
		t.Fatal(err)
	}
	if best, refused := c.w.candidates(f); len(f) != 1 || len(best) != 0 || len(refused) != 0 {
		t.Errorf("%d listed, %v, %v", len(f), best, refused)
	}
}

func TestCancelledScan(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	save(t, c.path("a"), 1, 1)
	c.look(0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if e, _ := c.w.scan(ctx, c.now.Add(time.Hour)); len(e) != 0 || s.Current() != nil {
		t.Error("swapped after the end")
	}
}

// TestContractOption: where no checkpoint runs yet, one that was made for
// another contract is refused, and one of any architecture for this one taken.
func TestContractOption(t *testing.T) {
	ck, err := badcheckpoint.Good(1, 500)
	if err != nil {
		t.Fatal(err)
	}
	other := *ck.Contract
	other.RateHz = 10
	for _, ct := range []*contract.Contract{&other, ck.Contract} {
		slot := NewSlot(nil)
		c := newClock(t, slot, Options{Contract: ct})
		if _, err := checkpoint.Save(c.path("a"), ck); err != nil {
			t.Fatal(err)
		}
		e, err := c.w.Reload()
		if want := ct == &other; errors.Is(err, checkpoint.ErrContract) != want || (slot.Current() == nil) != want {
			t.Errorf("at %g Hz: %+v, %v", ct.RateHz, e, err)
		}
	}
}
