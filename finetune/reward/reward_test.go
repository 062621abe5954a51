package reward

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"arfm/bags"
)

func episode(source string, outcome bags.Outcome, rewards ...float64) *bags.Episode {
	e := &bags.Episode{RewardSource: source, Outcome: outcome, Frames: make([]bags.Frame, len(rewards))}
	for i, r := range rewards {
		e.Frames[i].Reward = r
	}
	return e
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		e      *bags.Episode
		want   []float64
		source Source
	}{
		{episode("topic", bags.Failure, 1, 2, 3), []float64{1, 2, 3}, Topic},
		{episode("file", bags.Success, 0.5, 0), []float64{0.5, 0}, File},
		{episode("success", bags.Success, 0, 0, 0), []float64{0, 0, 1}, Success},
		{episode("success", bags.Failure, 0, 0), []float64{0, 0}, Success},
		{episode("", bags.Success, 0, 0), []float64{0, 1}, Success},
		{episode("", bags.Unknown, 7, 7), []float64{0, 0}, Nothing},
		{episode("success", bags.Success), []float64{}, Success},
	} {
		got, source, err := Of(c.e, LastFrame)
		if err != nil || source != c.source || !slices.Equal(got, c.want) {
			t.Errorf("%q, %v: rewards %v from %q (%v), want %v from %q", c.e.RewardSource, c.e.Outcome, got, source, err, c.want, c.source)
		}
	}
	for _, bad := range []*bags.Episode{episode("topic", bags.Unknown, math.NaN()), episode("file", bags.Unknown, -1e308), episode("oracle", bags.Unknown, 1)} {
		if _, _, err := Of(bad, LastFrame); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestPlacement(t *testing.T) {
	for outcome, want := range map[bags.Outcome][]float64{bags.Success: {1, 1, 1}, bags.Failure: {0, 0, 0}} {
		got, _, err := Of(episode("success", outcome, 0, 0, 0), EveryFrame)
		if err != nil || !slices.Equal(got, want) || !slices.Equal(ReturnToGo(got), want) {
			t.Errorf("%v: rewards %v, returns %v (%v), want %v", outcome, got, ReturnToGo(got), err, want)
		}
	}
	if _, _, err := Of(episode("success", bags.Success, 0), "first"); err == nil {
		t.Error("an unknown placement was accepted")
	}
}

func TestReturnToGo(t *testing.T) {
	r := []float64{1, -2, 0, 4, 0.5}
	for i, g := range ReturnToGo(r) {
		want := 0.0
		for _, x := range r[i:] {
			want += x
		}
		if want /= float64(len(r) - i); math.Abs(g-want) > 1e-12 {
			t.Errorf("G[%d] = %v, want %v", i, g, want)
		}
	}
	if g := ReturnToGo(nil); len(g) != 0 {
		t.Errorf("an empty episode has returns %v", g)
	}
}

func ExampleReturnToGo() {
	fmt.Println(ReturnToGo([]float64{0, 0, 0, 1}))
	// Output: [0.25 0.3333333333333333 0.5 1]
}
