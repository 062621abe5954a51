package cdr

import (
	"fmt"
	"strings"
)

// idlParser parses the part of OMG IDL 4.2 that rosidl writes and reads:
// modules, constants, typedefs, structs and annotations. Names are resolved
// after all sections are parsed, for a section may use a later one.
type idlParser struct {
	lex       lexer
	tok       token
	scope     []string
	structs   []*idlStruct
	typedefs  map[string]idlMember // by scoped name
	constants map[string]idlConst
	order     []string // of constants
}

type idlStruct struct {
	scope   []string
	name    string
	members []idlMember
}

// idlType is a type as written: base may be a scoped name. seqOf wraps it in
// a sequence.
type idlType struct {
	base     string
	strMax   string // literal or constant's name
	sequence bool
	seqMax   string
}

type idlMember struct {
	name  string
	typ   idlType
	dim   string // of an array; literal or constant's name
	def   *token // of @default
	scope []string
}

type idlConst struct {
	member idlMember
	value  token
}

func newIDL() *idlParser {
	return &idlParser{typedefs: make(map[string]idlMember), constants: make(map[string]idlConst)}
}

// parse reads one section.
func (p *idlParser) parse(src string) error {
	p.lex = lexer{src: src, line: 1}
	p.scope = nil
	if err := p.advance(); err != nil {
		return err
	}
	for p.tok.kind != tokEOF {
		if err := p.definition(); err != nil {
			return err
		}
	}
	return nil
}

func (p *idlParser) fail(format string, args ...any) error {
	return fmt.Errorf("%w, line %d: %s", ErrDefinition, p.tok.line, fmt.Sprintf(format, args...))
}

func (p *idlParser) advance() error {
	t, err := p.lex.next()
	if err != nil {
		return fmt.Errorf("%w, %w", ErrDefinition, err)
	}
	p.tok = t
	return nil
}

func (p *idlParser) is(text string) bool { return p.tok.kind != tokString && p.tok.text == text }

func (p *idlParser) expect(text string) error {
	if !p.is(text) {
		return p.fail("expected %q, found %q", text, clip(p.tok.text))
	}
	return p.advance()
}

func (p *idlParser) identifier() (string, error) {
	name := p.tok.text
	if p.tok.kind != tokName || !validName(name) {
		return "", p.fail("expected a name, found %q", clip(name))
	}
	return name, p.advance()
}

func (p *idlParser) path(name string) string {
	return strings.Join(append(p.scope[:len(p.scope):len(p.scope)], name), "/")
}

// definition reads a module, constant, typedef or struct.
func (p *idlParser) definition() error {
	if _, err := p.annotations(); err != nil {
		return err
	}
	switch {
	case p.is("module"):
		return p.module()
	case p.is("const"):
		return p.constant()
	case p.is("typedef"):
		return p.typedef()
	case p.is("struct"):
		return p.structure()
	}
	return p.fail("%q is not supported (modules, constants, typedefs and structs are)", clip(p.tok.text))
}

