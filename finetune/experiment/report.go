package experiment

import (
	"math"
	"slices"
	"strings"

	"arfm/finetune/experiment/stat"
)

// Report is an experiment's outcome.
type Report struct {
	Experiment string   `json:"experiment"`
	Title      string   `json:"title"`
	Budget     Budget   `json:"budget"`
	Suites     []string `json:"suites"`
	Made       Made     `json:"made"`
	CoreHours  float64  `json:"core_hours"` // of all its jobs, whenever they were done
	Axis       string   `json:"axis"`       // what the columns are
	Reference  string   `json:"reference"`  // the method that differences are to; empty: none
	Methods    []string `json:"methods"`
	Panels     []Table  `json:"panels"`
	// Transfers are those of continual.
	Transfers []Transfer `json:"transfers,omitempty"`
	Data      []DataSet  `json:"demonstrations"`
	Alphas    []AlphaRow `json:"alphas,omitempty"`
	Curves    []Course   `json:"curves,omitempty"`
	Foot      []string   `json:"foot"`
}

// Made says what made a report.
type Made struct {
	Command string `json:"command"`
	Program string `json:"program"`
	Machine string `json:"machine"`
}

// Table has a row for each method.
type Table struct {
	Name    string        `json:"name,omitempty"`
	Columns []TableColumn `json:"columns"`
}

// TableColumn is a setting, or all of a table's settings.
type TableColumn struct {
	Name  string      `json:"name"`
	X     *float64    `json:"x,omitempty"` // on the plot's axis
	All   bool        `json:"all,omitempty"`
	Cells []TableCell `json:"cells"` // by method
}

// TableCell is a success rate.
type TableCell struct {
	Successes  int            `json:"successes"`
	Episodes   int            `json:"episodes"`
	Rate       float64        `json:"success_rate"`
	Low        float64        `json:"low"` // 95 % interval: Wilson's of the episodes, each once; continual's by bootstrap
	High       float64        `json:"high"`
	Units      []float64      `json:"units"` // success rates by training seed, or by seed and order
	Choice     string         `json:"choice,omitempty"`
	Difference *stat.Interval `json:"difference,omitempty"` // to the reference, paired by episode
}

// Transfer is what a method keeps of the tasks that it learned one after another.
type Transfer struct {
	Suite    string         `json:"suite"`
	Method   string         `json:"method"`
	Final    stat.Interval  `json:"final_success"`              // mean over tasks after the last stage
	Learned  stat.Interval  `json:"learned_success"`            // of each task just after its own stage, but the last one
	Backward stat.Interval  `json:"negative_backward_transfer"` // lost since learned
	FinalTo  *stat.Interval `json:"final_difference,omitempty"` // to the reference
	LostTo   *stat.Interval `json:"backward_difference,omitempty"`
}

// DataSet is what was recorded of a suite.
type DataSet struct {
	Suite     string `json:"suite"`
	Seed      uint64 `json:"seed"`
	Episodes  int    `json:"episodes"`
	Successes int    `json:"successes"`
}

// AlphaRow is alpha in the runs of a method in a setting, all seeds together.
type AlphaRow struct {
	Panel  string `json:"panel,omitempty"`
	Column string `json:"column"`
	Method string `json:"method"`
	Runs   int    `json:"runs"`
	Alpha
}

// Course is alpha and effective sample size over a run.
type Course struct {
	Name  string  `json:"name"`
	Curve []Point `json:"curve"`
}

// Tabulate makes the report of a plan whose jobs are done.
func (p *Plan) Tabulate(results Needs, made Made) *Report {
	t := &tabulator{p: p, done: results.Done}
	r := &Report{
		Experiment: p.Experiment, Title: p.Title, Budget: p.Budget, Axis: p.Axis, Made: made,
		Data: t.data(), Alphas: t.alphas(), Transfers: t.transfers(),
	}
	for _, s := range p.Suites {
		r.Suites = append(r.Suites, s.Name)
	}
	for _, m := range p.Methods {
		r.Methods = append(r.Methods, m.Name)
		if m.About != "" {
			r.Foot = append(r.Foot, m.Name+": "+m.About+".")
		}
	}
	r.Foot = append(r.Foot, p.Foot...)
	if t.reference() >= 0 {
		r.Reference = arfmMethod
	}
	for _, panel := range p.Panels {
		r.Panels = append(r.Panels, t.table(panel))
	}
	if len(p.Panels) > 1 {
		r.Panels = append([]Table{t.pooled()}, r.Panels...)
	}
	for _, c := range p.Curves {
		if a := results.Done(c.Training).Trained.Alpha; a != nil {
			r.Curves = append(r.Curves, Course{c.Name, a.Curve})
		}
	}
	for _, j := range p.Jobs {
		r.CoreHours += results.Done(j.ID).Seconds / 3600
	}
	return r
}

type tabulator struct {
	p    *Plan
	done func(id string) *Done
}

// reference is the row that differences are to; -1: there is none.
func (t *tabulator) reference() int {
	return slices.IndexFunc(t.p.Methods, func(m Method) bool { return m.Name == arfmMethod })
}

