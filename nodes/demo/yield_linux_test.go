package demo

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestYield: every thread is nice afterwards. It runs in a process of its own,
// whose priority does not come back.
func TestYield(t *testing.T) {
	if os.Getenv("ARFM_TEST_YIELD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestYield$")
		cmd.Env = append(os.Environ(), "ARFM_TEST_YIELD=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	yield()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads: %v", len(tasks), err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile("/proc/self/task/" + task.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
		if nice, _ := strconv.Atoi(fields[17]); nice < niceness { // field 19 of proc(5)
			t.Errorf("thread %s has niceness %d", task.Name(), nice)
		}
	}
}
