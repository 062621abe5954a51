//go:build ros

package trainer

import (
	"errors"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// progress fills the fields that feedback and status share.
func (e Event) progress(rec *cdr.Record) error {
	return errors.Join(rec.Set("step", uint64(e.Step)), rec.Set("steps", uint64(e.Steps)), rec.Set("loss", e.Loss),
		rec.Set("alpha", e.Alpha), rec.Set("effective_sample_size", e.ESS))
}

// tell takes what the node is doing: a change of state goes out at once,
// progress at most every statusEvery.
func (n *node) tell(e Event) {
	n.mu.Lock()
	changed := e.State != n.now.State || n.published.IsZero()
	n.now = e
	due := changed || time.Since(n.published) >= statusEvery
	if due {
		n.published = time.Now()
	}
	n.mu.Unlock()
	if !due {
		return
	}
	if err := n.publish(e); err != nil {
		n.Log.WarnEvery(time.Minute, "training status: %v", err)
	}
	if changed {
		n.diagnostics.Now()
	}
}

func (n *node) publish(e Event) error {
	rec, t := n.status.Type.New(), n.Clock.Now()
	err := errors.Join(rec.Set("header.stamp.sec", t/1e9), rec.Set("header.stamp.nanosec", t%1e9),
		rec.Set("state", string(e.State)), rec.Set("message", e.Message), rec.Set("checkpoint", e.Checkpoint), rec.Set("hash", e.Hash), e.progress(rec))
	if err != nil {
		return err
	}
	return n.status.Publish(rec)
}

func (n *node) diagnose(s *ros.Status) {
	n.mu.Lock()
	e, episodes := n.now, n.episodes
	n.mu.Unlock()
	level, text := ros.OK, string(e.State)
	if e.State == Failed {
		level, text = ros.Warn, "the last run failed: "+e.Message
	}
	s.Summary(level, "%s", text)
	if state := n.Node.State(); state != ros.Active {
		s.Merge(ros.Warn, "the node is %s", state)
	}
	s.Add("State", e.State)
	s.Add("Message", e.Message)
	s.Add("Step", e.Step)
	s.Add("Steps", e.Steps)
	s.Add("Loss", e.Loss)
	s.Add("Alpha", e.Alpha)
	s.Add("Effective sample size", e.ESS)
	s.Add("Checkpoint", e.Checkpoint)
	s.Add("Hash", e.Hash)
	s.Add("Episodes since the last run", episodes)
	s.Add("Episodes before a run by itself", n.after())
}
