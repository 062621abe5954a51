package param

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestScalars(t *testing.T) {
	for text, want := range map[string]any{
		"true": true, "yes": true, "Y": true, "on": true, "off": false, "No": false, "n": false,
		"1": int64(1), "-7": int64(-7), "+7": int64(7), "010": int64(8), "0x10": int64(16), "-0x1F": int64(-31), "0": int64(0),
		"9223372036854775807": int64(9223372036854775807), "9223372036854775808": 9223372036854775808.0,
		"1.0": 1.0, "1e3": 1000.0, "-.5": -0.5, "5.": 5.0, "08": 8.0, "0x1.8": 1.5, "0x1.8p1": 3.0, "inf": inf, "-Infinity": -inf, ".inf": inf, "-.INF": -inf, "+.inf": inf,
		"null": "null", "~": "~", "1_000": "1_000", "0b1": "0b1", "0o7": "0o7", "0x": "0x", "1e999": "1e999", "--1": "--1", "0x-1": "0x-1", "truE": "truE", "12:30": "12:30",
		"'1'": "1", `"yes"`: "yes", "''": "", "a b": "a b", "[1, 2]": []int64{1, 2}, "[1.0, nan]": nil, "[yes, no]": []bool{true, false},
		"[a, 'b c', '3']": []string{"a", "b c", "3"}, "[]": nil, "!!str 5": int64(5), "|-\n  5": int64(5), "2001-01-01": "2001-01-01",
	} {
		v, err := parseValue(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want != nil && !reflect.DeepEqual(v.v, want) {
			t.Errorf("%s is %T %v, want %T %v", text, v.v, v.v, want, want)
		}
		if again, err := parseValue(v.String()); want != nil && (err != nil || !reflect.DeepEqual(again.v, v.v)) {
			t.Errorf("%s is written as %s, which is read as %v, %v", text, v, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "no value", "  ": "no value", "# a": "no value", "{a: 1}": "no mapping", "a: 1": "no mapping", "[1, 2.0]": "an integer and a double", "[1, [2]]": "scalars only",
		"*a": "unknown anchor", "&a [*a]": "scalars only", "[": "line", "[1, ]x": "document start", "\x00": "control characters", "[1,,2]": "did not find", "[a, ]": "",
	} {
		v, err := parseValue(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q gives %v, %v; want an error with %q", text, v, err, want)
		}
	}
}

var inf = func() float64 { f, _ := float("inf"); return f }()

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern string
		fit     string
		unfit   string
	}{
		{"/**", "/n /a/n /a/b/n", ""},
		{"/*", "/n", "/a/n"},
		{"/n", "/n", "/m /a/n /n/n /nn"},
		{"/a/n", "/a/n", "/n /a/b/n"},
		{"/**/n", "/n /a/n /a/b/n", "/m /n/m"},
		{"/a/**", "/a /a/n /a/b/n", "/b/n"}, // /a too, as in rcl
		{"/*/n", "/a/n", "/n /a/b/n"},
		{"/a/*/n", "/a/b/n", "/a/n"},
		{"/**/b/*", "/b/n /a/b/n", "/b /a/n"},
		{"/" + strings.Repeat("**/", 80) + "x", "/x /a/x", "/n"},
	}
	for _, test := range tests {
		for want, names := range map[bool]string{true: test.fit, false: test.unfit} {
			for _, name := range strings.Fields(names) {
				if matches(test.pattern, name) != want {
					t.Errorf("%s fits %s: %v", test.pattern, name, !want)
				}
			}
		}
	}
}

func TestFiles(t *testing.T) {
	tests := []struct{ yaml, want string }{ // want: what /cell/arm gets, or ...an error
		{"/**:\n  ros__parameters: {a: 1, b.c: x, b: {d: [1.0]}}", "a=1 b.c=x b.d=[1.0]"},
		{"cell:\n  arm:\n    ros__parameters:\n      a: 1\n  other: {ros__parameters: {a: 2}}", "a=1"},
		{"cell/arm: {ros__parameters: {a: 1}}\narm: {ros__parameters: {a: 2}}", "a=1"},
		{"/cell/: {arm: {ros__parameters: {a: 1}}}", "a=1"},
		{"/**: {ros__parameters: {a: 1, b: 1}}\n/cell/arm: {ros__parameters: {a: 2}}", "a=2 b=1"},
		{"/cell/arm: {ros__parameters: {a: 2}}\n/**: {ros__parameters: {a: 1, b: 1}}", "a=1 b=1"}, // the later pattern wins, however wide
		{"/**: {ros__parameters: {a: 1}}\n/cell/arm: {ros__parameters: {a: 2}}\n/**: {ros__parameters: {a: 3}}", "a=2"},
		{"/**: {ros__parameters: {a: 1, a: 2.0}}", "a=2.0"},
		{"/**: {ros__parameters: {a: 1}}\n---\n/**: {ros__parameters: {b: 2}}", "a=1 b=2"},
		{"/**: {ros__parameters: {a: []}}", "a=[]"},
		{"/**: {ros__parameters: {}}", ""},
		{"# nothing", ""},
		{"", ""},
		{"ros__parameters: {a: 1}", "...f.yaml:1: there is no name of a node above ros__parameters; /** means every node"},
		{"/**:\n  a: 1", "...f.yaml:2: ros__parameters is needed before a value, as in node_name: {ros__parameters: {name: value}}"},
		{"/**:\n  ros__parameters:", "...f.yaml:2: ros__parameters needs parameters below it, each as name: value"},
		{"/**:\n  ros__parameters:\n    a:\n", "...f.yaml:3: a: there is no value; write '' for an empty string"},
		{"/**:\n  ros__parameters:\n    a: [1, x]\n", "...f.yaml:3: a: the list holds an integer and a string; make all of one type"},
		{"/**:\n  ros__parameters:\n    a: &x 1\n    b: *x\n", "...f.yaml:4: ROS knows no aliases (*x); write the value out"},
		{"/**:\n  ros__parameters:\n    a: [{b: 1}]\n", "...f.yaml:3: a: a list holds scalars only"},
		{"/**: {ros__parameters: {[a]: 1}}", "...f.yaml:1: a key must be a name"},
		{"1st: {ros__parameters: {a: 1}}", "...f.yaml:1: /1st is no name of a node; names have letters, digits and _, and * and ** stand for one and for any number of them"},
		{"/a//b: {ros__parameters: {a: 1}}", "... is no name of a node"},
		{"a: [", "...f.yaml: yaml: line 1: did not find expected node content"},
		{"- a", "...f.yaml:1: ros__parameters is needed"},
		{"/**: {ros__parameters: " + strings.Repeat("{a: ", 400) + "1" + strings.Repeat("}", 401), "...f.yaml:1: a parameter's name has more than 256 letters"},
		{strings.Repeat("{a: ", 400) + "1" + strings.Repeat("}", 400), "...f.yaml:1: a node's name has more than 256 letters"},
		{"/**: {ros__parameters: {" + strings.Repeat("a: 1, ", 10001) + "}}", "...f.yaml:1: there are more than 10000 parameters"},
		{strings.Repeat("#", 1<<20+1), "...f.yaml has more than 1048576 bytes"},
	}
	for _, test := range tests {
		var o Overrides
		err := o.addYAML("f.yaml", []byte(test.yaml))
		text := clipped(test.yaml)
		if want, bad := strings.CutPrefix(test.want, "..."); bad {
			if !errors.Is(err, ErrOverride) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v\nwant ...%s", text, err, want)
			}
			continue
		}
		if got := show(o.For("/cell/arm")); err != nil || got != test.want {
			t.Errorf("%s: %s, %v\nwant %s", text, got, err, test.want)
		}
	}
}

