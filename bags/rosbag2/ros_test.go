package rosbag2

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestROS2BagInfo lets rosbag2 itself read what the writer wrote.
func TestROS2BagInfo(t *testing.T) {
	setups, err := filepath.Glob("/opt/ros/*/setup.bash")
	if err != nil || len(setups) == 0 {
		t.Skip("no ROS 2 in /opt/ros to read the bag with")
	}
	if err := exec.Command("bash", "-c", `source "$0" && ros2 bag --help`, setups[0]).Run(); err != nil {
		t.Skip("the ROS 2 in /opt/ros has no ros2 bag; install ros2bag to read the bag with")
	}
	msgs := sample(200)
	count := map[string]int{}
	for _, m := range msgs {
		count[m.topic]++
	}
	for _, compression := range []string{"zstd", "lz4", "none"} {
		dir := filepath.Join(t.TempDir(), "bag")
		writeBag(t, dir, WriterOptions{Compression: compression}, msgs)
		out, err := exec.Command("bash", "-c", `source "$0" && ros2 bag info "$1"`, setups[0], dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: ros2 bag info: %v\n%s", compression, err, out)
		}
		want := []string{"Storage id:        mcap", fmt.Sprintf("Messages:          %d", len(msgs))}
		for topic, n := range count {
			want = append(want, fmt.Sprintf("Topic: %s | Type: ", topic), fmt.Sprintf("| Count: %d |", n))
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: ros2 bag info lacks %q:\n%s", compression, w, out)
			}
		}
	}
}
