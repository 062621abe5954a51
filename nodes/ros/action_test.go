//go:build ros

package ros

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"arfm/bags/cdr"
)

const fibonacci = "example_interfaces/action/Fibonacci"

// counting serves goals that count up to their order, every 20 ms; an order of
// 13 aborts half-way, one below 0 is refused.
func counting(t *testing.T, n *Node, g *Group) *ActionServer {
	t.Helper()
	s, err := n.ServeAction(g, "~/count", fibonacci, Goals{
		Accept: func(goal *cdr.Record) error {
			if order, _ := goal.Lookup("order"); order.(int32) < 0 {
				return errors.New("order below 0")
			}
			return nil
		},
		Execute: func(ctx context.Context, g *Goal, result *cdr.Record) GoalStatus {
			order, _ := g.Description.Lookup("order")
			var seq []int32
			for i := range order.(int32) {
				select {
				case <-ctx.Done():
					return GoalCanceled
				case <-time.After(20 * time.Millisecond):
				}
				seq = append(seq, i)
				if err := errors.Join(g.Feedback(func(fb *cdr.Record) error { return fb.Set("sequence", seq) }), result.Set("sequence", seq)); err != nil {
					t.Error(err)
				}
				if order.(int32) == 13 && i == 5 {
					return GoalAborted
				}
			}
			return GoalSucceeded
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAction(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "action")
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	client, err := n.ActionClient(g, "~/count", fibonacci)
	if err != nil {
		t.Fatal(err)
	}
	goal := func(order int32) *cdr.Record {
		rec := client.Goal.New()
		if err := rec.Set("order", order); err != nil {
			t.Fatal(err)
		}
		return rec
	}
	if _, err := client.Send(ctx, goal(3), nil); !errors.Is(err, ErrNoServer) {
		t.Fatalf("without a server: %v", err)
	}
	counting(t, n, g)
	within(t, 5*time.Second, "the server is seen", client.Ready)
	for _, want := range []struct {
		order  int32
		cancel bool
		status GoalStatus
		length int
	}{{5, false, GoalSucceeded, 5}, {13, false, GoalAborted, 6}, {100, true, GoalCanceled, -1}} {
		heard := make(chan struct{}, 1000)
		sent, err := client.Send(ctx, goal(want.order), func(*cdr.Record) { heard <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		if want.cancel {
			<-heard
			if err := sent.Cancel(ctx); err != nil {
				t.Fatal(err)
			}
		}
		status, result, err := sent.Result(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seq, _ := result.Lookup("sequence")
		if status != want.status || want.length >= 0 && len(seq.([]int32)) != want.length || len(heard) == 0 && !want.cancel {
			t.Errorf("order %d: %v with %v, %d times feedback", want.order, status, seq, len(heard))
		}
	}
	g.log = func(err error) { t.Log(err) } // says why
	if _, err := client.Send(ctx, goal(-1), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("a goal to refuse: %v", err)
	}
}

func TestActionFromTheCommandLine(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "action_cli")
	g.log = func(error) {} // the refused goal
	counting(t, n, g)
	out := ros2(t, "action", "send_goal", "--feedback", "/action_cli/count", fibonacci, "{order: 3}")
	if !strings.Contains(out, "SUCCEEDED") || !strings.Contains(out, "Feedback") {
		t.Errorf("send_goal says %s", out)
	}
	if out := ros2(t, "action", "send_goal", "/action_cli/count", fibonacci, "{order: 13}"); !strings.Contains(out, "ABORTED") || !strings.Contains(out, "- 5") {
		t.Errorf("send_goal of one that aborts says %s", out)
	}
	if out := ros2(t, "action", "send_goal", "/action_cli/count", fibonacci, "{order: -3}"); !strings.Contains(out, "rejected") {
		t.Errorf("send_goal of one that is refused says %s", out)
	}
	t.Cleanup(func() { ros2(t, "daemon", "stop") }) // which action info starts
	if out := ros2(t, "action", "info", "/action_cli/count"); !strings.Contains(out, "/action_cli") || !strings.Contains(out, "Action servers: 1") {
		t.Errorf("action info says %s", out)
	}
}
