package cdr

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzDecode feeds hostile messages to every carried type and to one that has
// everything. What decodes must encode to a message that decodes to the same.
func FuzzDecode(f *testing.F) {
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/Everything", "ros2msg", everything); err != nil {
		f.Fatal(err)
	}
	names := r.Names()
	rng := rand.New(rand.NewPCG(3, 4))
	for i, name := range names {
		typ, err := r.Type(name)
		if err != nil {
			f.Fatal(err)
		}
		rec := typ.New()
		randomize(rng, rec)
		order := byteOrdering(binary.LittleEndian)
		if i%2 == 1 {
			order = binary.BigEndian
		}
		data, err := typ.encode(rec, order, 4)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(i), data)
	}
	f.Fuzz(func(t *testing.T, which uint16, data []byte) {
		typ, err := r.Type(names[int(which)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		rec, err := typ.Decode(data)
		if err != nil {
			return
		}
		out, err := typ.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := typ.Decode(out)
		if err != nil {
			t.Fatalf("%v\n%x\nfrom\n%x", err, out, data)
		}
		if !equal(rec, again) {
			t.Fatalf("%s changes: %v, then %v", typ.Name(), rec, again)
		}
	})
}

// FuzzDefinition feeds hostile ros2msg texts. What compiles must say of itself
// what compiles to the same, and its default message must survive the wire.
func FuzzDefinition(f *testing.F) {
	for _, name := range []string{"sensor_msgs/JointState", "rcl_interfaces/ParameterDescriptor", "geometry_msgs/PoseStamped", "std_msgs/Empty"} {
		f.Add(carriedType(f, name).Definition())
	}
	f.Add(everything)
	f.Add("string s \"a # \\\" b\" # c\nint8[2] a [1,-1]\nstring<=3 S='x'\n---\nbool b\n---\nT t")
	f.Add("A[2] a\n====\nMSG: test_pkg/A\nB[] b\n====\nMSG: test_pkg/B\nfloat32 x nan")
	f.Add("====\nIDL: test_pkg/T\nmodule test_pkg{module msg{struct T{long a;};};};")
	f.Fuzz(func(t *testing.T, text string) { fuzzText(t, "ros2msg", text) })
}

// FuzzIDL does the same for ros2idl.
func FuzzIDL(f *testing.F) {
	f.Add(idlSample)
	for _, d := range common() {
		if len(d.constants) > 0 && strings.HasPrefix(d.name, "rcl_interfaces/") {
			f.Add(strings.ReplaceAll(strings.ReplaceAll(writeIDL(d), d.name[strings.LastIndex(d.name, "/")+1:], "T"), "rcl_interfaces", "test_pkg"))
		}
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzText(t, "ros2idl", text) })
}

func fuzzText(t *testing.T, encoding, text string) {
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/msg/T", encoding, text); err != nil {
		return
	}
	typ, err := r.Type("test_pkg/msg/T")
	if err != nil {
		return
	}
	said := typ.Definition()
	alone := NewRegistry()
	if err := alone.AddDefinition("test_pkg/msg/T", "ros2msg", said); err != nil {
		t.Fatalf("%v\n%s\nfrom\n%s", err, said, text)
	}
	back, err := alone.Type("test_pkg/msg/T")
	if err != nil {
		t.Fatal(err)
	}
	if !back.same(typ) {
		t.Fatalf("%q reads back as %q", said, back.Definition())
	}
	rec := typ.New()
	data, err := typ.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := typ.Decode(data)
	if err != nil {
		t.Fatalf("%v\n%x\nfor\n%s", err, data, said)
	}
	if !equal(got, rec) {
		t.Fatalf("default message of\n%s\nchanges: %v, then %v", said, rec, got)
	}
}
