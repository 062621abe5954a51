package cdr

import "testing"

func benchmarkDecode(b *testing.B, name string, fill func(*Record) error) {
	typ := carriedType(b, name)
	r := typ.New()
	if err := fill(r); err != nil {
		b.Fatal(err)
	}
	data, err := typ.Encode(r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := typ.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// jointNames are those of a six-joint arm.
func fillJointState(r *Record) error {
	names := []string{"shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"}
	for _, field := range []string{"position", "velocity", "effort"} {
		if err := r.Set(field, make([]float64, len(names))); err != nil {
			return err
		}
	}
	return r.Set("name", names)
}

func BenchmarkDecodeJointState(b *testing.B) {
	benchmarkDecode(b, "sensor_msgs/msg/JointState", fillJointState)
}

func BenchmarkDecodeImage(b *testing.B) {
	benchmarkDecode(b, "sensor_msgs/msg/Image", func(r *Record) error {
		return r.Set("data", make([]byte, 640*480*3))
	})
}

func BenchmarkDecodeFloats(b *testing.B) {
	benchmarkDecode(b, "std_msgs/msg/Float64MultiArray", func(r *Record) error {
		return r.Set("data", make([]float64, 1<<16))
	})
}

func BenchmarkDecodeTransforms(b *testing.B) {
	benchmarkDecode(b, "tf2_msgs/msg/TFMessage", func(r *Record) error {
		transforms := make([]*Record, 20)
		for i := range transforms {
			transforms[i] = carriedType(b, "geometry_msgs/msg/TransformStamped").New()
		}
		return r.Set("transforms", transforms)
	})
}

func BenchmarkEncodeJointState(b *testing.B) {
	typ := carriedType(b, "sensor_msgs/msg/JointState")
	r := typ.New()
	if err := fillJointState(r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := typ.Encode(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	r := carriedType(b, "sensor_msgs/msg/JointState").New()
	for b.Loop() {
		if _, ok := r.Lookup("header.stamp.sec"); !ok {
			b.Fatal("no stamp")
		}
	}
}

func BenchmarkNewRegistry(b *testing.B) {
	for b.Loop() {
		NewRegistry()
	}
}
