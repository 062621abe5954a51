package experiment

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"arfm/finetune/advantage"
	"arfm/finetune/objective"
)

// Budget is how much an experiment spends.
type Budget struct {
	Name           string    `json:"name"`
	Seeds          int       `json:"seeds"`          // of demonstrations, training and evaluation
	Demonstrations int       `json:"demonstrations"` // of a suite
	Pretrain       int64     `json:"pretrain_steps"` // of bc from random weights
	Tune           int64     `json:"tune_steps"`     // of each objective from there
	Episodes       int       `json:"episodes"`       // of a task, in an evaluation
	Validation     int       `json:"validation"`     // of a task, where one of several candidates is chosen
	Shots          []int     `json:"shots"`          // demonstrations of a task, of fewshot
	Noises         []float64 `json:"noises"`         // standard deviations of perturb, ways of a period; none comes before them
	Batch          int       `json:"batch"`
	Preset         string    `json:"preset"`
	PretrainRate   float64   `json:"pretrain_rate"` // peak learning rates
	TuneRate       float64   `json:"tune_rate"`
}

// Budgets are those that have a name. Small takes multitask through in less
// than an hour on two cores.
var Budgets = []Budget{
	{
		Name: "small", Seeds: 1, Demonstrations: 120, Pretrain: 1200, Tune: 600, Episodes: 10, Validation: 5,
		Shots: []int{10, 20, 30}, Noises: paperNoises(), Batch: 64, Preset: "nano", PretrainRate: 1e-3, TuneRate: 5e-4,
	},
	{
		Name: "full", Seeds: 3, Demonstrations: 200, Pretrain: 1500, Tune: 800, Episodes: 50, Validation: 20,
		Shots: []int{10, 20, 30}, Noises: paperNoises(), Batch: 64, Preset: "nano", PretrainRate: 1e-3, TuneRate: 5e-4,
	},
}

// FindBudget returns the budget of that name.
func FindBudget(name string) (Budget, error) {
	var names []string
	for _, b := range Budgets {
		if b.Name == name {
			return b, nil
		}
		names = append(names, b.Name)
	}
	return Budget{}, fmt.Errorf("%w: there is no budget %.40q; use %s", ErrOptions, name, strings.Join(names, " or "))
}

// Suite is a set of tasks.
type Suite struct {
	Name  string
	Tasks int
	Kin   string // another suite with the same scene
}

// kin returns the suite whose demonstrations teach the scene: without one, itself.
func (s Suite) kin() Suite {
	if s.Kin != "" {
		s.Name = s.Kin
	}
	return s
}

// Options say what is planned.
type Options struct {
	Experiment string   // one of Names
	Budget     Budget   //
	Suites     []Suite  // in the order of the table
	Methods    []string // of MethodNames; of no use to ablation
	Build      string   // names the program that does it
}

// Plan is an experiment as jobs, and what its tables hold.
type Plan struct {
	Options
	Title   string
	Axis    string    // what the columns are
	Jobs    []Planned // each after those that it needs
	Methods []Method  // rows, in order
	Panels  []Panel
	Chains  []Chain // of continual
	Curves  []Curve // of ablation
	Foot    []string

	known map[string]bool
}

// Planned is a job with its ID.
type Planned struct {
	ID string
	Job
}

// Panel is a table with a row for each method.
type Panel struct {
	Name    string
	Again   bool // its columns are the same episodes again, as under more noise
	Columns []Column
}

// Column is one setting in which all methods are compared.
type Column struct {
	Name  string
	X     float64 // on the plot's axis; NaN where there is none
	Apart bool    // it does not count in the column that pools the others
	Cells []Cell  // by method
}

// Cell is a method in a setting, measured in several units: training seeds, or
// seeds and orders.
type Cell struct{ Units []Unit }

// Unit is one measurement of a cell.
type Unit struct {
	Evaluations []string // IDs; the outcomes of all count
	Trainings   []string // IDs, by candidate
	Choice      string   // ID of what takes one of the candidates; empty: there is one
}

