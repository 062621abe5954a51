package training

import (
	"maps"
	"slices"

	"arfm/finetune"
	"arfm/nodes/report"
)

// smooth is over how many steps charts of a run take a mean.
const smooth = 25

// series of a figure of each step.
func series(name string, lines []finetune.Line, y func(*finetune.Line) float64) report.Series {
	s := report.Series{Name: name}
	for i := range lines {
		s.X, s.Y = append(s.X, float64(lines[i].Step)), append(s.Y, y(&lines[i]))
	}
	return s
}

func loss(l *finetune.Line) float64     { return l.Loss }
func lossMean(l *finetune.Line) float64 { return l.LossMean }
func alpha(l *finetune.Line) float64    { return l.Alpha }
func ess(l *finetune.Line) float64      { return l.ESS }

// Loss is the flow loss over the steps of a run: that of an objective that
// weighs chunks beside the plain mean.
func Loss(title string, lines []finetune.Line, marks ...report.Mark) report.Lines {
	c := report.Lines{Title: title, XLabel: "step", YLabel: "flow loss", LogY: true, Smooth: smooth, Marks: marks,
		Series: []report.Series{series("loss", lines, loss)}}
	if weighed(lines) {
		c.Series = []report.Series{series("weighted", lines, loss), series("unweighted", lines, lossMean)}
	}
	return c
}

// weighed says whether some step weighed its chunks.
func weighed(lines []finetune.Line) bool {
	return slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.WeightMax > l.WeightMin })
}

// Alpha is the strength of the weights over the steps of a run.
func Alpha(lines []finetune.Line) report.Lines {
	note := "Solved for each batch: how strongly advantage weighs."
	if !slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.Alpha != lines[0].Alpha }) {
		note = "The same in every batch: how strongly advantage weighs."
	}
	return report.Lines{Title: "alpha", Note: note, XLabel: "step", YLabel: "alpha", Smooth: smooth,
		Series: []report.Series{series("alpha", lines, alpha)}}
}

// SampleSize is the effective sample size over the steps of a run; batch, if not
// 0, adds what alpha is solved for, B e^-x, at least 1.
func SampleSize(lines []finetune.Line, batch int) report.Lines {
	c := report.Lines{Title: "Effective sample size", Note: "1 / sum of squared weights.", XLabel: "step", YLabel: "chunks", Smooth: smooth,
		Series: []report.Series{series("seen", lines, ess)}}
	if batch > 0 {
		c.Note = "1 / sum of squared weights, and B e^-x, but at least 1, which alpha is solved for."
		c.Series = append(c.Series, series("predicted", lines, func(l *finetune.Line) float64 { return l.PredictedESS(batch) }))
	}
	return c
}

// figures are the charts of what an objective measures of its own.
func figures(lines []finetune.Line) (g report.Grid) {
	names := map[string]bool{}
	for i := range lines {
		for name := range lines[i].Figures {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		g = append(g, report.Lines{Title: name, XLabel: "step", YLabel: name, Smooth: smooth,
			Series: []report.Series{series(name, lines, func(l *finetune.Line) float64 { return l.Figures[name] })}})
	}
	return g
}
