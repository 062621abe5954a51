package bags

import (
	"fmt"

	"arfm/bags/cdr"
)

// TopicType is a topic and the type of its messages, pkg/msg/Name.
type TopicType struct{ Topic, Type string }

// Messages holds one record a topic for a sender that fills the same ones again
// and again. The first Set that fails is kept for Err, so that a sender checks
// once for many.
type Messages struct {
	topics []TopicType
	recs   map[string]*cdr.Record
	reg    *cdr.Registry
	err    error
}

// NewMessages makes the records from the definitions that arfm carries.
func NewMessages(topics []TopicType) (*Messages, error) {
	m := &Messages{topics: topics, recs: map[string]*cdr.Record{}, reg: cdr.NewRegistry()}
	for _, t := range topics {
		rec, err := m.New(t.Type)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Topic, err)
		}
		m.recs[t.Topic] = rec
	}
	return m, nil
}

// Topics returns what NewMessages was given.
func (m *Messages) Topics() []TopicType { return m.topics }

// New makes a record of a type that goes into other records.
func (m *Messages) New(typ string) (*cdr.Record, error) {
	t, err := m.reg.Type(typ)
	if err != nil {
		return nil, err
	}
	return t.New(), nil
}

// Of returns the topic's record.
func (m *Messages) Of(topic string) *cdr.Record { return m.recs[topic] }

// Set sets a field of the topic's record; see cdr.Record.Set.
func (m *Messages) Set(topic, path string, v any) {
	if err := m.recs[topic].Set(path, v); err != nil && m.err == nil {
		m.err = fmt.Errorf("topic %s: %w", topic, err)
	}
}

// Stamp sets the header's stamp, ns.
func (m *Messages) Stamp(topic string, t int64) {
	m.Set(topic, "header.stamp.sec", t/1e9)
	m.Set(topic, "header.stamp.nanosec", t%1e9)
}

// Constant returns the value of a constant of the topic's type.
func (m *Messages) Constant(topic, name string) any {
	v, ok := m.recs[topic].Type().Constant(name)
	if !ok && m.err == nil {
		m.err = fmt.Errorf("topic %s: %s has no constant %s", topic, m.recs[topic].TypeName(), name)
	}
	return v
}

// Err returns the first failure.
func (m *Messages) Err() error { return m.err }