func (p *idlParser) module() error {
	if err := p.advance(); err != nil {
		return err
	}
	name, err := p.identifier()
	if err != nil {
		return err
	}
	if len(p.scope) >= maxModules {
		return p.fail("modules are nested deeper than %d: %v", maxModules, ErrLimit)
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	p.scope = append(p.scope, name)
	for !p.is("}") {
		if err := p.definition(); err != nil {
			return err
		}
	}
	p.scope = p.scope[:len(p.scope)-1]
	return p.close()
}

// close reads "}" and the semicolon that may follow.
func (p *idlParser) close() error {
	if err := p.expect("}"); err != nil {
		return err
	}
	if p.is(";") {
		return p.advance()
	}
	return nil
}

func (p *idlParser) constant() error {
	if err := p.advance(); err != nil {
		return err
	}
	typ, err := p.typeSpec()
	if err != nil {
		return err
	}
	name, err := p.identifier()
	if err != nil {
		return err
	}
	if err := p.expect("="); err != nil {
		return err
	}
	value, err := p.literal()
	if err != nil {
		return err
	}
	key := p.path(name)
	if _, taken := p.constants[key]; !taken {
		p.order = append(p.order, key)
	}
	p.constants[key] = idlConst{idlMember{name: name, typ: typ, scope: p.copyScope()}, value}
	return p.expect(";")
}

func (p *idlParser) copyScope() []string { return append([]string(nil), p.scope...) }

func (p *idlParser) typedef() error {
	if err := p.advance(); err != nil {
		return err
	}
	members, err := p.declarators(nil)
	if err != nil {
		return err
	}
	for _, m := range members {
		p.typedefs[p.path(m.name)] = m
	}
	return nil
}

func (p *idlParser) structure() error {
	if err := p.advance(); err != nil {
		return err
	}
	name, err := p.identifier()
	if err != nil {
		return err
	}
	if p.is(":") {
		return p.fail("struct %s inherits, which ROS 2 does not know", name)
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	s := &idlStruct{scope: p.copyScope(), name: name}
	for !p.is("}") {
		def, err := p.annotations()
		if err != nil {
			return err
		}
		members, err := p.declarators(def)
		if err != nil {
			return err
		}
		for i := range members { // its constants stand in a module beside it
			members[i].scope = append(members[i].scope, name+"_Constants")
		}
		s.members = append(s.members, members...)
	}
	if len(p.structs) >= maxSections {
		return p.fail("more than %d structs: %v", maxSections, ErrLimit)
	}
	p.structs = append(p.structs, s)
	return p.close()
}

// declarators reads "type name, name[3];".
func (p *idlParser) declarators(def *token) ([]idlMember, error) {
	typ, err := p.typeSpec()
	if err != nil {
		return nil, err
	}
	scope := p.copyScope()
	var out []idlMember
	for {
		name, err := p.identifier()
		if err != nil {
			return nil, err
		}
		m := idlMember{name: name, typ: typ, def: def, scope: scope}
		if p.is("[") {
			if err := p.advance(); err != nil {
				return nil, err
			}
			if m.dim, err = p.size(); err != nil {
				return nil, err
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			if p.is("[") {
				return nil, p.fail("%s has more than one dimension, which ROS 2 does not know", name)
			}
		}
		out = append(out, m)
		if !p.is(",") {
			return out, p.expect(";")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

// size reads a number or the name of a constant.
func (p *idlParser) size() (string, error) {
	if p.tok.kind == tokNumber {
		s := p.tok.text
		return s, p.advance()
	}
	return p.scopedName()
}

func (p *idlParser) scopedName() (string, error) {
	prefix := ""
	if p.is("::") {
		prefix = "/"
		if err := p.advance(); err != nil {
			return "", err
		}
	}
	var parts []string
	for {
		name, err := p.identifier()
		if err != nil {
			return "", err
		}
		parts = append(parts, name)
		if len(parts) > maxModules {
			return "", p.fail("name has more than %d parts", maxModules)
		}
		if !p.is("::") {
			return prefix + strings.Join(parts, "/"), nil
		}
		if err := p.advance(); err != nil {
			return "", err
		}
	}
}

// typeSpec reads a type up to its declarator.
func (p *idlParser) typeSpec() (idlType, error) {
	if !p.is("sequence") {
		return p.simpleType()
	}
	if err := p.advance(); err != nil {
		return idlType{}, err
	}
	if err := p.expect("<"); err != nil {
		return idlType{}, err
	}
	if p.is("sequence") {
		return idlType{}, p.fail("a sequence of sequences, which ROS 2 does not know")
	}
	t, err := p.simpleType()
	if err != nil {
		return t, err
	}
	t.sequence = true
	if p.is(",") {
		if err := p.advance(); err != nil {
			return t, err
		}
		if t.seqMax, err = p.size(); err != nil {
			return t, err
		}
	}
	return t, p.expect(">")
}

// idlBasic maps IDL's type words to .msg's.
var idlBasic = map[string]string{
	"boolean": "bool", "octet": "byte", "char": "char", "float": "float32", "double": "float64",
	"short": "int16", "long": "int32", "long long": "int64",
	"unsigned short": "uint16", "unsigned long": "uint32", "unsigned long long": "uint64",
	"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16",
	"int32": "int32", "uint32": "uint32", "int64": "int64", "uint64": "uint64",
	"string": "string", "wstring": "wstring",
}

func (p *idlParser) simpleType() (idlType, error) {
	var t idlType
	words := ""
	for p.tok.kind == tokName && (p.is("unsigned") || p.is("long") || p.is("short") && words != "" || p.is("double") && words != "") {
		words = strings.TrimSpace(words + " " + p.tok.text)
		if err := p.advance(); err != nil {
			return t, err
		}
		if basic := idlBasic[words]; basic != "" && !p.is("long") && !p.is("double") {
			t.base = basic
			return t, nil
		}
	}
	if words != "" {
		return t, p.fail("type %q is not supported", clip(words))
	}
	name, err := p.scopedName()
	if err != nil {
		return t, err
	}
	switch name {
	case "wchar", "fixed", "any", "map", "union", "enum", "bitmask", "bitset":
		return t, p.fail("type %q is not supported", name)
	}
	t.base = name
	if basic := idlBasic[name]; basic != "" {
		t.base = basic
	}
	if (t.base == "string" || t.base == "wstring") && p.is("<") {
		if err := p.advance(); err != nil {
			return t, err
		}
		if t.strMax, err = p.size(); err != nil {
			return t, err
		}
		return t, p.expect(">")
	}
	return t, nil
}

// literal reads a signed number, adjacent strings (which are one), a boolean
// or a constant's name.
func (p *idlParser) literal() (token, error) {
	t := p.tok
	if p.is("-") || p.is("+") {
		sign := p.tok.text
		if err := p.advance(); err != nil {
			return t, err
		}
		if p.tok.kind != tokNumber {
			return t, p.fail("expected a number after %q", sign)
		}
		t = p.tok
		t.text = sign + t.text
		return t, p.advance()
	}
	switch t.kind {
	case tokNumber:
		return t, p.advance()
	case tokString:
		var b strings.Builder
		for p.tok.kind == tokString {
			b.WriteString(p.tok.text)
			if err := p.advance(); err != nil {
				return t, err
			}
		}
		t.text = b.String()
		return t, nil
	}
	name, err := p.scopedName()
	t.text = name
	return t, err
}

// annotations reads "@name(...)" as often as it stands there and returns the
// value of @default.
func (p *idlParser) annotations() (*token, error) {
	var def *token
	for p.is("@") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		name, err := p.scopedName()
		if err != nil {
			return nil, err
		}
		if !p.is("(") {
			continue
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		for !p.is(")") {
			if p.tok.kind == tokName {
				key := p.tok.text
				if err := p.advance(); err != nil {
					return nil, err
				}
				if p.is(")") || p.is(",") || p.is("::") { // @transfer_mode(SHMEM_REF)
					continue
				}
				if err := p.expect("="); err != nil {
					return nil, err
				}
				value, err := p.literal()
				if err != nil {
					return nil, err
				}
				if name == "default" && key == "value" {
					def = &value
				}
				continue
			}
			if p.tok.kind == tokEOF {
				return nil, p.fail("annotation is not closed")
			}
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	return def, nil
}
