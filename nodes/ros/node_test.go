//go:build ros

package ros

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"arfm/bags/cdr"
)

// testContext connects, or skips where there is no ROS.
func testContext(t *testing.T, args ...string) *Context {
	t.Helper()
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	c, _, err := NewContext(args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func testNode(t *testing.T, c *Context, name string) (*Node, *Group) {
	t.Helper()
	n, err := c.NewNode(name)
	if err != nil {
		t.Fatal(err)
	}
	g := c.NewGroup(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		g.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, g
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// ros2 runs the command line tool.
func ros2(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	out, err := ros2Command(ctx, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ros2 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ros2Command is the tool, ended with ctx.
func ros2Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ros2", args...)
}

func TestTopicRoundTrip(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "round_trip")
	pub, err := n.Publisher("joints", "sensor_msgs/msg/JointState", Default)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan Message, 8)
	if _, err := n.Subscribe(g, "joints", "sensor_msgs/msg/JointState", Default, func(m Message) { first <- m }); err != nil {
		t.Fatal(err)
	}
	// One that joins while the group runs.
	second := make(chan Message, 8)
	late, err := n.Subscribe(g, "/joints", "sensor_msgs/msg/JointState", Default, func(m Message) { second <- m })
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "both are matched", func() bool { return pub.Subscribers() == 2 && late.Publishers() == 1 })
	rec := pub.Type.New()
	if err := errors.Join(rec.Set("name", []string{"a", "b"}), rec.Set("position", []float64{1, 2})); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(rec); err != nil {
		t.Fatal(err)
	}
	for _, ch := range []chan Message{first, second} {
		select {
		case m := <-ch:
			got, err := late.Type.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if q, _ := got.Lookup("position.1"); q != 2.0 || m.Sent == 0 || m.Received < m.Sent {
				t.Errorf("got position %v, sent %d, received %d", q, m.Sent, m.Received)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no message")
		}
	}
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(rec); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first:
	case <-time.After(5 * time.Second):
		t.Fatal("the other subscription stopped as well")
	}
}

func TestServiceRoundTrip(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "service_round_trip")
	client, err := n.Client(g, "~/set", "std_srvs/srv/SetBool")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if _, err := client.Call(ctx, nil); !errors.Is(err, ErrNoServer) {
		t.Fatalf("without a server: %v", err)
	}
	if _, err := n.Serve(g, "~/set", "std_srvs/srv/SetBool", func(req, resp *cdr.Record) error {
		on, _ := req.Lookup("data")
		return errors.Join(resp.Set("success", on), resp.Set("message", "heard"))
	}); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the server is seen", client.Ready)
	req := client.Request.New()
	if err := req.Set("data", true); err != nil {
		t.Fatal(err)
	}
	got, err := client.Call(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	ok, _ := got.Lookup("success")
	text, _ := got.Lookup("message")
	if ok != true || text != "heard" {
		t.Errorf("answer %v %v", ok, text)
	}
	out := ros2(t, "service", "call", "/service_round_trip/set", "std_srvs/srv/SetBool", "{data: true}")
	if !strings.Contains(out, "success=True, message='heard'") {
		t.Errorf("ros2 service call says %s", out)
	}
}

func TestTypesOfAllKinds(t *testing.T) {
	c := testContext(t)
	for _, name := range []string{"std_msgs/msg/String", "control_msgs/action/FollowJointTrajectory_FeedbackMessage", "std_srvs/srv/Trigger_Request", "rosgraph_msgs/msg/Clock"} {
		if _, err := c.Type(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.cat.service("control_msgs/action/FollowJointTrajectory_SendGoal"); err != nil {
		t.Error(err)
	}
	if _, err := c.Type("no_msgs/msg/Thing"); !errors.Is(err, ErrNotInstalled) || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("unknown type: %v", err)
	}
}

func TestRemaps(t *testing.T) {
	c := testContext(t, "own", "--ros-args", "-r", "__node:=other", "-r", "__ns:=/cell", "-p", "x:=1")
	n, _ := testNode(t, c, "remaps")
	if n.FullName() != "/cell/other" || len(c.Args()) != 6 {
		t.Errorf("node %s, arguments %q", n.FullName(), c.Args())
	}
	if _, _, err := NewContext([]string{"--ros-args", "-r", "nonsense"}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a bad remap: %v", err)
	}
}
