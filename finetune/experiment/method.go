package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"arfm/finetune"
	"arfm/finetune/advantage"
	"arfm/finetune/objective"
)

// ErrOptions is wrapped by every error about options that cannot be used.
var ErrOptions = errors.New("unusable options of an experiment")

// Method is a row of a table: an objective with its options, or several
// candidates of which the best on validation episodes is taken.
type Method struct {
	Name       string
	About      string // for the table's foot; may be empty
	Candidates []Candidate
}

// Candidate is an objective with its options.
type Candidate struct {
	Name        string // among its method's; empty where it is the only one
	Objective   string
	Tuning      objective.Options // those that differ from the defaults
	Standardize advantage.Standardize
	Rewards     Rewards
}

// Names of the methods that are not objectives as they come.
const (
	rwrMethod   = "rwr"
	arfmMethod  = "arfm"
	paperMethod = "arfm-paper"
	gaussMethod = "arfm-gaussian"
)

// Options of every objective, beside its own.
const (
	standardizeOption = "standardize" // of advantages
	rewardsOption     = "rewards"
)

// DefaultMethods are those of the paper's tables.
var DefaultMethods = []string{"bc", "reinbot", rwrMethod, arfmMethod, paperMethod}

// betas are the strengths that rwr chooses from, per standard deviation of the
// advantages of a task.
var betas = []float64{0.5, 1, 2}

// MethodNames returns all methods: the objectives, arfm as the paper has it, and
// with alpha as for Gaussian advantages.
func MethodNames() []string { return append(objective.Names(), paperMethod, gaussMethod) }

// FindMethod returns the method of that name, or an objective with options:
// objective:option=value, and more options so.
func FindMethod(name string) (Method, error) {
	one := func(objective, about string, tuning objective.Options, s advantage.Standardize) Method {
		return Method{name, about, []Candidate{{Objective: objective, Tuning: tuning, Standardize: s}}}
	}
	switch {
	case name == rwrMethod:
		m := Method{Name: name}
		var said []string
		for _, beta := range betas {
			m.Candidates = append(m.Candidates, rwr(beta))
			said = append(said, number(beta))
		}
		m.About = "the best beta of " + strings.Join(said, ", ") + ", chosen for each suite on validation episodes of their own seed over all training seeds, not on those of the table; advantages are standardised within a task"
		return m, nil
	case name == arfmMethod:
		lambda := objective.RelativeAlpha().Lambda
		return one(arfmMethod, "scale relative, spread batch, lambda "+number(lambda)+"; advantages are standardised within a task", relative(lambda), advantage.ZScore), nil
	case name == paperMethod:
		return one(arfmMethod, "arfm with scale paper, spread gaussian, lambda 5e-4, and advantages as they are", paper(objective.DefaultAlpha().Lambda), advantage.None), nil
	case name == gaussMethod:
		return one(arfmMethod, "arfm with spread gaussian: alpha is what it should be for Gaussian advantages", gaussian(), advantage.ZScore), nil
	case slices.Contains(objective.Names(), name):
		return one(name, "", nil, standardize(name)), nil
	case strings.Contains(name, ":"):
		return withOptions(name)
	}
	return Method{}, fmt.Errorf("%w: there is no objective %.40q; use some of %s, or one with options, such as arfm:lambda=50", ErrOptions, name, strings.Join(MethodNames(), ", "))
}

// standardize is arfm train's default where advantages count; reinbot has returns.
func standardize(name string) advantage.Standardize {
	if o, err := objective.New(name, nil); err == nil && o.Needs().Rewards && !o.Needs().Returns {
		return finetune.Defaults(1).Advantage.Standardize
	}
	return advantage.None
}

