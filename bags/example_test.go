package bags_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

// record writes a second of one joint that moves at 1 rad/s.
func record(path string) error {
	w, err := rosbag2.Create(path, rosbag2.WriterOptions{})
	if err != nil {
		return err
	}
	typ, err := cdr.NewRegistry().Type("sensor_msgs/msg/JointState")
	if err != nil {
		return err
	}
	topic, err := w.AddTopic(rosbag2.Topic{Name: "/joint_states", Type: typ.Name()})
	if err != nil {
		return err
	}
	for at := int64(0); at <= 1e9; at += 50e6 {
		m := typ.New()
		m.Set("header.stamp.nanosec", at%1e9)
		m.Set("name", []string{"elbow"})
		m.Set("position", []float64{float64(at) * 1e-9})
		data, err := typ.Encode(m)
		if err != nil {
			return err
		}
		if err := w.Write(topic, at, data); err != nil {
			return err
		}
	}
	return w.Close()
}

func Example() {
	dir, err := os.MkdirTemp("", "bags")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "demo")
	if err := record(path); err != nil {
		fmt.Println(err)
		return
	}
	c, err := contract.Parse([]byte(`
version: 1
rate_hz: 10
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [elbow]}
action: {from: next_state, names: [elbow], unit: position, horizon: 4}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	episodes, _, err := bags.ReadEpisodes(context.Background(), path, c, bags.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	f := episodes[0].Frames[3]
	fmt.Println(len(episodes[0].Frames), f.State, f.Action)
	// Output: 10 [0.3] [0.4]
}
