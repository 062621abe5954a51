//go:build ros

package launch

import (
	"strings"
	"testing"
	"time"
)

// restarts kills sim_node and policy_node in the middle, as a crash does: the
// other holds, says why, and goes on by itself.
func restarts(t *testing.T, b *board, checkpoints string) {
	b.forget()
	simulate := func() *program { return start(t, "arfm", "sim_node") }
	lead := func() *program {
		return start(t, "arfm", "policy_node", "--ros-args", "-p", "checkpoint_dir:="+checkpoints, "-p", "use_sim_time:=true",
			"-r", "~/joint_trajectory:="+controller+"/joint_trajectory")
	}
	says := func(diagnostic, want string) {
		t.Helper()
		eventually(t, time.Minute, diagnostic+" says: "+want, func() bool { return strings.Contains(b.diagnostic(diagnostic), want) })
		t.Logf("%s: %s", diagnostic, b.diagnostic(diagnostic))
	}
	arm, policy := simulate(), lead()
	b.is(t, "tracking")
	if text := state[string](b, "instruction"); !strings.HasPrefix(text, "put the ") {
		t.Errorf("the instruction is %q: what was latched before policy_node came is lost", text)
	}
	says("sim_node: simulation", "running")

	killed := time.Now()
	arm.kill()
	b.is(t, "holding")
	t.Logf("policy_node holds %v after sim_node was killed: %s", time.Since(killed).Round(time.Millisecond), state[string](b, "reason"))
	shows(t, "status", state[string](b, "reason"), "/clock")
	says("policy_node: policy", "/clock")
	simulate()
	b.is(t, "tracking")
	says("policy_node: policy", "tracking")

	policy.kill()
	b.forget()
	says("sim_node: simulation", "the arm holds: no trajectory for")
	policy = lead()
	b.is(t, "tracking")
	says("sim_node: simulation", "running")
	if took := policy.stop(t, 10*time.Second); policy.err != nil {
		t.Errorf("policy_node ended with %v after %v", policy.err, took)
	}
}
