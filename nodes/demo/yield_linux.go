package demo

import (
	"os"
	"strconv"
	"syscall"
)

// niceness of this process while it trains: the running arm beside it, at 0,
// gets about three times its share of a busy core.
const niceness = 5

// yield lowers the priority of every thread of this process; threads to come
// have that of the one that starts them. It cannot be raised again.
func yield() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness) // a courtesy: refused is fine
		}
	}
}
