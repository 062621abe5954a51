package cdr

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func parseOne(text string) (*definition, error) {
	defs, err := parseBundle("test_pkg/msg/T", "ros2msg", text)
	return defs["test_pkg/msg/T"], err
}

func TestParseField(t *testing.T) {
	for _, test := range []struct {
		line, typ, name string
		def             any
	}{
		{"float64 x", "float64", "x", nil},
		{"  float64\t x  # metres", "float64", "x", nil},
		{"float64 w 1", "float64", "w", 1.0},
		{"float32 w .5", "float32", "w", float32(0.5)},
		{"float64[36] covariance", "float64[36]", "covariance", nil},
		{"uint8[] data", "uint8[]", "data", nil},
		{"uint8[<=4] data", "uint8[<=4]", "data", nil},
		{"string<=10 s", "string<=10", "s", nil},
		{"string<=10[<=5] s", "string<=10[<=5]", "s", nil},
		{"wstring<=10[3] s", "wstring<=10[3]", "s", nil},
		{"std_msgs/Header header", "std_msgs/Header", "header", nil},
		{"std_msgs/msg/Header header", "std_msgs/Header", "header", nil},
		{"Point[] p", "test_pkg/Point[]", "p", nil},
		{"time t", "builtin_interfaces/Time", "t", nil},
		{"duration[2] t", "builtin_interfaces/Duration[2]", "t", nil},
		{"bool b True", "bool", "b", true},
		{"byte b 0xff", "byte", "b", uint8(255)},
		{"char c 010", "char", "c", uint8(10)},
		{"int8 i -128", "int8", "i", int8(-128)},
		{"uint64 u 18446744073709551615", "uint64", "u", uint64(1<<64 - 1)},
		{`string s "a # b" # comment`, "string", "s", "a # b"},
		{`string s 'a "quoted" b'`, "string", "s", `a "quoted" b`},
		{`string s "a \"b\""`, "string", "s", `a "b"`},
		{`string s bare # it's a comment`, "string", "s", "bare"},
		{`string s ""`, "string", "s", ""},
		{`int32[3] a [1, -2, 0x3]`, "int32[3]", "a", []int32{1, -2, 3}},
		{`int32[] a []`, "int32[]", "a", []int32{}},
		{`string[] a ["x, y", 'z', bare]`, "string[]", "a", []string{"x, y", "z", "bare"}},
		{`bool[<=3] a [true, 0]`, "bool[<=3]", "a", []bool{true, false}},
	} {
		d, err := parseOne(test.line)
		if err != nil || len(d.fields) != 1 {
			t.Errorf("%q: %v, %v", test.line, d, err)
			continue
		}
		f := d.fields[0]
		if f.ref.String() != test.typ || f.name != test.name || !reflect.DeepEqual(f.def, test.def) {
			t.Errorf("%q: got %s %s %#v, want %s %s %#v", test.line, f.ref, f.name, f.def, test.typ, test.name, test.def)
		}
	}
}

func TestParseConstant(t *testing.T) {
	for line, want := range map[string]any{
		"uint8 X=1":                  uint8(1),
		"int32 X = -5 # five":        int32(-5),
		"float32 X=1e3":              float32(1000),
		"bool X=false":               false,
		`string X="Hello world!"`:    "Hello world!",
		`string X=bare words # and`:  "bare words",
		`string<=9 X='it is = this'`: nil, // too long for its bound
	} {
		d, err := parseOne(line)
		if want == nil {
			if !errors.Is(err, ErrDefinition) {
				t.Errorf("%q: error %v, want %v", line, err, ErrDefinition)
			}
			continue
		}
		if err != nil || len(d.constants) != 1 || len(d.fields) != 0 {
			t.Errorf("%q: %v, %v", line, d, err)
			continue
		}
		if c := d.constants[0]; c.name != "X" || c.value != want {
			t.Errorf("%q: got %s=%#v, want %#v", line, c.name, c.value, want)
		}
	}
}

