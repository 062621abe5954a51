package cdr

import (
	"fmt"
	"strings"
)

// Limits on definitions. The largest found in ROS 2 are far below.
const (
	maxText     = 1 << 20 // bytes of one definition with its dependencies
	maxName     = 255     // bytes of one name
	maxSections = 4096    // types in one text
	maxDepth    = 32      // messages inside messages
	maxModules  = 8       // IDL modules inside modules, typedefs of typedefs
	maxSlots    = 1 << 16 // values in one message, nested messages counted in full
	maxElements = 1 << 20 // elements of its fixed arrays, likewise
	maxOps      = 1 << 18 // instructions of a type and all its dependencies
)

// kind is what one value is on the wire.
type kind uint8

const (
	kindBool kind = iota + 1
	kindInt8
	kindUint8
	kindInt16
	kindUint16
	kindInt32
	kindUint32
	kindInt64
	kindUint64
	kindFloat32
	kindFloat64
	kindString
	kindWString
	kindStruct
)

// kinds maps the built-in names of .msg. byte and char are both uint8 in ROS 2.
var kinds = map[string]kind{
	"bool": kindBool, "byte": kindUint8, "char": kindUint8,
	"int8": kindInt8, "uint8": kindUint8, "int16": kindInt16, "uint16": kindUint16,
	"int32": kindInt32, "uint32": kindUint32, "int64": kindInt64, "uint64": kindUint64,
	"float32": kindFloat32, "float64": kindFloat64, "string": kindString, "wstring": kindWString,
}

// size is the width in bytes of a number of this kind, 0 of anything else.
func (k kind) size() int {
	switch k {
	case kindBool, kindInt8, kindUint8:
		return 1
	case kindInt16, kindUint16:
		return 2
	case kindInt32, kindUint32, kindFloat32:
		return 4
	case kindInt64, kindUint64, kindFloat64:
		return 8
	}
	return 0
}

func (k kind) text() bool { return k == kindString || k == kindWString }

type shape uint8

const (
	scalar   shape = iota
	array          // exactly n
	sequence       // up to n, or any number if n is 0
)

// typeRef is the type of a field.
type typeRef struct {
	base   string // "float64", "byte", ...; of a message its full name
	kind   kind
	strMax uint32 // longest string in bytes (UTF-16 units of a wstring), 0: any
	shape  shape
	n      uint32
}

func (t typeRef) String() string {
	s := shortName(t.base)
	if t.strMax > 0 {
		s += fmt.Sprintf("<=%d", t.strMax)
	}
	switch {
	case t.shape == array:
		s += fmt.Sprintf("[%d]", t.n)
	case t.shape == sequence && t.n > 0:
		s += fmt.Sprintf("[<=%d]", t.n)
	case t.shape == sequence:
		s += "[]"
	}
	return s
}

// definition is one message as parsed, its references not yet resolved.
type definition struct {
	name      string // pkg/msg/Name
	fields    []fieldDef
	constants []constantDef
}

type fieldDef struct {
	name string
	ref  typeRef
	def  any // native value, nil: none
}

type constantDef struct {
	name  string
	ref   typeRef
	value any
}

// add appends a field and refuses a name that is taken.
func (d *definition) addField(f fieldDef) error {
	if !validName(f.name) {
		return fmt.Errorf("%q is no field name", clip(f.name))
	}
	if len(d.fields) >= maxSlots {
		return fmt.Errorf("it has more than %d fields: %w", maxSlots, ErrLimit)
	}
	d.fields = append(d.fields, f)
	return nil
}

func (d *definition) addConstant(c constantDef) error {
	if !validName(c.name) {
		return fmt.Errorf("%q is no constant name", clip(c.name))
	}
	if c.ref.shape != scalar || c.ref.kind == kindStruct {
		return fmt.Errorf("constant %s has type %s, constants are single numbers and strings", c.name, c.ref)
	}
	d.constants = append(d.constants, c)
	return nil
}

// unique refuses two fields of one name.
func (d *definition) unique() error {
	seen := make(map[string]bool, len(d.fields))
	for _, f := range d.fields {
		if seen[f.name] {
			return fmt.Errorf("field %s appears twice", f.name)
		}
		seen[f.name] = true
	}
	return nil
}

// validName tells whether s is an identifier.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// fullName turns pkg/Name, pkg/msg/Name and pkg::msg::Name into pkg/msg/Name.
func fullName(s string) (string, bool) {
	parts := strings.Split(strings.ReplaceAll(s, "::", "/"), "/")
	if len(parts) == 2 {
		parts = []string{parts[0], "msg", parts[1]}
	}
	if len(parts) != 3 {
		return "", false
	}
	for _, p := range parts {
		if !validName(p) {
			return "", false
		}
	}
	return strings.Join(parts, "/"), true
}

// shortName turns pkg/msg/Name into pkg/Name, as .msg files write it.
func shortName(full string) string {
	pkg, rest, ok := strings.Cut(full, "/")
	if name, isMsg := strings.CutPrefix(rest, "msg/"); ok && isMsg {
		return pkg + "/" + name
	}
	return full
}

// packageOf returns pkg of pkg/msg/Name.
func packageOf(full string) string {
	pkg, _, _ := strings.Cut(full, "/")
	return pkg
}

// clip shortens what an error quotes from hostile input.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
