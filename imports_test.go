package arfm

import (
	"bytes"
	"encoding/json"
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
	{"arfm/policy/onnx", []string{"arfm/policy"}, []string{"github.com/owulveryck/onnx-go", "gonum.org", "gorgonia.org"}},
	{"arfm/policy/tokenizer", []string{"arfm/policy"}, []string{"github.com/dlclark/regexp2", "github.com/rivo/uniseg", "golang.org/x/text"}},
	{"arfm/policy/hotswap", []string{"arfm/policy"}, []string{"github.com/fsnotify/fsnotify", "gonum.org", "gorgonia.org"}},
	{"arfm/msgs", nil, nil},
	{"arfm/launch", nil, nil},
	{"arfm/bags", []string{"arfm/bags", "arfm/policy", "arfm/msgs"}, []string{"github.com/foxglove/mcap", "modernc.org/sqlite", "gonum.org"}},
	{"arfm/finetune", []string{"arfm/finetune", "arfm/policy", "arfm/bags"}, []string{"gorgonia.org", "gonum.org"}},
	{"arfm/nodes/runner", []string{"arfm/policy"}, nil},
	{"arfm/nodes/loop", []string{"arfm/nodes/runner", "arfm/policy"}, nil},
	{"arfm/nodes/demonstration", []string{"arfm/bags"}, nil},
	{"arfm/nodes/sim", []string{"arfm/nodes/sim", "arfm/nodes/demonstration", "arfm/policy", "arfm/bags"}, nil},
	{"arfm/nodes/ros", []string{"arfm/nodes/ros", "arfm/nodes/runner", "arfm/nodes/loop", "arfm/policy", "arfm/bags/cdr", "arfm/msgs"}, []string{"github.com/tiiuae/rclgo"}},
	{"arfm/nodes/report", nil, nil},
	{"arfm/nodes", []string{"arfm"}, nil},
}

// reserved modules appear only where a rule names them.
var reserved = []string{
	"gorgonia.org", "gonum.org", "github.com/fsnotify/fsnotify", "github.com/foxglove/mcap",
	"modernc.org/sqlite", "github.com/tiiuae/rclgo", "github.com/owulveryck/onnx-go",
	"github.com/dlclark/regexp2", "github.com/rivo/uniseg", "golang.org/x/text",
}

// never lists what must not come in by any way, through others' imports either.
var never = map[string][]string{
	"arfm/policy":       {"arfm/bags", "arfm/finetune", "arfm/nodes", "arfm/msgs"},
	"arfm/bags":         {"arfm/finetune", "arfm/nodes"},
	"arfm/finetune":     {"arfm/nodes", "arfm/policy/hotswap", "github.com/fsnotify/fsnotify"},
	"arfm/nodes/runner": {"arfm/bags", "arfm/finetune", "arfm/policy/hotswap", "github.com/tiiuae/rclgo"},
	"arfm/nodes/sim":    {"arfm/finetune", "github.com/tiiuae/rclgo"},
	"arfm/nodes/ros":    {"arfm/finetune"},
}

func under(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// pkg is a package of ours and what it imports, directly and in all.
type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

func packages(t *testing.T, tags string) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", tags, "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestImportTable(t *testing.T) {
	for _, tags := range []string{"", "openblas", "mujoco", "turbojpeg", "ros"} {
		for _, p := range packages(t, tags) {
			if p.ImportPath != "arfm" {
				checkImports(t, p)
			}
		}
	}
}

func checkImports(t *testing.T, p pkg) {
	best := -1
	for i, r := range rules {
		if under(p.ImportPath, r.folder) && (best < 0 || len(r.folder) > len(rules[best].folder)) {
			best = i
		}
	}
	if best < 0 {
		t.Errorf("%s lies in no folder of the import table", p.ImportPath)
		return
	}
	in := func(imp string, list []string) bool {
		return slices.ContainsFunc(list, func(f string) bool { return under(imp, f) })
	}
	for _, imp := range p.Imports {
		switch ours := under(imp, "arfm"); {
		case ours && p.ImportPath == "arfm/policy":
			t.Errorf("arfm/policy imports %s; the domain imports nothing of ours", imp)
		case ours && !in(imp, rules[best].may):
			t.Errorf("%s imports %s, which the import table forbids", p.ImportPath, imp)
		case !ours && in(imp, reserved) && !in(imp, rules[best].reserved):
			t.Errorf("%s imports %s, a module reserved to other folders", p.ImportPath, imp)
		}
	}
	for folder, list := range never {
		for _, dep := range p.Deps {
			if under(p.ImportPath, folder) && in(dep, list) {
				t.Errorf("%s must not depend on %s", p.ImportPath, dep)
			}
		}
	}
}
