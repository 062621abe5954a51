//go:build ros

package ros

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// These tests hold rclgo's faults that this package works around. One that
// fails says that upstream has mended it: take the work-around out.

// Deserialize does not free the serialized copy it makes: messages are taken
// serialized and decoded by package cdr.
func TestUpstreamDeserializeLeaks(t *testing.T) {
	c := testContext(t)
	typ, err := c.Type("std_msgs/msg/String")
	if err != nil {
		t.Fatal(err)
	}
	rec := typ.New()
	if err := rec.Set("data", strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	data, err := typ.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	const times = 100
	before := resident(t)
	for range times {
		if _, err := rclgo.Deserialize(data, support{typ}); err != nil {
			t.Fatal(err)
		}
	}
	if grown := resident(t) - before; grown < times<<20/2 {
		t.Errorf("resident memory grew by %d KiB over %d MiB: Deserialize leaks no more", grown>>10, times)
	}
}

// resident returns the process's resident memory in bytes.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the resident memory from")
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Spin waits for what there was when it began: Group begins anew.
func TestUpstreamSpinMissesLateSubscriptions(t *testing.T) {
	c := testContext(t)
	n, _ := testNode(t, c, "late")
	typ, err := c.Type("std_msgs/msg/String")
	if err != nil {
		t.Fatal(err)
	}
	var early, late atomic.Int32
	subscribe := func(topic string, count *atomic.Int32, busy time.Duration) {
		if _, err := n.rcl.NewSubscription(topic, support{typ}, nil, func(s *rclgo.Subscription) {
			if _, _, err := s.TakeSerializedMessage(); err == nil {
				time.Sleep(busy)
				count.Add(1)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	subscribe("early", &early, 0)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.rcl.Spin(ctx) }()
	defer func() { stop(); <-done }()
	time.Sleep(100 * time.Millisecond)
	subscribe("late", &late, 0)
	publishTo(t, n, "early", "late")
	within(t, 5*time.Second, "the early one hears", func() bool { return early.Load() > 0 })
	time.Sleep(200 * time.Millisecond)
	if late.Load() > 0 {
		t.Error("Spin sees subscriptions made after it started")
	}
}

// Callbacks of a wait set run one after another: pictures get a Group of their
// own.
func TestUpstreamCallbacksWaitForEachOther(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "serial")
	var slow, quick atomic.Int64
	for topic, at := range map[string]*atomic.Int64{"slow": &slow, "quick": &quick} {
		if _, err := n.Subscribe(g, topic, "std_msgs/msg/String", Default, func(Message) {
			if topic == "slow" {
				time.Sleep(300 * time.Millisecond)
			}
			at.Store(time.Now().UnixNano())
		}); err != nil {
			t.Fatal(err)
		}
	}
	publishTo(t, n, "slow")
	time.Sleep(50 * time.Millisecond)
	publishTo(t, n, "quick")
	within(t, 5*time.Second, "both are heard", func() bool { return slow.Load() > 0 && quick.Load() > 0 })
	if quick.Load() < slow.Load() {
		t.Error("a callback ran beside another of its wait set")
	}
}

// publishTo publishes one message to each topic once somebody listens.
func publishTo(t *testing.T, n *Node, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		p, err := n.Publisher(topic, "std_msgs/msg/String", Default)
		if err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, topic+" has a subscriber", func() bool { return p.Subscribers() > 0 })
		if err := p.Publish(p.Type.New()); err != nil {
			t.Fatal(err)
		}
	}
}
