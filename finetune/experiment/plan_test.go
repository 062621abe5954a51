package experiment

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/finetune/advantage"
)

// testOptions plan two seeds of a suite with three tasks.
func testOptions(name string, methods ...string) Options {
	if len(methods) == 0 {
		methods = DefaultMethods
	}
	return Options{
		Experiment: name, Methods: methods, Build: "test",
		Suites: []Suite{{"goal", 3, "long"}, {"long", 3, "goal"}},
		Budget: Budget{"test", 2, 12, 30, 20, 4, 2, []int{1, 2, 3}, paperNoises(), 8, "nano", 1e-3, 5e-4},
	}
}

func newPlan(t *testing.T, name string, methods ...string) *Plan {
	t.Helper()
	p, err := New(testOptions(name, methods...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Plan) job(id string) *Job {
	for i := range p.Jobs {
		if p.Jobs[i].ID == id {
			return &p.Jobs[i].Job
		}
	}
	return nil
}

// TestPlans: each job comes once, after what it needs, and whatever stands in
// one column was trained on the same data from the same start for as long, and
// judged on the same episodes.
func TestPlans(t *testing.T) {
	for _, name := range Names() {
		p := newPlan(t, name)
		seen := map[string]bool{}
		for _, j := range p.Jobs {
			if seen[j.ID] || j.ID != j.Job.ID(p.Build) {
				t.Errorf("%s: job %s comes twice or has another ID", name, j.ID)
			}
			for _, id := range j.Needs() {
				if !seen[id] {
					t.Errorf("%s: %s comes before %s", name, j.ID, id)
				}
			}
			seen[j.ID] = true
		}
		for _, panel := range p.Panels {
			for _, c := range panel.Columns {
				if len(c.Cells) != len(p.Methods) {
					t.Fatalf("%s: %d cells for %d methods", name, len(c.Cells), len(p.Methods))
				}
				for i, cell := range c.Cells[1:] {
					for k, u := range cell.Units {
						if got, want := p.fair(u), p.fair(c.Cells[0].Units[k]); !reflect.DeepEqual(got, want) {
							t.Errorf("%s, %s, %s: method %s is compared on other terms:\n%v\n%v", name, panel.Name, c.Name, p.Methods[i+1].Name, got, want)
						}
					}
				}
			}
		}
		t.Logf("%s: %d jobs, %.0f s of one core", name, len(p.Jobs), p.seconds())
	}
}

// fair returns what must not depend on the method.
func (p *Plan) fair(u Unit) (terms []any) {
	for _, id := range u.Trainings {
		tr := *p.job(id).Train
		tr.Objective, tr.Tuning, tr.Advantage.Standardize = "", nil, ""
		if init := p.job(tr.Init).Train; init.Objective != "bc" || init.Init != "" {
			tr.Init = "" // a stage of continual: of the same method
		}
		if !slices.ContainsFunc(terms, func(x any) bool { return reflect.DeepEqual(x, tr) }) {
			terms = append(terms, tr) // candidates are alike
		}
	}
	for _, id := range u.Evaluations {
		e := *p.job(id).Evaluate
		e.Policies, e.Choice = nil, ""
		terms = append(terms, e)
	}
	return terms
}

func (p *Plan) seconds() (sum float64) {
	for _, j := range p.Jobs {
		sum += j.cost()
	}
	return sum
}

func ids(p *Plan, kind string) (out []string) {
	for _, j := range p.Jobs {
		if j.Kind() == kind {
			out = append(out, j.ID)
		}
	}
	return out
}

// TestShared: what two experiments have in common is one job.
func TestShared(t *testing.T) {
	all := newPlan(t, "multitask")
	if got, want := ids(newPlan(t, "perturb"), "train"), ids(all, "train"); !slices.Equal(got, want) {
		t.Errorf("perturb trains %d policies, multitask %d, and they should be the same", len(got), len(want))
	}
	// Per suite and seed: pre-training, bc, arfm, arfm-paper.
	shared := 0
	for _, id := range ids(newPlan(t, "ablation"), "train") {
		if slices.Contains(ids(all, "train"), id) {
			shared++
		}
	}
	if shared != 2*2*4 {
		t.Errorf("ablation shares %d runs of training with multitask, want 16", shared)
	}
	if got := len(ids(all, "train")); got != 2*2*(1+7) {
		t.Errorf("multitask has %d runs of training, want 32", got)
	}
	few := newPlan(t, "fewshot")
	if id := few.job(few.Panels[0].Columns[0].Cells[0].Units[0].Trainings[0]).Train.Init; !slices.Contains(ids(all, "train"), id) {
		t.Error("fewshot has a start of its own, and not multitask's of the kindred suite")
	}
}

// TestChoice: what is chosen by is not what is tested on.
func TestChoice(t *testing.T) {
	p := newPlan(t, "multitask", "rwr", "arfm")
	choices := ids(p, "choose")
	if len(choices) != 2 {
		t.Fatalf("%d choices for two suites", len(choices))
	}
	seeds := map[uint64]bool{}
	for _, id := range choices {
		scores := p.job(id).Choose.Scores
		if len(scores) != 3 || len(scores[0]) != 2 {
			t.Fatalf("a choice among %d candidates by %d seeds, want 3 and 2", len(scores), len(scores[0]))
		}
		for _, s := range scores {
			for _, e := range s {
				seeds[p.job(e).Evaluate.Seed] = true
			}
		}
	}
	for _, c := range p.Panels[0].Columns {
		for _, u := range c.Cells[0].Units {
			e := p.job(u.Evaluations[0]).Evaluate
			if seeds[e.Seed] || len(e.Policies) != 3 || e.Choice != u.Choice {
				t.Errorf("rwr is tested on %+v", e)
			}
			for _, id := range e.Policies {
				if seeds[p.job(id).Train.Seed] || p.job(id).Train.Seed == e.Seed {
					t.Error("seeds of training are used to test")
				}
			}
		}
	}
}

// TestID: whatever is another thing to do has another name.
func TestID(t *testing.T) {
	base := func() Job {
		return Job{Train: &Train{Data: "record-1", Init: "train-1", Objective: "rwr", Tuning: map[string]string{"beta": "1"}, Preset: "nano", Steps: 5, Batch: 4, Rate: 1, Seed: 1, Workers: 1}}
	}
	id := base().ID("a")
	if again := base().ID("a"); again != id || !strings.HasPrefix(id, "train-") || len(id) != len("train-")+16 {
		t.Errorf("%s, then %s", id, again)
	}
	if base().ID("b") == id {
		t.Error("another build has the same ID")
	}
	for name, change := range map[string]func(*Train){
		"data": func(x *Train) { x.Data = "record-2" }, "init": func(x *Train) { x.Init = "" },
		"tasks": func(x *Train) { x.Tasks = []int{0} }, "beta": func(x *Train) { x.Tuning = map[string]string{"beta": "2"} },
		"steps": func(x *Train) { x.Steps++ }, "seed": func(x *Train) { x.Seed++ }, "workers": func(x *Train) { x.Workers++ },
		"standardize": func(x *Train) { x.Advantage.Standardize = "zscore" }, "rewards": func(x *Train) { x.Rewards = SuccessRewards },
	} {
		j := base()
		change(j.Train)
		if j.ID("a") == id {
			t.Errorf("another %s has the same ID", name)
		}
	}
}

// TestStages: each learns one task and replays the ones before, from a start that
// has seen none of them.
func TestStages(t *testing.T) {
	p := newPlan(t, "continual", "bc")
	for _, c := range p.Chains {
		for n, u := range c.Units {
			order := orders(3)[n%3]
			before := ""
			for k, ids := range u.Evaluations {
				id := p.job(ids[0]).Evaluate.Policies[0]
				train := p.job(id).Train
				if !slices.Equal(train.Tasks, order[k:k+1]) || k > 0 && train.Init != before {
					t.Errorf("order %v, stage %d: trains on %v from %s", order, k, train.Tasks, train.Init)
				}
				switch r := train.Replay; {
				case k == 0:
					start := p.job(train.Init).Train
					if suite := p.job(start.Data).Record.Suite; suite == c.Suite || start.Tasks != nil || r != nil {
						t.Errorf("%s starts from %s and replays %v", c.Suite, suite, r)
					}
				case r.Episodes != 1 || !slices.Equal(r.Tasks, slices.Sorted(slices.Values(order[:k]))):
					t.Errorf("order %v, stage %d: replays %+v", order, k, r)
				}
				before = id
			}
		}
	}
}

func TestOrders(t *testing.T) {
	for n := 2; n < 7; n++ {
		all := orders(n)
		for i, o := range all {
			sorted := slices.Sorted(slices.Values(o))
			if len(all) != min(n, 3) || !slices.Equal(sorted, all[0]) {
				t.Errorf("%v is no order of %d", o, n)
			}
			for _, other := range all[:i] {
				if slices.Equal(o, other) {
					t.Errorf("%v comes twice", o)
				}
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"experiment":     func(o *Options) { o.Experiment = "multi" },
		"objective":      func(o *Options) { o.Methods = []string{"ppo"} },
		"same objective": func(o *Options) { o.Methods = []string{"bc", "bc"} },
		"same suite":     func(o *Options) { o.Suites = append(o.Suites, o.Suites[0]) },
		"no suites":      func(o *Options) { o.Suites = nil },
		"seeds":          func(o *Options) { o.Budget.Seeds = -1 },
		"steps":          func(o *Options) { o.Budget.Tune = 0 },
		"no noise":       func(o *Options) { o.Budget.Noises = nil },
		"noise of 0":     func(o *Options) { o.Budget.Noises = []float64{0.1, 0} },
		"same noise":     func(o *Options) { o.Budget.Noises = []float64{0.1, 0.1} },
		"noise, NaN":     func(o *Options) { o.Budget.Noises = []float64{math.NaN()} },
		"one task":       func(o *Options) { o.Experiment, o.Suites[0].Tasks = "continual", 1 },
	} {
		o := testOptions("multitask")
		change(&o)
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
	}
	if _, err := FindBudget("large"); !errors.Is(err, ErrOptions) {
		t.Errorf("budget: %v", err)
	}
}

// TestMethods: every registered objective can be compared.
func TestMethods(t *testing.T) {
	for _, name := range MethodNames() {
		m, err := FindMethod(name)
		if err != nil || m.Name != name || len(m.Candidates) == 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	m, err := FindMethod("arfm:lambda=7:spread=gaussian")
	if err != nil || m.Name != "arfm:lambda=7:spread=gaussian" || m.Candidates[0].Objective != "arfm" || m.Candidates[0].Tuning["lambda"] != "7" || m.Candidates[0].Tuning["spread"] != "gaussian" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := FindMethod("rwr:beta=3"); err != nil || m.Candidates[0].Standardize != advantage.ZScore {
		t.Errorf("%+v, %v", m, err)
	}
	for name, want := range map[string]advantage.Standardize{"arfm": advantage.ZScore, "arfm-paper": advantage.None, "arfm:lambda=7": advantage.ZScore, "arfm:standardize=none": advantage.None, "arfm-gaussian": advantage.ZScore, "awr-iql": advantage.ZScore, "recap:good-share=0.4": advantage.ZScore, "bc": advantage.None} {
		if m, err := FindMethod(name); err != nil || m.Candidates[0].Standardize != want {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if m, err := FindMethod("arfm:rewards=success:lambda=7"); err != nil || m.Candidates[0].Rewards != SuccessRewards || m.Candidates[0].Tuning["lambda"] != "7" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, name := range []string{"arfm:standardize=loud", "arfm:standardize=", "bc:rewards=success", "bc:standardize=none", "arfm:standardize", "arfm:lambda=1:lambda=2", "arfm:rewards=loud", "arfm:rewards=", "arfm:rewards", "arfm:beta=1", "arfm:lambda", "arfm:lambda=-1", "arfm:", "none:lambda=1", ":"} {
		if m, err := FindMethod(name); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}