func TestDefinitionRefuses(t *testing.T) {
	deep := "test_pkg/D1 d"
	for i := 1; i <= maxDepth+1; i++ {
		deep += fmt.Sprintf("\n====\nMSG: test_pkg/D%d\nD%d d", i, i+1)
	}
	wide, flat := "W1[2] a", "W1 a\nW1 b"
	for i := 1; i < 25; i++ {
		wide += fmt.Sprintf("\n====\nMSG: test_pkg/W%d\nW%d[2] a", i, i+1)
		flat += fmt.Sprintf("\n====\nMSG: test_pkg/W%d\nW%d a\nW%d b", i, i+1, i+1)
	}
	wide += "\n====\nMSG: test_pkg/W25\nuint8 a"
	flat += "\n====\nMSG: test_pkg/W25\nuint8 a"
	for _, test := range []struct {
		name, text string
		err        error
	}{
		{"no name", "float64", ErrDefinition},
		{"bad name", "float64 1x", ErrDefinition},
		{"twice", "float64 x\nfloat32 x", ErrDefinition},
		{"bracket", "float64[3 x", ErrDefinition},
		{"size 0", "float64[0] x", ErrDefinition},
		{"size", "float64[99999999999] x", ErrDefinition},
		{"bounded number", "float64<=3 x", ErrDefinition},
		{"type", "a/b/c/d x", ErrDefinition},
		{"default", "int8 x 300", ErrDefinition},
		{"default count", "int8[2] x [1]", ErrDefinition},
		{"default message", "std_msgs/Empty x 1", ErrDefinition},
		{"constant array", "int8[2] X=[1, 2]", ErrDefinition},
		{"separator", "====\nnonsense", ErrDefinition},
		{"parts", "---\n---\n---", ErrDefinition},
		{"text", strings.Repeat("#\n", maxText), ErrLimit},
		{"unknown", "no_such/Type x", ErrUnknownType},
		{"recursive", "T x", ErrRecursive},
		{"recursive in a list", "A[] x\n===\nMSG: test_pkg/A\nT[] y", ErrRecursive},
		{"deep", deep, ErrLimit},
		{"arrays of arrays", wide, ErrLimit},
		{"fields of fields", flat, ErrLimit},
		{"array", "uint8[2000000] x", ErrLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRegistry()
			err := r.AddDefinition("test_pkg/msg/T", "ros2msg", test.text)
			if err == nil {
				_, err = r.Type("test_pkg/msg/T")
			}
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	r := NewRegistry()
	if err := r.AddDefinition("a/msg/A", "ros2msg", "Dep d\n====\nMSG: a/Dep\nuint8 old"); err != nil {
		t.Fatal(err)
	}
	if err := r.AddDefinition("a/B", "ros2msg", "a/Dep d\nHeader h\n====\nMSG: a/Dep\nuint16 new"); err != nil {
		t.Fatal(err)
	}
	for typ, path := range map[string]string{"a/A": "d.old", "a/msg/B": "d.new", "a/Dep": "old"} {
		tt, err := r.Type(typ)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := tt.New().Lookup(path); !ok {
			t.Errorf("%s has no %s: it was given another type's dependency", typ, path)
		}
	}
	b, _ := r.Type("a/B")
	if got := b.Fields()[1].Type; got != "std_msgs/Header" {
		t.Errorf("a bare Header is %s, want std_msgs/Header", got)
	}
	if again, _ := r.Type("a/msg/B"); again != b {
		t.Error("a type is compiled twice")
	}
	for name, want := range map[string]error{"no/Such": ErrUnknownType, "nonsense": ErrUnknownType, "": ErrUnknownType} {
		if _, err := r.Type(name); !errors.Is(err, want) {
			t.Errorf("Type(%q): error %v, want %v", name, err, want)
		}
	}
	for _, args := range [][3]string{{"a/A", "jsonschema", "{}"}, {"a/A", "", ""}} {
		if err := r.AddDefinition(args[0], args[1], args[2]); !errors.Is(err, ErrEncoding) {
			t.Errorf("encoding %q: error %v, want %v", args[1], err, ErrEncoding)
		}
	}
	if err := r.AddDefinition("A", "ros2msg", ""); !errors.Is(err, ErrDefinition) {
		t.Errorf("a name without package: error %v, want %v", err, ErrDefinition)
	}
}

func TestServicesAndActions(t *testing.T) {
	r := NewRegistry()
	for name, text := range map[string]string{
		"p/srv/Add":                "int64 a\n---\nint64 sum",
		"p/srv/Get_Event":          "---\nstring answer",
		"p/action/Go":              "float64 to\n---\nbool ok\n---\nfloat64 left",
		"p/action/Run_SendGoal":    "---\n---",
		"p/action/Do_Feedback":     "---\n---\nuint8 n",
		"p/srv/Plain_Request":      "int8 x",
		"q/srv/Only_Event_Request": "int8 x",
	} {
		if err := r.AddDefinition(name, "ros2msg", text); err != nil {
			t.Fatal(err)
		}
	}
	for typ, want := range map[string]string{
		"p/srv/Add_Event":                    "service_msgs/ServiceEventInfo info, p/srv/Add_Request[<=1] request, p/srv/Add_Response[<=1] response",
		"p/srv/Add_Response":                 "int64 sum",
		"p/srv/Get_Response":                 "string answer",
		"p/action/Go_FeedbackMessage":        "unique_identifier_msgs/UUID goal_id, p/action/Go_Feedback feedback",
		"p/action/Go_GetResult_Response":     "int8 status, p/action/Go_Result result",
		"p/action/Go_SendGoal_Event":         "service_msgs/ServiceEventInfo info, p/action/Go_SendGoal_Request[<=1] request, p/action/Go_SendGoal_Response[<=1] response",
		"p/action/Run_Goal":                  "",
		"p/action/Do_Feedback":               "uint8 n",
		"p/srv/Plain_Request":                "int8 x",
		"q/srv/Only_Event_Request":           "int8 x",
		"control_msgs/action/PointHead_Goal": "geometry_msgs/PointStamped target, geometry_msgs/Vector3 pointing_axis, string pointing_frame, builtin_interfaces/Duration min_duration, float64 max_velocity",
		"arfm/srv/Reset_Response":            "bool success, string message, string task",
		"arfm/action/RunPolicy_Goal":         "string prompt, builtin_interfaces/Duration duration",
		"arfm/action/RunPolicy_Result":       "uint8 outcome, string reason",
		"arfm/action/Finetune_Goal":          "string[] bags, string objective, uint32 steps, string init",
		"arfm/action/Finetune_Feedback":      "uint64 step, uint64 steps, float64 loss, float64 alpha, float64 effective_sample_size",
	} {
		tt, err := r.Type(typ)
		if err != nil {
			t.Error(err)
			continue
		}
		var got []string
		for _, f := range tt.Fields() {
			got = append(got, f.Type+" "+f.Name)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s is %q, want %q", typ, s, want)
		}
	}
}

// TestDefinitionText reads back what every carried type says of itself.
func TestDefinitionText(t *testing.T) {
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/Everything", "ros2msg", everything+"\nstring s \"a \\\" b\"\nint8[2] t [1, -1]\nfloat64 PI=3.14\nstring S='x # y'"); err != nil {
		t.Fatal(err)
	}
	for _, name := range r.Names() {
		typ, err := r.Type(name)
		if err != nil {
			t.Fatal(err)
		}
		text := typ.Definition()
		alone := &Registry{defs: map[string]*definition{}, scopes: map[string]map[string]*definition{}, compiled: map[string]*Type{}}
		if err := alone.AddDefinition(name, "ros2msg", text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		back, err := alone.Type(name)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !back.same(typ) || back.Definition() != text || !reflect.DeepEqual(back.constants, typ.constants) ||
			!reflect.DeepEqual(back.Fields(), typ.Fields()) {
			t.Errorf("%s reads back differently:\n%s", name, text)
		}
	}
	want := "std_msgs/Header header\nfloat64 value\n" + strings.Repeat("=", 80) + "\nMSG: std_msgs/Header\n" +
		"builtin_interfaces/Time stamp\nstring frame_id\n" + strings.Repeat("=", 80) + "\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
	if got := carriedType(t, "arfm/msg/Reward").Definition(); got != want {
		t.Errorf("definition\n%s\nwant\n%s", got, want)
	}
}

func TestConstant(t *testing.T) {
	typ := carriedType(t, "arfm/msg/EpisodeEvent")
	if v, ok := typ.Constant("SUCCESS"); !ok || v != uint8(2) {
		t.Errorf("SUCCESS = %v, %v", v, ok)
	}
	if v, ok := carriedType(t, "arfm/action/RunPolicy_Result").Constant("FAILED"); !ok || v != uint8(4) {
		t.Errorf("FAILED = %v, %v", v, ok)
	}
	if _, ok := typ.Constant("MAYBE"); ok {
		t.Error("a constant that is not there was found")
	}
}
