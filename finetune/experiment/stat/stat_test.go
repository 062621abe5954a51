package stat_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"arfm/finetune/experiment/stat"
)

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		low, high    float64
	}{
		{7, 10, 0.3967781, 0.8922087}, // R: prop.test(7, 10, correct=FALSE)
		{0, 20, 0, 0.1611252},         // z^2 / (n + z^2)
		{20, 20, 0.8388748, 1},
		{0, 0, 0, 1},
	} {
		low, high := stat.Wilson(c.successes, c.n)
		if math.Abs(low-c.low) > 1e-6 || math.Abs(high-c.high) > 1e-6 {
			t.Errorf("%d of %d: %g..%g", c.successes, c.n, low, high)
		}
	}
}

// ones returns n values of which k are 1.
func ones(k, n int) []float64 {
	x := make([]float64, n)
	for i := range k {
		x[i] = 1
	}
	return x
}

// TestBootstrap: the interval of a mean of many values is that of the normal
// distribution.
func TestBootstrap(t *testing.T) {
	got := stat.Bootstrap([][]float64{ones(120, 400)})
	half := 1.96 * math.Sqrt(0.3*0.7/400)
	if got.Mean != 0.3 || math.Abs(got.Low-(0.3-half)) > 0.005 || math.Abs(got.High-(0.3+half)) > 0.005 {
		t.Errorf("%+v, want 0.3 +- %.4f", got, half)
	}
	if again := stat.Bootstrap([][]float64{ones(120, 400)}); again != got {
		t.Errorf("%+v, then %+v", got, again)
	}
	if !got.Excludes(0) || got.Excludes(0.3) {
		t.Errorf("%+v excludes 0.3, or not 0", got)
	}
	same := stat.Bootstrap([][]float64{{2, 2}, {2, 2, 2}})
	if same != (stat.Interval{Mean: 2, Low: 2, High: 2}) {
		t.Errorf("of equal values: %+v", same)
	}
	if empty := stat.Bootstrap([][]float64{nil, {}}); !math.IsNaN(empty.Mean) || !math.IsNaN(empty.Low) {
		t.Errorf("of nothing: %+v", empty)
	}
}

// TestClusters: three seeds that differ widen the interval; that of two does
// not hold what differs between them.
func TestClusters(t *testing.T) {
	pooled := stat.Bootstrap([][]float64{append(append(ones(10, 100), ones(50, 100)...), ones(90, 100)...)})
	three := stat.Bootstrap([][]float64{ones(10, 100), ones(50, 100), ones(90, 100)})
	if three.Mean != pooled.Mean || three.High-three.Low < 3*(pooled.High-pooled.Low) {
		t.Errorf("three clusters give %+v, pooled %+v", three, pooled)
	}
	// Means of three draws from 0.1, 0.5, 0.9: 0.1 and 0.9 have a chance of
	// 1/27 each, so the bounds lie there.
	if three.Low > 0.17 || three.High < 0.83 {
		t.Errorf("three clusters give %+v", three)
	}
	two := stat.Bootstrap([][]float64{ones(10, 100), ones(90, 100)})
	if half := 1.96 * math.Sqrt(0.1*0.9/200); math.Abs(two.High-0.5-half) > 0.01 {
		t.Errorf("two clusters give %+v, want 0.5 +- %.3f", two, half)
	}
}

var trials = flag.Int("trials", 30, "simulations of TestCoverage for each deviation; 1000 give the figures of FewClusters")

// TestCoverage: how often the interval of three clusters holds the truth falls
// with what differs between them.
func TestCoverage(t *testing.T) {
	const n, rate = 250, 0.5
	rng := rand.New(rand.NewPCG(1, 2))
	last := 1.0
	var said []string
	for _, sd := range []float64{0, 0.05, 0.1, 0.2} {
		held := 0
		for range *trials {
			var clusters [][]float64
			for range stat.LeastClusters {
				p := min(1, max(0, rate+sd*rng.NormFloat64()))
				k := 0
				for range n {
					if rng.Float64() < p {
						k++
					}
				}
				clusters = append(clusters, ones(k, n))
			}
			if !stat.Bootstrap(clusters).Excludes(rate) {
				held++
			}
		}
		share := float64(held) / float64(*trials)
		if slack := 2 / math.Sqrt(float64(*trials)); share > last+slack || share < 0.7-slack {
			t.Errorf("a deviation of %g: %.2f, after %.2f", sd, share, last)
		}
		last = share
		said = append(said, fmt.Sprintf("%.0f", 100*share))
	}
	if got := strings.Join(said, ", "); *trials >= 1000 && !strings.Contains(stat.FewClusters, " in "+got+" %") {
		t.Errorf("in %s %% of cases, want what is said: %s", got, stat.FewClusters)
	}
}

func Example() {
	low, high := stat.Wilson(41, 50)
	fmt.Printf("%.0f %% (%.0f to %.0f %%)\n", 100*41.0/50, 100*low, 100*high)
	// Output: 82 % (69 to 90 %)
}
