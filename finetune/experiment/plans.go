package experiment

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"arfm/finetune/objective"
)

// Feet of tables.
const (
	aboutBase  = "All objectives start from the same policy, bc on the same demonstrations from random weights, and do the same number of steps; bc goes on as it began."
	aboutAgain = "The column that pools the %s takes each episode once, with its mean over them: its intervals are those of as many episodes as one of them has."
	aboutMix   = "Demonstrations are 40 % expert, 25 % sloppy, 35 % failing by their demonstrators' intent."
)

// base is the policy that all objectives of a suite start from.
func (p *Plan) base(s Suite) func(seed uint64) string {
	return func(seed uint64) string {
		return p.pretrain(p.record(s.Name, p.Budget.Demonstrations, seed), seed)
	}
}

func (p *Plan) multitask() error {
	var columns []Column
	for _, s := range p.Suites {
		units := p.tuned(s, p.Budget.Demonstrations, p.base(s))
		columns = append(columns, p.tested(s.Name, none, s, units, 0))
	}
	p.Panels = []Panel{{Columns: columns}}
	p.Foot = []string{aboutMix, aboutBase}
	return nil
}

// paperNoises are the standard deviations of the paper's perturbation.
func paperNoises() []float64 { return []float64{0.1, 0.15, 0.2, 0.25, 0.3} }

// maxNoise is half the range of an action, in ways of a period.
const maxNoise = 16

func usableNoises(sds []float64) bool {
	distinct := slices.Compact(slices.Sorted(slices.Values(sds)))
	unusable := func(sd float64) bool { return !(sd > 0 && sd <= maxNoise) }
	return len(sds) > 0 && len(distinct) == len(sds) && !slices.ContainsFunc(sds, unusable)
}

func (p *Plan) perturb() error {
	for _, s := range p.Suites {
		units := p.tuned(s, p.Budget.Demonstrations, p.base(s))
		panel := Panel{Name: s.Name, Again: true}
		for _, sd := range append([]float64{0}, slices.Sorted(slices.Values(p.Budget.Noises))...) {
			c := p.tested(number(sd), sd, s, units, sd)
			c.Apart = sd == 0
			panel.Columns = append(panel.Columns, c)
		}
		p.Panels = append(p.Panels, panel)
	}
	p.Foot = []string{
		"Policies are those of multitask.",
		fmt.Sprintf(aboutAgain, "levels"), aboutNoise, aboutMix, aboutBase,
	}
	return nil
}

func (p *Plan) fewshot() error {
	for _, s := range p.Suites {
		kin := s.kin()
		panel := Panel{Name: s.Name, Again: true}
		for _, n := range p.Budget.Shots {
			units := p.tuned(s, n*s.Tasks, p.base(kin))
			panel.Columns = append(panel.Columns, p.tested(fmt.Sprint(n), float64(n), s, units, 0))
		}
		p.Panels = append(p.Panels, panel)
		p.Foot = append(p.Foot, fmt.Sprintf("%s has %d tasks, so columns stand for so many times the demonstrations.", s.Name, s.Tasks), p.aboutKin(s))
	}
	p.Foot = append(p.Foot, fmt.Sprintf(aboutAgain, "numbers"), aboutMix)
	return nil
}

// aboutKin says where policies of a suite start.
func (p *Plan) aboutKin(s Suite) string {
	return fmt.Sprintf("All objectives start from bc on %d demonstrations of %s, which has the same scene as %s.", p.Budget.Demonstrations, s.kin().Name, s.Name)
}

// Chain is a method that learns the tasks of a suite one after another.
type Chain struct {
	Suite  string
	Method int
	Units  []Stages
}

// Stages are one pass through the tasks: Evaluations[k][j] is the ID of the
// evaluation, after stage k, of the j-th task that was learned, j <= k.
type Stages struct{ Evaluations [][]string }

