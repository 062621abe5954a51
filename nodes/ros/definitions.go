package ros

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"arfm/bags/cdr"
	"arfm/policy/userfile"
)

// ErrNotInstalled is wrapped where an interface is in none of the sourced
// workspaces.
var ErrNotInstalled = errors.New("the interface is not installed, source the workspace that has it")

// Definitions finds message, service and action definitions in the workspaces
// that are sourced, as they are installed under share/<package>. It may be used
// from several goroutines.
type Definitions struct {
	prefixes []string

	mu   sync.Mutex
	reg  *cdr.Registry
	seen map[string]bool // full names that were read, or are arfm's own
}

// maxDefinition bounds a definition file, bytes.
const maxDefinition = 1 << 20

// NewDefinitions looks in the given prefixes, the first wins; none: those of
// AMENT_PREFIX_PATH.
func NewDefinitions(prefixes ...string) *Definitions {
	if len(prefixes) == 0 {
		prefixes = filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH"))
	}
	return &Definitions{prefixes: prefixes, reg: cdr.NewRegistry(), seen: map[string]bool{}}
}

// Type returns a message type: pkg/msg/Name, pkg/srv/Name_Request,
// pkg/action/Name_Feedback and so on. Errors wrap ErrNotInstalled or those of
// package cdr.
func (d *Definitions) Type(name string) (*cdr.Type, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.read(name); err != nil {
		return nil, err
	}
	t, err := d.reg.Type(name)
	if err != nil {
		return nil, fmt.Errorf("ros: %w", err)
	}
	return t, nil
}

// read adds a type and all that it is made of to the registry.
func (d *Definitions) read(name string) error {
	pkg, kind, base, ok := splitName(name)
	if !ok {
		return fmt.Errorf("ros: %q is no type name, want pkg/msg/Name", name)
	}
	full := pkg + "/" + kind + "/" + base
	if d.seen[full] {
		return nil
	}
	d.seen[full] = true
	text, err := d.find(pkg, kind, base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, e := d.reg.Type(name); e == nil { // one that arfm carries
			return nil
		}
		d.seen[full] = false
		return fmt.Errorf("ros: %s: %w", full, ErrNotInstalled)
	case err != nil:
		return fmt.Errorf("ros: definition of %s: %w", full, err)
	}
	for _, dep := range references(pkg, text) {
		if err := d.read(dep); err != nil {
			return err
		}
	}
	if kind == "action" { // what rosidl adds
		for _, dep := range []string{"unique_identifier_msgs/msg/UUID", "builtin_interfaces/msg/Time"} {
			if err := d.read(dep); err != nil {
				return err
			}
		}
	}
	if err := d.reg.AddDefinition(full, "ros2msg", text); err != nil {
		return fmt.Errorf("ros: %w", err)
	}
	return nil
}

func (d *Definitions) find(pkg, kind, base string) (string, error) {
	for _, p := range d.prefixes {
		data, err := userfile.Read(filepath.Join(p, "share", pkg, kind, base+"."+kind), maxDefinition)
		if err == nil {
			return string(data), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fs.ErrNotExist
}

// splitName takes a type's name apart; base is the name of the file that
// defines it: of a service for its request, of an action for its feedback.
func splitName(name string) (pkg, kind, base string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) == 2 {
		parts = []string{parts[0], "msg", parts[1]}
	}
	if len(parts) != 3 || !identifier(parts[0]) || !identifier(parts[2]) {
		return "", "", "", false
	}
	pkg, kind, base = parts[0], parts[1], parts[2]
	switch kind {
	case "msg":
	case "srv":
		base = cut(base, "_Request", "_Response")
	case "action":
		base = cut(base, "_Request", "_Response")
		base = cut(base, "_SendGoal", "_GetResult", "_FeedbackMessage", "_Goal", "_Result", "_Feedback")
	default:
		return "", "", "", false
	}
	return pkg, kind, base, true
}

func cut(s string, suffixes ...string) string {
	for _, x := range suffixes {
		if base, ok := strings.CutSuffix(s, x); ok {
			return base
		}
	}
	return s
}

func identifier(s string) bool {
	for _, c := range s {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != "" && len(s) < 256
}

// references lists the message types that the fields of a definition name.
func references(pkg, text string) (names []string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		typ, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		typ, _, _ = strings.Cut(typ, "[")
		typ, _, _ = strings.Cut(typ, "<")
		from, name, other := strings.Cut(typ, "/")
		switch {
		case other && identifier(from) && identifier(name):
			names = append(names, from+"/msg/"+name)
		case !other && identifier(typ) && typ[0] >= 'A' && typ[0] <= 'Z':
			names = append(names, pkg+"/msg/"+typ)
		}
	}
	return names
}
