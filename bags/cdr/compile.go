package cdr

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Type is a compiled message type. It is immutable and may be shared.
//
// A message is held in three flat arrays, numbers, strings and everything
// else; a nested message lies inside those of the one that contains it, so
// that decoding JointState takes no allocation per field.
type Type struct {
	name      string
	fields    []slot
	index     map[string]int
	constants []constantDef
	ops       []op
	size      counts // of one message in the three arrays
	elements  int64  // values in its fixed arrays, nested ones included
	min       int    // bytes that its body takes at least
	depth     int
	wide      bool // holds a wstring
	hash      [sha256.Size]byte
}

// counts is a place in, or a size of, the three arrays.
type counts struct{ nums, strs, refs int }

func (c counts) plus(d counts) counts {
	return counts{c.nums + d.nums, c.strs + d.strs, c.refs + d.refs}
}

func (c counts) total() int { return c.nums + c.strs + c.refs }

// slot is where a field lies.
type slot struct {
	fieldDef
	child *Type // of a message
	at    counts
}

type opcode uint8

const (
	opBools   opcode = iota // n numbers of 1 byte, 0 or 1
	opNums1                 // n numbers of 1, 2, 4, 8 bytes
	opNums2                 //
	opNums4                 //
	opNums8                 //
	opString                // one string
	opList                  // an array or sequence
	opPadding               // the byte that stands for a message without fields
)

// op is one instruction: at is the first place that it fills.
type op struct {
	code  opcode
	at    int32
	n     int32   // of opBools to opNums8
	ref   typeRef // of opString and opList
	child *Type   // of opList of messages
}

type compiler struct {
	lookup func(string) *definition
	done   map[string]*Type
	active map[string]bool
	ops    int
}

// compile resolves name and all that it refers to.
func compile(name string, lookup func(string) *definition) (*Type, error) {
	c := &compiler{lookup: lookup, done: make(map[string]*Type), active: make(map[string]bool)}
	return c.compile(name, 0)
}

func (c *compiler) compile(name string, depth int) (*Type, error) {
	if t := c.done[name]; t != nil {
		return t, nil
	}
	d := c.lookup(name)
	if d == nil {
		return nil, fmt.Errorf("%w %s (add its definition)", ErrUnknownType, clip(name))
	}
	if c.active[name] {
		return nil, fmt.Errorf("%w: %s contains itself", ErrRecursive, name)
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("%s is nested deeper than %d messages: %w", name, maxDepth, ErrLimit)
	}
	c.active[name] = true
	defer delete(c.active, name)
	t := &Type{name: name, constants: d.constants, index: make(map[string]int, len(d.fields)), depth: 1}
	for _, f := range d.fields {
		if err := c.field(t, f, depth); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", name, f.name, err)
		}
	}
	if len(t.fields) == 0 {
		t.ops = []op{{code: opPadding}}
		t.min = 1
	}
	t.ops = slices.Clip(t.ops)
	if c.ops += len(t.ops); c.ops > maxOps {
		return nil, fmt.Errorf("%s: its messages have more than %d fields in all: %w", name, maxOps, ErrLimit)
	}
	t.hash = t.digest()
	c.done[name] = t
	return t, nil
}

// field appends f to t.
func (c *compiler) field(t *Type, f fieldDef, depth int) error {
	s := slot{fieldDef: f, at: t.size}
	if f.ref.kind == kindStruct {
		if err := c.child(t, &s, depth); err != nil {
			return err
		}
		t.wide = t.wide || s.child.wide
		t.depth = max(t.depth, s.child.depth+1)
		if t.depth > maxDepth {
			return fmt.Errorf("messages are nested deeper than %d: %w", maxDepth, ErrLimit)
		}
	}
	t.wide = t.wide || f.ref.kind == kindWString
	if err := t.emit(s); err != nil {
		return err
	}
	t.index[f.name] = len(t.fields)
	t.fields = append(t.fields, s)
	return nil
}

// child compiles the message that a field holds. A bare "Header" that its own
// package does not define is std_msgs/Header.
func (c *compiler) child(t *Type, s *slot, depth int) error {
	if s.ref.base == packageOf(t.name)+"/msg/Header" && c.lookup(s.ref.base) == nil {
		s.ref.base = "std_msgs/msg/Header"
	}
	child, err := c.compile(s.ref.base, depth+1)
	s.child = child
	return err
}

