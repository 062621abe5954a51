package runner

import (
	"fmt"
	"strings"

	"arfm/policy/userfile"
)

// ParseLimits reads a URDF or a joint_limits.yaml, whichever data is.
func ParseLimits(data []byte) (Limits, error) {
	if strings.HasPrefix(strings.TrimSpace(string(data[:min(len(data), 4096)])), "<") {
		return ParseURDF(data)
	}
	return ParseJointLimits(data)
}

// ReadLimits joins the limits of several files; the tighter ones hold.
func ReadLimits(paths []string) (Limits, error) {
	var all Limits
	for _, path := range paths {
		data, err := userfile.Read(path, MaxDescription+1)
		if err != nil {
			return all, fmt.Errorf("limits: %w", err)
		}
		l, err := ParseLimits(data)
		if err != nil {
			return all, fmt.Errorf("limits %s: %w", path, err)
		}
		all = all.Tighten(l)
	}
	return all, nil
}
