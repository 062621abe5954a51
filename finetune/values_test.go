package finetune

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/critic"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/policy"
	"arfm/policy/contract"
)

// TestFollow: what a chunk of four led to, in an episode that is whole and in
// one whose end is held out.
func TestFollow(t *testing.T) {
	for name, heldOut := range map[string]float64{"whole": 0, "cut": 0.25} {
		t.Run(name, func(t *testing.T) {
			eps := rewardedEpisodes(t, 0, 0)[:1] // eight frames
			frames := eps[0].Frames
			for k := range frames {
				frames[k].Reward = float64(k * k)
			}
			o := testOptions(t, 2)
			o.Objective, o.HeldOut, o.Model.Horizon = "awr-iql", heldOut, 4
			tr := newTrainer(t, o, newContract(t, false, true))
			if err := tr.begin(nil); err != nil {
				t.Fatal(err)
			}
			if err := tr.setUp(context.Background(), eps); err != nil {
				t.Fatal(err)
			}
			defer tr.step.Close()
			const gamma = 0.5
			follow := newTransitions(tr.data, gamma)
			n := 8
			if heldOut > 0 {
				n = 6
			}
			mean, std := spreadOf(tr.data.returns)
			z := func(k int) float64 { return (float64(k*k) - mean) / std }
			for k := range n {
				want, g, j := 0.0, 1.0, k
				last := n
				if heldOut > 0 {
					last = n - 1 // the last frame is valued itself
				}
				for ; j < min(k+4, last); j++ {
					want += g * (1 - gamma) * z(j)
					g *= gamma
				}
				expect := critic.Transition{Reward: float32(want), Next: j, Discount: float32(g)}
				if j == 8 {
					expect = critic.Transition{Reward: float32(want + g*z(7))}
				}
				got := follow.Follow(k)
				if got.Next != expect.Next || got.Discount != expect.Discount || math.Abs(float64(got.Reward-expect.Reward)) > 1e-5 {
					t.Errorf("chunk %d led to %+v, want %+v", k, got, expect)
				}
			}
		})
	}
}

