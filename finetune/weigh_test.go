package finetune

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/finetune/reward"
	"arfm/policy/contract"
)

// weighed returns the advantage of the first training chunk of each episode.
func weighed(t *testing.T, eps []bags.Episode, o Options, source string) []float64 {
	t.Helper()
	c := newContract(t, false, true)
	c.Reward.Source = source
	d, err := newDataset(eps, c, o.HeldOut, 1)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrainer(t, o, c)
	tr.data = d
	if err := tr.weigh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(d.advantage) != len(d.train.chunks) {
		t.Fatalf("%d advantages for %d chunks", len(d.advantage), len(d.train.chunks))
	}
	first := make([]float64, len(eps))
	for k := len(d.advantage) - 1; k >= 0; k-- {
		first[d.train.spans[d.train.chunks[k].span].episode] = d.advantage[k]
	}
	return first
}

// rewardedEpisodes are of one task; the reward of every frame of episode i is
// rewards[i], from the topic, and NaN leaves it without any.
func rewardedEpisodes(t *testing.T, rewards ...float64) []bags.Episode {
	eps := episodes(newContract(t, false, true), len(rewards), 8)
	for i := range eps {
		e := &eps[i]
		e.Task, e.Outcome, e.RewardSource = "reach", bags.Unknown, bags.RewardTopic
		if math.IsNaN(rewards[i]) {
			e.RewardSource = bags.RewardNone
			continue
		}
		for k := range e.Frames {
			e.Frames[k].Reward = rewards[i]
		}
	}
	return eps
}

// TestSourcesAreNotCompared: an episode without rewards is average, and moves
// no one's mean; nor does a success flag stand beside topic rewards.
func TestSourcesAreNotCompared(t *testing.T) {
	for _, by := range []advantage.GroupBy{advantage.ByTask, advantage.All} {
		eps := rewardedEpisodes(t, -0.5, math.NaN(), -0.4, -0.3, math.NaN(), math.NaN())
		eps[4].RewardSource, eps[4].Outcome = bags.RewardSuccess, bags.Success
		eps[5].RewardSource, eps[5].Outcome = bags.RewardSuccess, bags.Failure
		o := testOptions(t, 2)
		o.HeldOut, o.Advantage = 0, advantage.Options{GroupBy: by}
		got := weighed(t, eps, o, contract.RewardLabels)
		for i, sign := range []float64{-0.1, 0, 0, 0.1, 0.5, -0.5} {
			// 24 chunks of the topic, 16 of the flag
			k := map[bool]float64{true: 24. / 23, false: 16. / 15}[i < 4]
			if math.Abs(got[i]-sign*k) > 1e-12 {
				t.Errorf("by %s: episode %d has advantage %v, want %v", by, i, got[i], sign*k)
			}
		}
	}
}

