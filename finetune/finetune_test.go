package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/objective"
	"arfm/finetune/reward"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
)

// raceDetector is true in a build with -race, in which training takes ten times
// as long.
var raceDetector bool

func train(t *testing.T, o Options) *Result {
	t.Helper()
	c := newContract(t, true, true)
	r, err := Train(context.Background(), episodes(c, 9, 20), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sum(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// logged returns the steps and the held-out evaluations in a log.
func logged(t *testing.T, dir string) (steps []int64, evaluations int) {
	t.Helper()
	log, err := ReadLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if log.Rewards == nil || len(log.Rewards.Parts) == 0 {
		t.Errorf("rewards are logged as %v", log.Rewards)
	}
	for _, l := range log.Lines {
		if !(l.Loss > 0 && l.ESS > 0 && l.WeightMax >= l.WeightMin && l.GradNorm > 0 && l.LearningRate > 0) {
			t.Errorf("log line %+v lacks figures", l)
		}
		steps = append(steps, l.Step)
	}
	return steps, len(log.HeldOut)
}

func TestTrainingBeatsTheBaselines(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("trains a network for about 2 s; run without -short and without -race")
	}
	o := testOptions(t, 1500)
	o.SaveEvery, o.EvalEvery, o.Objective, o.Optim.EMA = 500, 500, "bc", 0.99
	var first *HeldOut
	o.Progress = func(p Progress) {
		if p.HeldOut != nil && first == nil {
			first = p.HeldOut
		}
	}
	c := newContract(t, false, true)
	eps := slices.DeleteFunc(episodes(c, 18, 30), func(e bags.Episode) bool { return e.Outcome == bags.Failure })
	o.Model.D, o.Batch = 32, 16
	r, err := Train(context.Background(), eps, c, o)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Evaluation
	t.Logf("\n%s", r)
	if e == nil || first == nil || !(e.Loss < first.Loss) {
		t.Fatalf("held-out loss does not fall: %+v, then %+v", first, e)
	}
	for _, p := range []ChunkError{e.Policy, e.ZeroNoise} {
		if p.Normalised > 0.7*e.MeanAction.Normalised || p.Normalised > 0.7*e.HoldLast.Normalised {
			t.Errorf("the policy's chunk error %.3f is no better than mean action %.3f and hold last %.3f", p.Normalised, e.MeanAction.Normalised, e.HoldLast.Normalised)
		}
	}
	ck, err := checkpoint.Load(r.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := ck.Verify(); err != nil {
		t.Error(err)
	}
	if ck.Objective != "bc" || ck.Step != 1500 || ck.Hash != r.Hash {
		t.Errorf("the checkpoint is of objective %q, step %d, hash %s", ck.Objective, ck.Step, ck.Hash)
	}
}

// TestPrefersSuccess trains on demonstrations of which a third reach for the
// wrong goal, and looks at held-out ones that succeed: there every objective
// that reads rewards does better than bc.
func TestPrefersSuccess(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("trains a network with each objective, 10 s and more; run without -short and without -race")
	}
	const steps = 1000
	c := newContract(t, false, true)
	all := episodes(c, 36, 25)
	loss := map[string]float64{}
	for _, name := range objective.Names() {
		o := testOptions(t, steps)
		o.Objective, o.Batch, o.Model.D, o.EvalChunks, o.Optim.EMA = name, 32, 32, 400, 0.99
		o.Tuning = objective.Options{"critic-width": "64", "critic-batch": "128"} // of awr-iql
		tr := newTrainer(t, o, c)
		if err := errors.Join(tr.begin(nil), tr.setUp(context.Background(), all), tr.learn(context.Background())); err != nil {
			t.Fatal(err)
		}
		ess, alpha, figures := 0.0, 0.0, map[string]float64(nil)
		for range steps {
			line, err := tr.advance()
			if err != nil {
				t.Fatal(err)
			}
			ess, alpha, figures = ess+line.ESS/steps, alpha+line.Alpha/steps, line.Figures
		}
		var good part
		for _, s := range tr.data.heldOut.spans {
			if all[s.episode].Outcome == bags.Success {
				good.add(s)
			}
		}
		tr.data.heldOut = good
		h, err := newEvaluator(tr.data, tr.model, &o, tr.tau).run(tr.adam.Weights(tr.model.Params.Data), steps)
		if err != nil {
			t.Fatal(err)
		}
		loss[name] = h.Loss
		toldBadly(t, tr, h.Loss)
		t.Logf("%s: alpha %.2f, effective sample size %.1f of 32, loss %.4f, chunk error %.4f %v", name, alpha, ess, h.Loss, h.Policy.Normalised, figures)
		if err := tr.step.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range loss {
		if name != "bc" && l > 0.8*loss["bc"] {
			t.Errorf("held-out successes have loss %.4f under %s and %.4f under bc", l, name, loss["bc"])
		}
	}
}

// toldBadly holds the loss on successes, of a policy that asks as it does where
// it runs, against that of the same policy told to do badly.
func toldBadly(t *testing.T, tr *trainer, asked float64) {
	t.Helper()
	tell := tr.model.Config.Condition
	if tell == nil {
		return
	}
	e := newEvaluator(tr.data, tr.model, &tr.o, tr.tau)
	for range e.b.in.B {
		if tell.Predicted {
			e.b.in.Told = append(e.b.in.Told, -1.4) // deviations: the return of failures
			continue
		}
		e.b.in.Told = append(e.b.in.Told, 1-tell.Ask[0], 1-tell.Ask[1])
	}
	h, err := e.run(tr.adam.Weights(tr.model.Params.Data), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("told to do badly: loss %.4f, chunk error %.4f", h.Loss, h.Policy.Normalised)
	if h.Loss < 3*asked {
		t.Errorf("%s: held-out successes have loss %.4f, and %.4f where the policy is told to do badly", tr.obj.Name(), asked, h.Loss)
	}
}

// TestStepEqualsTheNetwork compares the trainer's compiled step with the
// network called directly.
func TestStepEqualsTheNetwork(t *testing.T) {
	o := testOptions(t, 10)
	c := newContract(t, true, true)
	tr := newTrainer(t, o, c)
	if err := errors.Join(tr.begin(nil), tr.setUp(context.Background(), episodes(c, 9, 20))); err != nil {
		t.Fatal(err)
	}
	defer tr.step.Close()
	for range 5 { // away from the zero weights that a model starts with
		if _, err := tr.advance(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tr.step.Run(); err != nil {
		t.Fatal(err)
	}
	got := slices.Clone(tr.step.Grad)
	row := tr.step.H * tr.step.A
	v, dv := make([]float32, len(tr.step.Target)), make([]float32, len(tr.step.Target))
	tr.model.Velocity(tr.field.ws, tr.batch.in, v)
	for i := range v {
		n := float32(tr.batch.valid[i/row] * tr.step.A)
		dv[i] = tr.step.Mask[i/tr.step.A] / n * 2 * (v[i] - tr.step.Target[i]) * tr.step.Weights()[i/row]
	}
	want, norm := make([]float32, len(got)), 0.0
	tr.model.Backward(tr.field.ws, tr.batch.in, dv, want)
	for _, g := range want {
		norm += float64(g) * float64(g)
	}
	if norm == 0 {
		t.Fatal("the gradient is zero")
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6*math.Sqrt(norm) {
			t.Fatalf("gradient %d is %v in the graph and %v directly", i, got[i], want[i])
		}
	}
}

// stopAt trains until a step and then stops as on a signal.
func stopAt(t *testing.T, o Options, step int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(p Progress) {
		if p.Step == step {
			cancel()
		}
	}
	c := newContract(t, true, true)
	r, err := Train(ctx, episodes(c, 9, 20), c, o)
	if !errors.Is(err, context.Canceled) || r.Step != step {
		t.Fatalf("stopped at step %d with %v", r.Step, err)
	}
}

func TestResumeEqualsTheUnbrokenRun(t *testing.T) {
	for _, name := range objective.Names() {
		t.Run(name, func(t *testing.T) { resumed(t, name, 0.9) })
	}
	t.Run("without EMA", func(t *testing.T) { resumed(t, "arfm", 0) })
}

func resumed(t *testing.T, name string, ema float64) {
	o := testOptions(t, 24)
	o.Objective, o.Optim.EMA = name, ema
	whole := train(t, o)
	broken := o
	broken.Out = t.TempDir()
	stopAt(t, broken, 7)
	broken.Resume = true
	stopAt(t, broken, 18)
	resumed := train(t, broken)
	if whole.Hash != resumed.Hash {
		t.Error("the resumed run ends with other weights")
	}
	if !bytes.Equal(sum(t, o.statePath()), sum(t, broken.statePath())) {
		t.Error("the resumed run ends in another state")
	}
	steps, evaluations := logged(t, broken.Out)
	if len(steps) != 24 || !slices.IsSorted(steps) || steps[23] != 24 || evaluations != 3 {
		t.Errorf("the log has steps %v and %d evaluations", steps, evaluations)
	}
	again := train(t, broken) // at its end already
	if again.Hash != whole.Hash || again.Step != 24 {
		t.Errorf("resuming a finished run gives %+v", again)
	}
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	o := testOptions(t, 10)
	train(t, o)
	c := newContract(t, true, true)
	for name, change := range map[string]func(*Options, []bags.Episode){
		"settings": func(o *Options, _ []bags.Episode) { o.Batch = 9 },
		"nested":   func(o *Options, _ []bags.Episode) { o.Optim.Beta1 = 0.5 },
		"model":    func(o *Options, _ []bags.Episode) { o.Model.D = 32 },
		"data":     func(_ *Options, e []bags.Episode) { e[0].Frames[0].Action[0]++ },
	} {
		again, eps := o, episodes(c, 9, 20)
		again.Resume = true
		change(&again, eps)
		if _, err := Train(context.Background(), eps, c, again); !errors.Is(err, ErrResume) {
			t.Errorf("resuming with other %s gives %v", name, err)
		}
	}
	if _, err := Train(context.Background(), episodes(c, 9, 20), c, o); !errors.Is(err, ErrOptions) {
		t.Errorf("beginning anew in a used folder gives %v", err)
	}
	data := sum(t, o.statePath())
	if err := os.WriteFile(o.statePath(), data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	if _, err := Train(context.Background(), episodes(c, 9, 20), c, o); !errors.Is(err, ErrResume) || !strings.Contains(err.Error(), "training state") {
		t.Errorf("half a state gives %v", err)
	}
}

func TestSameSeedSameWeights(t *testing.T) {
	o := testOptions(t, 8)
	a := train(t, o)
	o.Out = t.TempDir()
	b := train(t, o)
	o.Out, o.Seed = t.TempDir(), 43
	other := train(t, o)
	if a.Hash != b.Hash || a.Hash == other.Hash {
		t.Errorf("hashes: %s, %s with the same seed, %s with another", a.Hash, b.Hash, other.Hash)
	}
}

func TestFineTuneFromACheckpoint(t *testing.T) {
	o := testOptions(t, 6)
	o.Objective = "bc"
	base := train(t, o)
	before, err := checkpoint.Load(base.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := newContract(t, true, true)
	fine := testOptions(t, 6)
	fine.Init, fine.Model.D = base.Checkpoint, 64 // the checkpoint's architecture counts
	eps := episodes(c, 6, 25)                     // other data: the statistics stay
	r, err := Train(context.Background(), eps, nil, fine)
	if err != nil {
		t.Fatal(err)
	}
	after, err := checkpoint.Load(r.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if after.Parent != before.Hash || r.Parent != before.Hash {
		t.Errorf("the parent is %q, want %q", after.Parent, before.Hash)
	}
	if !slices.Equal(after.Stats.Action, before.Stats.Action) || after.Model.Config.D != 16 {
		t.Error("statistics or architecture changed")
	}
	fine.Resume, fine.Init = true, ""
	if again, err := Train(context.Background(), eps, nil, fine); err != nil || again.Hash != r.Hash {
		t.Errorf("resuming without the checkpoint gives %v", err)
	}
	fine.Out, fine.Init, fine.Resume = t.TempDir(), base.Checkpoint, false
	other := newContract(t, true, false)
	if _, err := Train(context.Background(), eps, other, fine); !errors.Is(err, ErrOptions) {
		t.Errorf("another contract gives %v", err)
	}
	c.Reward.File = "labels.csv" // where rewards come from is no part of the tensors
	fine.Steps = 1
	if _, err := Train(context.Background(), eps, c, fine); err != nil {
		t.Errorf("the same tensors with another reward file give %v", err)
	}
}

func TestKeepsTheNewestCheckpoints(t *testing.T) {
	o := testOptions(t, 23)
	o.Keep, o.SaveEvery = 2, 4
	stranger := filepath.Join(o.Out, "policy-x.safetensors")
	if err := os.WriteFile(stranger, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := train(t, o)
	steps, err := o.saved()
	if err != nil || !slices.Equal(steps, []int64{20, 23}) {
		t.Errorf("kept %v (%v), want [20 23]", steps, err)
	}
	if _, err := os.Stat(stranger); err != nil || !strings.HasSuffix(r.Checkpoint, "policy-00000023.safetensors") {
		t.Errorf("stranger: %v; newest %s", err, r.Checkpoint)
	}
}

func TestRewards(t *testing.T) {
	o := testOptions(t, 2)
	c := newContract(t, false, true)
	eps := episodes(c, 6, 10)
	eps[0].RewardSource = "topic"
	r, err := Train(context.Background(), eps, c, o)
	if err != nil || r.Rewards[reward.Success]+r.Rewards[reward.Topic] == 0 {
		t.Errorf("rewards are %v (%v)", r.Rewards, err)
	}
	for i := range eps {
		eps[i].RewardSource, eps[i].Outcome = "", bags.Unknown
	}
	o.Out, c.Reward.Source = t.TempDir(), contract.RewardLabels
	_, err = Train(context.Background(), eps, c, o)
	if !errors.Is(err, ErrNoReward) || !strings.Contains(err.Error(), "labels only") {
		t.Errorf("arfm without rewards gives %v", err)
	}
	// Successes are labelled, but only terms are asked for, and there is no camera.
	eps[0].Outcome, eps[0].RewardSource = bags.Success, string(reward.Success)
	c.Reward.Source, c.Reward.Terms = contract.RewardTerms, contract.WeightedTerms{{Name: contract.TermSceneMSE, Weight: 1}}
	_, err = Train(context.Background(), eps, c, o)
	if !errors.Is(err, ErrNoReward) || !strings.Contains(err.Error(), "no scene camera") || strings.Contains(err.Error(), "label the bags") {
		t.Errorf("arfm with terms without input gives %v", err)
	}
	eps[0].Outcome, eps[0].RewardSource, c.Reward.Source = bags.Unknown, "", contract.RewardLabels
	o.Out, o.Objective = t.TempDir(), "bc"
	if _, err := Train(context.Background(), eps, c, o); err != nil {
		t.Errorf("bc without rewards gives %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	c := newContract(t, false, true)
	for name, change := range map[string]func(*Options){
		"objective": func(o *Options) { o.Objective = "sft" },
		"steps":     func(o *Options) { o.Steps = 0 },
		"batch":     func(o *Options) { o.Batch = 0 },
		"held out":  func(o *Options) { o.HeldOut = math.NaN() },
		"out":       func(o *Options) { o.Out = "" },
		"name":      func(o *Options) { o.Name = "../x" },
		"keep":      func(o *Options) { o.Keep = -1 },
		"success":   func(o *Options) { o.Success = "first" },
		"tau":       func(o *Options) { o.Tau = "normal" },
		"scale":     func(o *Options) { o.Tuning = objective.Options{"scale": "loud"} },
		"optimiser": func(o *Options) { o.Optim.Beta1 = 2 },
		"noise":     func(o *Options) { o.NoiseScale = -1 },
		"workers":   func(o *Options) { o.Workers = 0 },
	} {
		o := testOptions(t, 2)
		change(&o)
		if _, err := Train(context.Background(), episodes(c, 4, 8), c, o); !errors.Is(err, ErrOptions) {
			t.Errorf("a bad %s gives %v", name, err)
		}
	}
	o := testOptions(t, 2)
	if _, err := Train(context.Background(), episodes(c, 4, 8), nil, o); !errors.Is(err, ErrOptions) {
		t.Errorf("no contract gives %v", err)
	}
}

func TestOneRunPerFolder(t *testing.T) {
	o := testOptions(t, 4)
	l, err := openLog(o.logPath())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	c := newContract(t, false, true)
	if _, err := Train(context.Background(), episodes(c, 4, 8), c, o); !errors.Is(err, ErrBusy) {
		t.Errorf("a second run in the folder gives %v", err)
	}
}

func TestTheLogIsCutToTheState(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	text := "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"held_out\":{}}\n{\"step\":3}\n{\"ste"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.cut(2); err != nil {
		t.Fatal(err)
	}
	if err := l.append(map[string]int{"step": 3}); err != nil {
		t.Fatal(err)
	}
	want := "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"held_out\":{}}\n{\"step\":3}\n"
	if got := string(sum(t, path)); got != want {
		t.Errorf("the log is %q", got)
	}
}
