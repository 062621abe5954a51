// Package stage puts the simulated arm of package sim on the stage of package
// eval: it speaks and listens in a contract's terms, behind the same resampler
// and envelope as a robot.
package stage

import (
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
	"arfm/policy"
	"arfm/policy/contract"
)

// homeSteps is how long the arm takes to come back to its start, periods.
const homeSteps = 2 * sim.RateHz

// Stage is a suite of the simulated arm as an evaluation and the policy loop
// run it.
type Stage struct {
	c        *contract.Contract
	e        *sim.Episode
	s        *sim.Speaker
	inputs   []string // topics that make observations
	resample *contract.Resampler
	col      []int               // column of an action that commands each joint
	set      [sim.Joints]float64 // the last set-point
	tasks    []int

	homing int // periods on the way home
	from   [sim.Joints]float64
}

var (
	_ eval.Stage = (*Stage)(nil)
	_ eval.Homer = (*Stage)(nil)
)

// New returns a stage of a suite for a contract; the error wraps
// eval.ErrContract where the arm does not fit it. Episodes take turns among the given tasks of the
// suite, by number; none: all of them.
func New(suite *sim.Suite, c *contract.Contract, tasks ...int) (*Stage, error) {
	st := &Stage{c: c, tasks: tasks}
	var err error
	if st.inputs, st.col, err = speaks.Fit(c); err != nil {
		return nil, err
	}
	if len(tasks) == 0 {
		for i := range suite.Tasks {
			st.tasks = append(st.tasks, i)
		}
	}
	if st.e, err = suite.NewEpisode(); err != nil {
		return nil, err
	}
	if st.s, err = sim.NewSpeaker(st.e); err != nil {
		st.e.Close()
		return nil, err
	}
	return st, nil
}

// Opener returns what opens stages, as eval.Evaluate wants it.
func Opener(suite *sim.Suite, c *contract.Contract, tasks ...int) func() (eval.Stage, error) {
	return func() (eval.Stage, error) { return New(suite, c, tasks...) }
}

// speaks is the arm as contracts see it.
var speaks = eval.Interface{Topics: sim.Topics, Joints: sim.JointNames, RateHz: sim.RateHz, Contracts: "sim_state.yaml or sim_vision.yaml"}

// Begin implements eval.Stage.
func (st *Stage) Begin(seed, episode uint64) error {
	task := st.tasks[episode%uint64(len(st.tasks))]
	if err := st.e.Begin(task, eval.Rand(seed, episode)); err != nil {
		return err
	}
	st.set, _ = st.e.Arena.Joint()
	st.resample, st.homing = contract.NewResampler(st.c), 0
	return nil
}

// Observe implements eval.Stage.
func (st *Stage) Observe(t int64, obs *policy.Observation) error {
	if err := eval.Feed(st.resample, st.inputs, t, st.s.Observation); err != nil {
		return err
	}
	return st.resample.Observe(t, obs)
}

// Step implements eval.Stage.
func (st *Stage) Step(cmd *runner.Command) (float64, error) {
	var velocity [sim.Joints]float64
	if cmd != nil {
		for j, c := range st.col {
			st.set[j], velocity[j] = cmd.SetPoint[c], cmd.Velocity[c]
		}
	}
	return st.e.Step(st.set, velocity)
}

// Home implements eval.Homer: the arm goes back above the table along the
// straight line between the joint positions.
func (st *Stage) Home() (busy bool, err error) {
	if st.homing == 0 {
		st.from = st.set
	}
	st.homing++
	to := sim.Home()
	s := demonstration.MinimumJerk(float64(st.homing) / homeSteps)
	var velocity [sim.Joints]float64
	for j := range st.set {
		next := st.from[j] + s*(to[j]-st.from[j])
		velocity[j] = (next - st.set[j]) * sim.RateHz
		st.set[j] = next
	}
	return st.homing < homeSteps, st.e.Arena.Step(st.set, velocity)
}

// Episode implements eval.Stage.
func (st *Stage) Episode() eval.Episode {
	return eval.Episode{Task: st.e.Instruction(), Steps: st.e.Steps, Success: st.e.Success(), Done: st.e.Done(), Return: st.e.Return()}
}

// Sim returns the episode, to look at it.
func (st *Stage) Sim() *sim.Episode { return st.e }

// Limits returns the arm's joint limits.
func Limits() (l runner.Limits) {
	for j, x := range sim.Limits {
		l.Names = append(l.Names, sim.JointNames[j])
		l.Lower, l.Upper = append(l.Lower, x.Lower), append(l.Upper, x.Upper)
		l.Velocity, l.Acceleration = append(l.Velocity, x.Velocity), append(l.Acceleration, x.Acceleration)
	}
	return l
}

// RunnerConfig implements eval.Stage.
func (st *Stage) RunnerConfig(replanRows int) runner.Config {
	cfg := loop.RunnerConfig(st.c, Limits())
	cfg.ReplanRows, cfg.Ramp = replanRows, 100e6
	return cfg
}

// Start implements eval.Stage.
func (st *Stage) Start() int64 { return sim.Epoch }

// Close implements eval.Stage.
func (st *Stage) Close() error {
	st.s.Close()
	st.e.Close()
	return nil
}
