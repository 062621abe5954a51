//go:build ros

package ros

import (
	"fmt"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// QoS is how a topic's messages are delivered.
type QoS struct {
	Reliable bool // else best effort
	Latched  bool // late subscribers get the last messages (transient local)
	KeepAll  bool // every message waits for the reader, Depth does not count
	Depth    int  // messages that wait for the reader; the oldest goes
}

// Common profiles: of states and commands, of sensors, and of a state that late
// subscribers want.
var (
	Default    = QoS{Reliable: true, Depth: 10}
	SensorData = QoS{Depth: 5}
	Latched    = QoS{Reliable: true, Latched: true, Depth: 1}
)

// Names of the policies, as in qos_overrides and in `ros2 topic info -v`.
func (q QoS) reliability() string { return pick(q.Reliable, "reliable", "best_effort") }
func (q QoS) durability() string  { return pick(q.Latched, "transient_local", "volatile") }
func (q QoS) history() string     { return pick(q.KeepAll, "keep_all", "keep_last") }

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// String is the profile as a log names it.
func (q QoS) String() string {
	text := q.reliability() + ", " + q.durability() + ", " + q.history()
	if q.KeepAll {
		return text
	}
	return fmt.Sprintf("%s %d", text, q.Depth)
}

func (q QoS) rcl() rclgo.QosProfile {
	p := rclgo.NewDefaultQosProfile()
	p.Depth = max(1, q.Depth)
	if !q.Reliable {
		p.Reliability = rclgo.ReliabilityBestEffort
	}
	if q.Latched {
		p.Durability = rclgo.DurabilityTransientLocal
	}
	if q.KeepAll {
		p.History = rclgo.HistoryKeepAll
	}
	return p
}
