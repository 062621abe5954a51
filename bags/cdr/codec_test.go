package cdr

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// mustType compiles text as the type "test_pkg/msg/T".
func mustType(t testing.TB, text string) *Type {
	t.Helper()
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/msg/T", "ros2msg", text); err != nil {
		t.Fatal(err)
	}
	typ, err := r.Type("test_pkg/msg/T")
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func carriedType(t testing.TB, name string) *Type {
	t.Helper()
	typ, err := NewRegistry().Type(name)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// jointState is written out by hand: header, two names, two positions, no
// velocities, one effort.
const jointState = `
00010000
01000000 02000000       # stamp 1 s 2 ns
05000000 62617365 00    # "base"
000000 02000000         # two names
03000000 6a3100 00      # "j1", padding
03000000 6a3200 00      # "j2", padding
02000000                # two positions at body offset 44: 4 bytes of padding
00000000
000000000000f03f 00000000000000c0
00000000                # no velocities: nothing is aligned for them
01000000                # one effort at offset 72
000000000000e03f`

func comments(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		b.WriteString(line + "\n")
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for _, test := range []struct {
		name, typ, hex string
		want           map[string]any
	}{
		{"joint state", "sensor_msgs/msg/JointState", jointState, map[string]any{
			"header.stamp.sec": int32(1), "header.stamp.nanosec": uint32(2), "header.frame_id": "base",
			"name": []string{"j1", "j2"}, "name.1": "j2",
			"position": []float64{1, -2}, "position.1": -2.0,
			"velocity": []float64{}, "effort": []float64{0.5},
		}},
		{"big endian", "std_msgs/msg/Header", "00000000 fffffffe 00000003 00000002 6100", map[string]any{
			"stamp.sec": int32(-2), "stamp.nanosec": uint32(3), "frame_id": "a",
		}},
		{"bool", "std_msgs/msg/Bool", "00010000 01", map[string]any{"data": true}},
		{"string", "std_msgs/msg/String", "00010000 06000000 68656c6c6f00", map[string]any{"data": "hello"}},
		{"empty", "std_msgs/msg/Empty", "00010000 00", map[string]any{}},
		{"nested", "geometry_msgs/msg/PolygonStamped",
			"00010000 00000000 00000000 01000000 00 000000 01000000 0000803f 00000040 00004040",
			map[string]any{"header.frame_id": "", "polygon.points.0.y": float32(2)}},
		{"event", "arfm/msg/EpisodeEvent",
			"00010000 00000000 00000000 01000000 00 02 0000 03000000 756700", map[string]any{
				"event": uint8(2), "task": "ug",
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := unhex(t, comments(test.hex))
			typ := carriedType(t, test.typ)
			r, err := typ.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range test.want {
				got, ok := r.Lookup(path)
				if !ok || !reflect.DeepEqual(got, want) {
					t.Errorf("%s = %#v, %v, want %#v", path, got, ok, want)
				}
			}
			order := byteOrdering(binary.LittleEndian)
			if data[1] == 0 {
				order = binary.BigEndian
			}
			out, err := typ.encode(r, order, 4)
			if err != nil || hex.EncodeToString(out) != hex.EncodeToString(data) {
				t.Errorf("encoded (%v)\n%x, want\n%x", err, out, data)
			}
		})
	}
}

// TestAlignment pins the padding before each width, counted from the body.
func TestAlignment(t *testing.T) {
	typ := mustType(t, "uint8 a\nfloat64 b\nuint8 c\nint16 d\nuint8 e\nint32 f\nint64[] g\nuint8 h\nstring[2] i\nuint8[3] j\nuint16[1] k")
	r := typ.New()
	for path, v := range map[string]any{"a": 1, "b": 1.0, "c": 2, "d": -2, "e": 3, "f": -3, "g": []int64{7}, "h": 4,
		"i.0": "x", "i.1": "", "j": []uint8{5, 6, 7}, "k.0": 8} {
		if err := r.Set(path, v); err != nil {
			t.Fatal(err)
		}
	}
	got, err := typ.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, comments(`00010000
		01 00000000000000 000000000000f03f   # a, b at 8
		02 00 feff 03 000000 fdffffff        # c 16, d 18, e 20, f 24
		01000000 0700000000000000            # g: count 28, at 32
		04 000000 02000000 7800 0000         # h 40, i.0 44
		01000000 00 050607 0800              # i.1 52, j 57, k 60`))
	if hex.EncodeToString(got) != hex.EncodeToString(want) {
		t.Errorf("encoded\n%x, want\n%x", got, want)
	}
}

