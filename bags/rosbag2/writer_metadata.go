package rosbag2

import "go.yaml.in/yaml/v3"

// writtenVersion of metadata.yaml is the newest that Humble reads.
const writtenVersion = 5

type yamlNanos struct {
	Nanoseconds int64 `yaml:"nanoseconds"`
}

type yamlEpoch struct {
	SinceEpoch int64 `yaml:"nanoseconds_since_epoch"`
}

type yamlTopicMeta struct {
	Name   string `yaml:"name"`
	Type   string `yaml:"type"`
	Format string `yaml:"serialization_format"`
	QoS    string `yaml:"offered_qos_profiles"`
}

type yamlTopic struct {
	Topic yamlTopicMeta `yaml:"topic_metadata"`
	Count int64         `yaml:"message_count"`
}

type yamlFile struct {
	Path     string    `yaml:"path"`
	Start    yamlEpoch `yaml:"starting_time"`
	Duration yamlNanos `yaml:"duration"`
	Count    int64     `yaml:"message_count"`
}

type yamlBag struct {
	Version     int         `yaml:"version"`
	Storage     string      `yaml:"storage_identifier"`
	Duration    yamlNanos   `yaml:"duration"`
	Start       yamlEpoch   `yaml:"starting_time"`
	Count       int64       `yaml:"message_count"`
	Topics      []yamlTopic `yaml:"topics_with_message_count"`
	Compression string      `yaml:"compression_format"`
	Mode        string      `yaml:"compression_mode"`
	Paths       []string    `yaml:"relative_file_paths"`
	Files       []yamlFile  `yaml:"files"`
}

// metadata gives the text that the MCAP file keeps in its record "rosbag2" and
// the text of metadata.yaml, which has an outer key around the same.
func (w *Writer) metadata() (inner, outer []byte, err error) {
	start, duration := yamlEpoch{w.start}, yamlNanos{w.end - w.start}
	b := yamlBag{Version: writtenVersion, Storage: "mcap", Duration: duration, Start: start, Count: w.count,
		Topics: []yamlTopic{}, Paths: []string{w.fileName()},
		Files: []yamlFile{{Path: w.fileName(), Start: start, Duration: duration, Count: w.count}}}
	for _, t := range w.topics {
		b.Topics = append(b.Topics, yamlTopic{yamlTopicMeta{t.Name, t.Type, t.Format, t.qos}, t.Count})
	}
	if inner, err = yaml.Marshal(b); err != nil {
		return nil, nil, err
	}
	outer, err = yaml.Marshal(map[string]yamlBag{"rosbag2_bagfile_information": b})
	return inner, outer, err
}
