//go:build ros

package param

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// rclpyScript starts a node for each case and prints what ROS itself makes of
// its arguments: name to [type, value], or null where it refuses them.
const rclpyScript = `
import json, sys
import rclpy
cases = json.load(sys.stdin)
rclpy.init(args=[])
out = []
for args in cases:
    try:
        n = rclpy.create_node('arm', namespace='cell', cli_args=args, use_global_arguments=False, enable_rosout=False,
            start_parameter_services=False, automatically_declare_parameters_from_overrides=True)
    except Exception:
        out.append(None)
        continue
    params = n.get_parameters_by_prefix('')
    out.append({k: [p.type_.value, list(p.value) if p.type_.value > 4 else p.value] for k, p in params.items() if k != 'use_sim_time'})
    n.destroy_node()
rclpy.shutdown()
json.dump(out, sys.stdout)
`

// TestAgainstRclpy compares arguments and files with rcl, which rclpy and
// rclcpp share.
func TestAgainstRclpy(t *testing.T) {
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var cases [][]string
	flags := func(args ...string) { cases = append(cases, append([]string{"--ros-args"}, args...)) }
	for _, value := range []string{
		"true", "yes", "Y", "off", "n", "truE", "1", "-7", "+7", "010", "08", "0x10", "-0x1F", "0", "0x", "0b1", "0o7", "1_000", "9223372036854775807", "9223372036854775808",
		"1.5", "1e3", "-.5", "5.", "0x1.8", "0x1.8p1", "1e999", "infinitesimal", "null", "~", "'1'", `"yes"`, "''", "a b", "12:30", "2001-01-01", "-", "[1, 2]", "[1.5, 2.5]", "[yes, no]",
		"[a, 'b c', '3']", "[1, 2.0]", "[1, x]", "{a: 1}", "", "*a", "!!str 5", "|-\n  5", "|\n  5", "[1, ]x", "a # comment", "'a # b'",
	} {
		flags("-p", "a:="+value)
	}
	for _, rule := range []string{"a=1", "a", ":=1", "arm:a:=1", "cell:a:=1", "/cell/arm:a:=1", "a.b:=1", "a/b.c:=1", "a..b:=1", "a-b:=1", "qos_overrides./joint_states.subscription.depth:=5"} {
		flags("-p", rule)
	}
	for i, text := range []string{
		"/**:\n  ros__parameters: {a: 1, b.c: x, b: {d: [1.5]}}",
		"cell:\n  arm:\n    ros__parameters:\n      a: 1\n  other: {ros__parameters: {a: 2}}",
		"cell/arm: {ros__parameters: {a: 1}}\narm: {ros__parameters: {a: 2}}",
		"/cell/arm: {ros__parameters: {a: 2}}\n/**: {ros__parameters: {a: 1, b: 1}}",
		"/**: {ros__parameters: {a: 1}}\n/cell/arm: {ros__parameters: {a: 2}}\n/**: {ros__parameters: {a: 3}}",
		"/*: {ros__parameters: {a: 1}}\n/*/arm: {ros__parameters: {b: 1}}\n/**/arm: {ros__parameters: {c: 1}}\n/cell/**: {ros__parameters: {d: 1}}\n/cell/*: {ros__parameters: {e: 1}}\n/cell/arm/**: {ros__parameters: {f: 1}}\n/cell/arm/*: {ros__parameters: {g: 1}}",
		"/**: {ros__parameters: {a: 1}}\n---\n/**: {ros__parameters: {b: 2}}",
		"/**: {ros__parameters: {a: 1, a: 2}}",
		"ros__parameters: {a: 1}", "/**:\n  a: 1", "/**:\n  ros__parameters:\n    a:\n", "/**:\n  ros__parameters:\n    a: [1, x]\n",
		"/**:\n  ros__parameters:\n    a: &x 1\n    b: *x\n", "1st: {ros__parameters: {a: 1}}", "a: [", "",
		"arm: {ros__parameters: {a: 1}}", "cell:\n  '**': {ros__parameters: {a: 1}}", "/cell:\n  arm:\n    ros__parameters:\n      deep: {er: {still: {x: on, y: ['1']}, z: 2.0}, last: a}\n",
	} {
		path := file("p"+string(rune('a'+i))+".yaml", text)
		flags("--params-file", path)
		flags("-p", "a:=8", "--params-file", path, "-p", "a:=9")
	}
	flags("--params-file", filepath.Join(dir, "nope.yaml"))

	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", rclpyScript)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var theirs []map[string][2]any
	if err := json.Unmarshal(out, &theirs); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, args := range cases {
		if ours := asJSON(t, args); !reflect.DeepEqual(ours, theirs[i]) {
			t.Errorf("%s: %v, rcl says %v", strings.Join(args, " "), ours, theirs[i])
		}
	}
}

// asJSON is what the script prints for these arguments, after JSON.
func asJSON(t *testing.T, args []string) map[string][2]any {
	o, _, err := ParseArgs(args)
	if err != nil {
		return nil
	}
	all := map[string][2]any{}
	for name, over := range o.For("/cell/arm") {
		all[name] = [2]any{int(over.Value.Type()), over.Value.Any()}
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string][2]any
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
