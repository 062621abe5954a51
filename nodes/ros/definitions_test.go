package ros

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestDefinitions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"demo_msgs/msg/Inner.msg":    "float64[3] x # three\nstring<=8 label\n",
		"demo_msgs/msg/Outer.msg":    "uint8 A=1\nInner[] parts\nstd_msgs/Header header\n",
		"demo_msgs/srv/Ask.srv":      "Outer question\n---\nbool yes\n",
		"demo_msgs/action/Do.action": "string what\n---\nint32 code\n---\nInner now\n",
		"demo_msgs/msg/Broken.msg":   "Missing x\n",
	} {
		path := filepath.Join(dir, "share", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := NewDefinitions(dir)
	for _, name := range []string{
		"demo_msgs/msg/Outer", "demo_msgs/srv/Ask_Request", "demo_msgs/srv/Ask_Response", "demo_msgs/action/Do_Goal",
		"demo_msgs/action/Do_SendGoal_Request", "demo_msgs/action/Do_GetResult_Response", "demo_msgs/action/Do_FeedbackMessage",
		"sensor_msgs/msg/JointState", "arfm/msg/Reward",
	} {
		typ, err := d.Type(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if typ.Name() != name {
			t.Errorf("%s is %s", name, typ.Name())
		}
	}
	for _, name := range []string{"demo_msgs/msg/Nothing", "demo_msgs/msg/Broken"} {
		if _, err := d.Type(name); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%s: %v, want ErrNotInstalled", name, err)
		}
	}
	for _, name := range []string{"", "x", "../x/msg/Y", "a/b/C", "a/msg/../D", "a/msg/"} {
		if _, err := d.Type(name); err == nil {
			t.Errorf("%q was taken for a type", name)
		}
	}
}
