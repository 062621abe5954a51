package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/reward"
	"arfm/launch"
	"arfm/nodes/demonstration"
	"arfm/nodes/sim"
	"arfm/policy/contract"
)

// rewarding is a contract's reward and episode parts, and what training is to
// find by them.
type rewarding struct {
	source          reward.Source
	reward, episode string
	terms           string
}

// TestFineTuneOnEachSource fine-tunes a policy with arfm from the reward topic,
// from nothing but a success flag, and from dense terms, each on the same bags
// through the command line.
func TestFineTuneOnEachSource(t *testing.T) {
	f := record(t)
	bc := f.path("bc")
	must(t, "train", "-c", f.contract, "--bags", f.bag, "--objective", "bc", "--preset", "nano", "--steps", "1", "--batch", "4", "--held-out", "0", "--out", bc)
	yaml := mustRead(t, f.contract)
	const topic = "reward: {topic: /arfm/reward, type: arfm/msg/Reward}"
	const events = "episode: {topic: /arfm/episode, type: arfm/msg/EpisodeEvent}"
	if !strings.Contains(yaml, topic) || !strings.Contains(yaml, events) {
		t.Fatal("the contract names other topics")
	}
	for _, c := range []rewarding{
		{reward.Topic, topic, events, "topic"},
		{reward.Success, "reward: {file: none.csv}", events, "success"},
		{reward.Dense, "reward: {terms: {scene_ssim: 0.5, gripper_ssim: 0.5, joint_mse: 1, progress: 1, completion: 1}}", "", "scene_ssim joint_mse progress"},
		{reward.Dense, "reward: {source: terms}", events, "scene_mse scene_ssim scene_orb joint_mse progress joint_velocity joint_acceleration action_rate action_smoothness completion"},
	} {
		t.Run(c.reward, func(t *testing.T) {
			path := f.write(t, "source.yaml", strings.Replace(strings.Replace(yaml, topic, c.reward, 1), events, c.episode, 1))
			c.check(t, path, f.bag, filepath.Join(bc, "policy-00000001.safetensors"))
		})
	}
}

// check finds the same rewards in the result, in the log and in what arfm bag
// rewards shows.
func (c rewarding) check(t *testing.T, path, bag, init string) {
	out := t.TempDir()
	text := must(t, "train", "--init", init, "--bags", bag, "-c", path, "--objective", "arfm", "--steps", "3", "--batch", "4", "--held-out", "0", "--out", out, "--json")
	var result struct {
		Unweighted bool
		Rewards    map[reward.Source]int
		Terms      []reward.TermStats `json:"reward_terms"`
		LeftOut    []reward.LeftOut   `json:"reward_terms_left_out"`
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatal(err)
	}
	var names []string
	frames, share := 0, 0.0
	for _, s := range result.Terms {
		names, frames, share = append(names, s.Name), s.Frames, share+s.Share
	}
	if result.Unweighted || len(result.Rewards) != 1 || result.Rewards[c.source] == 0 || strings.Join(names, " ") != c.terms || frames < 50 || share < 0.999 || share > 1.001 {
		t.Errorf("the result is %s", text)
	}
	if missing := len(result.LeftOut) > 0; missing != (c.source == reward.Dense) {
		t.Errorf("left out are %v", result.LeftOut)
	}
	first, _, _ := strings.Cut(mustRead(t, filepath.Join(out, "train.jsonl")), "\n")
	var line struct {
		Step    *int64
		Rewards *reward.Summary
	}
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Step == nil || *line.Step != 0 || line.Rewards == nil || !slices.Equal(line.Rewards.Terms, result.Terms) {
		t.Errorf("the log begins with %s (%v)", first, err)
	}
	var shown reward.Summary
	if err := json.Unmarshal([]byte(must(t, "bag", "rewards", "-c", path, bag, "--json")), &shown); err != nil || shown.Parts[c.source] != result.Rewards[c.source] || !slices.Equal(shown.Terms, result.Terms) {
		t.Errorf("arfm bag rewards shows %+v (%v)", shown, err)
	}
}

