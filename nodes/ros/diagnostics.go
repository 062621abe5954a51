//go:build ros

package ros

import (
	"errors"
	"sync"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// Diagnostics publishes on /diagnostics what tasks find out, in the manner of
// diagnostic_updater.
type Diagnostics struct {
	node     *Node
	hardware string
	pub      *Publisher
	stop     chan struct{}
	stopped  chan struct{}
	now      chan struct{}

	mu    sync.Mutex
	tasks []task
}

type task struct {
	name string
	run  func(*Status)
}

// Diagnose publishes diagnostics every diagnostic_updater.period seconds of
// wall time, under the node's name. Close ends it.
func (n *Node) Diagnose(hardwareID string) (*Diagnostics, error) {
	const period = "diagnostic_updater.period"
	if !n.Params.Has(period) {
		if err := n.Declare(param.Declaration{Name: period, Default: param.Of(1.0), Description: "seconds between messages on /diagnostics", DoubleRange: &param.DoubleRange{From: 0.05, To: 60}}); err != nil {
			return nil, err
		}
	}
	pub, err := n.publisher("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", QoS{Reliable: true, Depth: 1})
	if err != nil {
		return nil, err
	}
	d := &Diagnostics{node: n, hardware: hardwareID, pub: pub, stop: make(chan struct{}), stopped: make(chan struct{}), now: make(chan struct{}, 1)}
	go func() {
		defer close(d.stopped)
		for {
			wait := time.NewTimer(time.Duration(param.Get[float64](n.Params, period) * 1e9))
			select {
			case <-d.stop:
				wait.Stop()
				return
			case <-wait.C:
			case <-d.now:
				wait.Stop()
			}
			if err := d.publish(); err != nil {
				n.Log.ErrorEvery(time.Minute, "diagnostics: %v", err)
			}
		}
	}()
	return d, nil
}

// Add adds a task, which runs with others one after another.
func (d *Diagnostics) Add(name string, run func(*Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks = append(d.tasks, task{name, run})
}

// Frequency adds a task that wants min to max events per second; max 0 is no
// bound. Its Tick counts one.
func (d *Diagnostics) Frequency(name string, min, max float64) *Frequency {
	f := NewFrequency(min, max)
	d.Add(name, f.Run)
	return f
}

// Now publishes without waiting for the period's end.
func (d *Diagnostics) Now() {
	select {
	case d.now <- struct{}{}:
	default:
	}
}

func (d *Diagnostics) publish() error {
	d.mu.Lock()
	tasks := d.tasks
	d.mu.Unlock()
	if len(tasks) == 0 {
		return nil
	}
	rec := d.pub.Type.New()
	err := SetTime(rec, "header.stamp", d.node.Clock.Now())
	err = errors.Join(err, put(d.node, rec, "status", "diagnostic_msgs/msg/DiagnosticStatus", tasks, func(r *cdr.Record, t task) error {
		var s Status
		t.run(&s)
		return errors.Join(r.Set("name", d.node.Name()+": "+t.name), r.Set("hardware_id", d.hardware), r.Set("level", uint8(s.Level)), r.Set("message", s.Message),
			put(d.node, r, "values", "diagnostic_msgs/msg/KeyValue", s.Values, func(r *cdr.Record, v KeyValue) error {
				return errors.Join(r.Set("key", v.Key), r.Set("value", v.Value))
			}))
	}))
	if err != nil {
		return err
	}
	return d.pub.Publish(rec)
}

// Close ends the publishing; a task that runs is waited for.
func (d *Diagnostics) Close() error {
	close(d.stop)
	<-d.stopped
	return d.pub.Close()
}
