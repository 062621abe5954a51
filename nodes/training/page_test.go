package training

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"arfm/finetune"
	"arfm/finetune/objective"
	"arfm/finetune/reward"
	"arfm/nodes/report"
	"arfm/policy/contract"
)

// steps of a run that weighs chunks by x.
func steps(n int, x float64) (lines []finetune.Line) {
	for i := range n {
		m := objective.Metrics{Loss: 1 / float64(i+1), LossMean: 2 / float64(i+1), Alpha: math.Sqrt(x), X: x, WeightMin: 0.01, WeightMax: 0.03, ESS: 50}
		if x == 0 {
			m.WeightMin, m.WeightMax = 1./64, 1./64
		}
		lines = append(lines, finetune.Line{Step: int64(i + 1), Metrics: m, LearningRate: 1e-3, GradNorm: 1, Seconds: 0.1})
	}
	return lines
}

func render(t *testing.T, log *finetune.Log, r *finetune.Result) string {
	t.Helper()
	var b bytes.Buffer
	o := finetune.Defaults(100)
	if err := Page(log, r, &o, "arfm train --out <here>").Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage: the page shows what a run has, and is silent of what it has not.
func TestPage(t *testing.T) {
	held := finetune.HeldOut{Step: 100, Frames: 40, Loss: 0.125, Names: []string{"elbow<b>"}, Policy: finetune.ChunkError{RMSE: []float64{0.0625}, Normalised: 0.25}}
	log := &finetune.Log{Lines: steps(100, 0.5), HeldOut: []finetune.HeldOut{held}, Rewards: &reward.Summary{Returns: []reward.ReturnStats{{Source: "dense", Outcome: "success", Parts: 7, Mean: 0.75}}}}
	log.Lines[50].Alpha = 0.7
	log.Lines[50].Figures = map[string]float64{"critic_loss": 0.3}
	r := &finetune.Result{
		Step: 100, Frames: 640, HeldOut: 40, Rewards: map[reward.Source]int{"dense": 7, reward.Nothing: 2}, Advantages: []float64{-1, 0, 1},
		Terms:   []reward.TermStats{{WeightedTerm: contract.WeightedTerm{Name: "scene_ssim", Weight: 0.0077}, Source: "dense", Frames: 640, Share: 0.5}},
		LeftOut: []reward.LeftOut{{Absent: reward.Absent{Term: "wrist_orb", Reason: "there is no such camera"}, Parts: 7}},
	}
	page := render(t, log, r)
	for _, want := range []string{"Loss of training", "weighted", "Held-out loss", "elbow&lt;b&gt;", "0.0625", "alpha", "Effective sample size", "predicted", "Weights",
		"dense in 7 episodes", "none in 2 episodes", "Solved for each batch", "critic_loss", "scene_ssim", "50.0 %", "wrist_orb (there is no such camera in 7 episodes)", "Advantages", "0.75", "Learning rate", "--out &lt;here&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if fixed := render(t, &finetune.Log{Lines: steps(100, 0.5)}, r); !strings.Contains(fixed, "The same in every batch") || strings.Contains(fixed, "Solved for each batch") {
		t.Error("a fixed alpha is said to be solved for")
	}
	page = render(t, &finetune.Log{Lines: steps(100, 0)}, &finetune.Result{Step: 100, Frames: 640, Unweighted: true, Advantages: []float64{0, 0}})
	for _, not := range []string{"Effective sample size", "alpha", "Held-out loss", "Terms", "Advantages", "NaN"} {
		if strings.Contains(page, not) {
			t.Errorf("the page of plain cloning has %q", not)
		}
	}
	if !strings.Contains(page, "Nothing was held out") || !strings.Contains(page, "rewards changed nothing") {
		t.Error("the page does not say what is missing")
	}
}

// TestPredictedSampleSize is B e^-x, at least 1.
func TestPredictedSampleSize(t *testing.T) {
	c := SampleSize(steps(3, 0.5), 64)
	if got, want := c.Series[1].Y[2], 64*math.Exp(-0.5); math.Abs(got-want) > 1e-12 {
		t.Errorf("predicted %v, want %v", got, want)
	}
	lines := steps(1, 0.5)
	lines[0].X = 25
	if got := SampleSize(lines, 64).Series[1].Y[0]; got != 1 {
		t.Errorf("predicted %v, less than one chunk", got)
	}
	if seen := c.Series[0]; seen.Y[2] != 50 || seen.X[2] != 3 {
		t.Errorf("seen %v", seen)
	}
	var _ report.Plot = c
}