// outcomes returns 1 for each success and 0 for each failure, by unit.
func (t *tabulator) outcomes(c Cell) (out [][]float64) {
	for _, u := range c.Units {
		var unit []float64
		for _, id := range u.Evaluations {
			unit = append(unit, t.successes(id)...)
		}
		out = append(out, unit)
	}
	return out
}

func (t *tabulator) successes(evaluation string) (out []float64) {
	for _, o := range t.done(evaluation).Evaluated.Outcomes {
		v := 0.0
		if o.Success {
			v = 1
		}
		out = append(out, v)
	}
	return out
}

// allColumns is the name of the column that pools the others.
const allColumns = "all"

func (t *tabulator) table(panel Panel) Table {
	out := Table{Name: panel.Name}
	var together [][][][]float64 // of the columns that are pooled
	var pooled []string          // their names
	for k, c := range panel.Columns {
		var rows [][][]float64
		for _, cell := range c.Cells {
			rows = append(rows, t.outcomes(cell))
		}
		if !c.Apart {
			together, pooled = append(together, rows), append(pooled, c.Name)
		}
		column := TableColumn{Name: c.Name, Cells: t.cells(rows, 1)}
		if !math.IsNaN(c.X) {
			column.X = &panel.Columns[k].X
		}
		for i, cell := range c.Cells {
			column.Cells[i].Choice = t.choice(i, cell)
		}
		out.Columns = append(out.Columns, column)
	}
	if len(together) > 1 && len(t.p.Chains) == 0 {
		all, times := pool(together), 1
		if panel.Again {
			all, times = average(together), len(together)
		}
		name := allColumns
		if len(together) < len(panel.Columns) {
			name = pooled[0] + " to " + pooled[len(pooled)-1]
		}
		out.Columns = append(out.Columns, TableColumn{Name: name, All: true, Cells: t.cells(all, times)})
	}
	return out
}

// pooled is the table of all panels together; their columns are alike.
func (t *tabulator) pooled() Table {
	panel := Panel{Again: t.p.Panels[0].Again}
	for k, c := range t.p.Panels[0].Columns {
		all := Column{Name: c.Name, X: c.X, Apart: c.Apart, Cells: make([]Cell, len(c.Cells))}
		for _, other := range t.p.Panels {
			if k >= len(other.Columns) {
				continue // a suite with fewer tasks
			}
			for i, cell := range other.Columns[k].Cells {
				for j, u := range cell.Units {
					if j == len(all.Cells[i].Units) {
						all.Cells[i].Units = append(all.Cells[i].Units, Unit{})
					}
					mine := &all.Cells[i].Units[j]
					mine.Evaluations = append(slices.Clone(mine.Evaluations), u.Evaluations...)
				}
			}
		}
		panel.Columns = append(panel.Columns, all)
	}
	out := t.table(panel)
	var names []string
	for _, p := range t.p.Panels {
		names = append(names, p.Name)
	}
	out.Name = strings.Join(names, ", ") + " together"
	return out
}

// pool joins the columns' outcomes by method and unit.
func pool(columns [][][][]float64) (out [][][]float64) {
	for i := range columns[0] {
		units := make([][]float64, len(columns[0][i]))
		for _, c := range columns {
			for k, values := range c[i] {
				units[k] = append(units[k], values...)
			}
		}
		out = append(out, units)
	}
	return out
}

// average takes each episode's mean over the columns, by method and unit: however
// often it was done again, it is one episode to an interval.
func average(columns [][][][]float64) (out [][][]float64) {
	for i := range columns[0] {
		units := make([][]float64, len(columns[0][i]))
		for k := range units {
			units[k] = make([]float64, len(columns[0][i][k]))
			for _, c := range columns {
				for e, v := range c[i][k] {
					units[k][e] += v / float64(len(columns))
				}
			}
		}
		out = append(out, units)
	}
	return out
}

// cells describes the outcomes of each method, of episodes that were each done so
// many times.
func (t *tabulator) cells(outcomes [][][]float64, times int) (out []TableCell) {
	reference := t.reference()
	for i, units := range outcomes {
		var c TableCell
		total, n := 0.0, 0
		for _, u := range units {
			sum := 0.0
			for _, v := range u {
				sum += v
			}
			total, n = total+sum, n+len(u)
			c.Units = append(c.Units, sum/float64(len(u)))
		}
		c.Successes, c.Episodes = int(math.Round(total*float64(times))), n*times
		c.Rate = float64(c.Successes) / float64(c.Episodes)
		if len(t.p.Chains) == 0 {
			c.Low, c.High = stat.Wilson(int(math.Round(total)), n)
		} else { // orders of a seed test in the same episodes
			i := t.bootstrap(units)
			c.Low, c.High = i.Low, i.High
		}
		if reference >= 0 && i != reference {
			d := t.bootstrap(minus(units, outcomes[reference]))
			c.Difference = &d
		}
		out = append(out, c)
	}
	return out
}

