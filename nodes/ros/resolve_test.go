package ros

import (
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	rules := remapsIn(strings.Fields("-p -r --log-level info -r __node:=arm --remap scan:=/lidar/scan -r ~/state:=status -r arm:a:=b -r leg:a:=c -r rosservice://both:=srv -r arm:rostopic://both:=top -r scan:=late -r"))
	for name, want := range map[string]string{
		"x": "/cell/x", "/x": "/x", "~/x": "/cell/arm/x", "~": "/cell/arm", "{node}/x": "/cell/arm/x", "scan": "/lidar/scan", "/cell/scan": "/lidar/scan", "/scan": "/scan",
		"~/state": "/cell/status", "a": "/cell/b", "both": "/cell/top",
	} {
		if got := resolve(rules, "rostopic", name, "arm", "/cell"); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := resolve(rules, "rosservice", "both", "arm", "/cell"); got != "/cell/srv" {
		t.Errorf("a service is %s", got)
	}
	if got := resolve(nil, "rostopic", "x", "arm", "/"); got != "/x" {
		t.Errorf("at the root: %s", got)
	}
}
