//go:build ros

package ros

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// peer starts a node of another client library, ended with the test.
func peer(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Skipf("the other node is not installed: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out)
		}
	})
}

// call asks a service once its server is there.
func call(t *testing.T, n *Node, g *Group, name, typ string, fill func(*cdr.Record) error) *cdr.Record {
	t.Helper()
	client, err := n.Client(g, name, typ)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	within(t, 20*time.Second, "a server of "+name, client.Ready)
	req := client.Request.New()
	if err := fill(req); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	resp, err := client.Call(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestListAgainstRclcpp compares the names that list_parameters returns, for
// the parameters that a node of rclcpp has.
func TestListAgainstRclcpp(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "list_peer")
	program := ""
	for _, prefix := range filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH")) {
		if p := filepath.Join(prefix, "lib/robot_state_publisher/robot_state_publisher"); program == "" {
			if _, err := os.Stat(p); err == nil {
				program = p
			}
		}
	}
	if program == "" {
		t.Skip("robot_state_publisher is not installed")
	}
	peer(t, program, "--ros-args", "-p", `robot_description:=<robot name="a"><link name="b"/></robot>`)
	list := func(node string, prefixes []string, depth uint64) (names, under []string) {
		resp := call(t, n, g, node+"/list_parameters", "rcl_interfaces/srv/ListParameters", func(req *cdr.Record) error {
			if err := req.Set("prefixes", prefixes); err != nil {
				return err
			}
			return req.Set("depth", depth)
		})
		return lookup[[]string](resp, "result.names"), lookup[[]string](resp, "result.prefixes")
	}
	all, _ := list("/robot_state_publisher", []string{}, 0)
	if len(all) < 10 {
		t.Fatalf("rclcpp lists %v", all)
	}
	for _, name := range all {
		if !n.Params.Has(name) {
			if err := n.Declare(param.Declaration{Name: name, Default: param.Of(1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, prefixes := range [][]string{{}, {"qos_overrides"}, {"qos_overrides./tf"}, {"qos_overrides./tf.publisher", "use_sim_time"}, {"qos"}, {"use_sim_time"}, {"nope"}} {
		for depth := range uint64(5) {
			theirNames, theirUnder := list("/robot_state_publisher", prefixes, depth)
			names, under := list("/list_peer", prefixes, depth)
			if !reflect.DeepEqual(names, theirNames) || !reflect.DeepEqual(under, theirUnder) {
				t.Errorf("prefixes %q, depth %d: %q below %q, rclcpp says %q below %q", prefixes, depth, names, under, theirNames, theirUnder)
			}
		}
	}
}

// TestLifecycleAgainstRcl compares states and transitions with those of
// rcl_lifecycle, by way of rclpy.
func TestLifecycleAgainstRcl(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "lifecycle_peer")
	if err := n.Lifecycle(Callbacks{}); err != nil {
		t.Fatal(err)
	}
	peer(t, "python3", "-c", "import rclpy\nfrom rclpy.lifecycle import LifecycleNode\nrclpy.init()\nrclpy.spin(LifecycleNode('rcl_peer'))\n")
	for _, step := range []string{"", "configure", "activate", "nonsense", "deactivate", "cleanup", "activate", "shutdown"} {
		for _, srv := range []string{"get_state", "get_available_states", "get_available_transitions", "get_transition_graph", "change_state"} {
			typ := map[string]string{"get_state": "GetState", "get_available_states": "GetAvailableStates", "change_state": "ChangeState"}[srv]
			if typ == "" {
				typ = "GetAvailableTransitions"
			}
			ask := func(node string) string {
				return flat(call(t, n, g, node+"/"+srv, "lifecycle_msgs/srv/"+typ, func(req *cdr.Record) error {
					if srv != "change_state" {
						return nil
					}
					return req.Set("transition.label", step)
				}))
			}
			if step == "" && srv == "change_state" {
				continue
			}
			if ours, theirs := ask("/lifecycle_peer"), ask("/rcl_peer"); ours != theirs {
				t.Errorf("%s before %q:\n%s\nrcl says\n%s", srv, step, ours, theirs)
			}
		}
	}
}

// flat is an answer about states in words.
func flat(rec *cdr.Record) string {
	state := func(r *cdr.Record, path string) string {
		return fmt.Sprint(lookup[uint8](r, path+"id"), " ", lookup[string](r, path+"label"))
	}
	text := fmt.Sprint(lookup[bool](rec, "success"), " ", state(rec, "current_state."))
	for _, s := range lookup[[]*cdr.Record](rec, "available_states") {
		text += ", " + state(s, "")
	}
	for _, s := range lookup[[]*cdr.Record](rec, "available_transitions") {
		text += ", " + strings.Join([]string{state(s, "transition."), state(s, "start_state."), state(s, "goal_state.")}, " ")
	}
	return text
}