// emit adds the instructions and sizes of one field.
func (t *Type) emit(s slot) error {
	one, each, elements := minSize(s.ref.kind), int64(1), int64(0)
	if s.child != nil {
		one, elements = s.child.min, s.child.elements
		each = 1 + elements + int64(s.child.size.total())
	}
	switch s.ref.shape {
	case array:
		elements = each * int64(s.ref.n)
	case sequence:
		elements = 0
	}
	if t.elements += elements; t.elements > maxElements {
		return fmt.Errorf("fixed arrays have more than %d elements: %w", maxElements, ErrLimit)
	}
	switch {
	case s.ref.shape != scalar:
		t.size.refs++
		t.ops = append(t.ops, op{code: opList, at: int32(s.at.refs), ref: s.ref, child: s.child})
		if s.ref.shape == array {
			one *= int(s.ref.n)
		} else {
			one = 4
		}
	case s.child != nil:
		t.size = t.size.plus(s.child.size)
		if t.size.total() <= maxSlots {
			t.inline(s.at, s.child.ops)
		}
	case s.ref.kind.text():
		t.size.strs++
		t.ops = append(t.ops, op{code: opString, at: int32(s.at.strs), ref: s.ref})
	default:
		t.size.nums++
		t.push(op{code: numCode(s.ref.kind), at: int32(s.at.nums), n: 1})
	}
	t.min += one
	if t.size.total() > maxSlots || len(t.ops) > maxSlots {
		return fmt.Errorf("the message has more than %d fields: %w", maxSlots, ErrLimit)
	}
	return nil
}

// minSize is what one value takes on the wire at least.
func minSize(k kind) int {
	if k.text() {
		return 4
	}
	return k.size()
}

func numCode(k kind) opcode {
	switch {
	case k == kindBool:
		return opBools
	case k.size() == 1:
		return opNums1
	case k.size() == 2:
		return opNums2
	case k.size() == 4:
		return opNums4
	}
	return opNums8
}

// inline appends a nested message's program, moved to at.
func (t *Type) inline(at counts, ops []op) {
	for _, o := range ops {
		switch o.code {
		case opString:
			o.at += int32(at.strs)
		case opList:
			o.at += int32(at.refs)
		case opPadding:
		default:
			o.at += int32(at.nums)
		}
		t.push(o)
	}
}

// push appends o, or widens the last instruction where o goes on with it.
func (t *Type) push(o op) {
	if n := len(t.ops); n > 0 && o.code <= opNums8 {
		if last := &t.ops[n-1]; last.code == o.code && last.at+last.n == o.at {
			last.n += o.n
			return
		}
	}
	t.ops = append(t.ops, o)
}

// digest identifies the layout, so that records of two registries can meet.
func (t *Type) digest() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", t.name)
	for _, f := range t.fields {
		fmt.Fprintf(h, "%s %s\n", f.ref, f.name)
		if f.child != nil {
			h.Write(f.child.hash[:])
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// same tells whether two types have the same name and layout.
func (t *Type) same(u *Type) bool { return t == u || u != nil && t.hash == u.hash }

// Name returns the full name, "pkg/msg/Name".
func (t *Type) Name() string { return t.name }

// Field describes one field of a type.
type Field struct {
	Name    string
	Type    string // as .msg writes it: "float64[36]", "geometry_msgs/Point[]"
	Default any    // native value, nil if the definition gives none
}

// Fields returns the fields in the order of the definition.
func (t *Type) Fields() []Field {
	out := make([]Field, len(t.fields))
	for i, f := range t.fields {
		out[i] = Field{Name: f.name, Type: f.ref.String(), Default: f.def}
	}
	return out
}

// Constant returns the value of a constant as a native Go value.
func (t *Type) Constant(name string) (any, bool) {
	for _, c := range t.constants {
		if c.name == name {
			return c.value, true
		}
	}
	return nil, false
}

// Definition returns the type as ros2msg text with its dependencies below
// separators, as MCAP schemas want it. Comments are not kept, nor strings with
// line breaks, which .msg cannot write.
func (t *Type) Definition() string {
	var b strings.Builder
	t.write(&b)
	seen := map[string]bool{t.name: true}
	t.dependencies(seen, func(d *Type) {
		b.WriteString(strings.Repeat("=", 80) + "\nMSG: " + shortName(d.name) + "\n")
		d.write(&b)
	})
	return b.String()
}

// dependencies calls visit once for each message inside t.
func (t *Type) dependencies(seen map[string]bool, visit func(*Type)) {
	for _, f := range t.fields {
		if f.child != nil && !seen[f.child.name] {
			seen[f.child.name] = true
			visit(f.child)
			f.child.dependencies(seen, visit)
		}
	}
}

func (t *Type) write(b *strings.Builder) {
	for _, c := range t.constants {
		if v, ok := formatValue(c.value); ok {
			fmt.Fprintf(b, "%s %s=%s\n", c.ref, c.name, v)
		}
	}
	for _, f := range t.fields {
		fmt.Fprintf(b, "%s %s", f.ref, f.name)
		if v, ok := formatValue(f.def); ok {
			fmt.Fprintf(b, " %s", v)
		}
		b.WriteByte('\n')
	}
}
