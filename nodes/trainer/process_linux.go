package trainer

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// gently starts the process with the given niceness and sends its end. A child
// has the niceness of the thread that starts it, and is killed with that
// thread: so this one is kept for it alone, and a node that is killed leaves no
// training behind.
func gently(nice int, cmd *exec.Cmd, started, ended chan<- error) {
	runtime.LockOSThread()                                                // never unlocked: the thread ends here
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), nice) // refused where the node is nicer still
	// In its own group, Ctrl-C in a terminal reaches it through the node only.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	started <- err
	if err == nil {
		ended <- cmd.Wait()
	}
}

// yield lets the kernel take this process first when memory is short.
func yield() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0o644) // a courtesy
}
