package cdr

import (
	"fmt"
	"strconv"
	"strings"
)

// parseBundle parses a definition with its dependencies, as MCAP schemas and
// rosbag2's message_definitions table store them. It returns every type of the
// text by full name; the unnamed first part is root.
func parseBundle(root, encoding, text string) (map[string]*definition, error) {
	if encoding != "ros2msg" && encoding != "ros2idl" {
		return nil, fmt.Errorf("%w %q (ros2msg and ros2idl are read)", ErrEncoding, clip(encoding))
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("text of %d bytes is %w of %d", len(text), ErrLimit, maxText)
	}
	defs := make(map[string]*definition)
	sections, err := splitSections(root, encoding, text)
	if err != nil {
		return nil, err
	}
	idl := newIDL()
	for _, s := range sections {
		if s.encoding == "ros2idl" {
			err = idl.parse(s.text)
		} else {
			err = parseInterface(s.name, s.text, defs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := idl.resolve(defs); err != nil {
		return nil, err
	}
	return defs, nil
}

type section struct{ name, encoding, text string }

// splitSections cuts text at lines of equals signs, each followed by a line
// "MSG: pkg/Name" or "IDL: pkg/msg/Name".
func splitSections(root, encoding, text string) ([]section, error) {
	var out []section
	cur := section{name: root, encoding: encoding}
	var body strings.Builder
	flush := func() {
		cur.text = body.String()
		body.Reset()
		// A text may start with a separator; nothing stands before it then.
		if len(out) > 0 || strings.TrimSpace(cur.text) != "" {
			out = append(out, cur)
		}
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if len(line) < 3 || strings.Trim(line, "=") != "" {
			body.WriteString(lines[i])
			body.WriteByte('\n')
			continue
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) == ""; i++ {
		}
		if i == len(lines) {
			break
		}
		head := strings.TrimSpace(lines[i])
		next := section{encoding: "ros2msg"}
		name, ok := strings.CutPrefix(head, "MSG:")
		if !ok {
			name, ok = strings.CutPrefix(head, "IDL:")
			next.encoding = "ros2idl"
		}
		full, valid := fullName(strings.TrimSpace(name))
		if !ok || !valid {
			return nil, fmt.Errorf("%w: line %d %q should be \"MSG: pkg/Name\" or \"IDL: pkg/msg/Name\"", ErrDefinition, i+1, clip(head))
		}
		next.name = full
		flush()
		cur = next
		if len(out) >= maxSections {
			return nil, fmt.Errorf("text has more than %d types: %w", maxSections, ErrLimit)
		}
	}
	flush()
	if len(out) == 0 { // an empty message is an empty text
		out = append(out, cur)
	}
	return out, nil
}

// parseMsg parses the fields and constants of one .msg.
func parseMsg(name, text string) (*definition, error) {
	d := &definition{name: name}
	for i, line := range strings.Split(text, "\n") {
		if err := d.parseLine(line); err != nil {
			return nil, fmt.Errorf("%w, line %d: %w", ErrDefinition, i+1, err)
		}
	}
	if err := d.unique(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDefinition, err)
	}
	return d, nil
}

// parseLine parses "type name", "type name default", "type NAME=value" or
// nothing, each with or without a comment.
func (d *definition) parseLine(line string) error {
	line = strings.TrimSpace(stripComment(strings.ReplaceAll(line, "\t", " ")))
	if line == "" {
		return nil
	}
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return fmt.Errorf("%q has a type but no name", clip(line))
	}
	ref, err := parseTypeRef(packageOf(d.name), word)
	if err != nil {
		return err
	}
	end := strings.IndexAny(rest, " =")
	if end < 0 {
		return d.addField(fieldDef{name: rest, ref: ref})
	}
	name, value := rest[:end], strings.TrimSpace(rest[end:])
	if after, isConst := strings.CutPrefix(value, "="); isConst {
		v, err := parseValue(ref, after)
		if err != nil {
			return fmt.Errorf("constant %s: %w", clip(name), err)
		}
		return d.addConstant(constantDef{name: name, ref: ref, value: v})
	}
	v, err := parseValue(ref, value)
	if err != nil {
		return fmt.Errorf("default of %s: %w", clip(name), err)
	}
	return d.addField(fieldDef{name: name, ref: ref, def: v})
}

// stripComment cuts line at the first # that stands outside a quoted value. A
// quote opens a value only where a value may start, so an apostrophe in a
// comment or in bare text does not.
func stripComment(line string) string {
	var quote byte
	for i := range len(line) {
		c := line[i]
		switch {
		case quote != 0:
			if c == quote && line[i-1] != '\\' {
				quote = 0
			}
		case c == '#':
			return line[:i]
		case (c == '"' || c == '\'') && i > 0 && strings.IndexByte(" =[,", line[i-1]) >= 0 && closes(line[i:]):
			quote = c
		}
	}
	return line
}

// closes tells whether the quote that s starts with is closed in s.
func closes(s string) bool {
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] && s[i-1] != '\\' {
			return true
		}
	}
	return false
}

// parseTypeRef parses "float64[3]", "string<=10[<=5]", "Point[]", "pkg/Name".
func parseTypeRef(pkg, s string) (typeRef, error) {
	var t typeRef
	base := s
	if head, tail, ok := strings.Cut(s, "["); ok {
		inner, closed := strings.CutSuffix(tail, "]")
		if !closed {
			return t, fmt.Errorf("%q lacks a closing bracket", clip(s))
		}
		base = head
		t.shape = array
		bound, upTo := strings.CutPrefix(inner, "<=")
		if upTo || inner == "" {
			t.shape = sequence
		}
		if inner != "" {
			n, err := parseBound(bound)
			if err != nil {
				return t, fmt.Errorf("%q: %w", clip(s), err)
			}
			t.n = n
		}
	}
	base, bound, bounded := strings.Cut(base, "<=")
	if bounded {
		n, err := parseBound(bound)
		if err != nil {
			return t, fmt.Errorf("%q: %w", clip(s), err)
		}
		t.strMax = n
	}
	if err := t.setBase(pkg, base); err != nil {
		return t, err
	}
	if bounded && !t.kind.text() {
		return t, fmt.Errorf("%q has a bound, which only strings can have", clip(s))
	}
	return t, nil
}

// setBase resolves a type's name: built in, an old name of ROS 1, in the same
// package, or with its package.
func (t *typeRef) setBase(pkg, base string) error {
	if k, ok := kinds[base]; ok {
		t.base, t.kind = base, k
		return nil
	}
	t.kind = kindStruct
	switch base {
	case "time":
		t.base = "builtin_interfaces/msg/Time"
		return nil
	case "duration":
		t.base = "builtin_interfaces/msg/Duration"
		return nil
	}
	if validName(base) {
		base = pkg + "/msg/" + base
	}
	full, ok := fullName(base)
	if !ok {
		return fmt.Errorf("%q is no type", clip(base))
	}
	t.base = full
	return nil
}

func parseBound(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no size between 1 and 2^31", clip(s))
	}
	return uint32(n), nil
}
