//go:build ros

package launch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// environment is that of the programs under test, or skips where they are not
// built.
func environment(t *testing.T) []string {
	t.Helper()
	if os.Getenv("ARFM_ROS_WS") == "" {
		t.Skip("no built workspace in ARFM_ROS_WS; make test-ros sets it")
	}
	return append(os.Environ(), "ROS_DOMAIN_ID=11", "ROS_HOME="+t.TempDir())
}

// ros2 runs the command line tool on the installed package and returns what it
// printed, and its error.
func ros2(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("ros2", args...)
	cmd.Env = environment(t)
	cmd.Dir = t.TempDir() // arguments that name a file here would be taken for it
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// argument is an entry of --show-args: name, description, default.
var argument = regexp.MustCompile(`(?m)^ {4}'(\w+)':\*?\n {8}(.*)\n(?: {8}\(default: (.*)\)\n)?`)

func TestArgumentsAreExplained(t *testing.T) {
	for file, names := range map[string]string{
		"bringup.launch.py":  "sim robot contract checkpoint_dir params_file namespace use_sim_time finetune record output autostart suite bag_dir record_dir",
		"finetune.launch.py": "bag_dir checkpoint_dir contract objective params_file namespace use_sim_time autostart",
		"sim.launch.py":      "suite seed rate record_dir params_file namespace autostart",
	} {
		t.Run(file, func(t *testing.T) {
			out, err := ros2(t, "launch", "arfm", file, "--show-args")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			shown := map[string]bool{}
			for _, m := range argument.FindAllStringSubmatch(out, -1) {
				shown[m[1]] = true
				if m[2] == "" || strings.Contains(m[2], "no description") {
					t.Errorf("%s is not explained: %q", m[1], m[2])
				}
				if m[3] == "" {
					t.Errorf("%s has no default: it would have to be given", m[1])
				}
			}
			for _, name := range strings.Fields(names) {
				if !shown[name] {
					t.Errorf("there is no argument %s in\n%s", name, out)
				}
			}
		})
	}
}

func TestLaunchRefuses(t *testing.T) {
	for arg, want := range map[string]string{
		"output:=telepathy":       "Valid options are: ['', 'topic', 'action', 'servo']",
		"sim:=maybe":              "Valid options are: ['true', 'false']",
		"params_file:=none.yaml":  "params_file: ",
		"contract:=none.yaml":     "does not exist",
		"checkpoint_dir:=nowhere": "does not exist",
		"robot:=none.urdf.xacro":  "does not exist",
		"record:=recordings":      "Name the contract with contract:=FILE",
	} {
		t.Run(arg, func(t *testing.T) {
			out, err := ros2(t, "launch", "arfm", "bringup.launch.py", arg)
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("error %v, want %q in\n%s", err, want, out)
			}
		})
	}
}

// TestInstalled asks ROS for what the package brings.
func TestInstalled(t *testing.T) {
	out, err := ros2(t, "pkg", "executables", "arfm")
	if err != nil || !strings.Contains(out, "arfm arfm\n") {
		t.Errorf("executables: %v\n%s", err, out)
	}
	for _, typ := range []string{
		"msg/ActionChunk", "msg/EpisodeEvent", "msg/PolicyStatus", "msg/Reward", "msg/TrainingStatus",
		"srv/Reset", "action/Finetune", "action/RunPolicy",
	} {
		path := filepath.Join("..", "msgs", "arfm", typ+filepath.Ext("x."+filepath.Dir(typ)))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := ros2(t, "interface", "show", "arfm/"+typ)
		if err != nil {
			t.Errorf("%s: %v\n%s", typ, err, out)
		}
		for line := range bytes.Lines(text) {
			line, _, _ := bytes.Cut(line, []byte("#"))
			if field := string(bytes.TrimSpace(line)); !strings.Contains(out, field) {
				t.Errorf("%s: ros2 does not show %q but\n%s", typ, field, out)
			}
		}
	}
	for _, file := range []string{"contracts/sim_state.yaml", "params/policy.yaml", "params/cyclonedds.xml"} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(os.Getenv("ARFM_ROS_WS"), "arfm/share/arfm", file))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not installed as it is here: %v", file, err)
		}
	}
}
