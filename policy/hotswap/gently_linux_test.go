package hotswap

import (
	"runtime"
	"syscall"
	"testing"
)

// TestGently: the loading thread gives way, the caller's does not.
func TestGently(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	priority := func() int { // the system call returns 20 - niceness
		p, err := syscall.Getpriority(syscall.PRIO_PROCESS, syscall.Gettid())
		if err != nil {
			t.Error(err)
		}
		return p
	}
	before := priority()
	var inside int
	gently(func() { inside = priority() })
	if inside >= before && before > 20-niceness {
		t.Errorf("priority %d inside, %d outside", inside, before)
	}
	if after := priority(); after != before {
		t.Errorf("the caller's priority went from %d to %d", before, after)
	}
}
