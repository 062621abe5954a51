package training

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"arfm/finetune"
	"arfm/finetune/reward"
	"arfm/nodes/report"
)

// Page is the report on a run of options o, from its log and its result. command
// is how to get it again.
func Page(log *finetune.Log, r *finetune.Result, o *finetune.Options, command string) *report.Page {
	p := &report.Page{
		Title: fmt.Sprintf("Training %s with %s", o.Name, o.Objective),
		Summary: fmt.Sprintf("%d steps with batches of %d of %d chunks; %d were held out. Rewards: %s.",
			r.Step, o.Batch, r.Frames, r.HeldOut, sources(log, r)),
		Figures: keyFigures(log),
		Made: report.Made{Command: command, Seed: fmt.Sprint(o.Seed), Machine: fmt.Sprintf("%d CPUs, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
			More: []report.Fact{{Name: "Checkpoint", Value: r.Checkpoint}, {Name: "SHA-256", Value: r.Hash}, {Name: "Parent", Value: r.Parent}}},
	}
	for _, note := range r.Notes() {
		p.Summary += " " + strings.ToUpper(note[:1]) + note[1:] + "."
	}
	p.Sections = append(p.Sections, report.Section{Title: "Loss", Parts: lossParts(log)})
	if parts := weightParts(log.Lines, o.Batch); len(parts) > 0 {
		p.Sections = append(p.Sections, report.Section{Title: "What the objective does", Parts: parts})
	}
	if parts := rewardParts(log, r); len(parts) > 0 {
		p.Sections = append(p.Sections, report.Section{Title: "Rewards", Parts: parts})
	}
	p.Sections = append(p.Sections, report.Section{Title: "Optimiser", Parts: []report.Part{report.Grid{
		report.Lines{Title: "Learning rate", XLabel: "step", YLabel: "learning rate", Series: []report.Series{series("learning rate", log.Lines, func(l *finetune.Line) float64 { return l.LearningRate })}},
		report.Lines{Title: "Gradient norm", Note: "Before the clip.", XLabel: "step", YLabel: "norm", LogY: true, Smooth: smooth, Series: []report.Series{series("norm", log.Lines, func(l *finetune.Line) float64 { return l.GradNorm })}},
		report.Lines{Title: "Time of a step", XLabel: "step", YLabel: "s", Smooth: smooth, Series: []report.Series{series("time", log.Lines, func(l *finetune.Line) float64 { return l.Seconds })}},
	}}})
	return p
}

// sources says where the rewards came from.
func sources(log *finetune.Log, r *finetune.Result) string {
	s := &reward.Summary{Parts: r.Rewards}
	if len(r.Rewards) == 0 && log.Rewards != nil {
		s = log.Rewards
	}
	return cmp.Or(s.Sources(), "none")
}

// keyFigures are the run from its beginning to its end.
func keyFigures(log *finetune.Log) (f []report.KeyFigure) {
	if n := len(log.Lines); n > 0 {
		k := min(50, max(1, n/2))
		first := report.KeyFigure{Label: "loss", From: number(meanOf(log.Lines[:k], lossMean)), Value: number(meanOf(log.Lines[n-k:], lossMean)),
			Note: fmt.Sprintf("unweighted, mean of the first and the last %d steps", k)}
		switch {
		case n == 1:
			first.From, first.Note = "", "unweighted, of one step"
		case k == 1:
			first.Note = "unweighted, of the first and the last step"
		}
		f = append(f, first)
	}
	if n := len(log.HeldOut); n > 0 {
		first, last := &log.HeldOut[0], &log.HeldOut[n-1]
		held := report.KeyFigure{Label: "held-out loss", Value: number(last.Loss), Note: fmt.Sprintf("on %d chunks", last.Frames)}
		if n > 1 {
			held.From = number(first.Loss)
			held.Note += fmt.Sprintf(", after steps %d and %d", first.Step, last.Step)
		}
		f = append(f, held, report.KeyFigure{Label: "chunk error", Value: number(last.Policy.Normalised),
			Note: fmt.Sprintf("in deviations of the actions; mean action %s, holding the last command %s", number(last.MeanAction.Normalised), number(last.HoldLast.Normalised))})
	}
	return f
}

func meanOf(lines []finetune.Line, of func(*finetune.Line) float64) float64 {
	sum := 0.0
	for i := range lines {
		sum += of(&lines[i]) / float64(len(lines))
	}
	return sum
}

func number(x float64) string { return fmt.Sprintf("%.3g", x) }

func lossParts(log *finetune.Log) []report.Part {
	parts := []report.Part{Loss("Loss of training", log.Lines)}
	if len(log.HeldOut) == 0 {
		return append(parts, report.Prose("Nothing was held out: there is no loss of episodes that training did not see."))
	}
	held, policy, zero, mean, hold := report.Series{Name: "held out"}, report.Series{Name: "policy"}, report.Series{Name: "policy, noise 0"}, report.Series{Name: "mean action"}, report.Series{Name: "hold last command"}
	for i := range log.HeldOut {
		h := &log.HeldOut[i]
		add := func(s *report.Series, y float64) { s.X, s.Y = append(s.X, float64(h.Step)), append(s.Y, y) }
		add(&held, h.Loss)
		add(&policy, h.Policy.Normalised)
		add(&zero, h.ZeroNoise.Normalised)
		add(&mean, h.MeanAction.Normalised)
		add(&hold, h.HoldLast.Normalised)
	}
	parts = append(parts, report.Grid{
		report.Lines{Title: "Held-out loss", Note: "Flow loss on episodes that training did not see, unweighted.", XLabel: "step", YLabel: "flow loss", LogY: true, Series: []report.Series{held}},
		report.Lines{Title: "Chunk error", Note: "Root mean square of the held-out chunks' errors, in deviations of the actions.", XLabel: "step", YLabel: "error", Series: []report.Series{policy, zero, mean, hold}},
	})
	last := &log.HeldOut[len(log.HeldOut)-1]
	t := report.Table{Title: "Chunk error of each action", Note: fmt.Sprintf("Root mean square after step %d, in the action's own unit.", last.Step), Columns: []string{"action", "policy", "policy, noise 0", "mean action", "hold last command"}}
	for i, name := range last.Names {
		row := []string{name}
		for _, e := range []*finetune.ChunkError{&last.Policy, &last.ZeroNoise, &last.MeanAction, &last.HoldLast} {
			cell := ""
			if i < len(e.RMSE) {
				cell = number(e.RMSE[i])
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return append(parts, t)
}

// weightParts show how chunks were weighed, and what the objective measured.
func weightParts(lines []finetune.Line, batch int) (parts []report.Part) {
	var g report.Grid
	adaptive := slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.X != 0 })
	if adaptive || slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.Alpha != 0 }) {
		g = append(g, Alpha(lines))
	}
	if weighed(lines) {
		if !adaptive {
			batch = 0
		}
		g = append(g, SampleSize(lines, batch), report.Lines{
			Title: "Weights", Note: "The least and the greatest of a batch; all alike each would be 1/B.", XLabel: "step", YLabel: "weight", LogY: true, Smooth: smooth,
			Series: []report.Series{
				series("greatest", lines, func(l *finetune.Line) float64 { return l.WeightMax }),
				series("least", lines, func(l *finetune.Line) float64 { return l.WeightMin }),
			},
		})
	}
	if g = append(g, figures(lines)...); len(g) > 0 {
		parts = append(parts, g)
	}
	return parts
}

