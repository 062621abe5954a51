//go:build ros

package ros

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// tool runs a ros2 command that may fail, without the daemon, and returns all
// that it prints.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	out, err := ros2Command(ctx, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("ros2 %s does not end: %v\n%s", strings.Join(args, " "), err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "is not multicast-capable") { // Cyclone DDS, of lo
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// contains checks what a tool prints, line by line, spaces apart.
func contains(t *testing.T, what, out string, want ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(out), " ")
	for _, w := range want {
		if !strings.Contains(flat, w) {
			t.Errorf("%s: no %q in\n%s", what, w, out)
		}
	}
}

// armParameters has each type, range and kind of refusal.
var armParameters = []param.Declaration{
	{Name: "gain", Default: param.Of(1.0), Description: "of the loop, 1/s", DoubleRange: &param.DoubleRange{From: 0, To: 10, Step: 0.5}},
	{Name: "steps", Default: param.Of(100), Description: "of training", IntegerRange: &param.IntegerRange{From: 1, To: 1000}},
	{Name: "output", Default: param.Of("topic"), Description: "where chunks go", OneOf: []string{"topic", "action", "servo"}},
	{Name: "model", Default: param.Of("m"), ReadOnly: true},
	{Name: "limits.files", Default: param.Of([]string{})},
	{Name: "limits.scale", Default: param.Of([]float64{0.5, 0.25})},
	{Name: "limits.joints", Default: param.Of([]int64{1, 2})},
	{Name: "limits.on", Default: param.Of([]bool{true, false})},
	{Name: "blob", Default: param.Of([]byte{1, 2})},
}

func TestParametersWithTheTool(t *testing.T) {
	if os.Getenv("AMENT_PREFIX_PATH") == "" {
		t.Skip("no ROS 2 environment is sourced")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	write(t, file, "/**:\n  ros__parameters: {gain: 2.5, limits: {files: [a.yaml]}}\n/cell/left:\n  ros__parameters: {steps: 7}\n/cell/right:\n  ros__parameters: {steps: 8}\n")
	c := testContext(t, "--ros-args", "-r", "__node:=left", "-r", "__ns:=/cell", "--params-file", file, "-p", "output:=action")
	n, g := testNode(t, c, "arm")
	events := newRecorder(t, n, g, "/parameter_events", "rcl_interfaces/msg/ParameterEvent", QoS{Reliable: true, Depth: 100})
	if err := n.Declare(armParameters...); err != nil {
		t.Fatal(err)
	}
	const node = "/cell/left"
	contains(t, "list", tool(t, "param", "list", "--no-daemon", "--spin-time", "0.3", node, "--param-type"),
		"blob (type: byte array)", "gain (type: double)", "limits.files (type: string array)", "steps (type: integer)", "use_sim_time (type: boolean)")
	contains(t, "list below a prefix", tool(t, "param", "list", "--no-daemon", "--spin-time", "0.3", node, "--param-prefixes", "limits"), "limits.files limits.joints limits.on limits.scale")
	ask := func(verb string, args ...string) string {
		return tool(t, append([]string{"param", verb, "--no-daemon", "--spin-time", "0.3", node}, args...)...)
	}
	contains(t, "get", ask("get", "gain"), "Double value is: 2.5")
	contains(t, "get from the file", ask("get", "steps"), "Integer value is: 7")
	contains(t, "get from the flag", ask("get", "output"), "String value is: action")
	contains(t, "get a list", ask("get", "limits.files"), "String values are: ['a.yaml']")
	contains(t, "get what is not there", ask("get", "nope"), "Parameter not set")
	contains(t, "describe", ask("describe", "gain", "steps", "output"),
		"Parameter name: gain Type: double Description: of the loop, 1/s Constraints: Min value: 0.0 Max value: 10.0 Step: 0.5",
		"Parameter name: steps Type: integer Description: of training Constraints: Min value: 1 Max value: 1000",
		"Additional constraints: one of topic, action, servo")
	contains(t, "describe read-only", ask("describe", "model"), "Read only: true")
	contains(t, "set", ask("set", "gain", "3.5"), "Set parameter successful")
	if got := param.Get[float64](n.Params, "gain"); got != 3.5 {
		t.Errorf("gain is %v", got)
	}
	within(t, 5*time.Second, "the change is told", func() bool { return strings.Contains(events.text(), "/cell/left gain") })
	for value, want := range map[string]string{ // the others in package param
		"gain 20.0": "gain is 20.0; it must be between 0.0 and 10.0 in steps of 0.5",
		"gain 3":    "gain is a double, but 3 is an integer; write 3.0",
		"model x":   "model is read-only; set it when the node starts",
		"gian 1.0":  "unknown parameter gian; gain is near it",
	} {
		contains(t, "set "+value, ask("set", strings.Fields(value)...), want)
	}
	dump := ask("dump")
	contains(t, "dump", dump, "/cell/left: ros__parameters:", "gain: 3.5", "scale: - 0.5 - 0.25", "use_sim_time: false")
	write(t, file, strings.ReplaceAll(strings.ReplaceAll(dump, "gain: 3.5", "gain: 4.5"), "steps: 7", "steps: 9"))
	contains(t, "load", ask("load", file), "Set parameter gain successful", "Set parameter steps successful", "Set parameter limits.files successful", "Set parameter model failed: model is read-only")
	if gain, steps := param.Get[float64](n.Params, "gain"), param.Get[int](n.Params, "steps"); gain != 4.5 || steps != 9 {
		t.Errorf("after load gain is %v, steps %v", gain, steps)
	}
	// What was dumped starts another node alike.
	var again param.Overrides
	if err := again.AddFile(file); err != nil {
		t.Fatal(err)
	}
	for name, over := range again.For(node) {
		now, err := n.Params.Values(name)
		if err != nil || name != "blob" && now[0].String() != over.Value.String() {
			t.Errorf("%s: the node has %v, its dump %v, %v", name, now, over.Value, err)
		}
	}
}

func TestParameterErrorsAtTheStart(t *testing.T) {
	c := testContext(t, "--ros-args", "-p", "use_sim_time:=1")
	if _, err := c.NewNode("arm"); err == nil || err.Error() != "parameter override: -p use_sim_time:=1: use_sim_time is a boolean, but 1 is an integer; give a boolean" {
		t.Errorf("NewNode: %v", err)
	}
	if _, _, err := NewContext([]string{"--ros-args", "--params-file", "/nowhere/p.yaml"}); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "/nowhere/p.yaml") {
		t.Errorf("NewContext: %v", err)
	}
}