func TestBagRewards(t *testing.T) {
	f := record(t)
	text := must(t, "bag", "rewards", "-c", f.contract, f.bag)
	if !strings.Contains(text, "rewards: topic in 4 episodes") || !strings.Contains(text, "SHARE") || !strings.Contains(text, "success") {
		t.Errorf("the table is %s", text)
	}
	path := f.write(t, "terms.yaml", strings.Replace(mustRead(t, f.contract), "reward: {", "reward: {source: terms, ", 1))
	text = must(t, "bag", "rewards", "-c", path, f.bag)
	for _, want := range []string{"dense in 4 episodes", contract.TermSceneORB, contract.TermCompletion, "left out: gripper_mse"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	sidecar := bags.SidecarPath(f.bag, "")
	if err := os.WriteFile(sidecar, []byte("stamp_ns,reward,event,task\n5,1,,\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, errs := arfm("bag", "rewards", "-c", f.contract, f.bag); strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "note: none of the 1 rewards in "+sidecar) {
		t.Errorf("of a sidecar on another clock it says %q", errs)
	}
	if err := os.Remove(sidecar); err != nil {
		t.Fatal(err)
	}
	bad := f.write(t, "bad.yaml", strings.Replace(mustRead(t, f.contract), "reward: {", "reward: {terms: {scene_psnr: 1}, ", 1))
	f.refused(t, f.path("out"), exitFailed, []string{"bad.yaml", "scene_psnr", "scene_ssim"}, "bag", "rewards", "-c", bad, f.bag)
	f.refused(t, f.path("out"), exitUsage, []string{"--contract"}, "bag", "rewards", f.bag)
	f.refused(t, f.path("out"), exitUsage, []string{"bag"}, "bag", "rewards", "-c", f.contract)
	if _, err := os.Stat(f.path("out")); err == nil {
		t.Error("a folder was left behind")
	}
}

// TestSubGoalsOfTheSimulatedArm: picking and placing has the sub-goals grasp,
// release and end, each where the fingers say so; sloppy demonstrations have
// their pauses as well, and noise on the joints changes none.
func TestSubGoalsOfTheSimulatedArm(t *testing.T) {
	if !sim.Available {
		t.Skip("this build has no MuJoCo: build with -tags mujoco")
	}
	yaml, err := launch.Contracts.ReadFile("contracts/sim_state.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	in := c.RewardInputs()
	for _, quality := range []string{"expert", "sloppy"} {
		var r demonstration.Recorded
		text := must(t, "sim", "record", "-s", "object", "-q", quality, "-n", "5", "--no-images", "--seed", "3", "--out", t.TempDir(), "--json")
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.Episodes != 5 {
			t.Fatalf("%v: %+v", err, r)
		}
		episodes, _, err := bags.ReadEpisodes(t.Context(), r.Bags[0], c, bags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for _, e := range episodes {
			goals := reward.SubGoals(e.Frames, in)
			finger := func(k int) float32 { return e.Frames[goals[k]].State[in.GripperState] }
			last, closed := len(goals)-1, 0
			for k := range goals {
				if finger(k) < 0.03 { // 0.04 m is open
					closed++
				}
			}
			if goals[last] != len(e.Frames)-1 || len(goals) < 3 || closed == 0 || finger(last-1) < 0.035 || quality == "expert" && (len(goals) != 3 || finger(0) > 0.03) || len(goals) > 7 {
				t.Errorf("%s, %q, %d frames: sub-goals at %v, closed at %d", quality, e.Task, len(e.Frames), goals, closed)
			}
			for i := range e.Frames {
				for _, j := range in.Joints {
					if j != in.GripperState {
						e.Frames[i].State[j] += float32(0.001 * rng.NormFloat64())
					}
				}
			}
			noisy := reward.SubGoals(e.Frames, in)
			if quality == "expert" && !slices.Equal(noisy, goals) {
				t.Errorf("%q: sub-goals at %v, with noise at %v", e.Task, goals, noisy)
			}
		}
	}
}