// orders are three orders of n tasks: up, down, and shuffled; of two tasks there
// are only two.
func orders(n int) [][]int {
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	mixed := slices.Clone(up)
	rand.New(rand.NewPCG(3, 3)).Shuffle(n, func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	all := [][]int{up, down}
	if n > 2 {
		all = append(all, mixed)
	}
	return all
}

func (p *Plan) continual() error {
	for i, m := range p.Methods { // a choice for each stage would be another method
		p.Methods[i].Candidates = m.Candidates[len(m.Candidates)/2 : len(m.Candidates)/2+1]
		if c := p.Methods[i].Candidates[0]; c.Name != "" {
			p.Methods[i].Name, p.Methods[i].About = m.Name+", "+c.Name, ""
		}
	}
	for _, s := range p.Suites {
		if s.Tasks < 2 {
			return fmt.Errorf("%w: suite %s has one task; continual learning takes more", ErrOptions, s.Name)
		}
		panel := Panel{Name: s.Name}
		for k := range s.Tasks {
			panel.Columns = append(panel.Columns, Column{Name: fmt.Sprint(k + 1), X: float64(k + 1), Cells: make([]Cell, len(p.Methods))})
		}
		for i, m := range p.Methods {
			chain := Chain{Suite: s.Name, Method: i}
			for _, seed := range p.seeds() {
				for _, order := range orders(s.Tasks) {
					stages, trainings := p.stages(s, m.Candidates[0], seed, order)
					chain.Units = append(chain.Units, stages)
					for k, ids := range stages.Evaluations {
						cell := &panel.Columns[k].Cells[i]
						cell.Units = append(cell.Units, Unit{Evaluations: ids, Trainings: trainings[k : k+1]})
					}
				}
			}
			p.Chains = append(p.Chains, chain)
		}
		p.Panels = append(p.Panels, panel)
		p.Foot = append(p.Foot, p.aboutKin(s))
	}
	p.Foot = append(p.Foot,
		fmt.Sprintf("Each stage fine-tunes the policy of the one before on the demonstrations of one task, for %s, and replays a quarter of those of each earlier task. Each seed goes through the tasks as the suite lists them, reversed, and shuffled.", plural(int(p.stageSteps()), "step")),
		aboutMix,
	)
	return nil
}

// stageSteps are the steps of one task.
func (p *Plan) stageSteps() int64 { return max(1, p.Budget.Tune/2) }

// replayed are the demonstrations of each earlier task that are kept: a quarter.
func (p *Plan) replayed(s Suite) int { return max(1, p.Budget.Demonstrations/s.Tasks/4) }

// stages plans one pass through the tasks of a suite.
func (p *Plan) stages(s Suite, c Candidate, seed uint64, order []int) (out Stages, trainings []string) {
	data := p.record(s.Name, p.Budget.Demonstrations, seed)
	policy := p.base(s.kin())(seed)
	for k, task := range order {
		t := p.training(data, policy, c, p.stageSteps(), p.Budget.TuneRate, seed)
		t.Tasks = []int{task}
		if k > 0 {
			t.Replay = &Replay{slices.Sorted(slices.Values(order[:k])), p.replayed(s)}
		}
		policy = p.add(Job{Train: t})
		trainings = append(trainings, policy)
		var ids []string
		for _, learned := range order[:k+1] {
			ids = append(ids, p.add(Job{Evaluate: &Evaluate{
				Policies: []string{policy}, Suite: s.Name, Tasks: []int{learned}, Episodes: p.Budget.Episodes, Seed: testSeeds + seed,
			}}))
		}
		out.Evaluations = append(out.Evaluations, ids)
	}
	return out, trainings
}

func (p *Plan) ablation() error {
	p.Methods = nil
	for _, name := range []string{"bc", arfmMethod} {
		m, err := FindMethod(name)
		if err != nil {
			return err
		}
		p.Methods = append(p.Methods, m)
	}
	p.Methods = append(p.Methods, ablations()...)
	var columns []Column
	for _, s := range p.Suites {
		units := p.tuned(s, p.Budget.Demonstrations, p.base(s))
		columns = append(columns, p.tested(s.Name, none, s, units, 0))
		for i, m := range p.Methods {
			if slices.Contains([]string{arfmMethod, "paper, lambda 0.0005", "relative, spread gaussian"}, m.Name) {
				p.Curves = append(p.Curves, Curve{s.Name + ", " + m.Name, units[i][0].Trainings[0]})
			}
		}
	}
	p.Panels = []Panel{{Columns: columns}}
	p.Foot = []string{
		fmt.Sprintf("relative and paper are arfm's scales, with spread batch and gaussian, and advantages standardised within a task and as they are; where a row says nothing else it has lambda %g, M 20 and alpha within [0.01, 5]. The lambdas of scale relative are the paper's times %g, the ratio of the scales' defaults.", objective.RelativeAlpha().Lambda, lambdaRatio()),
		"M bounds the bisections only: Newton steps follow, so that nothing can be seen of it here.",
		aboutMix, aboutBase,
	}
	return nil
}

// aboutNoise says what the noise of perturb is.
const aboutNoise = "Noise is Gaussian, independent in every element of every row of a chunk, the same numbers for all. Its unit is the way of one period: half the normalised action's range (about 0.4 rad of a joint) by the rows of a chunk (16), so 0.1 is about 2.4 mrad. The paper's actions are such steps; these are places, up to a chunk away."
