package demonstration_test

import (
	"fmt"

	"arfm/nodes/demonstration"
)

// A tool that goes 0.3 m at up to 0.5 m/s, commanded 20 times a second.
func ExampleMinimumJerk() {
	const way, rate = 0.3, 20
	n := demonstration.Duration(way, 0.5, rate, 1)
	for i := 0; i <= n; i += 6 {
		fmt.Printf("%.2f s: %.3f m\n", float64(i)/rate, way*demonstration.MinimumJerk(float64(i)/float64(n)))
	}
	// Output:
	// 0.00 s: 0.000 m
	// 0.30 s: 0.035 m
	// 0.60 s: 0.162 m
	// 0.90 s: 0.278 m
}
