//go:build ros

package driver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"arfm/nodes/loop"
	"arfm/nodes/ros"
)

// diagnose adds what the driver knows of itself.
func (d *Driver) diagnose(to *ros.Diagnostics) {
	to.Add("policy", d.diagnosePolicy)
	rates := rates{last: map[string]int64{}, at: time.Now()}
	to.Add("topics", func(s *ros.Status) { d.diagnoseTopics(s, &rates) })
	to.Add("output", d.diagnoseOutput)
}

// diagnosePolicy tells state, reasons, latencies and interventions.
func (d *Driver) diagnosePolicy(s *ros.Status) {
	c := d.live.Load()
	if c == nil {
		s.Summary(ros.OK, "unconfigured")
		return
	}
	now := d.situation(c)
	switch now.state {
	case stateTracking, stateInactive:
		s.Summary(ros.OK, "%s", now.state)
	case stateStopped:
		s.Summary(ros.Error, "stopped: %s", now.reason)
	default:
		s.Summary(ros.Warn, "holding: %s", now.reason)
	}
	s.Add("state", now.state)
	s.Add("holding", now.holding)
	s.Add("reason", now.reason)
	s.Add("instruction", now.instruction)
	if p, generation := c.slot.Load(); p != nil {
		info := p.Info()
		s.Add("checkpoint", info.Hash)
		s.Add("path", c.pathOf(info.Hash))
		s.Add("step", info.Step)
		s.Add("generation", generation)
	}
	b := c.board
	b.mu.Lock()
	st, chunks, lost, swaps, back, refusal := b.stats, b.chunks, b.lost, b.swaps, b.back, b.refusal
	ticks, missed := b.before.Ticks+st.Ticks, b.before.Missed+st.Missed
	b.mu.Unlock()
	if refusal != "" {
		s.Merge(ros.Warn, "%s", refusal)
	}
	s.Add("swaps", swaps)
	s.Add("rollbacks", back)
	s.Add("ticks", ticks)
	s.Add("missed ticks", missed)
	s.Add("chunks", chunks)
	s.Add("chunks not published", lost)
	if l := c.link.Load(); l != nil {
		_, _, age := l.src.topics()
		what := "state stamp to chunk"
		if len(l.contract.Observation.Images) > 0 {
			what = "image stamp to chunk"
		}
		quantiles(s, what, age)
		if l.gate != nil {
			n := l.gate.Counts()
			s.Add("validity: passed, refused, no answer", fmt.Sprintf("%d, %d, %d", n.Passed, n.Refused, n.NoAnswer))
		}
	}
	quantiles(s, "inference", st.Inference)
	quantiles(s, "tick lateness", st.Lateness)
	for _, name := range slices.Sorted(maps.Keys(st.Interventions)) {
		n := st.Interventions[name]
		s.Add(name, fmt.Sprintf("%d times, %d ticks", n.Events, n.Ticks))
	}
}

// quantiles adds latencies, in ms.
func quantiles(s *ros.Status, what string, q loop.Quantiles) {
	if q.Count > 0 {
		s.Add(what+" p50 (ms)", q.P50.Seconds()*1e3)
		s.Add(what+" p99 (ms)", q.P99.Seconds()*1e3)
	}
}

// rates are counts of messages at the reading before.
type rates struct {
	last map[string]int64
	at   time.Time
}

// diagnoseTopics tells the rate of every topic, and what was refused on it.
func (d *Driver) diagnoseTopics(s *ros.Status, r *rates) {
	c := d.live.Load()
	if c == nil || c.link.Load() == nil {
		s.Summary(ros.OK, "no topics yet")
		return
	}
	list, _, _ := c.link.Load().src.topics()
	sec := time.Since(r.at).Seconds()
	r.at = time.Now()
	s.Summary(ros.OK, "messages come")
	for _, t := range list {
		hz := float64(t.messages-r.last[t.name]) / sec
		if t.messages < r.last[t.name] { // configured anew
			hz = float64(t.messages) / sec
		}
		r.last[t.name] = t.messages
		s.Add(t.name+" (Hz)", hz)
		if t.messages == 0 && t.needed {
			s.Merge(ros.Warn, "no message on %s yet", t.name)
		}
		if t.refused > 0 {
			s.Add(t.name+" refused", t.refused)
			s.Add(t.name+" refused for", t.reason)
		}
		if t.skipped > 0 {
			s.Add(t.name+" of other joints", t.skipped)
		}
	}
}

// diagnoseOutput tells whether somebody listens, and what the controller did.
func (d *Driver) diagnoseOutput(s *ros.Status) {
	c := d.live.Load()
	if c == nil || c.link.Load() == nil {
		s.Summary(ros.OK, "no output yet")
		return
	}
	c.link.Load().out.diagnose(s)
}

func (o *topicOutput) diagnose(s *ros.Status) { listened(s, "~/joint_trajectory", o.pub.Subscribers()) }
func (o *tickOutput) diagnose(s *ros.Status)  { listened(s, o.topic, o.pub.Subscribers()) }

func listened(s *ros.Status, topic string, n int) {
	s.Summary(ros.OK, "%s", topic)
	if n == 0 {
		s.Summary(ros.Warn, "nobody listens to %s: remap it to the controller's topic, or start the controller", topic)
	}
	s.Add("subscriptions", n)
}

func (o *follow) diagnose(s *ros.Status) {
	s.Summary(ros.OK, "%s", o.name)
	if !o.client.Ready() {
		s.Summary(ros.Warn, "there is no action server %s", o.name)
	}
	o.mu.Lock()
	goals := o.current
	o.mu.Unlock()
	s.Add("goals", goals)
	counts := o.counts()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		s.Add(name, counts[name])
	}
}
