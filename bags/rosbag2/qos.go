package rosbag2

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// qosNumbers are the values of rmw/types.h; metadata before version 9 stores
// the numbers, later versions the names.
var qosNumbers = map[string]map[string]int{
	"history":     {"system_default": 0, "keep_last": 1, "keep_all": 2, "unknown": 3},
	"reliability": {"system_default": 0, "reliable": 1, "best_effort": 2, "unknown": 3, "best_available": 4},
	"durability":  {"system_default": 0, "transient_local": 1, "volatile": 2, "unknown": 3, "best_available": 4},
	"liveliness":  {"system_default": 0, "automatic": 1, "manual_by_node": 2, "manual_by_topic": 3, "unknown": 4, "best_available": 5},
}

// qosText gives offered_qos_profiles as YAML text, whichever way it is stored.
func qosText(n *yaml.Node) string {
	switch n.Kind {
	case 0:
		return ""
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return ""
		}
		return n.Value
	}
	if len(n.Content) == 0 {
		return ""
	}
	out, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(out), "\n")
}

// numericQoS rewrites policy names into the numbers that Humble reads.
func numericQoS(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return "", fmt.Errorf("QoS is not YAML: %v", err)
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.SequenceNode {
		return "", fmt.Errorf("QoS is not a YAML list of profiles")
	}
	for _, profile := range root.Content[0].Content {
		for i := 0; i+1 < len(profile.Content); i += 2 {
			names, ok := qosNumbers[profile.Content[i].Value]
			if !ok {
				continue
			}
			v := profile.Content[i+1]
			if _, err := strconv.Atoi(v.Value); err == nil {
				continue
			}
			number, ok := names[v.Value]
			if !ok {
				return "", fmt.Errorf("QoS policy %s has no value %q", profile.Content[i].Value, v.Value)
			}
			v.SetString(strconv.Itoa(number))
			v.Tag, v.Style = "!!int", 0
		}
	}
	out, err := yaml.Marshal(root.Content[0])
	if err != nil {
		return "", fmt.Errorf("QoS: %v", err)
	}
	return strings.TrimRight(string(out), "\n"), nil
}