// TestUnknownChunksAreNeutral: the critic learns from rewards alone, and says
// nothing of chunks that have none.
func TestUnknownChunksAreNeutral(t *testing.T) {
	eps := rewardedEpisodes(t, 0, 1, math.NaN(), math.NaN())
	o := testOptions(t, 2)
	o.Objective, o.HeldOut, o.Batch = "awr-iql", 0, 32
	ct := newContract(t, false, true)
	ct.Reward.Source = contract.RewardLabels
	tr := newTrainer(t, o, ct)
	if err := tr.begin(nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.setUp(context.Background(), eps); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	if known := newTransitions(tr.data, 0.9).Known(); len(known) != 16 || known[15] != 15 {
		t.Errorf("rewards are known of %v", known)
	}
	if _, err := tr.advance(); err != nil {
		t.Fatal(err)
	}
	told, silent := 0, 0
	for i, k := range tr.chunks {
		a := tr.step.Advantage[i]
		if k >= 16 && a != 0 {
			t.Errorf("chunk %d without reward has advantage %v", k, a)
		}
		if k < 16 && a != 0 {
			told++
		} else if k >= 16 {
			silent++
		}
	}
	if told == 0 || silent == 0 {
		t.Errorf("of %d chunks with and %d without reward: this shows nothing", told, silent)
	}
}

// TestCriticsAdvantagesAreReported: those that weighed the chunks, not those of
// the returns.
func TestCriticsAdvantagesAreReported(t *testing.T) {
	eps := rewardedEpisodes(t, 0, 1, math.NaN())
	o := testOptions(t, 3)
	o.Objective, o.HeldOut = "awr-iql", 0
	ct := newContract(t, false, true)
	ct.Reward.Source = contract.RewardLabels
	tr := newTrainer(t, o, ct)
	if err := errors.Join(tr.begin(nil), tr.setUp(t.Context(), eps)); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	if _, err := tr.advance(); err != nil {
		t.Fatal(err)
	}
	r := tr.result()
	for i, k := range tr.chunks {
		if got, want := r.Advantages[k], float64(tr.step.Advantage[i]); got != want {
			t.Errorf("chunk %d was weighed by advantage %v, and %v is reported", k, want, got)
		}
	}
	if len(r.Advantages) != 24 || r.Unweighted || slices.Equal(r.Advantages, tr.data.advantage) || slices.Max(r.Advantages[16:]) != 0 {
		t.Errorf("advantages %v, unweighted: %v", r.Advantages, r.Unweighted)
	}
}

// judged is an objective with a critic and no figures of its own, and described
// one that only has its returns described.
type (
	judged    struct{ objective.BC }
	described struct{ objective.BC }
)

func (judged) Needs() objective.Needs {
	o := critic.DefaultOptions()
	o.Width, o.Batch, o.WarmUp = 16, 8, 3
	return objective.Needs{Critic: &o}
}
func (described) Needs() objective.Needs { return objective.Needs{Returns: true} }

// TestNeedsStandAlone: each of the needs of an objective is met whatever else it
// is or is not.
func TestNeedsStandAlone(t *testing.T) {
	for _, obj := range []objective.Objective{judged{}, described{}} {
		o := testOptions(t, 2)
		o.HeldOut = 0
		tr := newTrainer(t, o, newContract(t, false, true))
		tr.obj = obj
		if err := errors.Join(tr.begin(nil), tr.setUp(t.Context(), rewardedEpisodes(t, 0, 1)), tr.learn(t.Context())); err != nil {
			t.Fatal(err)
		}
		defer tr.step.Close()
		line, err := tr.advance()
		if err != nil {
			t.Fatal(err)
		}
		needs := obj.Needs()
		if _, ok := line.Figures["q_loss"]; ok != (needs.Critic != nil) {
			t.Errorf("%T: figures %v", obj, line.Figures)
		}
		if m := tr.stats.Return; (m != nil) != needs.Returns || m != nil && m.Std != 0.5 {
			t.Errorf("%T: returns are described by %v", obj, m)
		}
	}
}

// TestThumb: mean colours of a grid, also of pictures smaller than it.
func TestThumb(t *testing.T) {
	im := policy.Image{Width: 16, Height: 8, Pix: make([]uint8, 3*16*8)}
	for i := range im.Pix {
		im.Pix[i] = 51
	}
	im.Pix[0], im.Pix[3] = 255, 0 // red of two pixels of the first cell
	dst := make([]float32, 3*thumbnail*thumbnail+1)
	if left := thumb(dst, &im); len(left) != 1 {
		t.Errorf("%d numbers are left", len(left))
	}
	near := func(got, want float32) bool { return math.Abs(float64(got-want)) < 1e-6 }
	if !near(dst[0], 0) || !near(dst[1], -0.6) || !near(dst[3*thumbnail*thumbnail-1], -0.6) {
		t.Errorf("%v", dst)
	}
	small := policy.Image{Width: 2, Height: 3, Pix: []uint8{255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 9, 9, 9}}
	thumb(dst, &small)
	if !near(dst[0], 1) || !near(dst[3*(thumbnail-1)+1], 1) {
		t.Errorf("of a small picture: %v", dst)
	}
}

// TestCriticIsBounded: the greatest rewards and learning rate leave the critic
// finite; an update of it that is not ends the run in one sentence.
func TestCriticIsBounded(t *testing.T) {
	o := testOptions(t, 3)
	o.Objective, o.Tuning = "awr-iql", objective.Options{"critic-width": "16", "critic-batch": "8", "critic-warm-up": "200", "critic-lr": "1"}
	c := newContract(t, true, true)
	eps := episodes(c, 9, 20)
	for i := range eps {
		eps[i].RewardSource = bags.RewardTopic
		for k := range eps[i].Frames {
			eps[i].Frames[k].Reward = 1e9 * float64(k%2)
		}
	}
	if _, err := Train(t.Context(), eps, c, o); err != nil {
		t.Errorf("large rewards and steps: %v", err)
	}
	tr := newTrainer(t, o, c)
	if err := errors.Join(tr.begin(nil), tr.setUp(t.Context(), eps)); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	tr.critic.Vectors()["params"][0] = float32(math.NaN())
	for name, update := range map[string]func() error{
		"before the first step": func() error { return tr.learn(t.Context()) },
		"in a step":             func() error { _, err := tr.advance(); return err },
	} {
		err := update()
		if !errors.Is(err, optim.ErrNotFinite) || !strings.Contains(err.Error(), "critic") || strings.Contains(err.Error(), "\n") {
			t.Errorf("a critic that is not finite %s gives %v", name, err)
		}
	}
}
