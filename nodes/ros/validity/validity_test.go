//go:build ros

package validity

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/loop"
	"arfm/nodes/ros"
	"arfm/policy"
)

// setup returns a node, or skips where ROS or MoveIt's messages are missing.
func setup(t *testing.T) (*ros.Node, *ros.Group) {
	t.Helper()
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	c, _, err := ros.NewContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Type("moveit_msgs/srv/GetStateValidity_Request"); errors.Is(err, ros.ErrNotInstalled) {
		t.Skip("moveit_msgs is not installed")
	}
	n, err := c.NewNode("validity_test")
	if err != nil {
		t.Fatal(err)
	}
	g := c.NewGroup(func(err error) { t.Log(err) })
	t.Cleanup(func() {
		g.Close()
		if err := errors.Join(n.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return n, g
}

func chunk(first ...float32) *policy.ActionChunk {
	c := &policy.ActionChunk{Dim: 2, Period: 50e6}
	for _, x := range first {
		c.Values = append(c.Values, x, 0.5)
	}
	return c
}

// TestGate: a server that answers as move_group does, or late, or not at all.
func TestGate(t *testing.T) {
	n, g := setup(t)
	if _, err := New(n, g, []string{"a"}, Options{Service: "check", Budget: 1, OnNoAnswer: "maybe"}); !errors.Is(err, ErrOptions) {
		t.Errorf("bad option: %v", err)
	}
	if _, err := New(n, g, []string{"a"}, Options{Service: "check", Budget: 1, OnNoAnswer: Hold, Joints: []string{"c"}}); !errors.Is(err, ErrOptions) {
		t.Errorf("unknown joint: %v", err)
	}
	open := func(policy string) *Gate {
		gate, err := New(n, g, []string{"a", "b"}, Options{Service: "check", Group: "arm", Joints: []string{"a"}, Budget: 300 * time.Millisecond, OnNoAnswer: policy})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = gate.Close() })
		return gate
	}
	hold, pass := open(Hold), open(Pass)
	if err := hold.Check(chunk(0)); !errors.Is(err, loop.ErrUnchecked) || !errors.Is(err, ros.ErrNoServer) {
		t.Errorf("without a server: %v", err)
	}
	if err := pass.Check(chunk(0)); err != nil {
		t.Errorf("without a server, passing: %v", err)
	}
	var late atomic.Bool
	contact, err := n.Context().Type("moveit_msgs/msg/ContactInformation")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Serve(g, "check", "moveit_msgs/srv/GetStateValidity", func(req, resp *cdr.Record) error {
		if late.Load() {
			time.Sleep(time.Second)
		}
		q, _ := req.Lookup("robot_state.joint_state.position")
		group, _ := req.Lookup("group_name")
		if len(q.([]float64)) != 1 || group != "arm" {
			t.Errorf("asked about %v of %v", q, group)
		}
		if q.([]float64)[0] < 1 {
			return resp.Set("valid", true)
		}
		touch := contact.New()
		return errors.Join(touch.Set("contact_body_1", "forearm"), touch.Set("contact_body_2", "box"), resp.Set("contacts", []*cdr.Record{touch}))
	}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); !hold.client.Ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server is not seen")
		}
	}
	if err := hold.Check(chunk(0, 0.2, 0.9)); err != nil {
		t.Errorf("a free chunk: %v", err)
	}
	err = pass.Check(chunk(0, 0.2, 1.2, 0.3))
	if !errors.Is(err, ErrInvalid) || errors.Is(err, loop.ErrUnchecked) || !strings.Contains(err.Error(), "row 2 of the chunk: forearm would touch box") {
		t.Errorf("a chunk through a box: %v", err)
	}
	late.Store(true)
	begin := time.Now()
	if err := hold.Check(chunk(0)); !errors.Is(err, loop.ErrUnchecked) {
		t.Errorf("a late answer: %v", err)
	}
	if err := pass.Check(chunk(0)); err != nil {
		t.Errorf("a late answer, passing: %v", err)
	}
	if took := time.Since(begin); took > 900*time.Millisecond { // two budgets of 300 ms; the answer takes 1 s
		t.Errorf("two checks took %v", took)
	}
	if h, p := hold.Counts(), pass.Counts(); h.Passed != 1 || h.NoAnswer != 2 || p.Refused != 1 || p.NoAnswer != 2 {
		t.Errorf("counts %+v and %+v", h, p)
	}
}
