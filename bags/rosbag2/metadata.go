package rosbag2

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"arfm/policy/userfile"
)

const (
	metadataFile     = "metadata.yaml"
	maxMetadataBytes = 16 << 20
	maxMetadataDepth = 64
	newestVersion    = 9 // of metadata that is known
)

// nanos decodes {nanoseconds: N} and {nanoseconds_since_epoch: N}.
type nanos struct {
	Nanoseconds int64 `yaml:"nanoseconds,omitempty"`
	SinceEpoch  int64 `yaml:"nanoseconds_since_epoch,omitempty"`
}

type metadataTopic struct {
	Topic struct {
		Name     string    `yaml:"name"`
		Type     string    `yaml:"type"`
		Format   string    `yaml:"serialization_format"`
		QoS      yaml.Node `yaml:"offered_qos_profiles"`
		TypeHash string    `yaml:"type_description_hash"`
	} `yaml:"topic_metadata"`
	Count int64 `yaml:"message_count"`
}

type metadataFileInfo struct {
	Path     string `yaml:"path"`
	Start    nanos  `yaml:"starting_time"`
	Duration nanos  `yaml:"duration"`
	Count    int64  `yaml:"message_count"`
}

// metadata is rosbag2_bagfile_information in the union of versions 1 to 9:
// compression since 3, offered_qos_profiles since 4 (a string, a list since 9),
// files since 5, custom_data since 6, type_description_hash since 7, ros_distro
// since 8. (ros2/rosbag2, rosbag2_storage/yaml.hpp)
type metadata struct {
	Version     int                `yaml:"version"`
	Storage     string             `yaml:"storage_identifier"`
	Paths       []string           `yaml:"relative_file_paths"`
	Duration    nanos              `yaml:"duration"`
	Start       nanos              `yaml:"starting_time"`
	Count       int64              `yaml:"message_count"`
	Topics      []metadataTopic    `yaml:"topics_with_message_count"`
	Compression string             `yaml:"compression_format"`
	Mode        string             `yaml:"compression_mode"`
	Files       []metadataFileInfo `yaml:"files"`
	Custom      map[string]string  `yaml:"custom_data"`
	Distro      string             `yaml:"ros_distro"`
}

// readMetadata reads dir's metadata.yaml; nil without error where there is none.
func readMetadata(dir string) (*metadata, error) {
	path := filepath.Join(dir, metadataFile)
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, IOError("read", path, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxMetadataBytes {
		return nil, fmt.Errorf("%s: %w: not a plain file of at most %d bytes; move it away to read the bag without it", path, ErrMetadata, maxMetadataBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, IOError("read", path, err)
	}
	m, err := parseMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; repair it or move it away to read the bag without it", path, err)
	}
	return m, nil
}

// parseMetadata decodes metadata.yaml, or the same without its outer key as
// storages keep it.
func parseMetadata(data []byte) (m *metadata, err error) {
	if len(data) > maxMetadataBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMetadata, maxMetadataBytes)
	}
	// The YAML library reports some malformed input by panicking.
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("%w: %v", ErrMetadata, r)
		}
	}()
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrMetadata, userfile.YAMLError(err))
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrMetadata)
	}
	if deep(&root, maxMetadataDepth) {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrMetadata, maxMetadataDepth)
	}
	body := root.Content[0]
	var outer struct {
		Info yaml.Node `yaml:"rosbag2_bagfile_information"`
	}
	if err := body.Decode(&outer); err == nil && outer.Info.Kind != 0 {
		body = &outer.Info
	}
	m = &metadata{}
	if err := body.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrMetadata, userfile.YAMLError(err))
	}
	return m, m.check()
}

func (m *metadata) check() error {
	if m.Version < 1 {
		return fmt.Errorf("%w: it has no version", ErrMetadata)
	}
	if m.Count < 0 || m.Duration.Nanoseconds < 0 {
		return fmt.Errorf("%w: negative message count or duration", ErrMetadata)
	}
	if m.Start.SinceEpoch > 0 && m.Duration.Nanoseconds > math.MaxInt64-m.Start.SinceEpoch {
		return fmt.Errorf("%w: duration of %d ns", ErrMetadata, m.Duration.Nanoseconds)
	}
	for i := range m.Topics {
		if t := &m.Topics[i]; t.Topic.Name == "" || t.Count < 0 {
			return fmt.Errorf("%w: topic %d has no name or a negative count", ErrMetadata, i)
		}
	}
	for _, p := range m.paths() {
		if p == "" || strings.ContainsRune(p, 0) || !filepath.IsLocal(filepath.Base(filepath.FromSlash(p))) {
			return fmt.Errorf("%w: file name %q", ErrMetadata, p)
		}
	}
	m.Mode, m.Compression = strings.ToUpper(m.Mode), strings.ToLower(m.Compression)
	if m.Mode == "NONE" {
		m.Mode = ""
	}
	return nil
}

// paths are the bag's files, from whichever field names them.
func (m *metadata) paths() []string {
	if len(m.Paths) > 0 {
		return m.Paths
	}
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// locate finds the file that metadata.yaml calls rel below dir, and never
// outside of it: versions 1 and 2 put the bag's own name before the file's, and
// bags get renamed.
func locate(dir, rel string) (string, bool) {
	var tries []string
	if filepath.IsLocal(rel) {
		tries = append(tries, rel)
	}
	base := filepath.Base(filepath.FromSlash(rel))
	for _, t := range append(tries, base) {
		path := filepath.Join(dir, t)
		for _, p := range []string{path, path + ".zstd"} { // some releases leave out the suffix
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
				return p, true
			}
		}
	}
	return filepath.Join(dir, base), false
}

func deep(n *yaml.Node, limit int) bool {
	if limit == 0 {
		return true
	}
	for _, c := range n.Content {
		if deep(c, limit-1) {
			return true
		}
	}
	return false
}