func TestWString(t *testing.T) {
	typ := mustType(t, "wstring a\nuint8 b\nwstring[] c")
	r := typ.New()
	_ = r.Set("a", "aé😀")
	_ = r.Set("b", 9)
	_ = r.Set("c", []string{"", "zw"})
	for wide, want := range map[int]string{
		4: "00010000 04000000 61000000 e9000000 3dd80000 00de0000 09 000000 02000000 00000000 02000000 7a000000 77000000",
		2: "00010000 04000000 6100 e900 3dd8 00de 09 000000 02000000 00000000 02000000 7a00 7700",
	} {
		data, err := typ.encode(r, binary.LittleEndian, wide)
		if err != nil || hex.EncodeToString(data) != hex.EncodeToString(unhex(t, want)) {
			t.Errorf("encoded (%v)\n%x, want\n%s", err, data, want)
		}
		back, err := typ.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]any{"a": "aé😀", "b": uint8(9), "c": []string{"", "zw"}} {
			if got, _ := back.Lookup(path); !reflect.DeepEqual(got, want) {
				t.Errorf("%d bytes a character: %s = %#v, want %#v", wide, path, got, want)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	point := "float64 x\nfloat64 y"
	for _, test := range []struct {
		name, def, hex string
		err            error
	}{
		{"nothing", point, "", ErrTruncated},
		{"half a header", point, "0001", ErrTruncated},
		{"no body", point, "00010000", ErrTruncated},
		{"cut", point, "00010000 0000000000000000 00000000000000", ErrTruncated},
		{"parameter list", point, "00030000 00000000", ErrEncapsulation},
		{"xcdr2", point, "00070000 00000000", ErrXCDR2},
		{"xcdr2 delimited", point, "00090000 00000000", ErrXCDR2},
		{"no cdr", point, "7b226122 00000000", ErrEncapsulation},
		{"too long", "uint8 a", "00010000 01 00000000", ErrTrailing},
		{"bool 2", "bool a", "00010000 02", ErrValue},
		{"bools 2", "bool[] a", "00010000 02000000 0102", ErrValue},
		{"huge string", "string a", "00010000 ffffffff 61", ErrTruncated},
		{"no NUL", "string a", "00010000 01000000 61", ErrValue},
		{"string bound", "string<=1 a", "00010000 03000000 616100", ErrValue},
		{"sequence bound", "uint8[<=1] a", "00010000 02000000 0102", ErrValue},
		{"huge sequence", "float64[] a", "00010000 ffffffff 00000000", ErrTruncated},
		{"huge strings", "string[] a", "00010000 ffffff3f 00000000", ErrTruncated},
		{"huge messages", "std_msgs/Empty[] a", "00010000 ffffffff 00000000", ErrTruncated},
		{"huge array", "uint8[1000000] a", "00010000 00000000", ErrTruncated},
		{"huge wstring", "wstring a", "00010000 ffffffff 00000000", ErrTruncated},
		{"wstring bound", "wstring<=1 a", "00010000 02000000 6100 6100", ErrValue},
		{"no UTF-16", "wstring a\nuint8 b", "00010000 01000000 61000100 00000000", ErrValue},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := mustType(t, test.def).Decode(unhex(t, test.hex))
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
		})
	}
}

