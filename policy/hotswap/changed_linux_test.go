package hotswap

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"arfm/policy/checkpoint"
)

// TestTimePutBack: a file that is overwritten with as many bytes and gets its
// old time of modification back is taken for the new file that it is.
func TestTimePutBack(t *testing.T) {
	s := NewSlot(nil)
	c := newClock(t, s, Options{})
	first := save(t, c.path("a"), 1, 7)
	wantSwap(t, one(t, c.settle()), s, first)
	info, err := os.Stat(c.path("a"))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "b.safetensors")
	var second *checkpoint.Checkpoint
	var data []byte
	for seed := uint64(2); int64(len(data)) != info.Size(); seed++ { // the digits of the probe vary
		second = save(t, other, seed, 7)
		if data, err = os.ReadFile(other); err != nil || seed > 1000 {
			t.Fatalf("no file of equal size (%v)", err)
		}
	}
	time.Sleep(20 * time.Millisecond) // the kernel's clock ticks at 4 to 10 ms
	if err := os.WriteFile(c.path("a"), data, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(c.path("a"), time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	wantSwap(t, one(t, c.settle()), s, second)
}

// TestOtherNameGone: a trainer that prunes its own name of an old checkpoint
// does not bring that back into use.
func TestOtherNameGone(t *testing.T) {
	for _, reload := range []bool{false, true} {
		s := NewSlot(nil)
		c := newClock(t, s, Options{})
		pruned := filepath.Join(t.TempDir(), "old.safetensors")
		save(t, pruned, 1, 1)
		if err := os.Link(pruned, c.path("old")); err != nil {
			t.Skipf("no links here: %v", err)
		}
		if !reload {
			one(t, c.settle())
		}
		time.Sleep(20 * time.Millisecond)
		last := save(t, c.path("new"), 2, 2)
		if reload {
			if _, err := c.w.Reload(); err != nil {
				t.Fatal(err)
			}
		} else {
			wantSwap(t, one(t, c.settle()), s, last)
		}
		time.Sleep(20 * time.Millisecond)
		if err := os.Remove(pruned); err != nil {
			t.Fatal(err)
		}
		none(t, c.settle())
		if s.Current().Info().Hash != last.Hash {
			t.Errorf("in use is step %d", s.Current().Info().Step)
		}
	}
}
