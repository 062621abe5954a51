package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoFoldersAreLeft: a run that cannot begin removes the folders it made,
// and no others.
func TestNoFoldersAreLeft(t *testing.T) {
	o := testOptions(t, 2)
	top := o.Out
	if err := os.Mkdir(filepath.Join(top, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	o.Out = filepath.Join(top, "mine", "a", "b", "c")
	if _, err := Train(context.Background(), nil, newContract(t, false, true), o); !errors.Is(err, ErrData) {
		t.Fatalf("no episodes give %v", err)
	}
	if list, err := os.ReadDir(filepath.Join(top, "mine")); err != nil || len(list) != 0 {
		t.Errorf("left behind: %v (%v)", list, err)
	}
}

// TestAForeignLogIsKept: lines without a run beside them are not overwritten.
func TestAForeignLogIsKept(t *testing.T) {
	o := testOptions(t, 2)
	const text = "{\"mine\":true}\n"
	if err := os.WriteFile(o.logPath(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newContract(t, false, true)
	if _, err := Train(context.Background(), episodes(c, 4, 8), c, o); !errors.Is(err, ErrOptions) {
		t.Errorf("a log of someone else gives %v", err)
	}
	if got := string(sum(t, o.logPath())); got != text {
		t.Errorf("the log is %q", got)
	}
}

// TestTheLockIsOfTheNamedFile: an owner that removes its empty log leaves no
// two others that each hold "the" lock.
func TestTheLockIsOfTheNamedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	var holders, taken atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				l, err := openLog(path)
				if err != nil {
					if !errors.Is(err, ErrBusy) {
						t.Error(err)
						return
					}
					continue
				}
				taken.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d runs hold the folder", n)
				}
				time.Sleep(20 * time.Microsecond) // others come and go meanwhile
				holders.Add(-1)
				l.close()
			}
		})
	}
	wait.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the folder")
	}
}

// TestSeedsDifferToTheLastBit: a seed beyond 2^53 is compared whole.
func TestSeedsDifferToTheLastBit(t *testing.T) {
	a, b := testOptions(t, 2).Settings, testOptions(t, 2).Settings
	a.Seed, b.Seed = 1<<53, 1<<53+1
	if diff, err := a.difference(&b); err != nil || diff != "seed is 9007199254740992 now and was 9007199254740993" {
		t.Errorf("the difference is %q (%v)", diff, err)
	}
	b.Seed = a.Seed
	if diff, err := a.difference(&b); err != nil || diff != "" {
		t.Errorf("equal settings differ: %q (%v)", diff, err)
	}
}