// Curve is a run of training whose course is drawn.
type Curve struct{ Name, Training string }

// plans are the experiments by name.
var plans = []struct {
	name, title, axis string
	build             func(p *Plan) error
}{
	{"multitask", "Success by suite, fine-tuned on mixed demonstrations", "suite", (*Plan).multitask},
	{"perturb", "Success under noise on actions", "standard deviation of the noise, ways of a period", (*Plan).perturb},
	{"fewshot", "Success after few demonstrations", "demonstrations of each task", (*Plan).fewshot},
	{"continual", "Success on the tasks so far, learned one after another", "tasks learned", (*Plan).continual},
	{"ablation", "What arfm's settings do", "suite", (*Plan).ablation},
}

// Names returns all experiments.
func Names() (names []string) {
	for _, p := range plans {
		names = append(names, p.name)
	}
	return names
}

// New plans an experiment. Errors wrap ErrOptions.
func New(o Options) (*Plan, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	p := &Plan{Options: o, known: map[string]bool{}}
	for _, name := range o.Methods {
		m, err := FindMethod(name)
		if err != nil {
			return nil, err
		}
		p.Methods = append(p.Methods, m)
	}
	for _, def := range plans {
		if def.name == o.Experiment {
			p.Title, p.Axis = def.title, def.axis
			return p, def.build(p)
		}
	}
	return nil, fmt.Errorf("%w: there is no experiment %.40q; use one of %s", ErrOptions, o.Experiment, strings.Join(Names(), ", "))
}

func (o *Options) validate() error {
	b := &o.Budget
	names := func(s Suite) string { return s.Name }
	switch {
	case b.Seeds < 1 || b.Seeds > 1000:
		return fmt.Errorf("%w: %d seeds; give 1 to 1000", ErrOptions, b.Seeds)
	case b.Demonstrations < 1 || b.Pretrain < 1 || b.Tune < 1 || b.Episodes < 1 || b.Validation < 1 || b.Batch < 1:
		return fmt.Errorf("%w: a budget needs at least one demonstration, step, episode and chunk of each kind", ErrOptions)
	case len(b.Shots) == 0 || slices.Min(b.Shots) < 1:
		return fmt.Errorf("%w: fewshot needs numbers of demonstrations, 1 or more", ErrOptions)
	case !usableNoises(b.Noises):
		return fmt.Errorf("%w: the noise of perturb is some standard deviations, each once, above 0 and at most %d", ErrOptions, maxNoise)
	case len(o.Suites) == 0 || len(o.Methods) == 0:
		return fmt.Errorf("%w: name at least one suite and one objective", ErrOptions)
	case repeats(o.Suites, names) != "":
		return fmt.Errorf("%w: suite %s is named twice", ErrOptions, repeats(o.Suites, names))
	case repeats(o.Methods, func(s string) string { return s }) != "":
		return fmt.Errorf("%w: objective %s is named twice", ErrOptions, repeats(o.Methods, func(s string) string { return s }))
	}
	return nil
}

// repeats returns the first name that comes twice.
func repeats[T any](list []T, name func(T) string) string {
	for i, x := range list {
		if slices.ContainsFunc(list[:i], func(y T) bool { return name(y) == name(x) }) {
			return name(x)
		}
	}
	return ""
}

// add plans a job, once, and returns its ID.
func (p *Plan) add(j Job) string {
	id := j.ID(p.Build)
	if !p.known[id] {
		p.known[id] = true
		p.Jobs = append(p.Jobs, Planned{id, j})
	}
	return id
}

// Seeds of evaluations are others than those of demonstrations and training.
const (
	testSeeds       = 1 << 20
	validationSeeds = 2 << 20
)

// seeds of demonstrations and training.
func (p *Plan) seeds() (out []uint64) {
	for k := range p.Budget.Seeds {
		out = append(out, uint64(k)+1)
	}
	return out
}

// record plans mixed demonstrations of a suite.
func (p *Plan) record(suite string, episodes int, seed uint64) string {
	return p.add(Job{Record: &Record{Suite: suite, Episodes: episodes, Expert: 0.4, Sloppy: 0.25, Failing: 0.35, Seed: seed}})
}