// TestErrorNamesField pins that errors say where they happened.
func TestErrorNamesField(t *testing.T) {
	typ := carriedType(t, "trajectory_msgs/msg/JointTrajectory")
	r := typ.New()
	point := carriedType(t, "trajectory_msgs/msg/JointTrajectoryPoint").New()
	if err := point.Set("positions", []float64{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := r.Set("points", []*Record{point}); err != nil {
		t.Fatal(err)
	}
	data, err := typ.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	for cut, field := range map[int]string{
		len(data) - 1: "points.time_from_start.sec", len(data) - 9: "points.effort", 13: "header.frame_id", 5: "header.stamp.sec",
	} {
		_, err := typ.Decode(data[:cut])
		if err == nil || !strings.Contains(err.Error(), "trajectory_msgs/msg/JointTrajectory: field "+field+":") {
			t.Errorf("cut at %d: %v, want it to name %s", cut, err, field)
		}
	}
}

func TestRecordBound(t *testing.T) {
	typ := mustType(t, "std_msgs/Empty[] a")
	data := make([]byte, headerSize+4+maxRecords+1)
	data[1] = 1
	binary.LittleEndian.PutUint32(data[4:], maxRecords+1)
	if _, err := typ.Decode(data); !errors.Is(err, ErrLimit) {
		t.Errorf("error %v, want %v", err, ErrLimit)
	}
}

func TestByteSequenceAliases(t *testing.T) {
	data := unhex(t, "00010000 03000000 010203")
	r, err := mustType(t, "uint8[] a").Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := r.Lookup("a")
	data[8] = 9
	if got := a.([]byte); got[0] != 9 || cap(got) != 3 {
		t.Errorf("got %v with capacity %d, want it to alias the message and end with it", got, cap(got))
	}
}

// randomize fills r with random values of every kind and length.
func randomize(rng *rand.Rand, r *Record) {
	for i := range r.typ.fields {
		f := &r.typ.fields[i]
		switch {
		case f.ref.shape != scalar:
			n := int(f.ref.n)
			if f.ref.shape == sequence {
				n = rng.IntN(4)
				if f.ref.n > 0 {
					n = min(n, int(f.ref.n))
				}
			}
			list := makeSlice(f.ref.kind, n)
			for j := range n {
				setElem(list, j, randomValue(rng, f))
			}
			r.refs[f.at.refs] = list
		case f.child != nil:
			nested := r.nested(f)
			randomize(rng, &nested)
		case f.ref.kind.text():
			r.strs[f.at.strs] = randomValue(rng, f).(string)
		default:
			r.nums[f.at.nums], _ = bitsOf(f.ref.kind, randomValue(rng, f))
		}
	}
}

func randomValue(rng *rand.Rand, f *slot) any {
	switch k := f.ref.kind; {
	case k == kindStruct:
		r := f.child.New()
		randomize(rng, r)
		return r
	case k.text():
		n := rng.IntN(6)
		if f.ref.strMax > 0 {
			n = min(n, int(f.ref.strMax))
		}
		return strings.Repeat("x", n)
	case k == kindBool:
		return rng.IntN(2) == 1
	case k == kindFloat32:
		return float32(rng.NormFloat64())
	case k == kindFloat64:
		return rng.NormFloat64()
	}
	return native(f.ref.kind, rng.Uint64())
}

// everything exercises what the carried types do not: wstrings, bounds,
// arrays of all kinds.
const everything = `bool[3] a
int8[] b
uint16[<=2] c
int16[] d
wstring<=3 e
wstring[] f
string<=4[<=2] g
std_msgs/Empty h
std_msgs/Empty[] i
geometry_msgs/Point[2] j
uint64[] k
int64[2] l
uint32[] m
int32[] n
float32[] o
string[2] p
byte q
char[] r`

func TestRoundTrip(t *testing.T) {
	r := NewRegistry()
	if err := r.AddDefinition("test_pkg/Everything", "ros2msg", everything); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	names := r.Names()
	if len(names) < 190 {
		t.Errorf("only %d types are carried", len(names))
	}
	for _, name := range names {
		typ, err := r.Type(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			want := typ.New()
			if i > 0 {
				randomize(rng, want)
			}
			for _, order := range []byteOrdering{binary.LittleEndian, binary.BigEndian} {
				data, err := typ.encode(want, order, 4)
				if err != nil {
					t.Fatal(err)
				}
				got, err := typ.Decode(data)
				if err != nil {
					t.Fatalf("%v\n%x", err, data)
				}
				if !equal(got, want) {
					t.Fatalf("%s: decoded %v, want %v", name, got, want)
				}
			}
		}
	}
}

// equal compares two messages bit by bit.
func equal(a, b *Record) bool {
	return a.typ == b.typ && reflect.DeepEqual(a.nums, b.nums) && reflect.DeepEqual(a.strs, b.strs) &&
		reflect.DeepEqual(canonical(a.refs), canonical(b.refs))
}

// canonical makes lists comparable where NaN is not equal to itself.
func canonical(refs []any) string { return fmt.Sprintf("%#v", flatten(refs)) }

func flatten(refs []any) []any {
	var out []any
	for _, list := range refs {
		switch s := list.(type) {
		case []float64:
			for _, v := range s {
				out = append(out, math.Float64bits(v))
			}
		case []*Record:
			for _, r := range s {
				out = append(out, r.nums, r.strs, flatten(r.refs))
			}
		default:
			out = append(out, list)
		}
	}
	return out
}
