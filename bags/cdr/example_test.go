package cdr_test

import (
	"fmt"
	"log"

	"arfm/bags/cdr"
)

func Example() {
	registry := cdr.NewRegistry()
	jointState, err := registry.Type("sensor_msgs/msg/JointState")
	if err != nil {
		log.Fatal(err)
	}
	state := jointState.New()
	for path, v := range map[string]any{
		"header.stamp.sec": 12,
		"name":             []string{"shoulder", "elbow"},
		"position":         []float64{0.5, -1.25},
	} {
		if err := state.Set(path, v); err != nil {
			log.Fatal(err)
		}
	}
	data, err := jointState.Encode(state)
	if err != nil {
		log.Fatal(err)
	}
	back, err := jointState.Decode(data)
	if err != nil {
		log.Fatal(err)
	}
	name, _ := back.Lookup("name.1")
	position, _ := back.Lookup("position.1")
	fmt.Printf("%d bytes of %s: %s at %v rad\n", len(data), back.TypeName(), name, position)
	// Output: 84 bytes of sensor_msgs/msg/JointState: elbow at -1.25 rad
}