func clipped(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// show writes overrides in order of their names.
func show(all map[string]Override) string {
	s := NewSet(all)
	for name := range all {
		s.params[name] = &entry{}
	}
	names, _ := s.List(nil, 0)
	for i, name := range names {
		names[i] = fmt.Sprint(name, "=", all[name].Value)
	}
	return strings.Join(names, " ")
}

func TestArgs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(file, []byte("/cell/arm:\n  ros__parameters: {a: 2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ args, want, rest string }{
		{"-p a:=1", "", "-p a:=1"},
		{"x --ros-args -p a:=1 -r __ns:=/cell --param b.c:='x' -- -p d:=1", "a=1 b.c=x", "x --ros-args -r __ns:=/cell -- -p d:=1"},
		{"--ros-args -r -p --log-level -p -e -p -p a:=1", "a=1", "--ros-args -r -p --log-level -p -e -p"},
		{"--ros-args -p arm:a:=1", "", "--ros-args"}, // not the node in this namespace, as in rcl
		{"--ros-args -p a:=1 --params-file " + file, "a=2", "--ros-args"},
		{"--ros-args --params-file " + file + " -p a:=1", "a=1", "--ros-args"},
		{"--ros-args -p a:=1 --params-file " + file + " -p a:=3", "a=2", "--ros-args"},
		{"--ros-args -p qos_overrides./joint_states.subscription.depth:=5", "qos_overrides./joint_states.subscription.depth=5", "--ros-args"},
		{"--ros-args -p", "...-p needs an argument", ""},
		{"--ros-args -p a=1", "...-p a=1 is not name:=value nor node:name:=value", ""},
		{"--ros-args -p /cell/arm:a:=1", "... is not name:=value", ""},
		{"--ros-args -p a:=", "...-p a:=: there is no value; write '' for an empty string", ""},
		{"--ros-args --params-file " + dir + "/nope", "...no such file", ""},
		{"--ros-args --params-file " + dir, "...is a folder and no regular file", ""},
		{"--ros-args --params-file " + fifo, "...is a named pipe and no regular file", ""},
	}
	for _, test := range tests {
		o, rest, err := ParseArgs(strings.Fields(test.args))
		if want, bad := strings.CutPrefix(test.want, "..."); bad {
			if !errors.Is(err, ErrOverride) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v\nwant ...%s", test.args, err, want)
			}
			continue
		}
		if got := show(o.For("/cell/arm")); err != nil || got != test.want || strings.Join(rest, " ") != test.rest {
			t.Errorf("%s: %s, rest %q, %v\nwant %s, %s", test.args, got, rest, err, test.want, test.rest)
		}
	}
}