// bootstrap takes the values of units, which come seed by seed. Those of a seed
// are a cluster: orders of tasks have demonstrations and start in common.
func (t *tabulator) bootstrap(units [][]float64) stat.Interval {
	var clusters [][]float64
	for of := range slices.Chunk(units, max(1, len(units)/t.p.Budget.Seeds)) {
		clusters = append(clusters, slices.Concat(of...))
	}
	return stat.Bootstrap(clusters)
}

// minus subtracts value by value.
func minus(a, b [][]float64) (out [][]float64) {
	for i := range a {
		d := make([]float64, len(a[i]))
		for k := range d {
			d[k] = a[i][k] - b[i][k]
		}
		out = append(out, d)
	}
	return out
}

// choice names the candidate of method i that a cell took.
func (t *tabulator) choice(i int, c Cell) string {
	if len(c.Units) == 0 || c.Units[0].Choice == "" {
		return ""
	}
	return t.p.Methods[i].Candidates[t.done(c.Units[0].Choice).Chosen.Best].Name
}

// transfers sums up each chain. With c_kj the success on the j-th task after stage
// k, each after n stages, the negative backward transfer is the mean over j < n of the
// mean over k > j of c_jj - c_kj. The last task, of which nothing can be lost, is left
// out; LIBERO (arXiv 2306.03310) divides by all n.
func (t *tabulator) transfers() (out []Transfer) {
	type values struct{ final, learned, lost [][]float64 }
	bySuite := map[string][]values{}
	for _, c := range t.p.Chains {
		var v values
		for _, s := range c.Units {
			final, learned, lost := t.unit(s)
			v.final, v.learned, v.lost = append(v.final, final), append(v.learned, learned), append(v.lost, lost)
		}
		bySuite[c.Suite] = append(bySuite[c.Suite], v)
	}
	reference := t.reference()
	for _, c := range t.p.Chains {
		all := bySuite[c.Suite]
		v := all[c.Method]
		row := Transfer{
			Suite: c.Suite, Method: t.p.Methods[c.Method].Name,
			Final: t.bootstrap(v.final), Learned: t.bootstrap(v.learned), Backward: t.bootstrap(v.lost),
		}
		if reference >= 0 && c.Method != reference {
			final, lost := t.bootstrap(minus(v.final, all[reference].final)), t.bootstrap(minus(v.lost, all[reference].lost))
			row.FinalTo, row.LostTo = &final, &lost
		}
		out = append(out, row)
	}
	return out
}

// unit returns, for one pass through the tasks, the outcome of each episode at
// the end and, but for the last task, when its task had just been learned, and
// how much less often it was a success after later stages than then.
func (t *tabulator) unit(s Stages) (final, learned, lost []float64) {
	last := len(s.Evaluations) - 1
	for j := range s.Evaluations[last] {
		final = append(final, t.successes(s.Evaluations[last][j])...)
		if j == last {
			break
		}
		then := t.successes(s.Evaluations[j][j])
		since := make([]float64, len(then))
		for k := j + 1; k <= last; k++ {
			for e, v := range t.successes(s.Evaluations[k][j]) {
				since[e] += (then[e] - v) / float64(last-j)
			}
		}
		learned, lost = append(learned, then...), append(lost, since...)
	}
	return final, learned, lost
}

// data lists what was recorded.
func (t *tabulator) data() (out []DataSet) {
	for _, j := range t.p.Jobs {
		if j.Record != nil {
			d := t.done(j.ID).Recorded
			out = append(out, DataSet{j.Record.Suite, j.Record.Seed, d.Episodes, d.Successes})
		}
	}
	return out
}

// alphas describes alpha in each cell whose runs weigh chunks unequally, of
// several candidates in those of the one that was taken.
func (t *tabulator) alphas() (out []AlphaRow) {
	for _, panel := range t.p.Panels {
		for k, c := range panel.Columns {
			for i, cell := range c.Cells {
				if k > 0 && slices.Equal(cell.Units[0].Trainings, panel.Columns[0].Cells[i].Units[0].Trainings) {
					continue // the same runs again, as under more noise
				}
				row := AlphaRow{Panel: panel.Name, Column: c.Name, Method: t.p.Methods[i].Name}
				for _, u := range cell.Units {
					of := u.Trainings
					if u.Choice != "" {
						of = of[t.done(u.Choice).Chosen.Best:][:1]
					}
					for _, id := range of {
						if a := t.done(id).Trained.Alpha; a != nil {
							row.add(a)
						}
					}
				}
				if row.Runs > 0 {
					out = append(out, row)
				}
			}
		}
	}
	return out
}

// add takes one more run into the means; of the medians too, for runs are alike.
func (r *AlphaRow) add(a *Alpha) {
	r.Runs++
	k := 1 / float64(r.Runs)
	for _, f := range []struct {
		mean *float64
		v    float64
	}{{&r.Lower, a.Lower}, {&r.Upper, a.Upper}, {&r.Median, a.Median}, {&r.Predicted, a.Predicted}, {&r.Seen, a.Seen}} {
		*f.mean += k * (f.v - *f.mean)
	}
	r.Steps, r.Batch, r.Given = r.Steps+a.Steps, a.Batch, a.Given
}
