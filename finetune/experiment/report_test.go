package experiment

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"arfm/finetune"
	"arfm/finetune/experiment/stat"
	"arfm/finetune/objective"
)

var update = flag.Bool("update", false, "write the golden files anew")

// made are the results of a plan: what clerk's would be, but for the outcomes
// of evaluations.
type made map[string]*Done

func (m made) Done(id string) *Done { return m[id] }
func (m made) Dir(string) string    { return "" }

// make makes results up; success says which episode of an evaluation succeeds.
func (p *Plan) make(success func(id string, e *Evaluate, episode int) bool) made {
	m := made{}
	for _, j := range p.Jobs {
		var d *Done
		switch {
		case j.Choose != nil:
			d = &Done{Chosen: choose(j.Choose, m.Done)}
		case j.Evaluate != nil:
			d = &Done{Evaluated: &Evaluated{}}
			for i := range j.Evaluate.Episodes {
				d.Evaluated.Outcomes = append(d.Evaluated.Outcomes, Outcome{Success: success(j.ID, j.Evaluate, i)})
			}
		default:
			d = result(j.ID, j.Job)
		}
		d.Job, d.Seconds = j.Job, 36
		m[j.ID] = d
	}
	return m
}

// TestMarkdown holds a report's page to a golden file.
func TestMarkdown(t *testing.T) {
	for name, methods := range map[string][]string{
		"multitask": {"bc", "rwr", "arfm"},
		"continual": {"bc", "arfm"},
		"perturb":   {"arfm"},
	} {
		o := testOptions(name, methods...)
		o.Budget.Seeds = 3
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		// A score that depends on the objective, its options, the noise, seed and episode.
		m := p.make(func(_ string, e *Evaluate, i int) bool {
			tr := p.job(e.Policies[0]).Train
			score := 3 + i%3 + int(tr.Seed) - int(20*e.Noise)
			switch {
			case tr.Objective == "arfm":
				score += 3
			case tr.Tuning["beta"] == "1":
				score += 2
			}
			if len(e.Tasks) > 0 && len(tr.Tasks) > 0 && e.Tasks[0] != tr.Tasks[0] {
				score-- // forgotten
			}
			return (7*i+int(e.Seed))%10 < score
		})
		r := p.Tabulate(m, Made{Command: "arfm experiment " + name, Program: "arfm of a test", Machine: "2 cores"})
		r.Alphas = append(r.Alphas, AlphaRow{Column: "goal", Method: "another", Runs: 1, Alpha: Alpha{Lower: 0.5}}) // not more than half
		path := "testdata/" + name + ".md"
		if *update {
			if err := os.WriteFile(path, []byte(r.Markdown()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Markdown(); got != string(want) {
			t.Errorf("%s: the page is\n%s\nwant (-update writes it anew)\n%s", name, got, want)
		}
	}
}

// TestFewSeeds: that intervals over few seeds are narrow stands in the foot.
func TestFewSeeds(t *testing.T) {
	for seeds, want := range map[int]bool{1: false, 2: true, 3: true, 5: true, 6: false} {
		o := testOptions("multitask", "bc", "arfm")
		o.Budget.Seeds = seeds
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		text := p.Tabulate(p.make(func(string, *Evaluate, int) bool { return true }), Made{}).Markdown()
		if got := strings.Contains(text, "over so few seeds"); got != want {
			t.Errorf("%d seeds: %v", seeds, got)
		}
	}
}

// TestTransfer: success of 1 when learned, 1/2 after the next stage and 0
// after that loses 3/4 of the first task and 1/2 of the second.
func TestTransfer(t *testing.T) {
	o := testOptions("continual", "bc", "arfm")
	o.Suites = o.Suites[:1]
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	m := p.make(func(id string, e *Evaluate, i int) bool {
		for _, c := range p.Chains {
			for _, u := range c.Units {
				for k := range u.Evaluations {
					for j, have := range u.Evaluations[k] {
						if have == id && c.Method == 0 {
							return i%4 < 4-2*(k-j) // of 4 episodes 4, 2, 0
						}
					}
				}
			}
		}
		return true // arfm forgets nothing
	})
	r := p.Tabulate(m, Made{})
	bc, arfm := r.Transfers[0], r.Transfers[1]
	if want := (3.0/4 + 1.0/2) / 2; math.Abs(bc.Backward.Mean-want) > 1e-12 || math.Abs(bc.Final.Mean-0.5) > 1e-12 {
		t.Errorf("bc keeps %+v and loses %+v, want 1/2 and %g", bc.Final, bc.Backward, want)
	}
	if arfm.Backward != (stat.Interval{}) || arfm.Final.Mean != 1 || arfm.FinalTo != nil {
		t.Errorf("arfm: %+v", arfm)
	}
	if bc.Learned.Mean != 1 || arfm.Learned.Mean != 1 {
		t.Errorf("when learned: bc %+v, arfm %+v, want 1", bc.Learned, arfm.Learned)
	}
	if math.Abs(bc.FinalTo.Mean+0.5) > 1e-12 || math.Abs(bc.LostTo.Mean-0.625) > 1e-12 || !bc.LostTo.Excludes(0) {
		t.Errorf("bc to arfm: %+v, %+v", bc.FinalTo, bc.LostTo)
	}
	// After two stages: 4 of 4 on the second task, 2 of 4 on the first, in 2 seeds and 3 orders.
	if c := r.Panels[0].Columns[1].Cells[0]; c.Successes != 36 || c.Episodes != 48 || len(c.Units) != 6 || c.Units[3] != 0.75 {
		t.Errorf("after two stages: %+v", c)
	}
}

// TestDifferences are paired: methods that do well on the same episodes differ
// by nothing, however much success varies.
func TestDifferences(t *testing.T) {
	p := newPlan(t, "multitask", "bc", "arfm")
	m := p.make(func(_ string, e *Evaluate, i int) bool { return (i+int(e.Seed))%2 == 0 })
	r := p.Tabulate(m, Made{})
	for _, c := range r.Panels[0].Columns {
		if d := c.Cells[0].Difference; *d != (stat.Interval{}) || c.Cells[1].Difference != nil {
			t.Errorf("%s: %+v", c.Name, d)
		}
	}
	all := r.Panels[0].Columns[2].Cells[0]
	if r.Panels[0].Columns[2].Name != "all" || all.Episodes != 2*2*12 || len(all.Units) != 2 || all.Successes != 24 {
		t.Errorf("all suites: %+v", all)
	}
	low, high := stat.Wilson(24, 48)
	if all.Low != low || all.High != high {
		t.Errorf("interval %g..%g, want %g..%g", all.Low, all.High, low, high)
	}
}

// TestAgain: the same episodes under several levels of noise, or after several
// numbers of demonstrations, make the interval of their mean no narrower than that
// of one.
func TestAgain(t *testing.T) {
	for name, columns := range map[string]int{"perturb": 5, "fewshot": 3} {
		t.Run(name, func(t *testing.T) { again(t, name, columns) })
	}
}

func again(t *testing.T, name string, columns int) {
	o := testOptions(name, "bc", "arfm")
	o.Budget.Seeds = 3
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	m := p.make(func(_ string, e *Evaluate, i int) bool {
		return (7*i+int(e.Seed))%10 < 3 || i%2 == 0 && p.job(e.Policies[0]).Train.Objective == "arfm"
	})
	r := p.Tabulate(m, Made{})
	runs := len(p.Suites) // perturb's columns are the same runs
	if name == "fewshot" {
		runs *= columns
	}
	if len(r.Alphas) != runs {
		t.Errorf("alphas of %d, want %d", len(r.Alphas), runs)
	}
	for _, panel := range r.Panels {
		one, all := panel.Columns[1], panel.Columns[len(panel.Columns)-1]
		if !all.All {
			t.Fatalf("%s: the last column is %s", panel.Name, all.Name)
		}
		for i := range one.Cells {
			a, b := one.Cells[i], all.Cells[i]
			if b.Episodes != columns*a.Episodes || b.Successes != columns*a.Successes || b.Low != a.Low || b.High != a.High {
				t.Errorf("%s, %s: one %+v, all %+v", panel.Name, p.Methods[i].Name, a, b)
			}
			if i == 0 && (math.Abs(a.Difference.Low-b.Difference.Low) > 1e-12 || math.Abs(a.Difference.High-b.Difference.High) > 1e-12 || a.Difference.Low == a.Difference.High) {
				t.Errorf("%s: difference %+v, of all %+v", panel.Name, a.Difference, b.Difference)
			}
		}
	}
}

// TestChoose takes the best, of equal ones the first.
func TestChoose(t *testing.T) {
	done := made{}
	for id, n := range map[string]int{"a1": 2, "a2": 1, "b1": 3, "b2": 2, "c1": 1, "c2": 4} {
		d := &Done{Evaluated: &Evaluated{}}
		for i := range 4 {
			d.Evaluated.Outcomes = append(d.Evaluated.Outcomes, Outcome{Success: i < n})
		}
		done[id] = d
	}
	got := choose(&Choose{Scores: [][]string{{"a1", "a2"}, {"b1", "b2"}, {"c1", "c2"}}}, done.Done)
	if got.Best != 1 || got.Episodes != 8 || got.Successes[0] != 3 || got.Successes[1] != 5 || got.Successes[2] != 5 {
		t.Errorf("%+v", got)
	}
}

func TestSumUp(t *testing.T) {
	var lines []finetune.Line
	for i := range 10 {
		m := objective.Metrics{Alpha: 0.5, X: 0.25, ESS: 30}
		switch {
		case i < 2:
			m = objective.Metrics{Alpha: 0.01, X: 1e-4, ESS: 64}
		case i == 9:
			m = objective.Metrics{Alpha: 5, X: 25, ESS: 1}
		}
		lines = append(lines, finetune.Line{Step: int64(i + 1), Metrics: m})
	}
	tr := &Train{Objective: "arfm", Tuning: objective.Own("arfm", nil), Batch: 64}
	a := SumUp(tr, lines)
	predicted := (2*64*math.Exp(-1e-4) + 7*64*math.Exp(-0.25) + 1) / 10 // not 64 e^-25
	if a == nil || math.Abs(a.Lower-0.2) > 1e-12 || math.Abs(a.Upper-0.1) > 1e-12 || a.Median != 0.5 ||
		math.Abs(a.Predicted-predicted) > 1e-9 || math.Abs(a.Seen-(2*64+7*30+1)/10.0) > 1e-9 || len(a.Curve) != 10 || a.Curve[9].Alpha != 5 {
		t.Errorf("%+v, predicted %g", a, predicted)
	}
	for range 11 {
		lines = append(lines, lines[:10]...)
	}
	if n := len(SumUp(tr, lines).Curve); n != 60 { // of 120 steps, two each
		t.Errorf("a curve of %d points", n)
	}
	tr.Tuning = objective.Own("arfm", objective.Options{"alpha-min": "0.5", "alpha-max": "0.5"})
	if a := SumUp(tr, lines); a == nil || !a.Given || a.Lower != 0 || a.Upper != 0 || math.Abs(a.Predicted-predicted) > 1e-9 || math.Abs(a.Seen-(2*64+7*30+1)/10.0) > 1e-9 {
		t.Errorf("alpha fixed: %+v", a)
	}
	for i := range lines {
		lines[i].X = 0
	}
	if a := SumUp(&Train{Objective: "bc"}, lines); a != nil {
		t.Errorf("bc weighs all the same: %+v", a)
	}
	lines[3].WeightMax = 0.5
	if a := SumUp(&Train{Objective: "rwr", Batch: 64}, lines); a == nil || !a.Given || a.Median != 0.5 || a.Predicted != 0 || math.Abs(a.Seen-(2*64+7*30+1)/10.0) > 1e-9 {
		t.Errorf("rwr: %+v", a)
	}
}

// TestSaysBound: a table says where arfm was bc, on alpha's lower bound or near it.
func TestSaysBound(t *testing.T) {
	p := newPlan(t, "multitask", "bc", "arfm", "arfm-paper")
	const bound, near = " alpha lay on its lower bound", " the effective sample size was the whole batch"
	for _, c := range []struct {
		lower, seen float64
		says        string
	}{{0.6, 5, bound}, {0.6, 8, bound}, {0.5, 7.93, near}, {0.5, 7.9, ""}} {
		m := p.make(func(string, *Evaluate, int) bool { return true })
		for _, d := range m {
			if d.Trained != nil && d.Trained.Alpha != nil {
				d.Trained.Alpha.Lower, d.Trained.Alpha.Seen = c.lower, c.seen
			}
		}
		text := p.Tabulate(m, Made{}).Markdown()
		for _, method := range []string{"arfm", "arfm-paper"} {
			for _, what := range []string{bound, near} {
				if got := strings.Count(text, "In rows of **"+method+"**"+what); (got == 1) != (what == c.says) || got > 1 {
					t.Errorf("%+v: %d times %q is said of %s", c, got, what, method)
				}
			}
		}
		if strings.Contains(text, "**bc**") {
			t.Errorf("bc has no alpha:\n%s", text)
		}
	}
}
