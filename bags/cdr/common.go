package cdr

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"arfm/msgs"
)

// definitions holds one file per package in a compact form: a type a line,
//
//	Name: type field, field; type field default; type CONSTANT=value
//
// which goes on over indented lines. "action/Name" has its goal, result and
// feedback apart by "---".
//
//go:embed definitions/*.txt
var definitions embed.FS

// common returns the definitions that every registry starts with. They are
// parsed once and not changed.
var common = sync.OnceValue(func() map[string]*definition {
	defs := make(map[string]*definition)
	// What is embedded is checked by the tests, so a failure is a build fault.
	if err := loadCompact(defs); err != nil {
		panic(err)
	}
	if err := loadInterfaces(msgs.Definitions, defs); err != nil {
		panic(err)
	}
	return defs
})

func loadCompact(defs map[string]*definition) error {
	files, err := fs.Glob(definitions, "definitions/*.txt")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := definitions.ReadFile(file)
		if err != nil {
			return err
		}
		pkg := strings.TrimSuffix(path.Base(file), ".txt")
		joined := strings.ReplaceAll(string(text), "\n ", " ")
		for line := range strings.Lines(joined) {
			name, body, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				return fmt.Errorf("%s: %q lacks a colon", file, line)
			}
			if err := parseInterface(compactName(pkg, name), expand(body), defs); err != nil {
				return fmt.Errorf("%s: %s: %w", file, name, err)
			}
		}
	}
	return nil
}

func compactName(pkg, name string) string {
	if strings.Contains(name, "/") {
		return pkg + "/" + name
	}
	return pkg + "/msg/" + name
}

// expand turns "float64 x, y; ---" into one .msg line per field.
func expand(body string) string {
	var b strings.Builder
	for clause := range strings.SplitSeq(body, ";") {
		clause = strings.TrimSpace(clause)
		typ, names, ok := strings.Cut(clause, " ")
		if !ok { // "---" or nothing
			b.WriteString(clause + "\n")
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			b.WriteString(typ + " " + strings.TrimSpace(name) + "\n")
		}
	}
	return b.String()
}

// loadInterfaces adds every pkg/msg/*.msg, pkg/srv/*.srv and
// pkg/action/*.action of fsys.
func loadInterfaces(fsys fs.FS, defs map[string]*definition) error {
	return fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		ext := path.Ext(file)
		if ext != ".msg" && ext != ".srv" && ext != ".action" {
			return nil
		}
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		name, ok := fullName(strings.TrimSuffix(file, ext))
		if !ok {
			return fmt.Errorf("%s: want pkg/msg/Name.msg", file)
		}
		if err := parseInterface(name, string(text), defs); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	})
}
