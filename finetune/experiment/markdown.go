package experiment

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"arfm/finetune/experiment/stat"
)

// Markdown is the report as a page of tables.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", r.Experiment, r.Title)
	r.setUp(&b)
	for _, t := range r.Panels {
		title := "Success, %"
		if t.Name != "" {
			title += ", " + t.Name
		}
		fmt.Fprintf(&b, "\n## %s\n\nColumns: %s. Each cell is the rate with its 95 %% interval%s.\n\n", title, r.Axis, r.aboutUnits())
		r.grid(&b, &t, TableCell.text)
		r.differences(&b, &t)
	}
	r.transfers(&b)
	r.alphas(&b)
	r.footnotes(&b)
	return b.String()
}

// aboutUnits says what stands in parentheses in a cell.
func (r *Report) aboutUnits() string {
	switch {
	case len(r.Transfers) > 0:
		return ", and in parentheses that of each seed in each order"
	case r.Budget.Seeds > 1:
		return ", and in parentheses that of each seed"
	}
	return ""
}

func (r *Report) setUp(b *strings.Builder) {
	g := &r.Budget
	fmt.Fprintf(b, "| | |\n|---|---|\n| command | `%s` |\n", r.Made.Command)
	fmt.Fprintf(b, "| budget | %s: %s, %d demonstrations of a suite, %d steps of pre-training, %d of each objective, batches of %d, preset %s, %d test episodes of a task for each seed |\n",
		g.Name, plural(g.Seeds, "seed"), g.Demonstrations, g.Pretrain, g.Tune, g.Batch, g.Preset, g.Episodes)
	fmt.Fprintf(b, "| time | %.2f hours, summed over jobs, one core each |\n", r.CoreHours)
	fmt.Fprintf(b, "| machine | %s |\n| program | %s |\n", r.Made.Machine, r.Made.Program)
	var said []string
	for _, d := range r.Data {
		said = append(said, fmt.Sprintf("%s, seed %d: %d of %d", d.Suite, d.Seed, d.Successes, d.Episodes))
	}
	fmt.Fprintf(b, "| demonstrations that did their task | %s |\n", strings.Join(said, "; "))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// grid writes a table's rows of methods, each cell as text has it.
func (r *Report) grid(b *strings.Builder, t *Table, text func(TableCell) string) {
	b.WriteString("| |")
	for _, c := range t.Columns {
		fmt.Fprintf(b, " %s |", c.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(t.Columns)) + "\n")
	for i, m := range r.Methods {
		fmt.Fprintf(b, "| %s |", m)
		for _, c := range t.Columns {
			fmt.Fprintf(b, " %s |", text(c.Cells[i]))
		}
		b.WriteString("\n")
	}
}

func (c TableCell) text() string {
	s := fmt.Sprintf("%.1f [%.0f, %.0f]", 100*c.Rate, 100*c.Low, 100*c.High)
	if len(c.Units) > 1 {
		var units []string
		for _, u := range c.Units {
			units = append(units, fmt.Sprintf("%.0f", 100*u))
		}
		s += " (" + strings.Join(units, " ") + ")"
	}
	if c.Choice != "" {
		s += " " + c.Choice
	}
	return s
}

// differences writes how far each method is from the reference.
func (r *Report) differences(b *strings.Builder, t *Table) {
	if r.Reference == "" || len(r.Methods) < 2 {
		return
	}
	fmt.Fprintf(b, "\nEach minus %s on the same episodes, percentage points, with its 95 %% interval; bold where that leaves out 0:\n\n", r.Reference)
	r.grid(b, t, func(c TableCell) string {
		if c.Difference == nil {
			return "–"
		}
		return points(*c.Difference)
	})
}

// points is a difference of rates in percentage points.
func points(d stat.Interval) string {
	s := fmt.Sprintf("%+.1f [%+.1f, %+.1f]", 100*d.Mean, 100*d.Low, 100*d.High)
	if d.Excludes(0) {
		return "**" + s + "**"
	}
	return s
}

func percentages(i stat.Interval) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*i.Mean, 100*i.Low, 100*i.High)
}

