package main

import (
	"strings"
	"testing"

	"arfm/bags/rosbag2"
)

// A recording may hold any text: none of it may steer the terminal.
func TestInfoOfHostileNames(t *testing.T) {
	const evil = "\x1b[2J\nx\ty"
	var out strings.Builder
	printInfo(&out, &rosbag2.Info{Compression: evil, Distro: evil, Missing: []string{evil}, Topics: []rosbag2.Topic{{Name: evil, Type: evil, Format: evil}}})
	if text := out.String(); strings.Contains(text, "\x1b") || strings.Count(text, `"\x1b[2J\nx\ty"`) != 6 {
		t.Errorf("%q", text)
	}
}
