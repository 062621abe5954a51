//go:build ros

package ros

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"

	"arfm/nodes/ros/param"
)

// overrideQoS declares qos_overrides.<topic>.<kind>.* with the profile of the
// program and returns the profile that then holds.
func (n *Node) overrideQoS(kind, topic string, q QoS) (QoS, error) {
	topic = n.Resolve(topic)
	prefix := "qos_overrides." + topic + "." + kind + "."
	if len(prefix) > 200 {
		return q, fmt.Errorf("ros: the topic's name %.60s... is too long", topic)
	}
	of := fmt.Sprintf(" of the %s of %s", kind, topic)
	for _, d := range []param.Declaration{
		{Name: "reliability", Default: param.Of(q.reliability()), OneOf: []string{"reliable", "best_effort"}},
		{Name: "durability", Default: param.Of(q.durability()), OneOf: []string{"volatile", "transient_local"}},
		{Name: "history", Default: param.Of(q.history()), OneOf: []string{"keep_last", "keep_all"}},
		{Name: "depth", Default: param.Of(max(1, q.Depth)), IntegerRange: &param.IntegerRange{From: 1, To: 100000}},
	} {
		d.Description, d.Name, d.ReadOnly = "QoS "+d.Name+of, prefix+d.Name, true
		if n.Params.Has(d.Name) {
			continue
		}
		if err := n.Params.Declare(d); err != nil {
			return q, err
		}
	}
	return QoS{
		Reliable: param.Get[string](n.Params, prefix+"reliability") == "reliable",
		Latched:  param.Get[string](n.Params, prefix+"durability") == "transient_local",
		KeepAll:  param.Get[string](n.Params, prefix+"history") == "keep_all",
		Depth:    param.Get[int](n.Params, prefix+"depth"),
	}, nil
}

// end is this node's end of a topic.
type end struct {
	topic, typ string // full name; pkg/msg/Name
	publishes  bool
	qos        QoS
	told       map[rclgo.GID]bool // others of which a mismatch was logged
}

// ends are the topics of a node.
type ends struct {
	mu  sync.Mutex
	all []*end
}

func (e *ends) add(x *end) *end {
	e.mu.Lock()
	defer e.mu.Unlock()
	x.told = map[rclgo.GID]bool{}
	e.all = append(e.all, x)
	return x
}

func (e *ends) remove(x *end) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = remove(e.all, x)
}

func (e *ends) list() []*end {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// watchQoS logs, once for each, who is on a topic of the node with another type
// or a QoS with which no message can pass. rclgo has no events for that.
func (n *Node) watchQoS(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		n.checkQoS()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// checkQoS is called from one goroutine.
func (n *Node) checkQoS() {
	for _, e := range n.ends.list() {
		others, err := n.others(e)
		if err != nil {
			n.Log.WarnEvery(time.Minute, "cannot see who is on %s: %v", e.topic, err)
			return
		}
		now := map[rclgo.GID]bool{}
		for _, o := range others {
			now[o.EndpointGID] = true
			if reason := e.mismatch(o); reason != "" && !e.told[o.EndpointGID] {
				e.told[o.EndpointGID] = true
				n.Log.Warn(reason)
			}
		}
		for gid := range e.told {
			if !now[gid] {
				delete(e.told, gid)
			}
		}
	}
}

// others returns who is at the other end.
func (n *Node) others(e *end) ([]rclgo.TopicEndpointInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.publishes {
		infos, err := n.rcl.GetSubscriptionsInfoByTopic(e.topic, true)
		return infos, tidy(err)
	}
	infos, err := n.rcl.GetPublishersInfoByTopic(e.topic, true)
	return infos, tidy(err)
}

// mismatch says why no message passes between two ends and what to do, "" if
// they fit.
func (e *end) mismatch(o rclgo.TopicEndpointInfo) string {
	other := strings.TrimSuffix(o.NodeNamespace, "/") + "/" + o.NodeName
	if o.TopicType != e.typ {
		return fmt.Sprintf("%s: %s has it as %s, this node as %s; no message passes, so remap one of them", e.topic, other, o.TopicType, e.typ)
	}
	mine, theirs := e.qos.rcl(), o.QosProfile
	offered, requested := theirs, mine
	if e.publishes {
		offered, requested = mine, theirs
	}
	policy, have, want := unfit(offered, requested)
	if policy == "" {
		return ""
	}
	if e.publishes {
		return fmt.Sprintf("%s: %s asks for %s %s, this node publishes %s; no message passes, so set qos_overrides.%s.publisher.%s or the subscriber's QoS",
			e.topic, other, want, policy, have, e.topic, policy)
	}
	return fmt.Sprintf("%s: %s publishes with %s %s, this node asks for %s; no message passes, so set qos_overrides.%s.subscription.%s to %s",
		e.topic, other, have, policy, want, e.topic, policy, have)
}

// unfit returns the policy for which the offered profile is less than the
// requested one, by the rules of DDS; "" if there is none.
func unfit(offered, requested rclgo.QosProfile) (policy, have, want string) {
	switch {
	case offered.Reliability == rclgo.ReliabilityBestEffort && requested.Reliability == rclgo.ReliabilityReliable:
		return "reliability", "best_effort", "reliable"
	case offered.Durability == rclgo.DurabilityVolatile && requested.Durability == rclgo.DurabilityTransientLocal:
		return "durability", "volatile", "transient_local"
	case finite(requested.Deadline) && (!finite(offered.Deadline) || offered.Deadline > requested.Deadline):
		return "deadline", span(offered.Deadline), span(requested.Deadline)
	case offered.Liveliness < requested.Liveliness && requested.Liveliness == rclgo.LivelinessManualByTopic:
		return "liveliness", "automatic", "manual_by_topic"
	}
	return "", "", ""
}

func finite(d time.Duration) bool { return d > 0 && d < rclgo.DurationInfinite-time.Second }

func span(d time.Duration) string {
	if !finite(d) {
		return "no"
	}
	return d.String()
}