// train plans a run of training on data, from a checkpoint or, with "", from random weights.
func (p *Plan) train(data, init string, c Candidate, steps int64, rate float64, seed uint64) string {
	return p.add(Job{Train: p.training(data, init, c, steps, rate, seed)})
}

func (p *Plan) training(data, init string, c Candidate, steps int64, rate float64, seed uint64) *Train {
	standardize := c.Standardize
	if standardize == "" {
		standardize = advantage.None
	}
	return &Train{
		Data: data, Init: init,
		Objective: c.Objective, Tuning: completed(c), Advantage: advantage.Options{Standardize: standardize, GroupBy: advantage.ByTask}, Rewards: c.Rewards,
		Preset: p.Budget.Preset, Steps: steps, Batch: p.Budget.Batch, Rate: rate, Seed: seed, Workers: 1,
	}
}

// completed gives a candidate's options with the defaults of its own objective,
// so that another objective's new option changes no hash.
func completed(c Candidate) objective.Options {
	return objective.Own(c.Objective, c.Tuning)
}

// pretrain plans bc on data from random weights.
func (p *Plan) pretrain(data string, seed uint64) string {
	return p.train(data, "", Candidate{Objective: "bc"}, p.Budget.Pretrain, p.Budget.PretrainRate, seed)
}

// tune plans fine-tuning by each candidate of a method.
func (p *Plan) tune(data, init string, m Method, seed uint64) (trainings []string) {
	for _, c := range m.Candidates {
		trainings = append(trainings, p.train(data, init, c, p.Budget.Tune, p.Budget.TuneRate, seed))
	}
	return trainings
}

// test plans the episodes of the table.
func (p *Plan) test(s Suite, trainings []string, choice string, seed uint64, noise float64) string {
	return p.add(Job{Evaluate: &Evaluate{Policies: trainings, Choice: choice, Suite: s.Name, Episodes: p.Budget.Episodes * s.Tasks, Seed: testSeeds + seed, Noise: noise}})
}

// choose plans the choice among a method's candidates by validation, over all
// seeds; "" where there is nothing to choose. trainings are by seed.
func (p *Plan) choose(s Suite, m Method, trainings [][]string) string {
	if len(m.Candidates) < 2 {
		return ""
	}
	scores := make([][]string, len(m.Candidates))
	for k, seed := range p.seeds() {
		for i := range m.Candidates {
			scores[i] = append(scores[i], p.add(Job{Evaluate: &Evaluate{
				Policies: trainings[k][i : i+1], Suite: s.Name, Episodes: p.Budget.Validation * s.Tasks, Seed: validationSeeds + seed,
			}}))
		}
	}
	return p.add(Job{Choose: &Choose{Scores: scores}})
}

// tuned plans fine-tuning of all methods for a suite, on so many of its demonstrations,
// and returns the units of each method, without evaluations, by seed.
func (p *Plan) tuned(s Suite, demonstrations int, init func(seed uint64) string) (units [][]Unit) {
	for _, m := range p.Methods {
		var trainings [][]string
		for _, seed := range p.seeds() {
			trainings = append(trainings, p.tune(p.record(s.Name, demonstrations, seed), init(seed), m, seed))
		}
		choice := p.choose(s, m, trainings)
		var of []Unit
		for _, t := range trainings {
			of = append(of, Unit{Trainings: t, Choice: choice})
		}
		units = append(units, of)
	}
	return units
}

// tested plans the test of tuned units under noise and returns the column.
func (p *Plan) tested(name string, x float64, s Suite, units [][]Unit, noise float64) Column {
	c := Column{Name: name, X: x}
	for _, of := range units {
		var cell Cell
		for k, u := range of {
			u.Evaluations = []string{p.test(s, u.Trainings, u.Choice, p.seeds()[k], noise)}
			cell.Units = append(cell.Units, u)
		}
		c.Cells = append(c.Cells, cell)
	}
	return c
}

var none = math.NaN()