func TestSetAtomicallyService(t *testing.T) {
	c := testContext(t)
	n, g := testNode(t, c, "atomic")
	if err := n.Declare(armParameters...); err != nil {
		t.Fatal(err)
	}
	client, err := n.Client(g, "~/set_parameters_atomically", "rcl_interfaces/srv/SetParametersAtomically")
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the server is seen", client.Ready)
	set := func(params ...param.Parameter) (ok bool, reason string) {
		req := client.Request.New()
		if err := n.setParameters(req, "parameters", params); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		resp, err := client.Call(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return lookup[bool](resp, "result.successful"), lookup[string](resp, "result.reason")
	}
	every := []param.Parameter{
		{Name: "gain", Value: param.Of(2.0)}, {Name: "steps", Value: param.Of(3)}, {Name: "output", Value: param.Of("servo")}, {Name: "limits.files", Value: param.Of([]string{"x", ""})},
		{Name: "limits.scale", Value: param.Of([]float64{1})}, {Name: "limits.joints", Value: param.Of([]int64{-1})}, {Name: "limits.on", Value: param.Of([]bool{true})}, {Name: "blob", Value: param.Of([]byte{255})}, {Name: "use_sim_time", Value: param.Of(false)},
	}
	if ok, reason := set(every...); !ok {
		t.Errorf("all types: %s", reason)
	}
	for _, p := range every {
		if got, _ := n.Params.Values(p.Name); got[0].String() != p.Value.String() {
			t.Errorf("%s is %v, set to %v", p.Name, got[0], p.Value)
		}
	}
	if ok, reason := set(param.Parameter{Name: "gain", Value: param.Of(1.0)}, param.Parameter{Name: "steps", Value: param.Of(0)}); ok || param.Get[float64](n.Params, "gain") != 2.0 {
		t.Errorf("half of a refused change is in force: %s", reason)
	}
	if ok, reason := set(param.Parameter{Name: "gain"}); ok || reason != "gain is a double and cannot be unset" {
		t.Errorf("unset: %v %s", ok, reason)
	}
}

// recorder keeps what comes on a topic, in words.
type recorder struct {
	mu  sync.Mutex
	all []string
}

func newRecorder(t *testing.T, n *Node, g *Group, topic, typ string, qos QoS) *recorder {
	t.Helper()
	r := &recorder{}
	kind, err := n.Context().Type(typ)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := n.subscribe(g, topic, typ, qos, func(m Message) {
		rec, err := kind.Decode(m.Data)
		if err != nil {
			t.Error(err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, inWords(rec))
	})
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "a publisher of "+topic, func() bool { return sub.Publishers() > 0 })
	return r
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.all, "\n")
}

// inWords is what the tests look for in a message.
func inWords(rec *cdr.Record) string {
	switch rec.TypeName() {
	case "rcl_interfaces/msg/ParameterEvent":
		text := lookup[string](rec, "node")
		for _, p := range lookup[[]*cdr.Record](rec, "changed_parameters") {
			text += " " + lookup[string](p, "name")
		}
		return text
	case "rcl_interfaces/msg/Log":
		return fmt.Sprint(lookup[uint8](rec, "level"), " ", lookup[string](rec, "name"), ": ", lookup[string](rec, "msg"))
	case "lifecycle_msgs/msg/TransitionEvent":
		return lookup[string](rec, "start_state.label") + " > " + lookup[string](rec, "goal_state.label")
	case "diagnostic_msgs/msg/DiagnosticArray":
		text := ""
		for _, s := range lookup[[]*cdr.Record](rec, "status") {
			text += fmt.Sprint(lookup[uint8](s, "level"), " ", lookup[string](s, "name"), " [", lookup[string](s, "hardware_id"), "]: ", lookup[string](s, "message"))
			for _, v := range lookup[[]*cdr.Record](s, "values") {
				text += ", " + lookup[string](v, "key") + "=" + lookup[string](v, "value")
			}
		}
		return text
	}
	return rec.TypeName()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
