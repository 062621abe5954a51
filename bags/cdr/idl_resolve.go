package cdr

import (
	"fmt"
	"strconv"
	"strings"
)

// resolve turns what was parsed into definitions: it looks up typedefs and
// constants and files each constant under the struct its module names.
func (p *idlParser) resolve(defs map[string]*definition) error {
	known := make(map[string]bool, len(p.structs))
	for _, s := range p.structs {
		known[strings.Join(append(s.scope[:len(s.scope):len(s.scope)], s.name), "/")] = true
	}
	services := make(map[string]bool)
	for _, s := range p.structs {
		if len(s.scope) != 2 {
			return fmt.Errorf("%w: struct %s lies in %q, not in module pkg::msg", ErrDefinition, s.name, strings.Join(s.scope, "::"))
		}
		d := &definition{name: strings.Join(s.scope, "/") + "/" + s.name}
		for _, m := range s.members {
			if err := p.field(d, m, known); err != nil {
				return fmt.Errorf("%s.%s: %w: %w", d.name, clip(m.name), ErrDefinition, err)
			}
		}
		if err := d.unique(); err != nil {
			return fmt.Errorf("%s: %w: %w", d.name, ErrDefinition, err)
		}
		if len(d.fields) == 1 && d.fields[0].name == placeholder {
			d.fields = nil
		}
		defs[d.name] = d
		if base, ok := strings.CutSuffix(d.name, "_Request"); ok && s.scope[1] == "srv" {
			services[base] = true
		}
	}
	for base := range services {
		if defs[base+"_Response"] != nil && defs[base+"_Event"] == nil {
			addEvent(base, defs)
		}
	}
	for name, d := range defs {
		action, ok := strings.CutSuffix(name, "_Goal")
		if ok && strings.Contains(d.name, "/action/") && defs[action+"_Result"] != nil &&
			defs[action+"_Feedback"] != nil && defs[action+"_FeedbackMessage"] == nil {
			addAction(action, defs)
		}
	}
	return p.fileConstants(defs)
}

// placeholder is the member that rosidl gives to a message without fields.
const placeholder = "structure_needs_at_least_one_member"

// fileConstants adds pkg::msg::Name_Constants::X to pkg/msg/Name.
func (p *idlParser) fileConstants(defs map[string]*definition) error {
	for _, key := range p.order {
		c := p.constants[key]
		owner, ok := strings.CutSuffix(strings.Join(c.member.scope, "/"), "_Constants")
		d := defs[owner]
		if !ok || d == nil {
			continue
		}
		ref, err := p.typeRef(c.member, nil, 0)
		if err != nil {
			return fmt.Errorf("%s: %w: %w", key, ErrDefinition, err)
		}
		v, err := p.value(ref, c.value, c.member.scope)
		if err != nil {
			return fmt.Errorf("%s: %w: %w", key, ErrDefinition, err)
		}
		if err := d.addConstant(constantDef{name: c.member.name, ref: ref, value: v}); err != nil {
			return fmt.Errorf("%s: %w: %w", key, ErrDefinition, err)
		}
	}
	return nil
}

