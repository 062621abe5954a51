package param_test

import (
	"fmt"
	"log"

	"arfm/nodes/ros/param"
)

func Example() {
	overrides, _, err := param.ParseArgs([]string{"--ros-args", "-p", "rate_hz:=10.0", "-p", "agents:=2"})
	if err != nil {
		log.Fatal(err)
	}
	set := param.NewSet(overrides.For("/planner"))
	err = set.Declare(
		param.Declaration{Name: "rate_hz", Default: param.Of(20.0), Description: "plans per second", DoubleRange: &param.DoubleRange{From: 1, To: 100}},
		param.Declaration{Name: "agent", Default: param.Of("left")},
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(param.Get[float64](set, "rate_hz"))
	fmt.Println(set.Set(param.Parameter{Name: "rate_hz", Value: param.Of(200.0)})[0].Reason)
	for _, u := range set.Unused() {
		fmt.Printf("%s sets nothing, is %s meant?\n", u.Source, u.Near)
	}
	// Output:
	// 10
	// rate_hz is 200.0; it must be between 1.0 and 100.0
	// -p agents:=2 sets nothing, is agent meant?
}
