package reach

import (
	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
)

// Stage is the arm as an evaluation and the policy loop run it: it speaks and
// listens in the contract's terms.
type Stage struct {
	c        *contract.Contract
	w        *World
	s        *speaker
	inputs   []string // topics that make observations
	resample *contract.Resampler
	col      [2]int
	set      [2]float64
}

var (
	_ eval.Stage     = (*Stage)(nil)
	_ eval.Continuer = (*Stage)(nil)
)

// NewStage returns a stage for a contract; the error wraps
// eval.ErrContract where the arm does not fit it.
func NewStage(c *contract.Contract) (*Stage, error) {
	inputs, col, err := speaks.Fit(c)
	if err != nil {
		return nil, err
	}
	s, err := newSpeaker()
	if err != nil {
		return nil, err
	}
	return &Stage{c: c, s: s, inputs: inputs, col: [2]int(col)}, nil
}

// Opener returns what opens stages for a contract, as eval.Evaluate wants it.
func Opener(c *contract.Contract) func() (eval.Stage, error) {
	return func() (eval.Stage, error) { return NewStage(c) }
}

// Begin implements eval.Stage.
func (a *Stage) Begin(seed, episode uint64) error {
	a.w = NewWorld(eval.Rand(seed, episode))
	a.s.w = a.w
	a.set, a.resample = a.w.Q, contract.NewResampler(a.c)
	return nil
}

// Continue implements eval.Continuer: the target jumps and the arm goes on from
// where it is.
func (a *Stage) Continue(seed, episode uint64) error {
	rng := eval.Rand(seed, episode)
	w := &World{Q: a.w.Q, V: a.w.V, Target: randomTarget(rng)}
	for w.Distance() < 0.15 {
		w.Target = randomTarget(rng)
	}
	a.w, a.s.w = w, w
	return nil
}

// Observe implements eval.Stage.
func (a *Stage) Observe(t int64, obs *policy.Observation) error {
	if err := eval.Feed(a.resample, a.inputs, t, a.s.Observation); err != nil {
		return err
	}
	return a.resample.Observe(t, obs)
}

// Step implements eval.Stage.
func (a *Stage) Step(cmd *runner.Command) (float64, error) {
	if cmd != nil {
		for j, c := range a.col {
			a.set[j] = cmd.SetPoint[c]
		}
	}
	return a.w.Step(a.set), nil
}

// Episode implements eval.Stage.
func (a *Stage) Episode() eval.Episode {
	return eval.Episode{Task: Instruction, Steps: a.w.Steps, Success: a.w.Success(), Done: a.w.Done(), Return: a.w.Return()}
}

// RunnerConfig implements eval.Stage.
func (a *Stage) RunnerConfig(replanRows int) runner.Config {
	cfg := loop.RunnerConfig(a.c, Limits())
	cfg.ReplanRows, cfg.Ramp, cfg.StartTolerance = replanRows, 100e6, 0.6
	return cfg
}

// Start implements eval.Stage.
func (a *Stage) Start() int64 { return Epoch }

// Close implements eval.Stage.
func (a *Stage) Close() error { return nil }
