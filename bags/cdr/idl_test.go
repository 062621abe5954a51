package cdr

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// idlSample is what rosidl_adapter makes of a .msg, and what people write by
// hand, in one.
const idlSample = `================================================================================
IDL: test_pkg/msg/T
// generated
#include "test_pkg/msg/Other.idl"

module test_pkg {
  module msg {
    typedef double double__3[3];
    typedef test_pkg::msg::Other test_pkg__msg__Other;
    typedef test_pkg__msg__Other test_pkg__msg__Other__2[2];
    module T_Constants {
      @verbatim (language="comment", text=
        "What it is." "\n"
        "And not; }")
      const uint8 SMALL = 200;
      const long NEGATIVE = -7;
      const string NAME = "a \"b\" \\ c";
      const wstring WIDE = L"\u2122";
      const boolean YES = TRUE;
      const float HALF = 0.5;
      const unsigned long BOUND = 5;
    };
    @verbatim (language="comment", text="The message.")
    @transfer_mode(SHMEM_REF) @mutable
    struct T {
      short a, b; /* two
                     at once */
      @default (value=123)
      @unit (value="m")
      unsigned short c;
      @key @range (min=-10, max=10)
      unsigned long long d;
      long long e;
      @default (value="(1.5, 0.0, -1.5)")
      double__3 f;
      @default (value="('', \"it's\", 'a, b')")
      sequence<string<6>, BOUND> g;
      test_pkg__msg__Other__2 h;
      sequence<test_pkg::msg::Other> i;
      Other j;
      octet k;
      char l;
      wstring<BOUND> m;
      int8 n[3];
      @default (value=TRUE)
      boolean o;
      @default (value=8.7d)
      float p;
      @default (value=-.5e1)
      double q;
      @default (value=SMALL)
      uint8 r;
      builtin_interfaces::msg::Time s;
    };
  };
};

================================================================================
IDL: test_pkg/msg/Other
module test_pkg {
  module msg {
    struct Other {
      uint8 structure_needs_at_least_one_member;
    };
  };
};
`

func TestIDL(t *testing.T) {
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/msg/T", "ros2idl", idlSample); err != nil {
		t.Fatal(err)
	}
	typ, err := r.Type("test_pkg/msg/T")
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{
		{"a", "int16", nil}, {"b", "int16", nil}, {"c", "uint16", uint16(123)}, {"d", "uint64", nil}, {"e", "int64", nil},
		{"f", "float64[3]", []float64{1.5, 0, -1.5}}, {"g", "string<=6[<=5]", []string{"", "it's", "a, b"}},
		{"h", "test_pkg/Other[2]", nil}, {"i", "test_pkg/Other[]", nil}, {"j", "test_pkg/Other", nil},
		{"k", "byte", nil}, {"l", "char", nil}, {"m", "wstring<=5", nil}, {"n", "int8[3]", nil}, {"o", "bool", true},
		{"p", "float32", float32(8.7)}, {"q", "float64", -5.0}, {"r", "uint8", uint8(200)}, {"s", "builtin_interfaces/Time", nil},
	}
	got := typ.Fields()
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("field %#v, want %#v", got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d fields, want %d", len(got), len(want))
	}
	for name, want := range map[string]any{"SMALL": uint8(200), "NEGATIVE": int32(-7), "NAME": `a "b" \ c`, "WIDE": "™",
		"YES": true, "HALF": float32(0.5), "BOUND": uint32(5)} {
		if got, ok := typ.Constant(name); !ok || got != want {
			t.Errorf("%s = %#v, %v, want %#v", name, got, ok, want)
		}
	}
	if other, err := r.Type("test_pkg/Other"); err != nil || len(other.Fields()) != 0 || other.min != 1 {
		t.Errorf("a message with only the placeholder has fields: %v, %v", other, err)
	}
}

// writeIDL writes a definition as rosidl_adapter does.
func writeIDL(d *definition) string {
	basic := map[string]string{"bool": "boolean", "byte": "octet", "char": "uint8", "float32": "float", "float64": "double"}
	parts := strings.Split(d.name, "/")
	var typedefs, consts, members strings.Builder
	typeName := func(ref typeRef) string {
		name := strings.ReplaceAll(ref.base, "/", "::")
		if b := basic[name]; b != "" {
			name = b
		}
		if ref.strMax > 0 {
			name += fmt.Sprintf("<%d>", ref.strMax)
		}
		return name
	}
	literal := func(v any) string {
		s, _ := formatValue(v)
		if sliceLen(v) >= 0 {
			s = `"(` + strings.ReplaceAll(strings.Trim(s, "[]"), `"`, `\"`) + `)"`
		}
		return s
	}
	for i, f := range d.fields {
		name := typeName(f.ref)
		switch {
		case f.ref.shape == array:
			alias := fmt.Sprintf("t%d__%d", i, f.ref.n)
			fmt.Fprintf(&typedefs, "typedef %s %s[%d];\n", name, alias, f.ref.n)
			name = alias
		case f.ref.shape == sequence && f.ref.n > 0:
			name = fmt.Sprintf("sequence<%s, %d>", name, f.ref.n)
		case f.ref.shape == sequence:
			name = fmt.Sprintf("sequence<%s>", name)
		}
		if f.def != nil {
			fmt.Fprintf(&members, "@default (value=%s)\n", literal(f.def))
		}
		fmt.Fprintf(&members, "%s %s;\n", name, f.name)
	}
	for _, c := range d.constants {
		fmt.Fprintf(&consts, "const %s %s = %s;\n", typeName(c.ref), c.name, literal(c.value))
	}
	if len(d.fields) == 0 {
		members.WriteString("uint8 structure_needs_at_least_one_member;\n")
	}
	return fmt.Sprintf("module %s { module %s {\n%s module %s_Constants {\n%s};\nstruct %s {\n%s};\n};\n};\n",
		parts[0], parts[1], &typedefs, parts[2], &consts, parts[2], &members)
}

