package arfm

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rules is the import table: what a folder may import, of our own folders
// (longest prefix wins) and of the modules that are reserved to some.
var rules = []struct {
	folder   string
	may      []string // our folders
	reserved []string // reserved modules it may use
}{
	{"arfm/policy", []string{"arfm/policy"}, []string{"gorgonia.org", "gonum.org"}},
	{"arfm/policy/hotswap", []string{"arfm/policy"}, []string{"github.com/fsnotify/fsnotify", "gonum.org", "gorgonia.org"}},
	{"arfm/msgs", nil, nil},
	{"arfm/launch", nil, nil},
	{"arfm/bags", []string{"arfm/bags", "arfm/policy", "arfm/msgs"}, []string{"github.com/foxglove/mcap", "modernc.org/sqlite", "gonum.org"}},
	{"arfm/finetune", []string{"arfm/finetune", "arfm/policy", "arfm/bags"}, []string{"gorgonia.org", "gonum.org"}},
	{"arfm/nodes/runner", []string{"arfm/policy"}, nil},
	{"arfm/nodes/loop", []string{"arfm/nodes/runner", "arfm/policy"}, nil},
	{"arfm/nodes/sim", []string{"arfm/nodes/sim", "arfm/policy", "arfm/bags"}, nil},
	{"arfm/nodes/ros", []string{"arfm/nodes/ros", "arfm/nodes/runner", "arfm/nodes/loop", "arfm/policy", "arfm/bags/cdr", "arfm/msgs"}, []string{"github.com/tiiuae/rclgo"}},
	{"arfm/nodes", []string{"arfm"}, nil},
}

// reserved modules appear only where a rule names them.
var reserved = []string{
	"gorgonia.org", "gonum.org", "github.com/fsnotify/fsnotify", "github.com/foxglove/mcap",
	"modernc.org/sqlite", "github.com/tiiuae/rclgo", "github.com/owulveryck/onnx-go",
}

// forbidden holds what the prefixes above cannot say.
var forbidden = map[string][]string{
	"arfm/finetune":     {"arfm/policy/hotswap"},
	"arfm/nodes/runner": {"arfm/policy/hotswap"},
}

func under(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func TestImportTable(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg, imports := fields[0], fields[1:]
		best := -1
		for i, r := range rules {
			if under(pkg, r.folder) && (best < 0 || len(r.folder) > len(rules[best].folder)) {
				best = i
			}
		}
		if best < 0 {
			if pkg != "arfm" {
				t.Errorf("%s lies in no folder of the import table", pkg)
			}
			continue
		}
		checked++
		for _, imp := range imports {
			ours := under(imp, "arfm")
			allowed := func(list []string) bool {
				return slices.ContainsFunc(list, func(f string) bool { return under(imp, f) })
			}
			if ours && !allowed(rules[best].may) {
				t.Errorf("%s imports %s, which the import table forbids", pkg, imp)
			}
			if !ours && allowed(reserved) && !allowed(rules[best].reserved) {
				t.Errorf("%s imports %s, a module reserved to other folders", pkg, imp)
			}
			for folder, never := range forbidden {
				if under(pkg, folder) && allowed(never) {
					t.Errorf("%s must never import %s", pkg, imp)
				}
			}
		}
	}
	if checked == 0 {
		t.Fatal("no package was checked")
	}
}