func (r *Report) transfers(b *strings.Builder) {
	if len(r.Transfers) == 0 {
		return
	}
	b.WriteString("\n## Average success and negative backward transfer, %\n\nAverage success is that on all tasks after the last stage. When learned is the success on each task right after its own stage, and negative backward transfer what it has lost since, on average over later stages; less is better. Both are over the tasks that others follow; LIBERO divides the latter by all tasks.\n\n" +
		"| suite | | average success | when learned | negative backward transfer | success minus " + or(r.Reference, "reference") + " | transfer minus " + or(r.Reference, "reference") + " |\n|---|---|---|---|---|---|---|\n")
	for _, t := range r.Transfers {
		final, lost := "–", "–"
		if t.FinalTo != nil {
			final, lost = points(*t.FinalTo), points(*t.LostTo)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", t.Suite, t.Method, percentages(t.Final), percentages(t.Learned), percentages(t.Backward), final, lost)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// fewSeeds is up to how many seeds intervals are told to be narrow.
const fewSeeds = 5

// Shares from which on a run of arfm is bc: of the steps with alpha on its lower
// bound, and of the batch that the effective sample size is.
const (
	mostlyBound = 0.5
	mostlyEqual = 0.99
)

func (r *Report) alphas(b *strings.Builder) {
	if len(r.Alphas) == 0 {
		return
	}
	b.WriteString("\n## Alpha\n\nOver the steps of all runs of a cell: the share in which alpha lay on a bound, its median (the mean of the runs'), and the effective sample size, as B e^-x predicts it (at least 1) and as it was. Alpha that is given, such as rwr's beta, has no bounds.\n\n" +
		"| | | runs | at lower bound | at upper bound | median alpha | predicted | seen | of |\n|---|---|---|---|---|---|---|---|---|\n")
	var low, equal []string
	for _, a := range r.Alphas {
		where := a.Column
		if a.Panel != "" {
			where = a.Panel + ", " + a.Column
		}
		known := func(ok bool, format string, v float64) string {
			if !ok {
				return "–"
			}
			return fmt.Sprintf(format, v)
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %.1f | %d |\n", where, a.Method, a.Runs,
			known(!a.Given, "%.1f %%", 100*a.Lower), known(!a.Given, "%.1f %%", 100*a.Upper),
			known(a.Median != 0, "%.4g", a.Median), known(a.Predicted != 0, "%.1f", a.Predicted), a.Seen, a.Batch)
		switch {
		case a.Given:
		case a.Lower > mostlyBound:
			low = append(low, a.Method)
		case a.Seen > mostlyEqual*float64(a.Batch):
			equal = append(equal, a.Method)
		}
	}
	slices.Sort(low)
	slices.Sort(equal)
	for _, m := range slices.Compact(low) {
		fmt.Fprintf(b, "\nIn rows of **%s** alpha lay on its lower bound in more than half of the steps: where it did, this is bc, not ARFM.\n", m)
	}
	for _, m := range slices.Compact(equal) {
		fmt.Fprintf(b, "\nIn rows of **%s** the effective sample size was the whole batch to within 1 %%: alpha was so small that weights were equal, and this is bc, not ARFM.\n", m)
	}
}

func (r *Report) footnotes(b *strings.Builder) {
	b.WriteString("\n## How it was done\n\n")
	notes := slices.Clone(r.Foot)
	other := "Intervals"
	if len(r.Transfers) == 0 {
		notes = append(notes, "Intervals of rates are Wilson's of the pooled episodes, which leave out what differs between training seeds.")
		other = "Other intervals"
	}
	if r.Reference != "" || len(r.Transfers) > 0 {
		note := fmt.Sprintf("%s are bootstrapped, 4000 resamples of the episodes of each seed; with less than %d seeds they leave out what differs between training seeds.", other, stat.LeastClusters)
		if r.Budget.Seeds >= stat.LeastClusters {
			note = fmt.Sprintf("%s are bootstrapped, 4000 resamples: the %d seeds are drawn first, then episodes of each.", other, r.Budget.Seeds)
		}
		notes = append(notes, note)
		if n := r.Budget.Seeds; n >= 2 && n <= fewSeeds {
			notes = append(notes, "Bootstrapped intervals over so few seeds hold the truth less often than they say where seeds differ: simulated with 3 seeds of 250 episodes, "+stat.FewClusters+", instead of 95 %.")
		}
	}
	for _, n := range notes {
		fmt.Fprintf(b, "- %s\n", n)
	}
}

// String says how much is left.
func (e Estimate) String() string {
	s := fmt.Sprintf("%s, %d of them done before", plural(e.Jobs, "job"), e.Done)
	if e.Done < e.Jobs {
		s += ", " + e.hours() + " on this machine's cores"
	}
	return s
}

func (e Estimate) hours() string {
	d := time.Duration(e.Seconds * float64(time.Second))
	switch {
	case d < 90*time.Second:
		return "about a minute"
	case d < time.Hour:
		return fmt.Sprintf("about %.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("about %.1f hours", d.Hours())
}
