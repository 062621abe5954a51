//go:build !linux

package trainer

import "os/exec"

// gently starts the process and sends its end; only Linux has the niceness.
func gently(_ int, cmd *exec.Cmd, started, ended chan<- error) {
	err := cmd.Start()
	started <- err
	if err == nil {
		ended <- cmd.Wait()
	}
}

func yield() {}
