package experiment

import (
	"arfm/finetune/experiment"
	"arfm/nodes/report"
)

// Chart is a picture of a report, and its file's name.
type Chart struct {
	Name string
	Plot report.Plot
}

// Charts returns the pictures of a report; the first is the one of all.
func Charts(r *experiment.Report) (charts []Chart) {
	for i := range r.Panels {
		name := r.Experiment
		if i > 0 {
			name += "-" + r.Panels[i].Name
		}
		charts = append(charts, Chart{name + ".svg", panel(r, &r.Panels[i])})
	}
	if len(r.Curves) > 0 {
		alpha := func(p experiment.Point) float64 { return p.Alpha }
		predicted := courses(r, ", predicted", func(p experiment.Point) float64 { return p.Predicted })
		for i := range predicted {
			predicted[i].Dashed = true
		}
		charts = append(charts,
			Chart{r.Experiment + "-alpha.svg", report.Lines{Title: "Alpha over training", XLabel: "step", YLabel: "alpha", LogY: true, Note: aboutCourses, Series: courses(r, "", alpha)}},
			Chart{r.Experiment + "-ess.svg", report.Lines{
				Title: "Effective sample size over training", XLabel: "step", YLabel: "samples",
				Note:   aboutCourses + " Predicted, dashed, is B e^-x, but at least 1.",
				Series: append(courses(r, "", func(p experiment.Point) float64 { return p.Seen }), predicted...),
			}})
	}
	return charts
}

// Notes under titles.
const (
	aboutCourses   = "Runs of seed 1, at most 100 means of a run."
	aboutIntervals = "95 % Wilson intervals of the pooled episodes."
)

// panel draws a table: over its columns where these are numbers, else as bars.
func panel(r *experiment.Report, t *experiment.Table) report.Plot {
	title := r.Title
	if t.Name != "" {
		title += ", " + t.Name
	}
	if t.Columns[0].X != nil {
		return lines(r, t, title)
	}
	rate := func(c experiment.TableCell) report.Rate {
		return report.Rate{Rate: c.Rate, Low: c.Low, High: c.High, N: c.Episodes}
	}
	p := report.Success{Title: title, Note: aboutIntervals}
	if len(r.Methods) > len(t.Columns)*2 { // many settings: a row each
		for _, c := range t.Columns {
			p.Groups = append(p.Groups, c.Name)
		}
		for i, m := range r.Methods {
			row := report.SuccessRow{Label: m}
			for _, c := range t.Columns {
				row.Rates = append(row.Rates, rate(c.Cells[i]))
			}
			p.Rows = append(p.Rows, row)
		}
		return p
	}
	p.Groups = r.Methods
	for _, c := range t.Columns {
		row := report.SuccessRow{Label: c.Name, Overall: c.All}
		for _, cell := range c.Cells {
			row.Rates = append(row.Rates, rate(cell))
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// lines draws success over the number that the columns differ in. Only there are
// ticks: between two numbers of tasks there is none.
func lines(r *experiment.Report, t *experiment.Table, title string) report.Lines {
	p := report.Lines{Title: title, Note: aboutIntervals, XLabel: r.Axis, YLabel: "success, %"}
	for i, m := range r.Methods {
		s := report.Series{Name: m}
		for _, c := range t.Columns {
			if c.X == nil {
				continue
			}
			cell := c.Cells[i]
			s.X, s.Y = append(s.X, *c.X), append(s.Y, 100*cell.Rate)
			s.Low, s.High = append(s.Low, 100*cell.Low), append(s.High, 100*cell.High)
		}
		p.Series, p.XTicks = append(p.Series, s), s.X
	}
	return p
}

// courses draws one figure of each run.
func courses(r *experiment.Report, what string, of func(experiment.Point) float64) (out []report.Series) {
	for _, c := range r.Curves {
		s := report.Series{Name: c.Name + what}
		for _, p := range c.Curve {
			s.X, s.Y = append(s.X, p.Step), append(s.Y, of(p))
		}
		out = append(out, s)
	}
	return out
}