// TestReturnsAreToldByKind: the policy is told how good a return is among those of
// its kind, whatever the unit of others, and the head learns from no chunk without.
// Training that goes on from there measures each kind as before.
func TestReturnsAreToldByKind(t *testing.T) {
	eps := rewardedEpisodes(t, -500, math.NaN(), 700, math.NaN(), math.NaN())
	for i, outcome := range []bags.Outcome{bags.Success, bags.Failure} {
		eps[3+i].RewardSource, eps[3+i].Outcome = bags.RewardSuccess, outcome
	}
	c := newContract(t, false, true)
	c.Reward.Source = contract.RewardLabels
	o := testOptions(t, 2)
	o.Objective, o.HeldOut, o.Batch = "reinbot", 0, 40 // every chunk
	tr := newTrainer(t, o, c)
	if err := errors.Join(tr.begin(nil), tr.setUp(t.Context(), eps)); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	line, err := tr.advance()
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range tr.chunks {
		want, known := []float32{-1, 0, 1, 1, -1}[k/8], []float32{1, 0, 1, 1, 1}[k/8]
		if tr.step.Told[i] != want || tr.step.Known[i] != known {
			t.Errorf("of chunk %d, of episode %d, the policy is told %v, known %v; want %v, %v", k, k/8, tr.step.Told[i], tr.step.Known[i], want, known)
		}
	}
	if below := line.Figures["below_prediction"]; below != 0.5 {
		t.Errorf("of the chunks with a reward %v lie below the prediction of a new head", below)
	}
	first, err := Train(t.Context(), eps, c, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Out, o.Init = t.TempDir(), first.Checkpoint
	second, err := Train(t.Context(), eps[2:4], c, o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := load(t, first.Checkpoint).Stats, load(t, second.Checkpoint).Stats
	topic, flag := a.Returns[string(reward.Topic)], a.Returns[string(reward.Success)]
	off := math.Abs(topic.Mean-100) + math.Abs(topic.Std-600) + math.Abs(flag.Mean-0.5) + math.Abs(flag.Std-0.5)
	if a.Return != nil || off > 1e-9 || !maps.Equal(a.Returns, b.Returns) {
		t.Errorf("returns are described by %v and %v, then by %v", a.Return, a.Returns, b.Returns)
	}
}

func TestSuiteOf(t *testing.T) {
	for bag, want := range map[string]string{
		"rec/object_expert_003": "object", "rec/spatial_left_failing_012": "spatial_left", "rec/monday/bag_1": "monday", "rec/object_expert": "rec",
	} {
		if got := suiteOf(bag); got != want {
			t.Errorf("%s is of suite %q, want %q", bag, got, want)
		}
	}
}

func TestMixedSourcesAreTold(t *testing.T) {
	r := Result{Rewards: map[reward.Source]int{reward.Topic: 3, reward.Nothing: 1}}
	if s := r.String(); !strings.Contains(s, "none in 1 episodes, topic in 3 episodes\nrewards come from several sources") {
		t.Errorf("mixed sources read %q", s)
	}
	r.Rewards = map[reward.Source]int{reward.Topic: 3}
	if s := r.String(); strings.Contains(s, "several") {
		t.Errorf("one source reads %q", s)
	}
}

// TestHeldOutRewardsDoNotLeak: in a split by time the rewards of the held-out
// end change no advantage, nor do its frames where rewards come from them.
func TestHeldOutRewardsDoNotLeak(t *testing.T) {
	for _, source := range []string{contract.RewardLabels, contract.RewardTerms} {
		o := testOptions(t, 2)
		o.HeldOut = 0.25
		eps := rewardedEpisodes(t, 1, 3)
		eps[1].Task = "lift" // no whole episode can leave
		o.Advantage.GroupBy = advantage.All
		want := weighed(t, eps, o, source)
		for i := range eps {
			for k := range eps[i].Frames[6:] {
				f := &eps[i].Frames[6+k]
				f.Reward = 100 * float64(1+i)
				f.State[0]++
				f.Action[1]++
			}
		}
		got := weighed(t, eps, o, source)
		for i := range want {
			if got[i] != want[i] || want[i] == 0 {
				t.Errorf("source %q: episode %d has advantage %v, and %v with other held-out frames", source, i, want[i], got[i])
			}
		}
	}
}

// TestDenseRewardsWeighEpisodes: with all else equal the episodes that move less
// abruptly and succeed have the higher advantage; those whose outcome is not
// known are not compared with those of which it is.
func TestDenseRewardsWeighEpisodes(t *testing.T) {
	eps := rewardedEpisodes(t, 5, -5, 5, -5, 5, -5)
	for i := range eps {
		e := &eps[i]
		e.Outcome = []bags.Outcome{bags.Success, bags.Failure, bags.Success, bags.Success, bags.Unknown, bags.Unknown}[i]
		for k := range e.Frames {
			x := 0.1 * float32(k)
			if i%2 == 1 && k%2 == 1 {
				x += 0.3
			}
			if i < 2 {
				x = 0
			}
			e.Frames[k].State, e.Frames[k].Action = []float32{x, 0}, []float32{x, 0}
		}
	}
	o := testOptions(t, 2)
	o.HeldOut = 0
	got := weighed(t, eps, o, contract.RewardTerms)
	if !(got[0] > got[1] && got[2] > got[3] && got[4] > got[5]) {
		t.Errorf("advantages are %v", got)
	}
	many := o
	many.Workers = 7
	if again := weighed(t, eps, many, contract.RewardTerms); !slices.Equal(got, again) {
		t.Errorf("seven goroutines give %v, two %v", again, got)
	}
	for k := range eps[0].Frames {
		eps[0].Frames[k].State[0] = float32(k % 2)
	}
	if other := weighed(t, eps, o, contract.RewardTerms); other[0] == got[0] || !slices.Equal(other[4:], got[4:]) {
		t.Errorf("with another episode of known outcome advantages are %v, before %v", other, got)
	}
}

// TestBadWeightsAreFoundUpFront: Validate needs no episode.
func TestBadWeightsAreFoundUpFront(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"standardize": func(o *Options) { o.Advantage.Standardize = "loud" },
		"group":       func(o *Options) { o.Advantage.GroupBy = "bag" },
		"scale":       func(o *Options) { o.Tuning = objective.Options{"scale": "loud"} },
		"lambda":      func(o *Options) { o.Tuning = objective.Options{"lambda": "-1"} },
		"beta":        func(o *Options) { o.Objective, o.Tuning = "rwr", objective.Options{"beta": "NaN"} },
		"tau":         func(o *Options) { o.Tau = "normal" },
	} {
		o := testOptions(t, 2)
		change(&o)
		if err := o.Validate(); !errors.Is(err, ErrOptions) {
			t.Errorf("a bad %s gives %v", name, err)
		}
	}
	o := testOptions(t, 2)
	o.Objective, o.Tuning = "bc", objective.Options{"scale": "", "beta": "-1"} // which bc does not read
	if err := o.Validate(); err != nil {
		t.Errorf("bc is refused for settings of others: %v", err)
	}
	if _, err := Train(context.Background(), nil, newContract(t, false, true), o); !errors.Is(err, ErrData) {
		t.Errorf("no episodes give %v", err)
	}
}