// rewardParts show what rewards are made of and the advantages they give.
func rewardParts(log *finetune.Log, r *finetune.Result) (parts []report.Part) {
	terms := report.Table{Title: "Terms", Note: "Over all frames, before they are weighted; share of the return's magnitude.", Columns: []string{"term", "source", "weight", "frames", "mean", "deviation", "least", "greatest", "share"}}
	for _, t := range r.Terms {
		terms.Rows = append(terms.Rows, []string{t.Name, fmt.Sprint(t.Source), number(t.Weight), fmt.Sprint(t.Frames), number(t.Mean), number(t.Std), number(t.Min), number(t.Max), fmt.Sprintf("%.1f %%", 100*t.Share)})
	}
	if len(terms.Rows) > 0 {
		parts = append(parts, terms)
	}
	if log.Rewards != nil && len(log.Rewards.Returns) > 0 {
		t := report.Table{Title: "Returns", Note: "Mean reward of each episode.", Columns: []string{"source", "outcome", "episodes", "mean", "deviation", "least", "greatest"}}
		for _, s := range log.Rewards.Returns {
			t.Rows = append(t.Rows, []string{fmt.Sprint(s.Source), s.Outcome, fmt.Sprint(s.Parts), number(s.Mean), number(s.Std), number(s.Min), number(s.Max)})
		}
		parts = append(parts, t)
	}
	if missing := (&reward.Summary{LeftOut: r.LeftOut}).Missing(); missing != "" {
		parts = append(parts, report.Prose("Terms left out: "+missing+"."))
	}
	if len(r.Advantages) > 0 && !r.Unweighted {
		parts = append(parts, report.Histogram{Title: "Advantages", Note: "Of the chunks of the training split.", XLabel: "advantage", YLabel: "chunks",
			Samples: []report.Sample{{Name: "chunks", Values: r.Advantages}}, Marks: []report.Mark{{At: 0, Label: "average"}}})
	}
	return parts
}
