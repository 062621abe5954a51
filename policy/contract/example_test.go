package contract_test

import (
	"fmt"

	"arfm/policy"
	"arfm/policy/contract"
)

// wrench is a decoded message; normally a *cdr.Record takes its place.
type wrench map[string]any

func (w wrench) TypeName() string               { return "geometry_msgs/msg/Wrench" }
func (w wrench) Lookup(path string) (any, bool) { v, ok := w[path]; return v, ok }

func Example() {
	c, err := contract.Parse([]byte(`
version: 1
rate_hz: 10
observation:
  state:
    - {topic: /ft, type: geometry_msgs/msg/Wrench, fields: [force.z], align: hold, max_age_ms: 150}
action: {topic: /cmd, type: geometry_msgs/msg/Twist, fields: [linear.z], unit: twist, horizon: 8}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r := contract.NewResampler(c)
	if err := r.Push("/ft", 980e6, wrench{"force.z": -4.5}); err != nil {
		fmt.Println(err)
	}
	var obs policy.Observation
	fmt.Println(r.Observe(1000e6, &obs), obs.State)
	fmt.Println(r.Observe(1200e6, &obs))
	// Output:
	// <nil> [-4.5]
	// topic /ft is stale: its sample is 220ms old, 150ms is allowed; check its publisher or raise max_age_ms
}
