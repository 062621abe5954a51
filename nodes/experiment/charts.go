package experiment

import (
	"slices"
	"strings"

	"arfm/finetune/experiment"
	"arfm/nodes/report"
)

// Chart is a picture of a report, and what its file's name has behind the report's.
type Chart struct {
	Suffix string
	Plot   report.Plot
}

// Charts returns the pictures of a report; the first is the one of all.
func Charts(r *experiment.Report) (charts []Chart) {
	for i := range r.Panels {
		suffix := ""
		if i > 0 {
			suffix = "-" + r.Panels[i].Name
		}
		charts = append(charts, Chart{suffix, panel(r, &r.Panels[i])})
	}
	if len(r.Curves) > 0 {
		alpha := func(p experiment.Point) float64 { return p.Alpha }
		predicted := courses(r, ", predicted", func(p experiment.Point) float64 { return p.Predicted })
		for i := range predicted {
			predicted[i].Dashed, predicted[i].Color = true, i+1
		}
		charts = append(charts,
			Chart{"-alpha", report.Lines{Title: "Alpha over training", XLabel: "step", YLabel: "alpha", LogY: true, Note: aboutCourses, Series: courses(r, "", alpha)}},
			Chart{"-ess", report.Lines{
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
	aboutBootstrap = "95 % intervals, bootstrapped over seeds and episodes."
)

// notes says what the intervals of a table's rates are.
func notes(r *experiment.Report) string {
	if len(r.Transfers) > 0 {
		return aboutBootstrap
	}
	return aboutIntervals
}

// own are the colours of the paper's objectives, as success by suite has them.
var own = map[string]int{"bc": report.Grey, "reinbot": 1, "rwr": 2, "arfm": 3}

// colors gives each objective its own colour in every chart over numbers; others,
// and one that is there again with other options, take those that are left.
func colors(methods []string) (out []int) {
	next := len(own)
	for _, m := range methods {
		objective, _, _ := strings.Cut(m, ":")
		c, known := own[objective]
		if !known || slices.Contains(out, c) {
			c, next = next, next+1
		}
		out = append(out, c)
	}
	return out
}

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
	p := report.Success{Title: title, Note: notes(r)}
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
	p := report.Lines{Title: title, Note: notes(r), XLabel: r.Axis, YLabel: "success, %"}
	colors := colors(r.Methods)
	for i, m := range r.Methods {
		s := report.Series{Name: m, Color: colors[i]}
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
