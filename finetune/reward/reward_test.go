package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/policy/contract"
)

func episode(source string, outcome bags.Outcome, rewards ...float64) *bags.Episode {
	e := &bags.Episode{RewardSource: source, Outcome: outcome, Frames: make([]bags.Frame, len(rewards))}
	for i, r := range rewards {
		f := &e.Frames[i]
		f.Reward, f.Stamp = r, int64(i+1)*50e6
		f.State, f.Action = []float32{float32(i), 0, 0}, []float32{0, 0}
	}
	return e
}

// all is the whole of an episode.
func all(e *bags.Episode) Part { return Part{e, 0, len(e.Frames)} }

func rater(t testing.TB, reward string, success Placement) *Rater {
	t.Helper()
	r, err := NewRater(newContract(t, "", reward), success)
	if err != nil {
		t.Fatal(err)
	}
	return r
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
		got, err := rater(t, "{source: labels}", LastFrame).Of(t.Context(), all(c.e))
		if err != nil || got.Source != c.source || !slices.Equal(got.Values, c.want) {
			t.Errorf("%q, %v: rewards %v from %q (%v), want %v from %q", c.e.RewardSource, c.e.Outcome, got.Values, got.Source, err, c.want, c.source)
		}
	}
	huge := episode("", bags.Unknown, 0, 0)
	huge.Frames[1].State[0] = 1e20 // squared it is too much
	for _, bad := range []*bags.Episode{episode("topic", bags.Unknown, math.NaN()), episode("file", bags.Unknown, -1e308), episode("oracle", bags.Unknown, 1), huge} {
		if _, err := rater(t, "{}", LastFrame).Of(t.Context(), all(bad)); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// TestFirstSourceWins: topic, file, outcome, dense terms, in this order; labels
// leaves out the last and terms all others.
func TestFirstSourceWins(t *testing.T) {
	for _, c := range []struct {
		source               string
		outcome              bags.Outcome
		first, labels, terms Source
	}{
		{"topic", bags.Success, Topic, Topic, Dense},
		{"file", bags.Success, File, File, Dense},
		{"success", bags.Failure, Success, Success, Dense},
		{"", bags.Unknown, Dense, Nothing, Dense},
	} {
		for reward, want := range map[string]Source{"{}": c.first, "{source: labels}": c.labels, "{source: terms}": c.terms} {
			got, err := rater(t, reward, EveryFrame).Of(t.Context(), all(episode(c.source, c.outcome, 1, 2, 3)))
			if err != nil || got.Source != want {
				t.Errorf("%q with %s: rewards from %q (%v), want %q", c.source, reward, got.Source, err, want)
			}
		}
	}
}

func TestPlacement(t *testing.T) {
	for outcome, want := range map[bags.Outcome][]float64{bags.Success: {1, 1, 1}, bags.Failure: {0, 0, 0}} {
		got, err := rater(t, "{}", EveryFrame).Of(t.Context(), all(episode("success", outcome, 0, 0, 0)))
		if err != nil || !slices.Equal(got.Values, want) || !slices.Equal(ReturnToGo(got.Values), want) {
			t.Errorf("%v: rewards %v (%v), want %v", outcome, got.Values, err, want)
		}
	}
	cut, err := rater(t, "{}", LastFrame).Of(t.Context(), Part{episode("success", bags.Success, 0, 0, 0), 0, 2})
	if err != nil || !slices.Equal(cut.Values, []float64{0, 0}) {
		t.Errorf("a part without the end has rewards %v (%v)", cut.Values, err)
	}
	if _, err := NewRater(newContract(t, "", "{}"), "first"); err == nil {
		t.Error("an unknown placement was accepted")
	}
}

// TestAll: parts keep their order whatever the number of goroutines, the first
// bad one is named, and an end of the context ends the work.
func TestAll(t *testing.T) {
	r := rater(t, "{}", EveryFrame)
	var parts []Part
	for i := range 20 {
		parts = append(parts, all(episode([]string{"topic", ""}[i%2], bags.Unknown, float64(i), 1, 2)))
	}
	var calls int64
	want, err := r.All(t.Context(), parts, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.All(t.Context(), parts, 5, func(done, total int64) {
		if calls++; done != calls || total != 20 {
			t.Errorf("progress %d of %d at call %d", done, total, calls)
		}
	})
	if err != nil || calls != 20 || !reflect.DeepEqual(got, want) {
		t.Errorf("five goroutines differ from one (%v) after %d calls", err, calls)
	}
	parts[7].Episode.Frames[1].State[0] = float32(math.NaN())
	parts[9].Episode.Frames[1].State[0] = float32(math.NaN())
	parts[7].Episode.Index = 7
	if _, err := r.All(t.Context(), parts, 3, nil); err == nil || !strings.Contains(err.Error(), "episode 7") {
		t.Errorf("a NaN gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.All(ctx, parts[:4], 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
}

func TestSummary(t *testing.T) {
	r := rater(t, "{terms: {progress: 2, joint_velocity: 0.5, scene_orb: 1, completion: 1}}", EveryFrame)
	rewards, err := r.All(t.Context(), []Part{
		all(episode("topic", bags.Unknown, 1, 3)), all(episode("", bags.Unknown, 0, 0)), all(episode("", bags.Unknown, 0, 0, 0)),
	}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := Summarize(rewards)
	if s.Parts[Topic] != 1 || s.Parts[Dense] != 2 || len(s.Terms) != 3 || len(s.LeftOut) != 2 {
		t.Fatalf("%+v", s)
	}
	// progress is 0, 1 and 0, 0, 1; the velocity 1 in all but the first.
	progress, velocity, topic := s.Terms[0], s.Terms[1], s.Terms[2]
	want := TermStats{contract.WeightedTerm{Name: "progress", Weight: 2}, Dense, 5, 0.4, math.Sqrt(0.24), 0, 1, 4. / 5.5}
	for _, v := range [][2]float64{{progress.Mean, want.Mean}, {progress.Std, want.Std}, {progress.Share, want.Share}, {velocity.Min, -1}, {velocity.Mean, -0.6}, {velocity.Share, 1.5 / 5.5}, {topic.Mean, 2}, {topic.Share, 1}} {
		if math.Abs(v[0]-v[1]) > 1e-9 {
			t.Errorf("%v instead of %v in %+v", v[0], v[1], s.Terms)
		}
	}
	progress.Mean, progress.Std, progress.Share = want.Mean, want.Std, want.Share
	if progress != want {
		t.Errorf("%+v, want %+v", progress, want)
	}
	if m := s.Missing(); m != "scene_orb (the contract has no scene camera in 2 episodes); completion (the episode's outcome is not known in 2 episodes)" {
		t.Errorf("left out: %q", m)
	}
	if text := s.String(); !strings.Contains(text, "rewards: dense in 2 episodes, topic in 1 episodes\n") || !strings.Contains(text, "progress") {
		t.Errorf("the table is\n%s", text)
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
	fmt.Println(ReturnToGo([]float64{1, 0, 0, 0}))
	// Output: [0.25 0 0 0]
}

// TestReturnToGoOfEqualRewards: no rounding tells one frame from another.
func TestReturnToGoOfEqualRewards(t *testing.T) {
	for _, r := range []float64{0.1, 0.1 / 13, -1e9 / 3, 0} {
		for i, g := range ReturnToGo(slices.Repeat([]float64{r}, 997)) {
			if g != r {
				t.Fatalf("frame %d: %v from rewards of %v", i, g, r)
			}
		}
	}
}