// withOptions is an objective with options of one's own, such as
// arfm:lambda=50:spread=gaussian, where standardize and rewards are some of every
// objective.
func withOptions(name string) (Method, error) {
	words := strings.Split(name, ":")
	c := Candidate{Objective: words[0], Tuning: objective.Options{}, Standardize: standardize(words[0])}
	own, seen := objective.Own(c.Objective, nil), map[string]bool{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		_, known := own[key]
		if seen[key] {
			return Method{}, fmt.Errorf("%w: %.80q has the option %.40q twice", ErrOptions, name, key)
		}
		seen[key] = true
		switch {
		case key == standardizeOption && value == "":
			return Method{}, fmt.Errorf("%w: in %.80q, standardize has no value; use %s or %s", ErrOptions, name, advantage.None, advantage.ZScore)
		case key == standardizeOption:
			c.Standardize = advantage.Standardize(value)
		case key == rewardsOption && ok:
			if c.Rewards = Rewards(value); c.Rewards != SuccessRewards && c.Rewards != DenseRewards {
				return Method{}, fmt.Errorf("%w: in %.80q, rewards are %s or %s, not %.40q; left out, they are those that were recorded", ErrOptions, name, SuccessRewards, DenseRewards, value)
			}
		case known && ok:
			c.Tuning[key] = value
		default:
			return Method{}, fmt.Errorf("%w: in %.80q, %.40q is no option=value of objective %.40q", ErrOptions, name, w, c.Objective)
		}
	}
	o, err := objective.New(c.Objective, c.Tuning)
	if err != nil {
		return Method{}, fmt.Errorf("%w: %.80q: %w", ErrOptions, name, err)
	}
	if (seen[standardizeOption] || seen[rewardsOption]) && !o.Needs().Rewards {
		return Method{}, fmt.Errorf("%w: in %.80q, %s learns from no rewards, so that it takes no %s and no %s", ErrOptions, name, c.Objective, standardizeOption, rewardsOption)
	}
	if err := (advantage.Options{Standardize: c.Standardize}).Validate(); err != nil {
		return Method{}, fmt.Errorf("%w: %.80q: %w", ErrOptions, name, err)
	}
	return Method{Name: name, Candidates: []Candidate{c}}, nil
}

func rwr(beta float64) Candidate {
	return Candidate{Name: "beta " + number(beta), Objective: "rwr", Tuning: objective.Options{"beta": number(beta)}, Standardize: advantage.ZScore}
}

func relative(lambda float64) objective.Options {
	return objective.Options{"scale": string(objective.Relative), "lambda": number(lambda)}
}

func gaussian() objective.Options {
	return objective.Options{"scale": string(objective.Relative), "spread": string(objective.Gaussian)}
}

func paper(lambda float64) objective.Options {
	return objective.Options{"scale": string(objective.Paper), "spread": string(objective.Gaussian), "lambda": number(lambda)}
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// lambdaRatio is the ratio of the scales' own lambdas.
func lambdaRatio() float64 {
	return objective.RelativeAlpha().Lambda / objective.DefaultAlpha().Lambda
}

// ablations are arfm's settings beside its own: lambda in both scales, the
// iterations of its solver, and strengths that do not adapt.
func ablations() (out []Method) {
	with := func(name string, tuning objective.Options, s advantage.Standardize) {
		out = append(out, Method{Name: name, Candidates: []Candidate{{Objective: arfmMethod, Tuning: tuning, Standardize: s}}})
	}
	add := func(name string, tuning objective.Options) { with(name, tuning, advantage.ZScore) }
	lambdas := []float64{5e-2, 1e-2, 5e-3, 5e-4, 1e-4}
	unit := lambdaRatio()
	for _, l := range lambdas {
		if l == objective.DefaultAlpha().Lambda {
			continue // arfm itself
		}
		add("relative, lambda "+number(l*unit), relative(l*unit))
	}
	for _, l := range lambdas {
		with("paper, lambda "+number(l), paper(l), advantage.None)
	}
	add("relative, spread gaussian", gaussian())
	with("relative, not standardised", relative(objective.RelativeAlpha().Lambda), advantage.None)
	for _, m := range []int{5, 10, 20, 30} {
		if m == objective.DefaultAlpha().Iterations {
			continue
		}
		add(fmt.Sprintf("relative, M %d", m), objective.Options{"scale": string(objective.Relative), "iterations": fmt.Sprint(m)})
	}
	for _, alpha := range []float64{0.25, 0.5, 1, 2, 4} {
		fixed := number(alpha)
		add("alpha fixed at "+fixed, objective.Options{"scale": string(objective.Relative), "alpha-min": fixed, "alpha-max": fixed})
	}
	return out
}
