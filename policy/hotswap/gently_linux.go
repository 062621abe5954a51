package hotswap

import (
	"runtime"
	"syscall"
)

// niceness of the thread that loads: the control loop's threads, at 0, get
// about ten times its share of a busy core.
const niceness = 10

// gently runs f on an OS thread of low priority that ends with it: Linux keeps
// the niceness per thread, and a thread may lower its priority but not raise
// it again.
func gently(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()                                                // never unlocked: the thread ends here
		syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness) // a courtesy: refused is fine
		f()
	}()
	<-done
}
