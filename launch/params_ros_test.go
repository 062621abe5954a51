//go:build ros

package launch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// TestPackagedParameters holds share/arfm/params against what the nodes
// declare: the file shows every parameter, with its default, or commented out
// where the default depends on the machine or cannot be written. The README
// names all of them.
func TestPackagedParameters(t *testing.T) {
	for _, node := range []string{"policy_node", "finetune_node", "sim_node"} {
		t.Run(node, func(t *testing.T) {
			declared := startAndDump(t, node)
			text, err := os.ReadFile("params/" + strings.TrimSuffix(node, "_node") + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			packaged := parameters(t, text)
			for name, value := range packaged {
				if got, ok := declared[name]; !ok {
					t.Errorf("%s is in the file, but the node does not declare it", name)
				} else if !reflect.DeepEqual(got, value) {
					t.Errorf("%s is %v in the file, %v by default", name, value, got)
				}
			}
			described := section(t, "### "+node) + section(t, "## On a robot: ROS 2")
			for name := range declared {
				if strings.HasPrefix(name, "qos_overrides.") {
					continue
				}
				last := name[strings.LastIndex(name, ".")+1:]
				if _, ok := packaged[name]; !ok && !bytes.Contains(text, []byte("# "+last+":")) {
					t.Errorf("%s is declared, but not in the file", name)
				}
				if !strings.Contains(described, "`"+name+"`") && !strings.Contains(described, "`."+last+"`") {
					t.Errorf("%s is declared, but the README does not have it", name)
				}
			}
		})
	}
}

// section is what the README says between a heading and the next.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("the README has no heading %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n##")
	return rest
}

// startAndDump starts a node without parameters and returns what ros2 param
// dump tells of it.
func startAndDump(t *testing.T, node string) map[string]any {
	t.Helper()
	program := filepath.Join(os.Getenv("ARFM_ROS_WS"), "arfm/lib/arfm", node)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is not built", node)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "--ros-args", "-p", "autostart:=false")
	cmd.Env = environment(t)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	var out string
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if out, err = ros2(t, "param", "dump", "--no-daemon", "--spin-time", "2", "/"+node); err == nil && strings.Contains(out, "ros__parameters") {
			all := parameters(t, []byte(out))
			all["autostart"] = true // it was told otherwise
			return all
		}
	}
	t.Fatalf("no parameters of %s: %v\n%s%s", node, err, out, &log)
	return nil
}

// parameters reads a file of parameters of one node: dotted name to value.
func parameters(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var file map[string]struct {
		Parameters map[string]any `yaml:"ros__parameters"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil || len(file) != 1 {
		t.Fatalf("%v, %d nodes in\n%s", err, len(file), text)
	}
	flat := map[string]any{}
	for _, of := range file {
		flatten(flat, "", of.Parameters)
	}
	return flat
}

func flatten(flat map[string]any, prefix string, tree map[string]any) {
	for key, value := range tree {
		if below, ok := value.(map[string]any); ok {
			flatten(flat, prefix+key+".", below)
		} else {
			flat[prefix+key] = value
		}
	}
}
