package bags

import (
	"fmt"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// Latched is the QoS of a topic whose last message reaches whoever comes later,
// such as the instruction: ros2 bag play offers it so again. It holds every key
// that Humble's player asks for; the durations mean forever.
const Latched = `- history: keep_last
  depth: 1
  reliability: reliable
  durability: transient_local
  deadline: {sec: 9223372036, nsec: 854775807}
  lifespan: {sec: 9223372036, nsec: 854775807}
  liveliness: automatic
  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}
  avoid_ros_namespace_conventions: false
`

// Recorder writes records into a new rosbag2 bag with MCAP storage, as a
// robot's recording would be. The same calls give the same bytes. Errors are
// those of package rosbag2's writer and of package cdr; they name bag or topic.
type Recorder struct {
	dir    string
	w      *rosbag2.Writer
	topics map[string]declared
}

type declared struct {
	id  rosbag2.TopicID
	typ *cdr.Type
}

// NewRecorder starts a bag in the folder dir, which must not exist; its parent
// must. The folder appears with Close.
func NewRecorder(dir string, o rosbag2.WriterOptions) (*Recorder, error) {
	w, err := rosbag2.Create(dir, o)
	if err != nil {
		return nil, err
	}
	return &Recorder{dir: dir, w: w, topics: map[string]declared{}}, nil
}

// Declare adds a topic. qos is a YAML list of offered profiles, such as
// Latched, or "" for the player's default.
func (r *Recorder) Declare(topic string, typ *cdr.Type, qos string) error {
	id, err := r.w.AddTopic(rosbag2.Topic{Name: topic, Type: typ.Name(), QoS: qos, Definition: typ.Definition(), DefinitionEncoding: "ros2msg"})
	if err != nil {
		return err
	}
	r.topics[topic] = declared{id, typ}
	return nil
}

// Write appends a record, received at t (ns), to a declared topic; rec may be
// changed afterwards.
func (r *Recorder) Write(topic string, t int64, rec *cdr.Record) error {
	d, err := r.declared(topic)
	if err != nil {
		return err
	}
	data, err := d.typ.Encode(rec)
	if err != nil {
		return fmt.Errorf("write bag %s: topic %s: %w", r.dir, topic, err)
	}
	return r.w.Write(d.id, t, data)
}

// WriteEncoded appends a message that is serialized already.
func (r *Recorder) WriteEncoded(topic string, t int64, data []byte) error {
	d, err := r.declared(topic)
	if err != nil {
		return err
	}
	return r.w.Write(d.id, t, data)
}

func (r *Recorder) declared(topic string) (declared, error) {
	d, ok := r.topics[topic]
	if !ok {
		return d, fmt.Errorf("write bag %s: %w %q: declare it first", r.dir, rosbag2.ErrTopic, topic)
	}
	return d, nil
}

// Close completes the bag and gives it its name. After an error nothing of it
// is left.
func (r *Recorder) Close() error { return r.w.Close() }

// Abort removes what was written; after Close it does nothing, so it may be
// deferred.
func (r *Recorder) Abort() error { return r.w.Abort() }