func (p *idlParser) field(d *definition, m idlMember, known map[string]bool) error {
	ref, err := p.typeRef(m, known, 0)
	if err != nil {
		return err
	}
	f := fieldDef{name: m.name, ref: ref}
	if m.def != nil {
		if f.def, err = p.value(ref, *m.def, m.scope); err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	return d.addField(f)
}

// typeRef resolves the type of a member or typedef.
func (p *idlParser) typeRef(m idlMember, known map[string]bool, depth int) (typeRef, error) {
	var t typeRef
	if depth > maxModules {
		return t, fmt.Errorf("typedefs are nested deeper than %d", maxModules)
	}
	if err := p.baseRef(&t, m, known, depth); err != nil {
		return t, err
	}
	if m.typ.strMax != "" {
		n, err := p.bound(m.typ.strMax, m.scope)
		if err != nil {
			return t, err
		}
		t.strMax = n
	}
	if (m.typ.sequence || m.dim != "") && t.shape != scalar || m.typ.sequence && m.dim != "" {
		return t, fmt.Errorf("an array of arrays, which ROS 2 does not know")
	}
	var err error
	switch {
	case m.dim != "":
		t.shape = array
		t.n, err = p.bound(m.dim, m.scope)
	case m.typ.sequence:
		t.shape = sequence
		if m.typ.seqMax != "" {
			t.n, err = p.bound(m.typ.seqMax, m.scope)
		}
	}
	return t, err
}

// baseRef resolves the type's name, through typedefs.
func (p *idlParser) baseRef(t *typeRef, m idlMember, known map[string]bool, depth int) error {
	base := m.typ.base
	if k, ok := kinds[base]; ok {
		t.base, t.kind = base, k
		return nil
	}
	for _, name := range candidates(base, m.scope) {
		if td, ok := p.typedefs[name]; ok {
			ref, err := p.typeRef(td, known, depth+1)
			*t = ref
			return err
		}
		if known[name] {
			return t.setBase("", name)
		}
	}
	// Defined elsewhere: rosidl writes such names in full.
	base = strings.TrimPrefix(base, "/")
	if strings.Count(base, "/") != 2 {
		return fmt.Errorf("type %q is not defined", clip(base))
	}
	return t.setBase("", base)
}

// candidates are the full names that name may mean in scope, innermost first.
func candidates(name string, scope []string) []string {
	if abs, ok := strings.CutPrefix(name, "/"); ok {
		return []string{abs}
	}
	var out []string
	for i := len(scope); i >= 0; i-- {
		out = append(out, strings.Join(append(scope[:i:i], name), "/"))
	}
	return out
}

// constantToken finds a constant by the name it has in scope.
func (p *idlParser) constantToken(name string, scope []string) (token, []string, bool) {
	for _, full := range candidates(name, scope) {
		if c, ok := p.constants[full]; ok {
			return c.value, c.member.scope, true
		}
	}
	return token{}, nil, false
}

func (p *idlParser) bound(s string, scope []string) (uint32, error) {
	for range maxModules {
		if isDigit(s[0]) {
			if n, err := strconv.ParseUint(s, 0, 31); err == nil && n > 0 {
				return uint32(n), nil
			}
			return 0, fmt.Errorf("%q is no size between 1 and 2^31", clip(s))
		}
		t, in, ok := p.constantToken(s, scope)
		if !ok || t.kind == tokString || t.text == "" {
			return 0, fmt.Errorf("%q is no number", clip(s))
		}
		s, scope = t.text, in
		if s[0] == '+' {
			s = s[1:]
		}
	}
	return 0, fmt.Errorf("constants refer to each other")
}

// value turns a literal into a native value.
func (p *idlParser) value(t typeRef, tok token, scope []string) (any, error) {
	for range maxModules {
		if tok.kind != tokName {
			break
		}
		next, in, ok := p.constantToken(tok.text, scope)
		if !ok {
			break
		}
		tok, scope = next, in
	}
	if t.kind == kindStruct {
		return nil, fmt.Errorf("messages have no default value")
	}
	if t.shape != scalar {
		return tupleValue(t, tok)
	}
	if t.kind.text() {
		if tok.kind != tokString {
			return nil, fmt.Errorf("%q is no string", clip(tok.text))
		}
		if t.strMax > 0 && textLen(tok.text, t.kind == kindWString) > int(t.strMax) {
			return nil, fmt.Errorf("%q is longer than %d", clip(tok.text), t.strMax)
		}
		return tok.text, nil
	}
	if tok.kind == tokString {
		return nil, fmt.Errorf("%q is no number", clip(tok.text))
	}
	s := tok.text
	if (t.kind == kindFloat32 || t.kind == kindFloat64) && !strings.HasPrefix(strings.TrimLeft(s, "+-"), "0x") {
		s = strings.TrimRight(s, "dDfF") // fixed-point suffix
	}
	return parseNumber(t.kind, s)
}

// tupleValue reads a default array, which rosidl writes as a string that holds
// a Python tuple.
func tupleValue(t typeRef, tok token) (any, error) {
	s := strings.TrimSpace(tok.text)
	if tok.kind != tokString || len(s) < 2 || !(s[0] == '(' && s[len(s)-1] == ')' || s[0] == '[' && s[len(s)-1] == ']') {
		return nil, fmt.Errorf("%q does not stand in (brackets)", clip(s))
	}
	items, err := splitList(s[1 : len(s)-1])
	if err != nil {
		return nil, err
	}
	return parseItems(t, items, func(s string) (string, error) {
		if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
			return "", fmt.Errorf("%q is no quoted string", clip(s))
		}
		text, err := unescape(s[1 : len(s)-1])
		if err == nil && t.strMax > 0 && textLen(text, t.kind == kindWString) > int(t.strMax) {
			err = fmt.Errorf("%q is longer than %d", clip(text), t.strMax)
		}
		return text, err
	})
}
