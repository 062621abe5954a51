package cdr

import (
	"errors"
	"reflect"
	"testing"
)

func TestNewDefaults(t *testing.T) {
	typ := mustType(t, "geometry_msgs/Quaternion[2] q\nint8[] a [1, 2]\nstring s 'x'\ngeometry_msgs/Pose p\nbool b true\nfloat32[3] f\nfloat32 g -1.5")
	r := typ.New()
	for path, want := range map[string]any{
		"q.1.w": 1.0, "q.0.x": 0.0, "a": []int8{1, 2}, "s": "x", "p.orientation.w": 1.0, "b": true,
		"f": []float32{0, 0, 0}, "g": float32(-1.5),
	} {
		if got, ok := r.Lookup(path); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %#v", path, got, want)
		}
	}
	a, _ := r.Lookup("a")
	a.([]int8)[0] = 9
	if got, _ := typ.New().Lookup("a.0"); got != int8(1) {
		t.Errorf("a default was changed through a message: %v", got)
	}
}

func TestLookupMisses(t *testing.T) {
	r := carriedType(t, "trajectory_msgs/msg/JointTrajectory").New()
	for _, path := range []string{"", ".", "header.", "header.stamp.sec.x", "points.0", "joint_names.x", "joint_names.-1",
		"nothing", "header.nothing", "joint_names.0.x", "points.", "points.99999999999999999999"} {
		if v, ok := r.Lookup(path); ok {
			t.Errorf("%q = %v", path, v)
		}
		if err := r.Set(path, 1); !errors.Is(err, ErrPath) {
			t.Errorf("Set(%q): error %v, want %v", path, err, ErrPath)
		}
	}
}

func TestViews(t *testing.T) {
	r := carriedType(t, "geometry_msgs/msg/PoseStamped").New()
	pose, _ := r.Lookup("pose.position")
	if err := pose.(*Record).Set("y", 2.5); err != nil {
		t.Fatal(err)
	}
	if v, _ := r.Lookup("pose.position.y"); v != 2.5 {
		t.Errorf("pose.position.y = %v after it was set through a view", v)
	}
	if got := pose.(*Record).TypeName(); got != "geometry_msgs/msg/Point" {
		t.Errorf("type of the view is %s", got)
	}
	// A record of another registry has the same layout and may be copied in.
	point := carriedType(t, "geometry_msgs/msg/Point").New()
	_ = point.Set("z", 7)
	if err := r.Set("pose.position", point); err != nil {
		t.Fatal(err)
	}
	if v, _ := r.Lookup("pose.position.z"); v != 7.0 {
		t.Errorf("pose.position.z = %v", v)
	}
	data, err := r.Type().Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := carriedType(t, "geometry_msgs/PoseStamped").Decode(data); err != nil || !reflect.DeepEqual(back.nums, r.nums) {
		t.Errorf("decoded %v, %v", back, err)
	}
}

func TestSet(t *testing.T) {
	typ := mustType(t, "int8 i\nuint8 u\nuint64 big\nfloat32 f\nfloat64 d\nbool b\nstring<=2 s\nwstring<=2 w\nfloat64[2] a\nuint8[<=2] q\nstring<=1[] names\nstd_msgs/Header h\nstd_msgs/Header[] hs")
	header := carriedType(t, "std_msgs/msg/Header").New()
	for _, test := range []struct {
		path string
		set  any
		want any // nil: refused
	}{
		{"i", -128, int8(-128)}, {"i", 127.0, int8(127)}, {"i", 128, nil}, {"i", -129, nil}, {"i", 1.5, nil}, {"i", "1", nil}, {"i", true, nil},
		{"u", 255, uint8(255)}, {"u", -1, nil}, {"u", 256, nil}, {"u", uint64(1 << 63), nil}, {"u", nil, nil},
		{"big", uint64(1<<64 - 1), uint64(1<<64 - 1)}, {"big", 1e30, nil}, {"big", -1, nil},
		{"f", 0.5, float32(0.5)}, {"f", 3, float32(3)}, {"d", float32(0.5), 0.5}, {"d", int64(-3), -3.0}, {"d", uint(3), 3.0},
		{"b", true, true}, {"b", 1, nil},
		{"s", "ab", "ab"}, {"s", "abc", nil}, {"s", 1, nil}, {"w", "😀", "😀"}, {"w", "a😀", nil},
		{"a", []float64{1, 2}, []float64{1, 2}}, {"a", []float64{1}, nil}, {"a", []float32{1, 2}, nil}, {"a.1", 3, 3.0}, {"a.1", "x", nil},
		{"q", []byte{1}, []byte{1}}, {"q", []byte{1, 2, 3}, nil}, {"q.0", 300, nil},
		{"names", []string{"a"}, []string{"a"}}, {"names", []string{"ab"}, nil}, {"names.0", "ab", nil}, {"names.0", "b", "b"},
		{"h", typ.New(), nil}, {"h", (*Record)(nil), nil}, {"h", 1, nil},
		{"hs", []*Record{nil}, nil}, {"hs", []*Record{typ.New()}, nil}, {"hs", []*Record{header}, []*Record{header}},
		{"hs.0", header, header}, {"hs.0", typ.New(), nil},
	} {
		r := typ.New()
		_ = r.Set("q", []byte{0})
		_ = r.Set("names", []string{""})
		_ = r.Set("hs", []*Record{header})
		err := r.Set(test.path, test.set)
		if test.want == nil {
			if !errors.Is(err, ErrValue) {
				t.Errorf("Set(%s, %#v): error %v, want %v", test.path, test.set, err, ErrValue)
			}
			continue
		}
		if got, _ := r.Lookup(test.path); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("Set(%s, %#v): %v, then %#v", test.path, test.set, err, got)
		}
	}
	if _, err := typ.Encode(header); !errors.Is(err, ErrValue) {
		t.Errorf("encode as another type: error %v, want %v", err, ErrValue)
	}
	if _, err := typ.Encode(nil); !errors.Is(err, ErrValue) {
		t.Errorf("encode nil: error %v, want %v", err, ErrValue)
	}
}