// TestIDLOfCarried reads every carried type as IDL and expects what it is as
// .msg (byte and char are numbers there).
func TestIDLOfCarried(t *testing.T) {
	defs := common()
	for name, d := range defs {
		text := writeIDL(d)
		bundle, err := parseBundle(name, "ros2idl", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got := bundle[name]
		if strings.ReplaceAll(layout(got), "char", "uint8") != strings.ReplaceAll(layout(d), "char", "uint8") {
			t.Errorf("%s as IDL is\n%swant\n%s", name, layout(got), layout(d))
		}
		for i, c := range d.constants {
			if got.constants[i].name != c.name || got.constants[i].value != c.value {
				t.Errorf("%s: constant %v, want %v", name, got.constants[i], c)
			}
		}
		for i, f := range d.fields {
			if !reflect.DeepEqual(got.fields[i].def, f.def) {
				t.Errorf("%s.%s: default %v, want %v", name, f.name, got.fields[i].def, f.def)
			}
		}
	}
}

func TestIDLService(t *testing.T) {
	r := NewRegistry()
	text := "module p { module srv { struct Add_Request { long long a; }; struct Add_Response { long long sum; }; }; };"
	if err := r.AddDefinition("p/srv/Add_Event", "ros2idl", text); err != nil {
		t.Fatal(err)
	}
	typ, err := r.Type("p/srv/Add_Event")
	if err != nil {
		t.Fatal(err)
	}
	if got := layout(r.defs["p/srv/Add_Event"]); !strings.Contains(got, "p/srv/Add_Request[<=1] request") || typ.Name() != "p/srv/Add_Event" {
		t.Errorf("event is\n%s", got)
	}
}

func TestIDLRefuses(t *testing.T) {
	in := func(body string) string { return "module test_pkg { module msg { " + body + " }; };" }
	for _, test := range []struct {
		name, text string
		err        error
	}{
		{"nothing", "", ErrDefinition},
		{"other type", in("struct U { long a; };"), ErrDefinition},
		{"outside modules", "struct T { long a; };", ErrDefinition},
		{"enum", in("enum E { A, B };"), ErrDefinition},
		{"union", in("struct T { union u; };"), ErrDefinition},
		{"long double", in("struct T { long double a; };"), ErrDefinition},
		{"wchar", in("struct T { wchar a; };"), ErrDefinition},
		{"two dimensions", in("struct T { long a[2][3]; };"), ErrDefinition},
		{"array of arrays", in("typedef long A[2]; struct T { A a[3]; };"), ErrDefinition},
		{"sequence of sequences", in("struct T { sequence<sequence<long>> a; };"), ErrDefinition},
		{"sequence of arrays", in("typedef long A[2]; struct T { sequence<A> a; };"), ErrDefinition},
		{"typedef of itself", in("typedef A A; struct T { A a; };"), ErrDefinition},
		{"size of itself", in("module T_Constants { const long N = N; }; struct T { long a[N]; };"), ErrDefinition},
		{"size 0", in("struct T { long a[0]; };"), ErrDefinition},
		{"undefined", in("struct T { Missing a; };"), ErrDefinition},
		{"missing", in("struct T { other::msg::Missing a; };"), ErrUnknownType},
		{"inherits", in("struct T : U { long a; };"), ErrDefinition},
		{"twice", in("struct T { long a; long a; };"), ErrDefinition},
		{"open", in("struct T { long a; ")[:40], ErrDefinition},
		{"open comment", "/* never", ErrDefinition},
		{"open string", in(`@verbatim(text="never`), ErrDefinition},
		{"open annotation", "@a(", ErrDefinition},
		{"character", in("struct T { long $; };"), ErrDefinition},
		{"escape", in(`module T_Constants { const string S = "\xZZ"; }; struct T { long a; };`), ErrDefinition},
		{"constant", in(`module T_Constants { const uint8 X = 300; }; struct T { long a; };`), ErrDefinition},
		{"default", in(`struct T { @default(value="x") long a; };`), ErrDefinition},
		{"modules", strings.Repeat("module a { ", 100), ErrDefinition},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRegistry()
			err := r.AddDefinition("test_pkg/msg/T", "ros2idl", test.text)
			if err == nil {
				_, err = r.Type("test_pkg/msg/T")
			}
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
		})
	}
}