func TestOverridesOfDeclared(t *testing.T) {
	var o Overrides
	for _, rule := range []string{"lr:=0.5", "steps:=7", "joint_limits:=[]", "checkpoint_dir:=/models", "output:=servo"} {
		if err := o.AddRule(rule); err != nil {
			t.Fatal(err)
		}
	}
	s := declared(t, o.For("/arm"))
	if Get[float64](s, "lr") != 0.5 || Get[int](s, "steps") != 7 || len(Get[[]string](s, "joint_limits")) != 0 || Get[string](s, "checkpoint_dir") != "/models" || Get[string](s, "output") != "servo" {
		t.Error("the overrides are not in force")
	}
	for rule, want := range map[string]string{
		"lr:=1":           "parameter override: -p lr:=1: lr is a double, but 1 is an integer; write 1.0",
		"lr:=2.0":         "parameter override: -p lr:=2.0: lr is 2.0; it must be between 0.0 and 1.0",
		"output:=on":      "parameter override: -p output:=on: output is a string, but true is a boolean; put it into quotes",
		"output:=nowhere": "parameter override: -p output:=nowhere: output is nowhere; it must be one of topic, action, servo",
	} {
		var o Overrides
		if err := o.AddRule(rule); err != nil {
			t.Fatal(err)
		}
		if err := NewSet(o.For("/arm")).Declare(declarations()...); !errors.Is(err, ErrOverride) || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", rule, err, want)
		}
	}
	var file Overrides
	if err := file.addYAML("p.yaml", []byte("arm:\n  ros__parameters:\n    steps: many")); err != nil {
		t.Fatal(err)
	}
	err := NewSet(file.For("/arm")).Declare(declarations()...)
	if want := "parameter override: p.yaml:3: steps is an integer, but many is a string; give an integer"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestUnused(t *testing.T) {
	var o Overrides
	if err := errors.Join(
		o.addYAML("p.yaml", []byte("/**:\n  ros__parameters: {stepps: 1, camera_fps: 30, guard: false}\narm:\n  ros__parameters: {mine_only: 1}")),
		o.AddRule("chekpoint_dir:=x"), o.AddRule("wheel_base:=1.0"), o.AddRule("budget_ms:=1.0"),
	); err != nil {
		t.Fatal(err)
	}
	want := []Unused{
		{"budget_ms", "-p budget_ms:=1.0", "validity.budget_ms"},
		{"chekpoint_dir", "-p chekpoint_dir:=x", "checkpoint_dir"},
		{"mine_only", "p.yaml:4", ""},
		{"stepps", "p.yaml:2", "steps"},
		{"wheel_base", "-p wheel_base:=1.0", ""},
	}
	if got := declared(t, o.For("/arm")).Unused(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{
		"/**:\n  ros__parameters: {a: 1, b.c: x, b: {d: [1.0]}}", "cell:\n  arm:\n    ros__parameters:\n      a: [yes, no]\n", "a: &x [*x]", "? [a]\n: b", "a: !!binary x",
		"/**: {ros__parameters: {a: |\n  x}}", "%YAML 1.1\n---\n", "<<: {a: 1}", "\ufeffa: 1", "'': {ros__parameters: {'': 1}}", "/**/: {ros__parameters: {a: .nan}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o Overrides
		if err := o.addYAML("f.yaml", data); err != nil {
			if !errors.Is(err, ErrOverride) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		for name, over := range o.For("/cell/arm") {
			if name == "" || len(name) > maxName || over.Source == "" {
				t.Fatalf("%q is set by %q", name, over.Source)
			}
			again, err := parseValue(over.Value.String())
			if long := strings.Contains(over.Value.String(), "..."); !long && (err != nil || again.String() != over.Value.String()) {
				t.Fatalf("%s is written as %s, which is read as %v, %v", name, over.Value, again, err)
			}
		}
	})
}
