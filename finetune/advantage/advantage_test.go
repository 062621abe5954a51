package advantage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func of(tasks ...string) []Origin {
	from := make([]Origin, len(tasks))
	for i, task := range tasks {
		from[i].Task = task
	}
	return from
}

// TestGroups: what is compared with what.
func TestGroups(t *testing.T) {
	from := []Origin{{"a", "x"}, {"b", "x"}, {"a", "y"}, {"b", "y"}}
	returns := []float64{0, 1, 4, 9}
	for by, want := range map[GroupBy][]float64{
		ByTask: {-4, -8, 4, 8}, "": {-4, -8, 4, 8}, BySuite: {-1, 1, -5, 5}, All: {-14. / 3, -10. / 3, 2. / 3, 22. / 3},
	} {
		adv, err := Compute(returns, from, Options{GroupBy: by})
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(adv[i]-want[i]) > 1e-12 {
				t.Errorf("by %q: advantages %v, want %v", by, adv, want)
				break
			}
		}
	}
	if _, err := Compute(returns, from, Options{GroupBy: "bag"}); err == nil {
		t.Error("an unknown group was accepted")
	}
}

func TestLeaveOneOutIsTheDifferenceToTheOthers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	returns, tasks := make([]float64, 50), make([]string, 50)
	for i := range returns {
		returns[i] = rng.NormFloat64()
		tasks[i] = string(rune('a' + i%3))
	}
	tasks[49] = "alone"
	adv, err := Compute(returns, of(tasks...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range returns {
		sum, n := 0.0, 0.0
		for j := range returns {
			if j != k && tasks[j] == tasks[k] {
				sum, n = sum+returns[j], n+1
			}
		}
		want := 0.0
		if n > 0 {
			want = returns[k] - sum/n
		}
		if math.Abs(adv[k]-want) > 1e-12 {
			t.Errorf("advantage %d is %v, want %v", k, adv[k], want)
		}
	}
	if adv[49] != 0 {
		t.Errorf("a group of one has advantage %v", adv[49])
	}
}

func TestConstantsAndEqualReturns(t *testing.T) {
	returns := []float64{0.1, 0.1, 0.1, 3, 1, 2}
	tasks := []string{"x", "x", "x", "y", "y", "y"}
	adv, err := Compute(returns, of(tasks...), Options{Standardize: ZScore})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range adv[:3] {
		if a != 0 {
			t.Errorf("equal returns have advantage %v", a)
		}
	}
	sum := 0.0
	for _, a := range adv[3:] {
		sum += a * a
	}
	if math.Abs(sum/3-1) > 1e-12 {
		t.Errorf("z-scored variance is %v", sum/3)
	}
	shifted := make([]float64, len(returns))
	for i, g := range returns {
		shifted[i] = g + 1024
	}
	other, err := Compute(shifted, of(tasks...), Options{Standardize: ZScore})
	if err != nil {
		t.Fatal(err)
	}
	for i := range adv {
		if math.Abs(adv[i]-other[i]) > 1e-11 {
			t.Errorf("adding 1024 to the returns moves advantage %d from %v to %v", i, adv[i], other[i])
		}
	}
}

func TestComputeRefuses(t *testing.T) {
	one, task := []float64{1}, of("a")
	for name, f := range map[string]func() error{
		"lengths":     func() error { _, err := Compute(one, nil, Options{}); return err },
		"group":       func() error { _, err := Compute(one, task, Options{GroupBy: "bag"}); return err },
		"standardize": func() error { _, err := Compute(one, task, Options{Standardize: "rank"}); return err },
		"NaN":         func() error { _, err := Compute([]float64{math.NaN()}, task, Options{}); return err },
	} {
		if f() == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}

func TestGroupByAll(t *testing.T) {
	adv, err := Compute([]float64{0, 1}, of("a", "b"), Options{GroupBy: All})
	if err != nil || adv[0] != -1 || adv[1] != 1 {
		t.Errorf("advantages over all tasks are %v, %v; want [-1 1]", adv, err)
	}
}

func ExampleCompute() {
	returns := []float64{0.25, 0.75, 0.625, 0.9}
	from := []Origin{{Task: "pick"}, {Task: "pick"}, {Task: "pick"}, {Task: "place"}}
	adv, _ := Compute(returns, from, Options{})
	fmt.Printf("%.4f\n", adv)
	// Output: [-0.4375 0.3125 0.1250 0.0000]
}

// TestEqualButForRounding: what only rounding tells apart is not ranked, and not
// brought to unit deviation.
func TestEqualButForRounding(t *testing.T) {
	var returns []float64
	var from []Origin
	for k := 1; k <= 85; k++ {
		sum := 0.0
		for range k {
			sum += 0.1
		}
		returns, from = append(returns, sum/float64(k)), append(from, Origin{Task: "a"})
	}
	if slices.Min(returns) == slices.Max(returns) {
		t.Fatal("rounding tells nothing apart here")
	}
	for _, s := range []Standardize{None, ZScore} {
		adv, err := Compute(returns, from, Options{Standardize: s})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Min(adv) != 0 || slices.Max(adv) != 0 {
			t.Errorf("%s: advantages from %v to %v", s, slices.Min(adv), slices.Max(adv))
		}
	}
}
